//! Addresses in a message header: from text to a list of pieces and back.
//!
//! [`AddressList::parse`] takes the value of a header such as To: apart; the addresses in it may be
//! changed one by one, and [`AddressList::write`] puts the list together again. Phrases, comments
//! and groups stay as they were; what stands between pieces becomes one blank. Who changes nothing
//! keeps the text instead.
//!
//! | text | pieces |
//! | --- | --- |
//! | `Name <a@b>` | phrase, open, address, close |
//! | `a@b (comment)` | address, comment |
//! | `Group: a, b;` | phrase, group, address, comma, address, end |
//! | `@route:a@b`, `<@route:a@b>` | address, its route in its local part |
//! | `a@b c@d`, `a c@d` | address, comma, address |
//!
//! **Diagnostics**: none; any bytes are some list.
//! **Limits**: after so many tokens as the caller says the rest is not looked at.
//! **Standards**: RFC 5322 section 3.4; RFC 822 as Postfix reads it.

pub mod path;

use alloc::vec::Vec;

use crate::address::Address;

/// What separates the words of a header.
const SPECIALS: &[u8] = b"<>,;:@.";

/// A piece of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An address; its text is written anew.
    Address(Address),
    /// Words that are no address, as they were written: a display name, a group's name.
    Phrase(Vec<u8>),
    /// A comment with its parentheses.
    Comment(Vec<u8>),
    /// `<`
    Open,
    /// `>`
    Close,
    /// `,`
    Comma,
    /// `:` after a group's name.
    Group,
    /// `;`
    End,
}

/// The addresses of one header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    /// In order.
    pub pieces: Vec<Piece>,
}

/// A token; the text is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    Quoted(&'a [u8]),
    Literal(&'a [u8]),
    Comment(&'a [u8]),
    Special(u8),
}

impl AddressList {
    /// Takes a header's value apart; at most `limit` tokens of it.
    pub fn parse(value: &[u8], limit: usize) -> AddressList {
        let tokens: Vec<(Token<'_>, bool)> = Scanner { rest: value }.take(limit).collect();
        let mut out = AddressList::default();
        let mut rest = tokens.as_slice();
        while !rest.is_empty() {
            let end = out.element(rest);
            rest = &rest[end..];
        }
        out
    }

    /// One list element and what ends it: how many tokens that was.
    fn element(&mut self, tokens: &[(Token<'_>, bool)]) -> usize {
        let is = |byte: u8| move |(token, _): &(Token<'_>, bool)| *token == Token::Special(byte);
        let route = tokens.iter().find(|(token, _)| !matches!(token, Token::Comment(_)));
        let routed = route.is_some_and(is(b'@'));
        let stops = |token: &(Token<'_>, bool)| {
            is(b',')(token) || is(b';')(token) || is(b'<')(token) || is(b':')(token) && !routed
        };
        let end = if routed { route_end(tokens) } else { 0 };
        let end = end + tokens[end..].iter().position(stops).unwrap_or(tokens.len() - end);
        let (before, rest) = tokens.split_at(end);
        match rest.first().map(|(token, _)| *token) {
            Some(Token::Special(b'<')) => {
                self.phrase(before);
                end + self.bracketed(rest)
            }
            Some(Token::Special(b':')) => {
                self.phrase(before);
                self.pieces.push(Piece::Group);
                end + 1
            }
            Some(Token::Special(byte)) => {
                self.address(before);
                self.pieces.push(if byte == b';' { Piece::End } else { Piece::Comma });
                end + 1
            }
            _ => {
                self.address(before);
                end
            }
        }
    }

    /// `<...>`: how many tokens. A bracket that is not closed ends with the list element.
    fn bracketed(&mut self, tokens: &[(Token<'_>, bool)]) -> usize {
        let inside = &tokens[1..];
        let route = if inside.first().is_some_and(|(token, _)| *token == Token::Special(b'@')) {
            route_end(inside)
        } else {
            0
        };
        let ends =
            |(token, _): &(Token<'_>, bool)| matches!(token, Token::Special(b'>' | b',' | b';'));
        let end = route + inside[route..].iter().position(ends).unwrap_or(inside.len() - route);
        let comment = |(token, _): &&(Token<'_>, bool)| matches!(token, Token::Comment(_));
        let words: Vec<&(Token<'_>, bool)> =
            inside[..end].iter().filter(|it| !comment(it)).collect();
        self.pieces.push(Piece::Open);
        self.pieces.push(Piece::Address(internal(&words)));
        self.pieces.push(Piece::Close);
        let closed = inside.get(end).is_some_and(|(token, _)| *token == Token::Special(b'>'));
        1 + end + usize::from(closed)
    }

    /// Words that are no address, comments apart.
    fn phrase(&mut self, tokens: &[(Token<'_>, bool)]) {
        let mut text: Vec<u8> = Vec::new();
        for (token, blank) in tokens {
            if let Token::Comment(comment) = token {
                if !text.is_empty() {
                    self.pieces.push(Piece::Phrase(core::mem::take(&mut text)));
                }
                self.pieces.push(Piece::Comment(unfolded(comment)));
                continue;
            }
            if *blank && !text.is_empty() {
                text.push(b' ');
            }
            token.write(&mut text);
        }
        if !text.is_empty() {
            self.pieces.push(Piece::Phrase(text));
        }
    }

    /// The tokens of one list element; comments among them follow it.
    fn address(&mut self, tokens: &[(Token<'_>, bool)]) {
        let words: Vec<&(Token<'_>, bool)> =
            tokens.iter().filter(|(token, _)| !matches!(token, Token::Comment(_))).collect();
        if !words.is_empty() {
            self.addresses_among(&words);
        }
        let comments = tokens.iter().filter_map(|(token, _)| match token {
            Token::Comment(text) => Some(Piece::Comment(unfolded(text))),
            _ => None,
        });
        self.pieces.extend(comments);
    }

    /// A word that nothing joins to the one before begins another address: the comma is added.
    fn addresses_among(&mut self, words: &[&(Token<'_>, bool)]) {
        let mut rest = words;
        while let Some(end) = next_address(rest) {
            self.pieces.push(Piece::Address(internal(&rest[..end])));
            self.pieces.push(Piece::Comma);
            rest = &rest[end..];
        }
        self.pieces.push(Piece::Address(internal(rest)));
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Address(address) => Some(address),
            _ => None,
        })
    }

    /// Lets `change` give addresses another form; whether it did for any.
    pub fn rewrite(&mut self, mut change: impl FnMut(&Address) -> Option<Address>) -> bool {
        let mut changed = false;
        for piece in &mut self.pieces {
            if let Piece::Address(address) = piece
                && let Some(new) = change(address)
            {
                changed |= new != *address;
                *address = new;
            }
        }
        changed
    }

    /// Writes the list; after each comma stands `separator`.
    pub fn write(&self, separator: u8, out: &mut Vec<u8>) {
        for (at, piece) in self.pieces.iter().enumerate() {
            piece.write(out);
            match (piece, self.pieces.get(at + 1)) {
                (_, None) => {}
                (Piece::Comma, _) => out.push(separator),
                (piece, Some(next)) if blank_between(piece, next) => out.push(b' '),
                _ => {}
            }
        }
    }
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Piece::Address(address) => address.write_external(out),
            Piece::Phrase(text) | Piece::Comment(text) => out.extend_from_slice(text),
            Piece::Open => out.push(b'<'),
            Piece::Close => out.push(b'>'),
            Piece::Comma => out.push(b','),
            Piece::Group => out.push(b':'),
            Piece::End => out.push(b';'),
        }
    }
}

fn blank_between(piece: &Piece, next: &Piece) -> bool {
    !matches!(piece, Piece::Open)
        && !matches!(next, Piece::Close | Piece::Comma | Piece::Group | Piece::End)
}

/// Past the colon of a route, if there is one before the list element ends.
fn route_end(tokens: &[(Token<'_>, bool)]) -> usize {
    let ends =
        |(token, _): &(Token<'_>, bool)| matches!(token, Token::Special(b':' | b';' | b'<' | b'>'));
    match tokens.iter().position(ends) {
        Some(at) if tokens[at].0 == Token::Special(b':') => at + 1,
        _ => 0,
    }
}

/// Where a word follows another one with nothing but a blank between.
fn next_address(words: &[&(Token<'_>, bool)]) -> Option<usize> {
    let is_word = |(token, _): &(Token<'_>, bool)| !matches!(token, Token::Special(_));
    (1..words.len()).find(|at| is_word(words[at - 1]) && is_word(words[*at]) && words[*at].1)
}

/// The internal form: quotes, backslashes and blanks gone.
fn internal(tokens: &[&(Token<'_>, bool)]) -> Address {
    let mut out = Vec::new();
    for (token, _) in tokens {
        match token {
            Token::Quoted(text) => unquote(&text[1..], &mut out),
            Token::Word(text) => unquote(text, &mut out),
            other => other.write(&mut out),
        }
    }
    Address::from_internal(&out)
}

/// Text on one line.
fn unfolded(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// Text without its backslashes, up to a quote.
fn unquote(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            // A line end is none here, not even behind a backslash.
            b'\\' => out.extend(bytes.next().filter(|byte| !matches!(byte, b'\r' | b'\n'))),
            b'\r' | b'\n' => {}
            byte => out.push(byte),
        }
    }
}

impl Token<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Token::Special(byte) => out.push(*byte),
            Token::Word(text)
            | Token::Quoted(text)
            | Token::Literal(text)
            | Token::Comment(text) => {
                out.extend(unfolded(text));
            }
        }
    }
}

/// Tokens, each with whether a blank stood before it.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Scanner<'a> {
    type Item = (Token<'a>, bool);

    fn next(&mut self) -> Option<(Token<'a>, bool)> {
        let trimmed = self.rest.trim_ascii_start();
        let blank = trimmed.len() < self.rest.len();
        let (token, length) = token(trimmed)?;
        self.rest = &trimmed[length..];
        Some((token, blank))
    }
}

fn token(text: &[u8]) -> Option<(Token<'_>, usize)> {
    let first = *text.first()?;
    let through = |length: usize| &text[..length];
    Some(match first {
        b'"' => {
            let length = quoted_length(text, b'"');
            (Token::Quoted(through(length)), length)
        }
        b'(' => {
            let length = comment_length(text);
            (Token::Comment(through(length)), length)
        }
        b'[' => {
            let length = quoted_length(text, b']');
            (Token::Literal(through(length)), length)
        }
        byte if SPECIALS.contains(&byte) => (Token::Special(byte), 1),
        _ => {
            let length = word_length(text);
            (Token::Word(through(length)), length)
        }
    })
}

/// Through the byte that closes it, or to the end.
fn quoted_length(text: &[u8], close: u8) -> usize {
    closing(text, close).map_or(text.len(), |at| at + 1)
}

/// Where the byte that closes it stands.
fn closing(text: &[u8], close: u8) -> Option<usize> {
    let mut escaped = false;
    text.iter().enumerate().skip(1).find_map(|(at, byte)| {
        let closes = !escaped && *byte == close;
        escaped = !escaped && *byte == b'\\';
        closes.then_some(at)
    })
}

/// Bytes of the comment that begins `text`, those within it included; to the end when nothing
/// closes it.
pub fn comment_length(text: &[u8]) -> usize {
    let (mut depth, mut escaped) = (0usize, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return at + 1,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn word_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ended = !escaped
            && (SPECIALS.contains(byte)
                || matches!(byte, b'"' | b'(' | b'[')
                || byte.is_ascii_whitespace());
        escaped = !escaped && *byte == b'\\';
        ended
    };
    text.iter().position(ends).unwrap_or(text.len()).max(1)
}

#[cfg(test)]
mod tests;
