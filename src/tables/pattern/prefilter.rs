//! Which patterns of a table may match a key: one pass for the literals of all of them.
//!
//! Each pattern that can be read has literals one of which must be in whatever it matches. They are
//! looked for together; a pattern none of whose literals is there is not tried. Letter case is
//! ignored here. A pattern without such literals goes into the automaton, and where that cannot be,
//! it is always tried.
//!
//! **Limits**: [`LITERALS_MAX`] for one pattern; one with more is always tried.

use alloc::vec;
use alloc::vec::Vec;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

use super::Case;
use super::automaton::{self, Automaton};

/// Alternatives a pattern may have literals for.
const LITERALS_MAX: usize = 64;
/// Bytes of a literal from which it is worth looking for.
const LITERAL_BYTES_MIN: usize = 2;

/// Reads patterns as bytes.
pub fn parser() -> ParserBuilder {
    let mut parser = ParserBuilder::new();
    parser.unicode(false).utf8(false);
    parser
}

/// Whether the sets in brackets of a pattern are what our parser takes them for. It has sets within
/// sets and operators between them, which others have not; and a backslash in a set may be just
/// that (`plain_backslash`).
pub fn sets_are_plain(pattern: &[u8], plain_backslash: bool) -> bool {
    let (mut at, mut inside) = (0, false);
    while at < pattern.len() {
        let next = pattern.get(at + 1).copied();
        match pattern[at] {
            b'\\' if inside && plain_backslash => return false,
            b'\\' => at += 1,
            b'[' if inside && !begins_class(&pattern[at..]) => return false,
            b'[' if !inside => {
                inside = true;
                at += usize::from(next == Some(b'^'));
                // A first bracket is a member.
                at += usize::from(pattern.get(at + 1) == Some(&b']'));
            }
            b':' if inside && next == Some(b']') => at += 1,
            b']' => inside = false,
            byte @ (b'&' | b'-' | b'~') if inside && next == Some(byte) => return false,
            _ => {}
        }
        at += 1;
    }
    true
}

/// Whether a named class begins here: `[:alpha:]`, `[:^alpha:]`. Anything else after a bracket and
/// a colon is a set of its own to our parser.
fn begins_class(text: &[u8]) -> bool {
    let Some(name) = text.strip_prefix(b"[:") else { return false };
    let name = name.strip_prefix(b"^").unwrap_or(name);
    let letters = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    letters > 0 && name[letters..].starts_with(b":]")
}

/// A prefilter on its way.
#[derive(Debug, Default)]
pub struct Filtering {
    literals: Vec<Vec<u8>>,
    /// Whose each literal is.
    owners: Vec<usize>,
    /// For the automaton.
    regular: Vec<(usize, Hir)>,
    always: Vec<usize>,
}

/// A prefilter.
#[derive(Debug)]
pub struct Prefilter {
    literals: Option<AhoCorasick>,
    owners: Vec<usize>,
    automaton: Option<Automaton>,
    always: Vec<usize>,
}

impl Filtering {
    /// Adds the pattern of a rule, if it can be read.
    pub fn add(&mut self, rule: usize, syntax: impl Fn(Case) -> Option<Hir>) {
        let literals = syntax(Case::Literal).as_ref().and_then(required).filter(|literals| {
            literals.iter().all(|literal| literal.len() >= LITERAL_BYTES_MIN && literal.is_ascii())
        });
        if let Some(literals) = literals {
            self.owners.extend(vec![rule; literals.len()]);
            self.literals.extend(literals);
        } else if let Some(hir) = syntax(Case::AsWritten).and_then(|hir| automaton::usable(&hir)) {
            self.regular.push((rule, hir));
        } else {
            self.always.push(rule);
        }
    }

    /// The prefilter; what cannot be filtered is always tried.
    pub fn build(mut self) -> Prefilter {
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard);
        let literals = match self.literals.is_empty() {
            true => None,
            false => builder.build(&self.literals).ok(),
        };
        if literals.is_none() {
            self.always.append(&mut self.owners);
        }
        let automaton = Automaton::build(&self.regular);
        if automaton.is_none() {
            self.always.extend(self.regular.iter().map(|(rule, _)| rule));
        }
        self.always.sort_unstable();
        self.always.dedup();
        Prefilter { literals, owners: self.owners, automaton, always: self.always }
    }
}

impl Prefilter {
    /// The rules that are to be tried, in order.
    pub fn candidates(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let mut found: Vec<usize> = Vec::new();
        if let Some(literals) = &self.literals {
            let hits = literals.find_overlapping_iter(key);
            found.extend(hits.map(|hit| self.owners[hit.pattern().as_usize()]));
        }
        if let Some(automaton) = &self.automaton {
            automaton.candidates(key, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        merge(found, &self.always)
    }
}

/// Two ascending lists as one.
fn merge(left: Vec<usize>, right: &[usize]) -> impl Iterator<Item = usize> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.iter().copied().peekable());
    core::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(a), Some(b)) if a <= b => left.next(),
        (Some(_), None) => left.next(),
        _ => right.next(),
    })
}

/// Literals one of which is in everything that matches; none when there is no such set.
fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|set| shortest(set)),
        HirKind::Alternation(parts) => {
            let sets: Option<Vec<Vec<Vec<u8>>>> = parts.iter().map(required).collect();
            let all: Vec<Vec<u8>> = sets?.into_iter().flatten().collect();
            (all.len() <= LITERALS_MAX).then_some(all)
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn shortest(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}
