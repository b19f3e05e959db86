//! Lines of an alias file: `name: value, value`, read as the tokens of a mail header.
//!
//! The name is stored without quotes, as the resolver of names will ask for it; the value is
//! written again with quotes, since it is parsed a second time when it is used. White space
//! between tokens is made uniform on the way.
//!
//! **Diagnostics**: [`BadLine`].
//! **Standards**: aliases(5); RFC 822 section 3.3 for the tokens.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::source::{BadLine, Entry, LogicalLine, check};

/// Characters that are a token by themselves or start one.
const SPECIALS: &[u8] = b"|\"(),.:;<>@[]%!";

/// White space of a header, which has less than the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A character that is an operator.
    Operator(u8),
    /// A word without anything that needs quotes.
    Atom(Vec<u8>),
    /// A word that needs quotes, without them.
    Quoted(Vec<u8>),
    /// What was between brackets.
    Literal(Vec<u8>),
    /// A comment with its parentheses, as it was.
    Comment(Vec<u8>),
}

/// How words are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without quotes.
    Internal,
    /// With quotes where they are needed.
    External,
}

/// Splits a line of an alias file. `utf8` says that only UTF-8 is text.
pub fn entry(line: &LogicalLine, utf8: bool) -> Result<Entry, BadLine> {
    let tokens = tokens(check(line, utf8)?);
    let colon = tokens.iter().position(|token| *token == Token::Operator(b':'));
    let colon = colon.ok_or(BadLine::NoPair)?;
    let (name, value) = (&tokens[..colon], &tokens[colon + 1..]);
    if name.is_empty() || value.is_empty() || name.contains(&Token::Operator(b',')) {
        return Err(BadLine::NoPair);
    }
    // A percent sign routes like an at sign.
    if name.contains(&Token::Operator(b'@')) || name.contains(&Token::Operator(b'%')) {
        return Err(BadLine::NotLocal);
    }
    Ok(Entry { key: write(name, Form::Internal), value: write(value, Form::External) })
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            byte if is_space(byte) => {}
            b'"' => out.push(Token::Quoted(until(text, &mut at, |byte| byte == b'"', Skip::End))),
            b'[' => out.push(Token::Literal(until(text, &mut at, |byte| byte == b']', Skip::End))),
            b'(' => out.push(comment(text, &mut at)),
            byte if SPECIALS.contains(&byte) => out.push(Token::Operator(byte)),
            _ => {
                at -= 1;
                let ends = |byte| is_space(byte) || SPECIALS.contains(&byte);
                out.push(word(until(text, &mut at, ends, Skip::Nothing)));
            }
        }
    }
    out
}

/// Whether what ends a token belongs to it.
#[derive(PartialEq, Eq)]
enum Skip {
    End,
    Nothing,
}

/// Collects up to a byte that ends a token; a backslash takes the next byte as it is.
fn until(text: &[u8], at: &mut usize, ends: impl Fn(u8) -> bool, skip: Skip) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(&byte) = text.get(*at) {
        if ends(byte) {
            *at += usize::from(skip == Skip::End);
            break;
        }
        *at += 1;
        if byte != b'\\' {
            out.push(if is_space(byte) { b' ' } else { byte });
        } else if let Some(&next) = text.get(*at) {
            out.push(if is_space(next) { b' ' } else { next });
            *at += 1;
        }
    }
    out
}

/// A comment, whose first parenthesis was read; comments nest.
fn comment(text: &[u8], at: &mut usize) -> Token {
    let start = *at - 1;
    let mut depth = 1;
    while let Some(&byte) = text.get(*at).filter(|_| depth > 0) {
        *at += 1;
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\\' => *at = (*at + 1).min(text.len()),
            _ => {}
        }
    }
    Token::Comment(text[start..*at].to_vec())
}

/// A word is quoted from now on if a backslash brought in what would end it.
fn word(text: Vec<u8>) -> Token {
    let special = |byte: &u8| {
        *byte == b' ' || *byte == b'\\' || byte.is_ascii_control() || SPECIALS.contains(byte)
    };
    if text.iter().any(special) { Token::Quoted(text) } else { Token::Atom(text) }
}

fn write(tokens: &[Token], form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &tokens[before]);
        if before.is_some_and(|before| apart(before, token)) {
            out.push(b' ');
        }
        match token {
            Token::Operator(b',') => out.extend(b", "),
            Token::Operator(byte) => out.push(*byte),
            Token::Literal(text) => {
                out.push(b'[');
                let escaped: &[u8] = if form == Form::External { b"\\\r\n" } else { b"" };
                escape(text, escaped, &mut out);
                out.push(b']');
            }
            Token::Quoted(text) if form == Form::External => quote(text, &mut out),
            Token::Atom(text) | Token::Comment(text) | Token::Quoted(text) => out.extend(text),
        }
    }
    out
}

/// Whether a space is written between two tokens: between words, and before `<`.
fn apart(before: &Token, token: &Token) -> bool {
    let word = |token: &Token| !matches!(token, Token::Operator(_));
    match token {
        // A comma has brought its own.
        Token::Operator(b'<') => *before != Token::Operator(b','),
        token => word(token) && word(before),
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, b"\"\\\r\n", out);
    out.push(b'"');
}

fn escape(text: &[u8], which: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if which.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}
