//! From a parameter's expanded text to its typed value, and what is wrong with a bad one.
//!
//! **Diagnostics**: [`BadValue`], the administrator's mistake; `Display` is Postfix's log text.
//! **Limits**: `int` parameters and times are 32-bit signed numbers, as in Postfix.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::table::Kind;
use crate::expand::ExpandError;
use crate::level::BadLevel;
use crate::line::is_space;

/// A parameter value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The file that sets it; empty for a default or a master.cf override.
    pub file: Box<str>,
    /// Its line, from 1, or 0.
    pub line: u32,
    /// The parameter.
    pub name: Box<str>,
    /// Its value: expanded unless expansion is what failed.
    pub value: Box<str>,
    /// What is wrong.
    pub reason: Box<Reason>,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be expanded.
    Expand(ExpandError),
    /// Neither `yes` nor `no`.
    Boolean,
    /// Not a number, or one that does not fit.
    Numeric,
    /// Not a time.
    Time,
    /// Not a compatibility level.
    Level(BadLevel),
    /// A table that it names cannot be opened, and that is fatal.
    Table(String),
    /// A number below its bound.
    TooLow {
        /// The number given.
        given: i64,
        /// The least allowed.
        min: i64,
    },
    /// A number above its bound.
    TooHigh {
        /// The number given.
        given: i64,
        /// The greatest allowed.
        max: i64,
    },
    /// A time below its bound.
    TooSoon {
        /// The number given.
        given: i64,
        /// The least allowed, in seconds.
        min: i64,
    },
    /// A time above its bound.
    TooLate {
        /// The number given.
        given: i64,
        /// The greatest allowed, in seconds.
        max: i64,
    },
    /// A text below its bound.
    TooShort {
        /// The least allowed, in bytes.
        min: u32,
    },
    /// A text above its bound.
    TooLong {
        /// The greatest allowed, in bytes.
        max: u32,
    },
    /// A word that is none of the allowed ones; Postfix's name for what is wanted, and the word.
    Unknown {
        /// What the word should be.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// A host name without an address.
    HostNotFound(String),
    /// An address that no interface of this host has.
    NoInterface(String),
}

impl BadValue {
    /// What Postfix logs as a warning before the fatal error, if anything.
    pub fn warning(&self) -> Option<&ExpandError> {
        match &*self.reason {
            Reason::Expand(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, reason, .. } = self;
        let len = value.len();
        f.write_str("fatal: ")?;
        match &**reason {
            Reason::Expand(_) => f.write_str("dictionary mail_dict: macro processing error"),
            Reason::Boolean => write!(f, "bad boolean configuration: {name} = {value}"),
            Reason::Numeric => write!(f, "bad numerical configuration: {name} = {value}"),
            Reason::Time => write!(f, "parameter {name}: bad time value or unit: {value}"),
            Reason::Level(bad) => bad.fmt(f),
            Reason::Table(why) => f.write_str(why),
            Reason::TooLow { given, min } => {
                write!(f, "invalid {name} parameter value {given} < {min}")
            }
            Reason::TooHigh { given, max } => {
                write!(f, "invalid {name} parameter value {given} > {max}")
            }
            Reason::TooSoon { given, min } => write!(f, "invalid {name}: {given} (min {min})"),
            Reason::TooLate { given, max } => write!(f, "invalid {name}: {given} (max {max})"),
            Reason::TooShort { min } => {
                write!(f, "bad string length {len} < {min}: {name} = {value}")
            }
            Reason::TooLong { max } => {
                write!(f, "bad string length {len} > {max}: {name} = {value}")
            }
            Reason::Unknown { what, word } => {
                write!(f, "unknown {what} value \"{word}\" in \"{value}\"")
            }
            Reason::HostNotFound(host) => {
                write!(f, "config variable {name}: host not found: {host}")
            }
            Reason::NoInterface(address) => {
                write!(f, "parameter {name}: no local interface found for {address}")
            }
        }
    }
}

impl core::error::Error for BadValue {}

/// A value that its kind accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Text,
    Bool(bool),
    Int(i64),
    Seconds(u64),
    Level(crate::Level),
}

/// Reads `text` as `kind`; `unit` is the unit of a time without one.
pub(super) fn typed(kind: Kind, text: &str, unit: u8) -> Result<Typed, Reason> {
    match kind {
        Kind::Text { min, max } => length(text, min, max),
        Kind::Raw { min } => length(text, min, 0),
        Kind::Bool => boolean(text).map(Typed::Bool).ok_or(Reason::Boolean),
        Kind::Int { min, max } => {
            let given = number(text).filter(|n| i32::try_from(*n).is_ok());
            let given = given.ok_or(Reason::Numeric)?;
            // Postfix checks no bound of 0; what is less is taken as 0 here.
            if min != 0 && given < min {
                return Err(Reason::TooLow { given, min });
            }
            if max > 0 && given > max {
                return Err(Reason::TooHigh { given, max });
            }
            Ok(Typed::Int(given.max(min)))
        }
        Kind::Long { min } => match number(text).ok_or(Reason::Numeric)? {
            given if min != 0 && given < min => Err(Reason::TooLow { given, min }),
            given => Ok(Typed::Int(given.max(min))),
        },
        Kind::Time { min, max } => time(text, unit, min, max).map(Typed::Seconds),
        Kind::Level => crate::Level::parse(text).map(Typed::Level).map_err(Reason::Level),
    }
}

fn length(text: &str, min: u32, max: u32) -> Result<Typed, Reason> {
    if text.len() < min as usize {
        return Err(Reason::TooShort { min });
    }
    if max > 0 && text.len() > max as usize {
        return Err(Reason::TooLong { max });
    }
    Ok(Typed::Text)
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("yes") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("no").then_some(false)
}

/// A number as sscanf(3) reads it: white space and a sign before the digits, nothing after.
fn number(text: &str) -> Option<i64> {
    text.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8)).parse().ok()
}

fn time(text: &str, unit: u8, min: i64, max: i64) -> Result<u64, Reason> {
    let given = seconds(text, unit).ok_or(Reason::Time)?;
    if given < min {
        return Err(Reason::TooSoon { given, min });
    }
    if max > 0 && given > max {
        return Err(Reason::TooLate { given, max });
    }
    u64::try_from(given).map_err(|_| Reason::Time)
}

/// `5d`, `300`: a number and its unit, `unit` when there is none. 31 bits. What follows the unit is
/// passed over, as in Postfix: `1h30m` is an hour.
pub(super) fn seconds(text: &str, unit: u8) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: i64 = text[..digits].parse().ok()?;
    let unit = text.as_bytes().get(digits).copied().unwrap_or(unit);
    let total = count.checked_mul(unit_seconds(unit)?)?;
    i32::try_from(total).is_ok().then_some(total)
}

fn unit_seconds(unit: u8) -> Option<i64> {
    Some(match unit {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => return None,
    })
}

/// Splits at commas and white space; text within `{}` stays together, braces included.
pub fn split(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut depth = 0usize;
    for c in text.chars() {
        let separates = c == ',' || (c.is_ascii() && is_space(c as u8));
        if separates && depth == 0 {
            if !word.is_empty() {
                out.push(core::mem::take(&mut word));
            }
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}
