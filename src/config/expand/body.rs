//! The inside of `${...}`: a name or a comparison, and what to put for true and false.
//!
//! Called by [`super`] only. Nothing is expanded here: texts come out as they stand.
//!
//! **Diagnostics**: [`ExpandError::Syntax`] with what was expected, [`ExpandError::Unbalanced`].

use alloc::format;
use alloc::string::{String, ToString};

use super::{AHEAD, ExpandError};
use crate::line::{clip, is_space};

/// What Postfix says when no operator stands between two operands (its own odd quoting).
const WANTED_OPERATOR: &str =
    "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected";

/// The parsed inside of a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body<'a> {
    pub head: Head<'a>,
    pub tail: Tail<'a>,
}

/// What is tested.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Name(&'a str),
    Compare(Compare<'a>),
}

/// `{left} OP {right}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compare<'a> {
    pub left: &'a str,
    pub operator: Operator,
    /// The operator has the suffix `level`: operands are compatibility levels.
    pub level: bool,
    pub right: &'a str,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// What follows the head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail<'a> {
    None,
    Choice { yes: Option<&'a str>, no: Option<&'a str> },
}

/// Reads the text between the braces of a reference.
pub(super) fn parse(inner: &str) -> Result<Body<'_>, ExpandError> {
    let text = skip_space(inner);
    if text.starts_with('{') {
        let (compare, rest) = comparison(text)?;
        let tail =
            tail(rest, || syntax("\"?\" or \":\" expected", "}".to_string(), skip_space(rest)))?;
        return Ok(Body { head: Head::Compare(compare), tail });
    }
    let (name, rest) = text.split_at(name_len(text));
    let tail = tail(rest, || syntax("attribute name syntax error", name.to_string(), rest))?;
    Ok(Body { head: Head::Name(name), tail })
}

/// Bytes of the name at the start of `text`.
pub(super) fn name_len(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// `text` without white space at its start.
pub(super) fn skip_space(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

/// The inside of the bracket that opens `text`, up to its match.
pub(super) fn balanced(text: &str, open: u8, close: u8) -> Option<&str> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return Some(&text[1..at]);
            }
        }
    }
    None
}

/// The payload of `{...}` at the start of `text`, and what follows it.
fn payload(text: &str) -> Result<(&str, &str), ExpandError> {
    let inner =
        balanced(text, b'{', b'}').ok_or_else(|| ExpandError::Unbalanced(text.to_string()))?;
    Ok((inner, &text[inner.len() + 2..]))
}

fn syntax(expected: &'static str, before: String, after: &str) -> ExpandError {
    ExpandError::Syntax { expected, before, after: clip(after, AHEAD).to_string() }
}

/// `{left} OP {right}` at the start of `text`, and what follows it.
fn comparison(text: &str) -> Result<(Compare<'_>, &str), ExpandError> {
    let (left, rest) = payload(text)?;
    let rest = skip_space(rest);
    // What Postfix takes for one operator, though it knows none with most of them.
    let sign_len = rest.bytes().take_while(|b| b"=!<>?+-*/~&|%".contains(b)).count();
    let (sign, rest_after) = rest.split_at(sign_len);
    let operator =
        operator(sign).ok_or_else(|| syntax(WANTED_OPERATOR, format!("{left}}}"), rest))?;
    let suffix_len = name_len(rest_after);
    let (suffix, rest_after) = rest_after.split_at(suffix_len);
    if !matches!(suffix, "" | "level") {
        return Err(syntax("bad operator suffix", sign.to_string(), suffix));
    }
    let right = skip_space(rest_after);
    if !right.starts_with('{') {
        let before = format!("{{{left}}} {sign}{suffix}");
        return Err(syntax("\"{expression}\" expected", before, rest_after));
    }
    let (right, rest) = payload(right)?;
    Ok((Compare { left, operator, level: !suffix.is_empty(), right }, rest))
}

fn operator(sign: &str) -> Option<Operator> {
    Some(match sign {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterEqual,
        _ => return None,
    })
}

/// `?yes`, `?{yes}:no` or `:no`; anything else is the error that `other` makes.
fn tail(text: &str, other: impl Fn() -> ExpandError) -> Result<Tail<'_>, ExpandError> {
    let text = skip_space(text);
    match text.bytes().next() {
        None => Ok(Tail::None),
        Some(b'?') => question(&text[1..]),
        Some(b':') => Ok(Tail::Choice { yes: None, no: Some(last(&text[1..])?) }),
        Some(_) => Err(other()),
    }
}

fn question(text: &str) -> Result<Tail<'_>, ExpandError> {
    let braced = skip_space(text);
    if !braced.starts_with('{') {
        return Ok(Tail::Choice { yes: Some(text), no: None });
    }
    let (yes, rest) = payload(braced)?;
    let rest = skip_space(rest);
    let no = match rest.strip_prefix(':') {
        Some(no) => Some(last(no)?),
        None if rest.is_empty() => None,
        None => return Err(syntax("\":\" expected", format!("{yes}}}"), rest)),
    };
    Ok(Tail::Choice { yes: Some(yes), no })
}

/// The last text of a reference: `{text}` and nothing more, or everything as it stands.
fn last(text: &str) -> Result<&str, ExpandError> {
    let braced = skip_space(text);
    if !braced.starts_with('{') {
        return Ok(text);
    }
    let (inner, rest) = payload(braced)?;
    match skip_space(rest) {
        "" => Ok(inner),
        rest => Err(syntax("unexpected input", format!("{inner}}}"), rest)),
    }
}
