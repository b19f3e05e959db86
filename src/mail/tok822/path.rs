//! [`Path`]: the address that a client names in MAIL, RCPT or VRFY, however it writes it.
//!
//! RFC 5321 asks for `<local@domain>`. Clients also write the address bare, with a name before it,
//! with comments, or with what ends an address in a header. All that is taken, unless
//! `strict_rfc821_envelopes` asks for the standard's form: [`Path::is_proper`] tells.
//!
//! | text | address | proper |
//! | --- | --- | --- |
//! | `<a@b>`, `<@route:a@b>`, `< a@b >`, `<<a@b>>` | `a@b` | yes |
//! | `<>` | null | yes |
//! | `a@b`, `Name<a@b>`, `group:a@b;` | `a@b` | no |
//! | `<a@b(comment)>`, `<a@b;>`, `<a@b>,` | `a@b` | no |
//! | `(comment)`, `<,>`, `group:;` | null | no |
//! | `<@b>` | `@b` | no |
//!
//! **Diagnostics**: [`PathError`].
//! **Standards**: RFC 5321 section 4.1.2; postconf(5) `strict_rfc821_envelopes`.

use super::{Scanner, Token, internal, is_closed};
use crate::address::{Address, PATH_MAX, PathError};
use alloc::vec::Vec;

/// A path, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// In internal form, without a source route.
    pub address: Address,
    /// Whether it was written as RFC 5321 has it.
    pub is_proper: bool,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// A quote or bracket that nothing closes; more than one address; words that nothing joins; a
    /// control character.
    pub fn parse(text: &[u8]) -> Result<Path, PathError> {
        match text {
            [b'<', inner @ .., b'>'] if is_plain(inner) => {
                Ok(Path { address: Address::from_internal(inner), is_proper: true })
            }
            // Quoted or not: nobody has an address like that, and some servers end a line there.
            _ if text.iter().any(u8::is_ascii_control) => Err(PathError::Syntax),
            _ => read(text),
        }
    }
}

/// Whether nothing in the text has a meaning but `@` and dots.
fn is_plain(inner: &[u8]) -> bool {
    let special = |byte: &u8| byte.is_ascii_control() || b" ()<>,;:\\\"[]".contains(byte);
    inner.first() != Some(&b'@') && !inner.iter().any(special)
}

type Tokens<'a> = [(Token<'a>, bool)];

fn read(text: &[u8]) -> Result<Path, PathError> {
    let tokens: Vec<(Token<'_>, bool)> = Scanner { rest: text }.take(PATH_MAX).collect();
    let begins = starts_with(&tokens, b'<');
    let ends = tokens.last().is_some_and(|(token, _)| *token == Token::Special(b'>'));
    let is_cut = !tokens.iter().all(|(token, _)| is_whole(*token));
    if is_cut || count(&tokens, b'<') > count(&tokens, b'>') {
        return Err(PathError::Unclosed);
    }
    let is_comment = |token: &(Token<'_>, bool)| matches!(token.0, Token::Comment(_));
    let words: Vec<(Token<'_>, bool)> =
        tokens.iter().filter(|token| !is_comment(token)).copied().collect();
    let (route, inner) = only_address(&words)?;
    let address = behind(route, internal(&inner.iter().collect::<Vec<_>>()));
    let has_more = words.len() < tokens.len() || has(&words, b';') || is_list(&words);
    let names_somebody = address.is_null() || !address.local_part().is_empty();
    Ok(Path { address, is_proper: begins && ends && !has_more && names_somebody })
}

/// Whether a comma separates the address from nothing.
fn is_list(words: &Tokens<'_>) -> bool {
    let mut around = words.iter().take_while(|word| is_around(word));
    let mut behind = words.iter().rev().take_while(|word| is_around(word));
    let is_comma = |(token, _): &(Token<'_>, bool)| *token == Token::Special(b',');
    around.any(is_comma) || behind.any(is_comma)
}

/// An address behind its route. The route ends at its first colon, be that one of an IPv6 literal.
fn behind(route: &Tokens<'_>, address: Address) -> Address {
    let route = internal(&route.iter().collect::<Vec<_>>());
    let colon = route.as_bytes().iter().position(|byte| *byte == b':');
    let left = &route.as_bytes()[colon.map_or(0, |at| at + 1)..];
    match left.is_empty() {
        true => address,
        false => Address::from_internal(&[left, address.as_bytes()].concat()),
    }
}

/// The tokens of a route and of the address behind it, without what may stand around them.
fn only_address<'a, 'b>(
    words: &'b Tokens<'a>,
) -> Result<(&'b Tokens<'a>, &'b Tokens<'a>), PathError> {
    let end = words.iter().rposition(|word| !is_around(word)).map_or(0, |last| last + 1);
    let (mut inner, behind) = words.split_at(end);
    // A colon is a group's where a semicolon ends it.
    if has(behind, b';') && !starts_with(without_front(inner), b'@') {
        inner = after_last(inner, b':');
    }
    inner = after_name(without_front(inner));
    let end = if starts_with(inner, b'@') { route_end(inner) } else { 0 };
    let (route, mut inner) = inner.split_at(end);
    if end > 0 {
        inner = without_front(inner);
    }
    let is_joined = |pair: &Tokens<'_>| pair.iter().any(|it| matches!(it.0, Token::Special(_)));
    let is_one = !inner.iter().any(is_around) && inner.windows(2).all(is_joined);
    if is_one { Ok((route, inner)) } else { Err(PathError::Syntax) }
}

fn without_front<'a, 'b>(words: &'b Tokens<'a>) -> &'b Tokens<'a> {
    let start = words.iter().position(|word| !is_around(word)).unwrap_or(words.len());
    &words[start..]
}

/// What stands in brackets behind a name.
fn after_name<'a, 'b>(words: &'b Tokens<'a>) -> &'b Tokens<'a> {
    let first = words.iter().position(is_around);
    match first.map(|at| words[at].0) {
        Some(Token::Special(b'<')) => after_last(words, b'<'),
        _ => words,
    }
}

fn after_last<'a, 'b>(words: &'b Tokens<'a>, byte: u8) -> &'b Tokens<'a> {
    let last = words.iter().rposition(|(token, _)| *token == Token::Special(byte));
    &words[last.map_or(0, |at| at + 1)..]
}

/// What may stand around an address: brackets, and what separates it from another.
fn is_around((token, _): &(Token<'_>, bool)) -> bool {
    matches!(token, Token::Special(b'<' | b'>' | b',' | b';'))
}

fn starts_with(words: &Tokens<'_>, byte: u8) -> bool {
    words.first().is_some_and(|(token, _)| *token == Token::Special(byte))
}

fn has(words: &Tokens<'_>, byte: u8) -> bool {
    count(words, byte) > 0
}

fn count(words: &Tokens<'_>, byte: u8) -> usize {
    words.iter().filter(|(token, _)| *token == Token::Special(byte)).count()
}

fn is_whole(token: Token<'_>) -> bool {
    match token {
        Token::Quoted(text) => is_closed(text, b'"'),
        Token::Literal(text) => is_closed(text, b']'),
        _ => true,
    }
}

/// Past the colon of a route, if there is one before the address ends.
fn route_end(words: &Tokens<'_>) -> usize {
    let ends = |it: &(Token<'_>, bool)| matches!(it.0, Token::Special(b':' | b';' | b'<' | b'>'));
    match words.iter().position(ends) {
        Some(at) if words[at].0 == Token::Special(b':') => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn read(text: &str) -> Result<(String, bool), PathError> {
        Path::parse(text.as_bytes()).map(|path| (path.address.to_string(), path.is_proper))
    }

    /// As smtpd of Postfix 3.7.11 takes them, with `strict_rfc821_envelopes` where they are proper.
    #[test]
    fn proper_paths() {
        for (text, address) in [
            ("<>", ""),
            ("<<>>", ""),
            ("<\"\">", ""),
            ("<a@b.example>", "a@b.example"),
            ("<a@b.example>>", "a@b.example"),
            ("<<a@b.example>>", "a@b.example"),
            ("< a@b.example >", "a@b.example"),
            ("<a @ b.example>", "a@b.example"),
            ("<a . b@c.example>", "a.b@c.example"),
            ("<@x.example,@y.example:a@b.example>", "a@b.example"),
            ("<@x.example:<a@b.example>>", "a@b.example"),
            ("<@x.example,@[::1]:a@b.example>", "\":1]:a\"@b.example"),
            ("<x.example!\"a b\">", "\"x.example!a b\""),
            ("<\"a\"%[192.0.2.1]@b.example>", "\"a%[192.0.2.1]\"@b.example"),
            ("<@:a@b.example>", "a@b.example"),
            ("<@x.example:>", ""),
            ("<a:b@c.example>", "\"a:b\"@c.example"),
            ("<:a@b.example>", "\":a\"@b.example"),
            ("<[b]@c.example>", "\"[b]\"@c.example"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<\"a b\"@c.example>", "\"a b\"@c.example"),
            ("<a.\"b\".c@d.example>", "a.b.c@d.example"),
            ("<\\>@b.example>", "\">\"@b.example"),
        ] {
            assert_eq!(read(text), Ok((address.to_string(), true)), "{text}");
        }
    }

    #[test]
    fn sloppy_paths() {
        for (text, address) in [
            ("a@b.example", "a@b.example"),
            ("\"a@b.example\"", "a@b.example"),
            ("@x.example:a@b.example", "a@b.example"),
            ("Name<a@b.example>", "a@b.example"),
            ("Name (c) <a@b.example>", "a@b.example"),
            ("(c)a@b.example", "a@b.example"),
            ("<a(x) (y)@b.example>", "a@b.example"),
            ("<a@b.example.(c)>", "a@b.example."),
            ("<a@(x)[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<a@b.example;>", "a@b.example"),
            ("<,a@b.example>", "a@b.example"),
            ("<a@b.example>,", "a@b.example"),
            ("group:a@b.example;", "a@b.example"),
            ("<group:a@b.example;>", "a@b.example"),
            ("group:a@b.example", "\"group:a\"@b.example"),
            ("group:;", ""),
            ("(c)", ""),
            ("<;>", ""),
            (",", ""),
            ("<@b.example>", "\"\"@b.example"),
            ("<\"\"@b.example>", "\"\"@b.example"),
        ] {
            assert_eq!(read(text), Ok((address.to_string(), false)), "{text}");
        }
    }

    #[test]
    fn what_is_no_path() {
        let syntax = [
            "<a b@c.example>",
            "a b@c.example",
            "<\"a\"\"b\"@c.example>",
            "<a\"b\"@c.example>",
            "<a[b]@c.example>",
            "<a@[192.0.2.1]x>",
            "<a@b c.example>",
            "<a@b.example,c@d.example>",
            "<a@b.example>,<c@d.example>",
            "<a@b.example><c@d.example>",
            "<group:a@b.example,c@d.example;>",
            "<group:a@b.example;x>",
            "<a;b@c.example>",
            "<a@b.example>x",
            "x<a@b.example>y",
            "<a>b@c.example",
            "<a\r@b.example>",
        ];
        let unclosed =
            ["<a@b.example", "<<a@b.example>", "<\"abc@b.example>", "<a@[192.0.2.1>", "<\"a\\\">"];
        for text in syntax {
            assert_eq!(read(text), Err(PathError::Syntax), "{text}");
        }
        for text in unclosed {
            assert_eq!(read(text), Err(PathError::Unclosed), "{text}");
        }
    }
}
