//! main.cf: `name = value` lines.
//!
//! [`MainCf::parse`] is called at start, on reload and by postconf(1); the result belongs to
//! [`crate::Params`]. Values are kept as written, without the white space around them.
//!
//! **Diagnostics**: [`BadMainCf`] is the administrator's mistake, worded as Postfix words it;
//! oddities Postfix only warns about are in [`MainCf::warnings`].
//! **Limits**: none of its own, the caller bounds the file. Text that is not UTF-8 is refused
//! outside comments (Postfix takes any bytes), so that a value is a `str` everywhere.
//! **Standards**: postconf(5), "main.cf file format".

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::line::{self, Logical, Warning, WarningKind, is_space, trim};
use crate::source::{Source, SourceError};

/// A setting and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value as written, unexpanded.
    pub value: String,
    /// The line its text starts on, from 1; 0 for one set by the program.
    pub line: u32,
}

/// A parsed main.cf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MainCf {
    file: String,
    entries: BTreeMap<String, Entry>,
    warnings: Vec<Warning>,
}

/// Why a main.cf cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMainCf {
    /// The file cannot be read.
    Source(SourceError),
    /// A line is not `name = value`.
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        reason: BadLine,
        /// The whole logical line.
        text: String,
        /// What is odd before it.
        warnings: Vec<Warning>,
    },
}

/// What is wrong with a `name = value` text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// Nothing before the `=`.
    NoName,
    /// No `=` after the name.
    NoEquals,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => "missing attribute name",
            Self::NoEquals => "missing '=' after attribute name",
            Self::NotUtf8 => "non-UTF-8 input",
        })
    }
}

impl fmt::Display for BadMainCf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "fatal: {error}"),
            Self::Syntax { file, line, reason, text, .. } => {
                write!(f, "fatal: {file}, line {line}: {reason}: \"{text}\"")
            }
        }
    }
}

impl core::error::Error for BadMainCf {}

impl MainCf {
    /// Reads and parses `path`.
    pub fn read(source: &dyn Source, path: &str) -> Result<Self, BadMainCf> {
        let data = source.read(path).map_err(BadMainCf::Source)?;
        Self::parse(path, &data)
    }

    /// Parses the bytes of `file`; the name is for messages.
    pub fn parse(file: &str, data: &[u8]) -> Result<Self, BadMainCf> {
        let mut main = Self { file: file.to_string(), ..Self::default() };
        for logical in line::logical_lines(data) {
            let at = logical.first;
            main.line(logical).map_err(|(reason, text)| BadMainCf::Syntax {
                file: file.to_string(),
                line: at,
                reason,
                text,
                warnings: core::mem::take(&mut main.warnings),
            })?;
        }
        Ok(main)
    }

    fn line(&mut self, logical: Logical) -> Result<(), (BadLine, String)> {
        let at = logical.first;
        let text = String::from_utf8(logical.text).map_err(|error| {
            (BadLine::NotUtf8, String::from_utf8_lossy(error.as_bytes()).into_owned())
        })?;
        if text.starts_with([' ', '\t']) {
            self.warn(at, WarningKind::LeadingSpace(text));
            return Ok(());
        }
        let (name, value) = split_name_value(&text).map_err(|reason| (reason, text.clone()))?;
        self.insert(name, value, at);
        Ok(())
    }

    /// Sets `name` as if main.cf did, on line 0; used for what the program itself decides.
    pub fn set(&mut self, name: &str, value: &str) {
        self.entries.insert(name.to_string(), Entry { value: value.to_string(), line: 0 });
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The setting of `name` that won.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All settings that won, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// What Postfix would warn about, in file order.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn insert(&mut self, name: &str, value: &str, line: u32) {
        let entry = Entry { value: value.to_string(), line };
        let old = self.entries.insert(name.to_string(), entry);
        if let Some(old) = old.filter(|old| old.value != value) {
            let name = name.to_string();
            self.warn(line, WarningKind::Overriding { name, value: old.value });
        }
    }

    fn warn(&mut self, line: u32, kind: WarningKind) {
        self.warnings.push(Warning { file: self.file.clone(), line, kind });
    }
}

/// Splits `name = value`; a name is everything up to white space or `=`.
pub fn split_name_value(text: &str) -> Result<(&str, &str), BadLine> {
    let text = trim(text);
    let end = text.bytes().position(|b| is_space(b) || b == b'=').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(BadLine::NoName);
    }
    let value = trim(rest).strip_prefix('=').ok_or(BadLine::NoEquals)?;
    Ok((name, trim(value)))
}
