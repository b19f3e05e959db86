//! A compatibility level: `major[.minor[.patch]]`, the version whose defaults a site has accepted.
//!
//! Used by [`crate::expand`] for the `<level` operators and by [`crate::Params::level`].
//!
//! **Limits**: minor and patch are at most 1023, major at most 2047 (Postfix packs the three in a
//! 31-bit number).
//! **Standards**: postconf(5), compatibility_level.

use alloc::string::{String, ToString};
use core::fmt;

const MAX_MAJOR: u32 = 2047;
const MAX_MINOR: u32 = 1023;

/// A compatibility level, ordered by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// 0 to 2047.
    pub major: u32,
    /// 0 to 1023.
    pub minor: u32,
    /// 0 to 1023.
    pub patch: u32,
}

/// A text that is not a compatibility level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLevel(pub String);

impl Level {
    /// A level of two parts, `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Reads `major[.minor[.patch]]`; blanks before the first digit are allowed, as in Postfix.
    pub fn parse(text: &str) -> Result<Self, BadLevel> {
        let bad = || BadLevel(text.to_string());
        let mut parts = text.trim_start().split('.');
        let major = parts.next().and_then(|p| number(p, MAX_MAJOR)).ok_or_else(bad)?;
        let mut rest = [0u32; 2];
        for slot in &mut rest {
            let Some(part) = parts.next() else { break };
            *slot = number(part, MAX_MINOR).ok_or_else(bad)?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { major, minor: rest[0], patch: rest[1] })
    }
}

/// Decimal digits only, at most `max`.
fn number(text: &str, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= max)
}

impl fmt::Display for BadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed compatibility level syntax: \"{}\"", self.0)
    }
}

impl core::error::Error for BadLevel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbers_so_3_10_is_newer_than_3_9() {
        assert!(Level::parse("3.10").unwrap() > Level::parse("3.9").unwrap());
        assert_eq!(Level::parse("3"), Level::parse("3.0.0"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in ["", "x", "3.", ".3", "3.1024", "3.6-RC1", "3.6.1.2", "-1"] {
            assert_eq!(Level::parse(text), Err(BadLevel(text.to_string())));
        }
    }
}
