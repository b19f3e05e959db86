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
//! | `a@b c@d`, `a c@d`, `a;b` | address, comma, address |
//! | `a:b`, `<a` | address; only what is closed has a group or a bracket |
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
    /// Addresses that are written in another way than their external form: where, and how.
    spelled: Vec<(usize, Vec<u8>)>,
}

/// Reads tokens from right to left, as Postfix does: what stands to the right of a word tells what
/// it is. A colon is a group's only where a semicolon ends that group.
struct Reader<'a> {
    tokens: &'a [(Token<'a>, bool)],
    /// The last piece first, with its spelling where that is not its external form.
    backwards: Vec<(Piece, Option<Vec<u8>>)>,
    in_group: bool,
    /// Nothing opens a bracket to the left: it has been looked for.
    unopened: bool,
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
        let mut reader =
            Reader { tokens: &tokens, backwards: Vec::new(), in_group: false, unopened: false };
        let mut end = tokens.len();
        while end > 0 {
            end = reader.element(end);
        }
        reader.backwards.reverse();
        let mut out = AddressList::default();
        for (piece, spelled) in reader.backwards {
            if let Some(spelled) = spelled {
                out.spelled.push((out.pieces.len(), spelled));
            }
            out.pieces.push(piece);
        }
        out
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Address(address) => Some(address),
            _ => None,
        })
    }

    /// Lets `change` give addresses another form; whether anything is written in another way then,
    /// be it only an address with quotes that it does not need.
    pub fn rewrite(&mut self, mut change: impl FnMut(&Address) -> Option<Address>) -> bool {
        let mut changed = false;
        for (at, piece) in self.pieces.iter_mut().enumerate() {
            if let Piece::Address(address) = piece
                && let Some(new) = change(address)
            {
                let respelled = self.spelled.binary_search_by_key(&at, |(index, _)| *index).is_ok();
                changed |= respelled || new != *address;
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

/// A blank stands behind `,` and `:`, before `<`, and between words.
fn blank_between(piece: &Piece, next: &Piece) -> bool {
    let is_word =
        |piece: &Piece| matches!(piece, Piece::Address(_) | Piece::Phrase(_) | Piece::Comment(_));
    matches!(piece, Piece::Group) || *next == Piece::Open || is_word(piece) && is_word(next)
}

impl<'a> Reader<'a> {
    fn special(&self, at: usize) -> Option<u8> {
        match self.tokens.get(at)?.0 {
            Token::Special(byte) => Some(byte),
            _ => None,
        }
    }

    fn push(&mut self, piece: Piece) {
        self.backwards.push((piece, None));
    }

    /// The list element that ends before `end`, or what ends one: where the rest ends.
    fn element(&mut self, end: usize) -> usize {
        let last = end - 1;
        match self.tokens[last].0 {
            Token::Comment(text) => self.push(Piece::Comment(unfolded(text))),
            Token::Special(b',') => self.push(Piece::Comma),
            Token::Special(b';') => {
                self.in_group = true;
                self.push(Piece::End);
            }
            Token::Special(b':') if self.in_group => {
                self.push(Piece::Group);
                return self.phrase(last, b",");
            }
            Token::Special(b'>') => return self.bracketed(last),
            _ => return self.bare(end),
        }
        last
    }

    /// `Name <...>`, whose `>` is at `close`. What is not opened is an address all the same.
    fn bracketed(&mut self, close: usize) -> usize {
        // Looked for again and again, it would cost the square of a header's length.
        let before = if self.unopened { 0..0 } else { 0..close };
        let Some(open) = before.rev().find(|at| self.special(*at) == Some(b'<')) else {
            self.unopened = true;
            return if close == 0 { 0 } else { self.bare(close) };
        };
        self.push(Piece::Close);
        self.address(open + 1, close);
        self.push(Piece::Open);
        let ends: &[u8] = if self.in_group { b">,;:" } else { b">,;" };
        let start = self.phrase(open, ends);
        if start.checked_sub(1).is_some_and(|before| self.special(before) == Some(b'>')) {
            self.push(Piece::Comma);
        }
        start
    }

    /// An address without brackets, through the token before `end`.
    fn bare(&mut self, end: usize) -> usize {
        let start = self.start_of_address(end);
        self.address(start, end);
        self.add_comma(start);
        start
    }

    /// Where the address that ends before `end` starts: behind a separator, or at a word that
    /// nothing joins to the one before. A route is part of its address.
    fn start_of_address(&self, end: usize) -> usize {
        let mut start = end;
        let mut next: Option<usize> = None;
        while start > 0 {
            let at = start - 1;
            match self.tokens[at].0 {
                Token::Special(b':') if self.in_group => break,
                Token::Special(b':') => match self.start_of_route(at) {
                    Some(route) => return route,
                    None => next = None,
                },
                Token::Special(b',' | b';' | b'>') => break,
                Token::Special(_) => next = None,
                Token::Comment(_) => {}
                _ if next.is_some_and(|next| self.apart(at, next)) => break,
                _ => next = Some(at),
            }
            start = at;
        }
        start
    }

    /// Whether blanks are all there is between two words.
    fn apart(&self, word: usize, next: usize) -> bool {
        self.tokens[word + 1..=next].iter().any(|(_, blank)| *blank)
    }

    /// Where `@a,@b` starts that stands before the colon.
    fn start_of_route(&self, colon: usize) -> Option<usize> {
        let mut found = None;
        let mut end = colon;
        loop {
            let ends =
                |at: &usize| matches!(self.special(*at), Some(b',' | b';' | b'<' | b'>' | b':'));
            let start = (0..end).rev().find(ends).map_or(0, |at| at + 1);
            if self.special(start) != Some(b'@') || start >= end {
                return found;
            }
            found = Some(start);
            if start == 0 || self.special(start - 1) != Some(b',') {
                return found;
            }
            end = start - 1;
        }
    }

    /// The words between, as an address; comments among them follow it.
    fn address(&mut self, start: usize, end: usize) {
        let tokens = &self.tokens[start..end];
        for (token, _) in tokens.iter().rev() {
            if let Token::Comment(text) = token {
                self.push(Piece::Comment(unfolded(text)));
            }
        }
        let comment = |(token, _): &&(Token<'a>, bool)| matches!(token, Token::Comment(_));
        let words: Vec<&(Token<'a>, bool)> = tokens.iter().filter(|it| !comment(it)).collect();
        let bracketed = matches!(self.backwards.last(), Some((Piece::Close, _)));
        if words.is_empty() && !bracketed {
            return;
        }
        let address = internal(&words);
        let mut spelled = Vec::new();
        words.iter().for_each(|(token, _)| token.write_closed(&mut spelled));
        let differs = spelled != address.external();
        self.backwards.push((Piece::Address(address), differs.then_some(spelled)));
    }

    /// Words that are no address, back to one of `ends`; comments apart. Blanks stay between words
    /// only: `J. R.` becomes `J.R.`
    fn phrase(&mut self, end: usize, ends: &[u8]) -> usize {
        let ends = |at: &usize| self.special(*at).is_some_and(|byte| ends.contains(&byte));
        let start = (0..end).rev().find(ends).map_or(0, |at| at + 1);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut after_word = false;
        for (token, _) in &self.tokens[start..end] {
            let is_word = !matches!(token, Token::Special(_));
            let apart = core::mem::replace(&mut after_word, is_word) && is_word;
            match (token, pieces.last_mut()) {
                (Token::Comment(text), _) => pieces.push(Piece::Comment(unfolded(text))),
                (token, Some(Piece::Phrase(text))) => {
                    if apart {
                        text.push(b' ');
                    }
                    token.write_closed(text);
                }
                (token, _) => {
                    let mut text = Vec::new();
                    token.write_closed(&mut text);
                    pieces.push(Piece::Phrase(text));
                }
            }
        }
        self.backwards.extend(pieces.into_iter().rev().map(|piece| (piece, None)));
        start
    }

    /// A comma that is missing between two addresses.
    fn add_comma(&mut self, start: usize) {
        let before = start.checked_sub(1).map(|at| self.tokens[at].0);
        if !matches!(before, None | Some(Token::Special(b',' | b':'))) {
            self.push(Piece::Comma);
        }
    }
}

/// The internal form: quotes, backslashes and blanks gone.
fn internal(tokens: &[&(Token<'_>, bool)]) -> Address {
    let mut out = Vec::new();
    for (token, _) in tokens {
        match token {
            Token::Quoted(text) => unquote(&text[1..], &mut out),
            Token::Word(text) => unquote(text, &mut out),
            other => other.write_closed(&mut out),
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
    /// As it was written; what is not closed is closed.
    fn write_closed(&self, out: &mut Vec<u8>) {
        self.write(out);
        let close = match self {
            Token::Quoted(text) if !is_closed(text, b'"') => b'"',
            Token::Literal(text) if !is_closed(text, b']') => b']',
            _ => return,
        };
        out.push(close);
    }

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

/// Whether what `close` ends is closed, and not by a byte behind a backslash.
fn is_closed(text: &[u8], close: u8) -> bool {
    closing(text, close).is_some()
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
