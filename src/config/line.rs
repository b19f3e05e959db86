//! Logical lines: what main.cf and master.cf are made of.
//!
//! A line that starts with white space continues the one before. Empty lines, lines of white space
//! and lines whose first other character is `#` are skipped wherever they stand, also between a
//! line and its continuation. A logical line ends at its first NUL, as it does for Postfix.
//!
//! **Diagnostics**: a continuation of nothing is skipped with a [`Warning`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How much of an offending line Postfix prints.
const SHOWN: usize = 30;

/// One logical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logical {
    /// Number of its first physical line, from 1.
    pub first: u32,
    /// Number of its last physical line.
    pub last: u32,
    /// Its bytes without line ends.
    pub text: Vec<u8>,
}

/// Something an administrator should mend but Postfix reads past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
    /// What is odd there.
    pub kind: WarningKind,
}

/// What a [`Warning`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// A continuation line with nothing before it; it is ignored.
    LeadingSpace(String),
    /// The same name was set before to another value; the later one wins.
    Overriding {
        /// The parameter.
        name: String,
        /// The value that is lost.
        value: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match &self.kind {
            WarningKind::LeadingSpace(text) => {
                let shown = clip(text, SHOWN);
                let dots = if shown.len() < text.len() { "..." } else { "" };
                write!(f, "{file}: logical line must not start with whitespace: \"{shown}{dots}\"")
            }
            WarningKind::Overriding { name, value } => {
                write!(f, "{file}, line {}: overriding earlier entry: {name}={value}", self.line)
            }
        }
    }
}

/// The longest prefix of at most `max` bytes that ends on a character boundary.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// White space as C's isspace(3) sees it in the POSIX locale.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `text` without white space (as Postfix sees it) at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

/// Splits `data` into logical lines, those with leading white space included.
pub(crate) fn logical_lines(data: &[u8]) -> Vec<Logical> {
    let mut out: Vec<Logical> = Vec::new();
    for (number, line) in (1u32..).zip(data.split(|b| *b == b'\n')) {
        let Some(first) = line.iter().find(|b| !is_space(**b)) else { continue };
        if *first == b'#' {
            continue;
        }
        match out.last_mut() {
            Some(open) if matches!(line[0], b' ' | b'\t') => {
                open.text.extend_from_slice(line);
                open.last = number;
            }
            _ => out.push(Logical { first: number, last: number, text: line.to_vec() }),
        }
    }
    for line in &mut out {
        let end = line.text.iter().position(|b| *b == 0).unwrap_or(line.text.len());
        line.text.truncate(end);
    }
    out
}
