//! Parameter expansion: `$name`, `${name?{text}:{else}}`, comparisons, `$$`.
//!
//! [`expand`] is called by [`crate::Params::text`] and by postconf -x; [`scan`] by the check for
//! unused and undefined names. The caller supplies the look-up of a name's unexpanded value.
//! Only the branch taken is expanded; conditions test the unexpanded value, as Postfix does.
//!
//! Grammar: `$name`, `$(body)`, `${body}` with body one of
//! `name`, `name?yes`, `name?{yes}`, `name?{yes}:no`, `name:no`, `{l} OP {r}` with the same tails.
//!
//! **Diagnostics**: [`ExpandError`], worded as Postfix's warning before `macro processing error`.
//! **Limits**: [`MAX_NESTING`], [`MAX_REFERENCES`], [`MAX_EXPANDED`]; the first is Postfix's, the
//! other two end what `a = $b$b`, `b = $c$c`, ... would make endless.
//! **Standards**: postconf(5), "main.cf file format".

mod body;
mod scan;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::fmt;

use body::{Body, Compare, Head, Operator, Tail};

pub use scan::{Scan, scan};

use crate::level::{BadLevel, Level};

/// References within references; beyond it a value refers to itself.
pub const MAX_NESTING: u32 = 100;
/// References resolved for one value.
pub const MAX_REFERENCES: u32 = 100_000;
/// Bytes of one expanded value.
pub const MAX_EXPANDED: usize = 4 << 20;

/// How far an error message looks ahead.
const AHEAD: usize = 20;

/// Why a value cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpandError {
    /// `${` or `$(` without its end; the value it stands in.
    Truncated(String),
    /// `$` with no name after it; the value it stands in.
    EmptyName(String),
    /// A loop: the name at which the nesting limit was reached.
    Nesting(String),
    /// `{` without `}`.
    Unbalanced(String),
    /// Something else was expected between `before` and `after`.
    Syntax {
        /// What Postfix expected, in its words.
        expected: &'static str,
        /// The text already read.
        before: String,
        /// The text that does not fit.
        after: String,
    },
    /// An operand of `<level` and the like is no compatibility level.
    Level(BadLevel),
    /// An operand of a numeric comparison does not fit in 64 bits.
    Number(String),
    /// [`MAX_REFERENCES`] or [`MAX_EXPANDED`] was passed.
    TooLarge,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(text) => write!(f, "truncated macro reference: \"{text}\""),
            Self::EmptyName(text) => write!(f, "empty macro name: \"{text}\""),
            Self::Nesting(name) => write!(f, "unreasonable macro call nesting: \"{name}\""),
            Self::Unbalanced(text) => {
                write!(f, "unbalanced {{}} in attribute expression: \"{text}\"")
            }
            Self::Syntax { expected, before, after } => {
                write!(f, "{expected} at: \"...{before}>>>{after}\"")
            }
            Self::Level(bad) => bad.fmt(f),
            Self::Number(text) => write!(f, "mac_exp_eval: bad conversion: {text}"),
            Self::TooLarge => f.write_str("macro expansion is too large"),
        }
    }
}

impl core::error::Error for ExpandError {}

/// Gives a name's unexpanded value, or nothing when it has none.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Cow<'a, str>> + 'a;

/// Expands `value`; names without a value expand to nothing.
pub fn expand(value: &str, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    let mut work = Expansion { lookup, references: 0, out: String::new() };
    work.text(value, 0)?;
    Ok(work.out)
}

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    Name(&'a str),
    Body(&'a str),
}

/// Takes the next piece off `rest`; `whole` is for messages.
fn next_piece<'a>(whole: &str, rest: &mut &'a str) -> Result<Option<Piece<'a>>, ExpandError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let Some(after) = rest.strip_prefix('$') else {
        let (literal, tail) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
        *rest = tail;
        return Ok(Some(Piece::Literal(literal)));
    };
    let (piece, tail) = match after.bytes().next() {
        Some(b'$') => (Piece::Literal("$"), &after[1..]),
        Some(open @ (b'{' | b'(')) => {
            let close = if open == b'{' { b'}' } else { b')' };
            let inner = body::balanced(after, open, close)
                .ok_or_else(|| ExpandError::Truncated(whole.to_string()))?;
            (Piece::Body(inner), &after[inner.len() + 2..])
        }
        _ => {
            let (name, tail) = after.split_at(body::name_len(after));
            (Piece::Name(name), tail)
        }
    };
    if matches!(piece, Piece::Name(n) | Piece::Body(n) if n.is_empty()) {
        return Err(ExpandError::EmptyName(whole.to_string()));
    }
    *rest = tail;
    Ok(Some(piece))
}

/// One expansion under way.
struct Expansion<'a, 'l> {
    lookup: &'a Lookup<'l>,
    references: u32,
    out: String,
}

impl Expansion<'_, '_> {
    fn text(&mut self, text: &str, depth: u32) -> Result<(), ExpandError> {
        let mut rest = text;
        while let Some(piece) = next_piece(text, &mut rest)? {
            match piece {
                Piece::Literal(literal) => self.push(literal)?,
                Piece::Name(name) => self.name(name, name, depth)?,
                Piece::Body(inner) => self.body(inner, depth)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, literal: &str) -> Result<(), ExpandError> {
        if self.out.len() + literal.len() > MAX_EXPANDED {
            return Err(ExpandError::TooLarge);
        }
        self.out.push_str(literal);
        Ok(())
    }

    /// Counts one reference; `shown` names it when the nesting is too deep.
    fn enter(&mut self, shown: &str, depth: u32) -> Result<(), ExpandError> {
        self.references += 1;
        if depth > MAX_NESTING {
            return Err(ExpandError::Nesting(shown.to_string()));
        }
        if self.references > MAX_REFERENCES {
            return Err(ExpandError::TooLarge);
        }
        Ok(())
    }

    fn name(&mut self, name: &str, shown: &str, depth: u32) -> Result<(), ExpandError> {
        self.enter(shown, depth)?;
        match (self.lookup)(name) {
            Some(value) => self.text(&value, depth + 1),
            None => Ok(()),
        }
    }

    fn body(&mut self, inner: &str, depth: u32) -> Result<(), ExpandError> {
        self.enter(inner, depth)?;
        let Body { head, tail, wrong } = body::parse(inner)?;
        let holds = match &head {
            Head::Name(name) if tail == Tail::None && wrong.is_none() => {
                return self.name(name, inner, depth);
            }
            Head::Name(name) => (self.lookup)(name).is_some_and(|value| !value.is_empty()),
            Head::Compare(compare) => self.compare(compare, depth)?,
        };
        wrong.map_or(Ok(()), Err)?;
        match tail {
            Tail::None => self.push(if holds { "true" } else { "" }),
            Tail::Choice { yes, no } => {
                let branch = if holds { yes } else { no };
                branch.map_or(Ok(()), |text| self.text(text, depth + 1))
            }
        }
    }

    fn compare(&mut self, compare: &Compare<'_>, depth: u32) -> Result<bool, ExpandError> {
        let left = self.operand(compare.left, depth + 1)?;
        let right = self.operand(compare.right, depth + 1)?;
        let order = if compare.level {
            let level = |text: &str| Level::parse(text).map_err(ExpandError::Level);
            level(&left)?.cmp(&level(&right)?)
        } else if all_digits(&left) && all_digits(&right) {
            number(&left)?.cmp(&number(&right)?)
        } else {
            left.as_bytes().cmp(right.as_bytes())
        };
        Ok(match compare.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterEqual => order.is_ge(),
        })
    }

    /// Expands into a text of its own; the output so far counts against the limit no more.
    fn operand(&mut self, text: &str, depth: u32) -> Result<String, ExpandError> {
        let saved = core::mem::take(&mut self.out);
        let done = self.text(text, depth);
        let operand = core::mem::replace(&mut self.out, saved);
        done.map(|()| operand)
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn number(text: &str) -> Result<i64, ExpandError> {
    text.parse().map_err(|_| ExpandError::Number(text.to_string()))
}
