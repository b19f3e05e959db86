//! `%` templates: queries made of a key, results made of a value and a key.
//!
//! | escape | in a query | in a result |
//! | --- | --- | --- |
//! | `%s %u %d` | the key, its local part, its domain | of the value |
//! | `%S %U %D` | the same | of the key |
//! | `%1` to `%9` | a part of the key's domain, the last is 1 | the same |
//! | `%%` | a percent sign | a percent sign |
//!
//! A domain begins after the last `@`; the local part of what has none is all of it. What lacks a
//! part that a template uses makes no query, and no result: see [`Needs`].
//!
//! **Diagnostics**: any other escape makes [`Template::parse`] fail.
//! **Standards**: "query" and "result_format" in mysql_table(5).

/// Which half of an address, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Whole,
    User,
    Domain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Value(Piece),
    Key(Piece),
    /// From 1, the last part of the key's domain.
    Label(usize),
}

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Made of a key.
    Query,
    /// Made of a value and the key it was found for.
    Result,
}

/// What a key, or a value, must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    user: bool,
    domain: bool,
    domain_parts: usize,
}

impl Needs {
    /// What both need.
    pub fn and(self, other: Self) -> Self {
        Self {
            user: self.user || other.user,
            domain: self.domain || other.domain,
            domain_parts: self.domain_parts.max(other.domain_parts),
        }
    }

    /// Whether `text` has it: a local part that is not empty, a domain that is not, enough parts.
    /// Text that is empty has nothing.
    pub fn are_met(self, text: &[u8]) -> bool {
        let (user, domain) = halves(text);
        let has_domain = domain.is_some_and(|domain| !domain.is_empty());
        let parts = domain_parts(domain.unwrap_or_default()).count();
        !text.is_empty()
            && (!self.user || !user.is_empty())
            && (!self.domain || has_domain)
            && parts >= self.domain_parts
    }

    fn of(piece: Piece) -> Self {
        let (user, domain) = (piece == Piece::User, piece == Piece::Domain);
        Self { user, domain, domain_parts: 0 }
    }
}

/// The local part and the domain after the last `@`.
pub(crate) fn halves(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// From the last to the first; dots too many make no parts.
fn domain_parts(domain: &[u8]) -> impl Iterator<Item = &[u8]> {
    domain.rsplit(|byte| *byte == b'.').filter(|part| !part.is_empty())
}

fn piece(text: &[u8], piece: Piece) -> &[u8] {
    let (user, domain) = halves(text);
    match piece {
        Piece::Whole => text,
        Piece::User => user,
        Piece::Domain => domain.unwrap_or_default(),
    }
}

/// Appends text so that it is data where it comes to stand.
pub(crate) type Quote<'a> = &'a dyn Fn(&[u8], &mut Vec<u8>);

/// Text that needs no quoting.
pub(crate) fn plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
}

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads it; nothing if an escape is not one.
    pub fn parse(text: &str, role: Role) -> Option<Self> {
        let mut parts = Vec::new();
        let mut fixed = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                fixed.push(byte);
                continue;
            }
            match bytes.next()? {
                b'%' => fixed.push(b'%'),
                escape => {
                    parts.push(Part::Text(std::mem::take(&mut fixed)));
                    parts.push(hole(escape, role)?);
                }
            }
        }
        parts.push(Part::Text(fixed));
        parts.retain(|part| *part != Part::Text(Vec::new()));
        Some(Self { parts })
    }

    /// Whether it has no holes.
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// What it needs of a key.
    pub fn key_needs(&self) -> Needs {
        let needs = |part: &Part| match part {
            Part::Key(piece) => Needs::of(*piece),
            Part::Label(number) => Needs { domain_parts: *number, ..Needs::default() },
            Part::Text(_) | Part::Value(_) => Needs::default(),
        };
        self.parts.iter().map(needs).fold(Needs::default(), Needs::and)
    }

    /// What it needs of a value.
    pub fn value_needs(&self) -> Needs {
        let needs = |part: &Part| match part {
            Part::Value(piece) => Needs::of(*piece),
            Part::Text(_) | Part::Key(_) | Part::Label(_) => Needs::default(),
        };
        self.parts.iter().map(needs).fold(Needs::default(), Needs::and)
    }

    /// Fills the holes. Parts that are missing are empty: ask [`Needs`] first.
    pub fn fill(&self, key: &[u8], value: &[u8], quote: Quote<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Value(which) => quote(piece(value, *which), &mut out),
                Part::Key(which) => quote(piece(key, *which), &mut out),
                Part::Label(number) => {
                    let mut parts = domain_parts(piece(key, Piece::Domain));
                    quote(parts.nth(number - 1).unwrap_or_default(), &mut out);
                }
            }
        }
        out
    }
}

fn hole(escape: u8, role: Role) -> Option<Part> {
    let piece = match escape.to_ascii_lowercase() {
        b's' => Piece::Whole,
        b'u' => Piece::User,
        b'd' => Piece::Domain,
        b'1'..=b'9' => return Some(Part::Label(usize::from(escape - b'0'))),
        _ => return None,
    };
    let of_value = role == Role::Result && escape.is_ascii_lowercase();
    Some(if of_value { Part::Value(piece) } else { Part::Key(piece) })
}

#[cfg(test)]
mod tests;
