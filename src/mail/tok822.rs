//! Addresses in a message header: from text to a list of pieces and back.
//!
//! [`AddressList::parse_header`] takes the value of a header such as To: apart; the addresses in it
//! may be changed one by one, and [`AddressList::write`] puts the list together again. Phrases,
//! comments and groups stay as they were; what stands between pieces becomes one blank. Who changes
//! nothing keeps the text instead.
//!
//! | text | pieces |
//! | --- | --- |
//! | `Name <a@b>` | phrase, open, address, close |
//! | `a@b (comment)` | address, comment |
//! | `Group: a, b;` | phrase, group, address, comma, address, end |
//! | `@route:a@b`, `<@route:a@b>` | address, its route in its local part |
//! | `a@b c@d`, `a c@d`, `"a"b@c`, `a;b` | address, comma, address |
//! | `a: b <c@d>` | address, colon, phrase, open, address, close |
//! | `a:b`, `<a` | address; only what is closed has a group or a bracket |
//!
//! **Diagnostics**: none; any bytes are some list.
//! **Limits**: after so many tokens as the caller says the rest is not looked at.
//! **Standards**: RFC 5322 section 3.4; RFC 822 as Postfix reads it.

pub mod path;

use alloc::vec::Vec;

use crate::address::{Address, needs_quotes, quote, write_local_part};

/// What separates the words of a header: more than RFC 5322 has, for what routes mail by itself.
const SPECIALS: &[u8] = b"<>,;:@.%!|";

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
    /// `:` that is no group's.
    Colon,
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
    spelled: Vec<(usize, Spelling)>,
}

/// How an address is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spelling {
    text: Vec<u8>,
    operators: Operators,
}

impl Spelling {
    /// The address with no quotes but where they are needed, its route kept.
    fn write(&self, address: &Address, out: &mut Vec<u8>) {
        if address.is_null() {
            return out.extend_from_slice(&self.text);
        }
        address.write_external(out);
    }
}

/// Where what routes mail stands in an address's internal form: outside of quotes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    /// Behind the colon of a route in front of the address; all else is counted from here.
    pub route_end: usize,
    /// Whether there is an `@`.
    pub has_at: bool,
    /// Whether the domain has a dot.
    pub has_dot: bool,
    /// The first `!`.
    pub first_bang: Option<usize>,
    /// The last `%`.
    pub last_percent: Option<usize>,
}

impl Operators {
    /// Those of an address that is written in its external form.
    pub fn of(address: &Address) -> Operators {
        let route_end = address.route_end();
        let bytes = &address.as_bytes()[route_end..];
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'@') {
            let has_dot = bytes[at..].contains(&b'.');
            return Operators { route_end, has_at: true, has_dot, ..Operators::default() };
        }
        if needs_quotes(bytes) {
            return Operators { route_end, ..Operators::default() };
        }
        Operators {
            route_end,
            first_bang: bytes.iter().position(|byte| *byte == b'!'),
            last_percent: bytes.iter().rposition(|byte| *byte == b'%'),
            ..Operators::default()
        }
    }

    fn note(&mut self, byte: u8, at: usize) {
        match byte {
            b'@' => (self.has_at, self.has_dot) = (true, false),
            b'.' => self.has_dot = self.has_at,
            b'!' if self.first_bang.is_none() => self.first_bang = Some(at),
            b'%' => self.last_percent = Some(at),
            _ => {}
        }
    }
}

/// Reads tokens from right to left, as Postfix does: what stands to the right of a word tells what
/// it is. A colon is a group's only where a semicolon ends that group.
struct Reader<'a> {
    tokens: &'a [(Token<'a>, bool)],
    /// The last piece first, with its spelling where that is not its external form.
    backwards: Vec<(Piece, Option<Spelling>)>,
    in_group: bool,
    /// Whether a blank stands between words of an address.
    is_spaced: bool,
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
    /// Takes arguments or an alias apart, at most `limit` tokens: words next to each other in an
    /// address are one.
    pub fn parse(value: &[u8], limit: usize) -> AddressList {
        AddressList::read(value, limit, false)
    }

    /// Takes a header's value or a table's apart, in which such words stay apart if one of them is
    /// quoted.
    pub fn parse_header(value: &[u8], limit: usize) -> AddressList {
        AddressList::read(value, limit, true)
    }

    fn read(value: &[u8], limit: usize, is_spaced: bool) -> AddressList {
        let tokens: Vec<(Token<'_>, bool)> = Scanner { rest: value }.take(limit).collect();
        let mut reader =
            Reader { tokens: &tokens, backwards: Vec::new(), in_group: false, is_spaced };
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
        self.written().map(|(address, _)| address)
    }

    /// The addresses, each with what routes it as it is written.
    pub fn written(&self) -> impl Iterator<Item = (&Address, Operators)> {
        self.pieces.iter().enumerate().filter_map(|(at, piece)| match piece {
            Piece::Address(address) => Some((address, self.operators(at, address))),
            _ => None,
        })
    }

    fn operators(&self, at: usize, address: &Address) -> Operators {
        self.spelling(at).map_or_else(|| Operators::of(address), |spelling| spelling.operators)
    }

    fn spelling(&self, at: usize) -> Option<&Spelling> {
        let found = self.spelled.binary_search_by_key(&at, |(index, _)| *index).ok()?;
        Some(&self.spelled[found].1)
    }

    /// Lets `change` give addresses another form; whether anything is written in another way then,
    /// be it only an address with quotes that it does not need.
    pub fn rewrite(
        &mut self,
        mut change: impl FnMut(&Address, Operators) -> Option<Address>,
    ) -> bool {
        let mut changed = false;
        let mut spelled = core::mem::take(&mut self.spelled).into_iter().peekable();
        for (at, piece) in self.pieces.iter_mut().enumerate() {
            let spelling = spelled.next_if(|(index, _)| *index == at);
            let Piece::Address(address) = piece else { continue };
            match renewed(address, spelling.as_ref().map(|(_, it)| it), &mut change) {
                None => self.spelled.extend(spelling),
                Some(new) => {
                    changed |= spelling.is_some() || new != *address;
                    *piece = match new.is_null() {
                        true => Piece::Phrase(b"\"\"".to_vec()),
                        false => Piece::Address(new),
                    };
                }
            }
        }
        changed
    }

    /// Writes the list; after each comma stands `separator`.
    pub fn write(&self, separator: u8, out: &mut Vec<u8>) {
        for (at, piece) in self.pieces.iter().enumerate() {
            match (piece, self.spelling(at)) {
                (Piece::Address(address), Some(spelling)) => spelling.write(address, out),
                _ => piece.write(out),
            }
            match (piece, self.pieces.get(at + 1)) {
                (Piece::Comma, _) => out.push(separator),
                (_, None) => {}
                (piece, Some(next)) if blank_between(piece, next) => out.push(b' '),
                _ => {}
            }
        }
    }
}

/// What `change` makes of an address, if anything.
fn renewed(
    address: &Address,
    spelling: Option<&Spelling>,
    change: &mut impl FnMut(&Address, Operators) -> Option<Address>,
) -> Option<Address> {
    // Empty brackets are nobody's; an address in empty quotes may become somebody's.
    if address.is_null() && spelling.is_none() {
        return None;
    }
    let operators = spelling.map_or_else(|| Operators::of(address), |it| it.operators);
    change(address, operators).filter(|new| !(address.is_null() && new.is_null()))
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Piece::Address(address) => address.write_external(out),
            Piece::Phrase(text) | Piece::Comment(text) => out.extend_from_slice(text),
            Piece::Open => out.push(b'<'),
            Piece::Close => out.push(b'>'),
            Piece::Comma => out.push(b','),
            Piece::Group | Piece::Colon => out.push(b':'),
            Piece::End => out.push(b';'),
        }
    }
}

/// A blank stands behind `,` and `:`, before `<`, and between words.
fn blank_between(piece: &Piece, next: &Piece) -> bool {
    let special = |byte: Option<&u8>| byte.is_some_and(|byte| SPECIALS.contains(byte));
    let ends = match piece {
        Piece::Phrase(text) => !special(text.last()),
        piece => matches!(piece, Piece::Address(_) | Piece::Comment(_)),
    };
    let begins = match next {
        Piece::Phrase(text) => !special(text.first()),
        next => matches!(next, Piece::Address(_) | Piece::Comment(_)),
    };
    let opens = match next {
        Piece::Phrase(text) => text.starts_with(b"<"),
        next => *next == Piece::Open,
    };
    matches!(piece, Piece::Group) || opens || ends && begins
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
            Token::Special(b':') if self.is_behind_colon() => self.push(Piece::Colon),
            Token::Special(b'>') => return self.bracketed(last),
            _ => return self.bare(end),
        }
        last
    }

    /// Whether a name in front of brackets has just been read: a colon before it is nobody's.
    fn is_behind_colon(&self) -> bool {
        matches!(
            self.backwards.last(),
            Some((Piece::Phrase(_) | Piece::Comment(_) | Piece::Open, _))
        )
    }

    /// `Name <...>`, whose `>` is at `close`. What is not opened is one address, all of it.
    fn bracketed(&mut self, close: usize) -> usize {
        let Some(open) = (0..close).rev().find(|at| self.special(*at) == Some(b'<')) else {
            self.push(Piece::Close);
            if close > 0 {
                self.address(0, close);
            }
            return 0;
        };
        self.push(Piece::Close);
        self.address(open + 1, close);
        self.push(Piece::Open);
        self.phrase(open, b">,;:")
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
                _ if next.is_some() => break,
                _ => next = Some(at),
            }
            start = at;
        }
        start
    }

    /// Where `@a` starts that stands before the colon. What a comma or a colon separates from it is
    /// no part of the route.
    fn start_of_route(&self, colon: usize) -> Option<usize> {
        let ends = |at: &usize| matches!(self.special(*at), Some(b',' | b';' | b'<' | b'>' | b':'));
        let before = (0..colon).rev().find(ends);
        let start = before.map_or(0, |at| at + 1);
        let is_word = |at: usize| self.special(at).is_none();
        let is_one = (start + 1..colon).all(|at| !is_word(at - 1) || !is_word(at));
        let behind_colon = before.is_some_and(|at| self.special(at) == Some(b':'));
        let begins = start < colon && self.special(start) == Some(b'@');
        (begins && is_one && !behind_colon).then_some(start)
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
        let (address, operators) = internal_with_operators(&words, self.is_spaced);
        let text = spelled(&words);
        let differs = text != address.external();
        let spelling = differs.then_some(Spelling { text, operators });
        self.backwards.push((Piece::Address(address), spelling));
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
                (token, last) if token.has_backslash() => {
                    let mut text = if apart { b" ".to_vec() } else { Vec::new() };
                    token.write_anew(&mut text);
                    match last {
                        Some(Piece::Phrase(phrase)) => phrase.extend(text),
                        _ => pieces.push(Piece::Phrase(text)),
                    }
                }
                (token, Some(Piece::Phrase(text))) => {
                    if apart || *token == Token::Special(b'<') {
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
    internal_with_operators(tokens, false).0
}

fn internal_with_operators(tokens: &[&(Token<'_>, bool)], is_spaced: bool) -> (Address, Operators) {
    let mut out = Vec::new();
    let mut operators = Operators::default();
    let mut before = None;
    for (token, _) in tokens {
        if is_spaced && token.is_apart(before) {
            out.push(b' ');
        }
        before = Some(*token);
        match token {
            Token::Quoted(text) => unquote(&text[1..], &mut out),
            Token::Word(text) => unquote(text, &mut out),
            Token::Special(byte) => {
                operators.note(*byte, out.len() - operators.route_end);
                out.push(*byte);
                if *byte == b':' && out[0] == b'@' && operators.route_end == 0 {
                    operators = Operators { route_end: out.len(), ..Operators::default() };
                }
            }
            other => other.write_closed(&mut out),
        }
    }
    (Address::from_internal(&out), operators)
}

/// An address as it was written, on one line, with one blank between words.
fn spelled(tokens: &[&(Token<'_>, bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = None;
    for (token, _) in tokens {
        if token.is_apart(before) {
            out.push(b' ');
        }
        before = Some(*token);
        token.write_anew(&mut out);
    }
    out
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
    fn is_plain(self) -> bool {
        matches!(self, Token::Word(_)) && !self.has_backslash()
    }

    fn has_backslash(self) -> bool {
        match self {
            Token::Word(text) | Token::Quoted(text) | Token::Literal(text) => text.contains(&b'\\'),
            Token::Comment(_) | Token::Special(_) => false,
        }
    }

    /// Whether a blank stands between a token of an address and this one. Plain words next to each
    /// other are one.
    fn is_apart(self, before: Option<Token<'_>>) -> bool {
        let is_word = !matches!(self, Token::Special(_));
        match before {
            None => false,
            Some(Token::Special(byte)) => byte == b',',
            Some(before) => is_word && !(self.is_plain() && before.is_plain()),
        }
    }

    /// With no backslash but where one is needed; a word that needs one is in quotes then.
    fn write_anew(self, out: &mut Vec<u8>) {
        if !self.has_backslash() {
            return self.write_closed(out);
        }
        let mut plain = Vec::new();
        match self {
            Token::Quoted(text) => {
                unquote(&text[1..], &mut plain);
                quote(&plain, out);
            }
            Token::Literal(text) => {
                let inner = text.strip_suffix(b"]").filter(|_| is_closed(text, b']'));
                let gone = |byte: &u8| matches!(byte, b'\\' | b'\r' | b'\n');
                out.extend(inner.unwrap_or(text).iter().filter(|byte| !gone(byte)));
                out.push(b']');
            }
            Token::Word(text) | Token::Comment(text) => {
                unquote(text, &mut plain);
                write_local_part(&plain, out);
            }
            Token::Special(byte) => out.push(byte),
        }
    }

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
