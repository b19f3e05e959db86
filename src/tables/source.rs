//! The text a table is built from: logical lines, and `key value` in each.
//!
//! A line that starts with white space continues the one before; empty lines and lines whose first
//! visible character is `#` do not exist, also inside a logical line. A NUL byte ends a
//! logical line.
//!
//! **Diagnostics**: [`BadLine`] with Postfix's warning; the line is left out and reading goes on.
//! **Standards**: postmap(1), section "TABLE FORMAT".

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How much of a line that starts with white space is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 30;

/// A line with its continuations, without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// The number of its first line in the file, from 1.
    pub number: usize,
    /// Its text.
    pub text: Vec<u8>,
}

/// One entry of a table's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, not folded.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Why a line is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadLine {
    /// White space first, and nothing that it could continue.
    LeadingSpace,
    /// Not UTF-8 where only that is text.
    NotUtf8,
    /// A quoted key does not end.
    Unbalanced,
    /// A key without a value.
    NoValue,
    /// An alias without a colon, a name or a value, or with several names.
    NoPair,
    /// An alias whose name has a domain.
    NotLocal,
}

impl BadLine {
    /// Postfix's warning about `line` of `file`.
    pub fn warning(self, file: &str, line: &LogicalLine) -> String {
        let LogicalLine { number, text } = line;
        let shown = printable(text);
        match self {
            Self::LeadingSpace => {
                let start = printable(&text[..text.len().min(SHOWN_BYTES_MAX)]);
                let more = if text.len() > SHOWN_BYTES_MAX { "..." } else { "" };
                let what = "logical line must not start with whitespace";
                format!("{file}: {what}: \"{start}{more}\"")
            }
            Self::NotUtf8 => {
                format!("{file}, line {number}: non-UTF-8 input \"{shown}\" -- ignoring this line")
            }
            Self::Unbalanced => {
                format!("{file}, line {number}: unbalanced '\"' in '{shown}' -- ignoring this line")
            }
            Self::NoValue => {
                format!("{file}, line {number}: expected format: key whitespace value")
            }
            Self::NoPair => format!("{file}, line {number}: need name:value pair"),
            Self::NotLocal => format!("{file}, line {number}: name must be local"),
        }
    }
}

/// Text for a log: control characters and bytes that are no UTF-8 become `?`.
pub fn printable(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if c.is_ascii_control() { '?' } else { c }));
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out
}

/// White space as the C locale has it.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `text` without white space at its ends.
pub fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// What follows a word, in any letter case, that is not the start of a longer one.
pub(crate) fn keyword<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (start.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_ascii_start())
}

/// The logical lines of a file.
#[derive(Clone, Debug)]
pub struct LogicalLines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> LogicalLines<'a> {
    /// Those of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text, number: 0 }
    }

    /// Those that do not start with white space; the others are told to `warn`.
    pub fn starting_visibly(
        self,
        file: &str,
        warn: &dyn Fn(String),
    ) -> impl Iterator<Item = LogicalLine> {
        self.filter(move |line| {
            let bad = line.text.first().is_some_and(|first| is_space(*first));
            if bad {
                warn(BadLine::LeadingSpace.warning(file, line));
            }
            !bad
        })
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        self.number += 1;
        Some(line)
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = LogicalLine;

    fn next(&mut self) -> Option<LogicalLine> {
        let mut out: Option<LogicalLine> = None;
        loop {
            let before = (self.rest, self.number);
            let Some(line) = self.physical() else { return out.map(up_to_nul) };
            if matches!(trim(line).first(), None | Some(b'#')) {
                continue;
            }
            match &mut out {
                None => out = Some(LogicalLine { number: self.number, text: line.to_vec() }),
                Some(logical) if is_space(line[0]) => logical.text.extend(line),
                Some(_) => {
                    (self.rest, self.number) = before;
                    return out.map(up_to_nul);
                }
            }
        }
    }
}

/// A NUL byte ends a logical line, continuations and all.
fn up_to_nul(mut line: LogicalLine) -> LogicalLine {
    let end = line.text.iter().position(|byte| *byte == 0);
    line.text.truncate(end.unwrap_or(line.text.len()));
    line
}

/// Splits a line into its key, which ends at the first white space that is not quoted, and its
/// value. `utf8` says that only UTF-8 is text.
pub fn entry(line: &LogicalLine, utf8: bool) -> Result<Entry, BadLine> {
    let text = check(line, utf8)?;
    let end = key_end(text, None).ok_or(BadLine::Unbalanced)?;
    let (key, rest) = text.split_at(end);
    let value = trim(rest);
    if key.is_empty() || value.is_empty() {
        return Err(BadLine::NoValue);
    }
    Ok(Entry { key: key.to_vec(), value: value.to_vec() })
}

/// What must be true of a line of any table.
pub(crate) fn check(line: &LogicalLine, utf8: bool) -> Result<&[u8], BadLine> {
    let text = line.text.as_slice();
    if text.first().is_some_and(|first| is_space(*first)) {
        return Err(BadLine::LeadingSpace);
    }
    if utf8 && core::str::from_utf8(text).is_err() {
        return Err(BadLine::NotUtf8);
    }
    Ok(text)
}

/// Where a key ends that may have quoted parts: at white space, or at `mark`. None when a quoted
/// part does not end.
pub(crate) fn key_end(text: &[u8], mark: Option<u8>) -> Option<usize> {
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            byte if !quoted && (is_space(*byte) || Some(*byte) == mark) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (!quoted).then_some(text.len())
}

/// What postmap makes of `text`.
#[cfg(test)]
pub(crate) fn entries_for_tests(text: &[u8]) -> crate::catalog::Entries {
    let lines = LogicalLines::new(text);
    let entries = lines.map(|line| entry(&line, false).expect("a good line"));
    entries.map(|entry| (entry.key.to_ascii_lowercase(), entry.value)).collect()
}
