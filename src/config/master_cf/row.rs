//! A line of master.cf as written: its columns and the words after them.
//!
//! Used by [`super::MasterCf`] and by postconf(1).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::BadEntry;
use crate::line::{self, Warning, WarningKind, is_space, trim};

/// The eight columns as master(8) calls them in messages.
pub const COLUMNS: [&str; 8] = [
    "service name",
    "transport type",
    "private",
    "unprivileged",
    "chroot",
    "wakeup_time",
    "max_proc",
    "command",
];

/// A service entry as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The line it starts on, from 1.
    pub line: u32,
    /// The whole logical line.
    pub text: String,
    /// The first eight words, or fewer.
    pub columns: Vec<String>,
    /// The words after them; `{...}` stays together, with its braces.
    pub args: Vec<String>,
}

impl Row {
    /// The same with columns that may be in braces, too, as postconf(1) splits a line.
    #[must_use]
    pub fn split_by_braces(self) -> Self {
        let mut columns: Vec<String> =
            words(&self.text, is_space).map(ToString::to_string).collect();
        let args = columns.split_off(columns.len().min(COLUMNS.len()));
        Self { columns, args, ..self }
    }

    /// A column by its index in master(5)'s order.
    pub(super) fn column(&self, at: usize) -> Result<&str, BadEntry> {
        self.columns.get(at).map(String::as_str).ok_or(BadEntry::Missing(COLUMNS[at]))
    }
}

/// Splits a master.cf into rows; the error is the number of a line that is not UTF-8.
pub fn rows(file: &str, data: &[u8], warnings: &mut Vec<Warning>) -> Result<Vec<Row>, u32> {
    let mut out = Vec::new();
    for logical in line::logical_lines(data) {
        let line = logical.first;
        let text = String::from_utf8(logical.text).map_err(|_| line)?;
        if text.starts_with([' ', '\t']) {
            let kind = WarningKind::LeadingSpace(text);
            warnings.push(Warning { file: file.to_string(), line, kind });
            continue;
        }
        out.push(row(line, text));
    }
    Ok(out)
}

fn row(line: u32, text: String) -> Row {
    let mut rest = text.as_str();
    let mut columns = Vec::new();
    while columns.len() < COLUMNS.len() {
        let Some(word) = plain_word(&mut rest) else { break };
        columns.push(word.to_string());
    }
    let args = words(rest, is_space).map(ToString::to_string).collect();
    Row { line, columns, args, text }
}

fn plain_word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
    let end = text.bytes().position(is_space).unwrap_or(text.len());
    let (word, tail) = text.split_at(end);
    *rest = tail;
    (!word.is_empty()).then_some(word)
}

/// Words separated by what is not within braces.
pub(crate) fn words(text: &str, separates: impl Fn(u8) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii() && separates(c as u8));
        let mut depth = 0i32;
        let end = rest.bytes().position(|byte| {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            depth <= 0 && separates(byte)
        });
        let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
        rest = tail;
        (!word.is_empty()).then_some(word)
    })
}

/// A word without its outer braces and the white space just within them.
pub fn unbrace(word: &str) -> Result<&str, BadEntry> {
    let (text, wrong) = within_braces(word);
    wrong.map_or(Ok(text), Err)
}

/// The same with what postconf(1) goes on with where the braces are wrong, and what is.
pub fn within_braces(word: &str) -> (&str, Option<BadEntry>) {
    if !word.starts_with('{') {
        return (word, None);
    }
    let bad = |what| Some(BadEntry::Braces { what, word: word.to_string() });
    let mut depth = 0usize;
    for (at, byte) in word.bytes().enumerate() {
        depth = match byte {
            b'{' => depth + 1,
            b'}' => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            let more = at + 1 < word.len();
            let wrong = if more { bad("syntax error after '}'") } else { None };
            return (trim(&word[1..at]), wrong);
        }
    }
    (trim(&word[1..]), bad("missing '}'"))
}
