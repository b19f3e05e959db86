//! The inside of `${...}`: a name or a comparison, and what to put for true and false.
//!
//! Called by [`super`] only. Nothing is expanded here: texts come out as they stand.
//!
//! **Diagnostics**: [`ExpandError::Syntax`] with what was expected, [`ExpandError::Unbalanced`]; an
//! error after the head comes beside what stands before it, which Postfix has then looked at.

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
    /// What is wrong behind the texts of `tail`.
    pub wrong: Option<ExpandError>,
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
    let (head, rest) = if text.starts_with('{') {
        let (compare, rest) = comparison(text)?;
        (Head::Compare(compare), skip_space(rest))
    } else {
        let (name, rest) = text.split_at(name_len(text));
        if !matches!(skip_space(rest).bytes().next(), None | Some(b'?' | b':')) {
            return Err(syntax("attribute name syntax error", name.to_string(), rest));
        }
        (Head::Name(name), skip_space(rest))
    };
    let mut tail = Tail::None;
    let wrong = tail_of(rest, &mut tail).err();
    Ok(Body { head, tail, wrong })
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

/// Reads `?yes`, `?{yes}:no` or `:no` into `tail`, as far as it goes.
fn tail_of<'a>(text: &'a str, tail: &mut Tail<'a>) -> Result<(), ExpandError> {
    match text.bytes().next() {
        None => Ok(()),
        Some(b'?') => question(&text[1..], tail),
        Some(b':') => last(&text[1..], None, tail),
        Some(_) => Err(syntax("\"?\" or \":\" expected", "}".to_string(), text)),
    }
}

fn question<'a>(text: &'a str, tail: &mut Tail<'a>) -> Result<(), ExpandError> {
    let braced = skip_space(text);
    if !braced.starts_with('{') {
        *tail = Tail::Choice { yes: Some(text), no: None };
        return Ok(());
    }
    let (yes, rest) = payload(braced)?;
    *tail = Tail::Choice { yes: Some(yes), no: None };
    let rest = skip_space(rest);
    match rest.strip_prefix(':') {
        Some(no) => last(no, Some(yes), tail),
        None if rest.is_empty() => Ok(()),
        None => Err(syntax("\":\" expected", format!("{yes}}}"), rest)),
    }
}

/// The last text of a reference: `{text}` and nothing more, or everything as it stands.
fn last<'a>(text: &'a str, yes: Option<&'a str>, tail: &mut Tail<'a>) -> Result<(), ExpandError> {
    let braced = skip_space(text);
    if !braced.starts_with('{') {
        *tail = Tail::Choice { yes, no: Some(text) };
        return Ok(());
    }
    let (inner, rest) = payload(braced)?;
    *tail = Tail::Choice { yes, no: Some(inner) };
    match skip_space(rest) {
        "" => Ok(()),
        rest => Err(syntax("unexpected input", format!("{inner}}}"), rest)),
    }
}
