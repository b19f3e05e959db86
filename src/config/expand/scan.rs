//! [`scan`]: the names a value mentions, in every branch, and what is wrong with it, whether or not
//! that would be expanded.
//!
//! Called by the check for unused and undefined names. Nothing is looked up, and what the names
//! stand for is not looked at.
//!
//! **Diagnostics**: [`Scan::errors`]; names behind an error are not in [`Scan::names`], since
//! Postfix does not come to them.
//! **Limits**: [`MAX_NESTING`] for references within references.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::body::{self, Body, Head, Tail};
use super::{ExpandError, MAX_NESTING, Piece, next_piece};

/// What a value mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The names.
    pub names: BTreeSet<String>,
    /// What is wrong, in the order of the text.
    pub errors: Vec<ExpandError>,
}

/// Looks through `value`.
pub fn scan(value: &str) -> Scan {
    let mut out = Scan::default();
    out.text(value, 0);
    out
}

/// Something is wrong; it is in [`Scan::errors`].
struct Wrong;

impl Scan {
    /// Looks through `text` and says whether all is well with it.
    fn text(&mut self, text: &str, depth: u32) -> bool {
        self.pieces(text, depth).is_ok()
    }

    fn pieces(&mut self, text: &str, depth: u32) -> Result<(), Wrong> {
        let mut rest = text;
        while let Some(piece) = next_piece(text, &mut rest).map_err(|error| self.wrong(error))? {
            match piece {
                Piece::Literal(_) => {}
                Piece::Name(name) => self.name(name),
                Piece::Body(inner) if depth < MAX_NESTING => self.body(inner, depth + 1)?,
                Piece::Body(_) => {}
            }
        }
        Ok(())
    }

    fn body(&mut self, inner: &str, depth: u32) -> Result<(), Wrong> {
        let Body { head, tail, wrong } = body::parse(inner).map_err(|error| self.wrong(error))?;
        match head {
            Head::Name(name) => self.name(name),
            Head::Compare(compare) => {
                let left = self.text(compare.left, depth);
                let right = self.text(compare.right, depth);
                (left && right).then_some(()).ok_or(Wrong)?;
            }
        }
        let branches = self.tail(&tail, depth);
        wrong.map_or(branches, |error| Err(self.wrong(error)))
    }

    /// Of the second branch only what is wrong with it counts when the first one is wrong.
    fn tail(&mut self, tail: &Tail<'_>, depth: u32) -> Result<(), Wrong> {
        let Tail::Choice { yes, no } = tail else { return Ok(()) };
        let first = yes.is_none_or(|text| self.text(text, depth));
        let mut second = Self::default();
        let all = no.is_none_or(|text| second.text(text, depth)) && first;
        self.errors.append(&mut second.errors);
        if first {
            self.names.append(&mut second.names);
        }
        all.then_some(()).ok_or(Wrong)
    }

    fn name(&mut self, name: &str) {
        self.names.insert(name.to_string());
    }

    fn wrong(&mut self, error: ExpandError) -> Wrong {
        self.errors.push(error);
        Wrong
    }
}
