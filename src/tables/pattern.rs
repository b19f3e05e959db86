//! `regexp:` and `pcre:` tables: patterns in order, the first that matches gives the value.
//!
//! `rules` reads the text, [`posix`] and [`perl`] are the two kinds of patterns, `prefilter` and
//! `automaton` tell in one pass each which of them cannot match. A rule with `!` in front holds
//! where its pattern does not match; rules between `if` and `endif` are looked at only when the
//! pattern of the `if` holds.
//!
//! | value | stands for |
//! | --- | --- |
//! | `$1`, `${1}`, `$(1)` | what the parenthesis matched; nothing when it took no part |
//! | `$$` | a dollar sign |
//!
//! **Diagnostics**: a rule that cannot be used is left out with Postfix's warning, which names file
//! and line. A pattern that a key makes too expensive does not match it, nor does its negation.
//! **Limits**: those of the two libraries for a single match.
//! **Standards**: regexp_table(5), pcre_table(5).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{Lookup, Table};
use prefilter::Prefilter;
use regex_syntax::hir::Hir;
use rules::{Part, Reading};

mod automaton;
pub mod perl;
#[allow(unsafe_code)]
pub mod posix;
mod prefilter;
mod rules;
#[cfg(test)]
mod tests;

/// Where a match and its parentheses stand in a key.
pub type Spans = Vec<Option<(usize, usize)>>;

/// What is made of letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Letters are what they are, though the pattern may say that case does not matter.
    Literal,
    /// What the pattern says.
    AsWritten,
}

/// One kind of patterns.
pub trait Pattern: Sized {
    /// What it is called in warnings: the type of the table.
    const KIND: &'static str;
    /// What a pattern without its end is called.
    const UNCLOSED: &'static str;
    /// What the number 0 is said to be in a value.
    const OUT_OF_RANGE: &'static str;

    /// Whether rules may have forms that are in no manual any more: `/a/!/b/` for what has an `a`
    /// and no `b`, and a backslash as the last byte where the pattern should end.
    const HAS_OLD_FORMS: bool;

    /// The meaning of the letters behind a pattern.
    type Options;

    /// Reads those letters.
    ///
    /// # Errors
    /// Postfix's warning, from behind file and line.
    fn options(letters: &[u8], warn: &mut dyn FnMut(String)) -> Result<Self::Options, String>;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// Postfix's warning, from behind file and line.
    fn compile(pattern: &[u8], options: &Self::Options) -> Result<Self, String>;

    /// Parentheses in the pattern.
    fn groups(&self) -> usize;

    /// Whether it matches a key; nothing when that costs too much.
    fn matches(&self, key: &[u8]) -> Option<bool>;

    /// Where it matches: the whole, then each parenthesis.
    fn spans(&self, key: &[u8]) -> Option<Spans>;

    /// The same pattern for the prefilter, if that can read it: without its letter case, for the
    /// literals in it, or just as it is.
    fn syntax(pattern: &[u8], options: &Self::Options, case: Case) -> Option<Hir>;
}

/// A rule that was read.
#[derive(Debug)]
struct Rule<P> {
    condition: Condition<P>,
    /// What must hold, too.
    second: Option<Condition<P>>,
    action: Action,
    /// Where it stands, from 1.
    line: usize,
}

/// A pattern that must match a key, or must not.
#[derive(Debug)]
struct Condition<P> {
    pattern: P,
    negated: bool,
}

#[derive(Debug)]
enum Action {
    Result(Vec<Part>),
    /// `if`: where to go on when it does not hold.
    If(usize),
}

/// A table of patterns.
#[derive(Debug)]
pub struct Patterns<P> {
    rules: Vec<Rule<P>>,
    prefilter: Prefilter,
}

impl<P: Pattern> Patterns<P> {
    /// Reads the text of `file`; rules that cannot be used are told to `warn`.
    pub fn parse(file: &str, text: &[u8], warn: &dyn Fn(String)) -> Patterns<P> {
        Reading::new(file, warn).read(text)
    }

    /// The same for results that must not have parts of the key in them: such rules are left out.
    pub fn parse_fixed(file: &str, text: &[u8], warn: &dyn Fn(String)) -> Patterns<P> {
        Reading::new(file, warn).without_substitution().read(text)
    }

    /// The value, and the line of the rule that gives it.
    fn find(&self, key: &[u8]) -> Option<(Vec<u8>, usize)> {
        self.first(key, self.prefilter.candidates(key))
    }

    /// The first of these rules, in order, that gives a value.
    fn first(&self, key: &[u8], rules: impl Iterator<Item = usize>) -> Option<(Vec<u8>, usize)> {
        let mut skip_until = 0;
        for at in rules {
            let rule = &self.rules[at];
            match &rule.action {
                _ if at < skip_until => {}
                Action::If(end) => {
                    if !rule.holds(key) {
                        skip_until = *end;
                    }
                }
                Action::Result(parts) => {
                    if let Some(value) = rule.value(parts, key) {
                        return Some((value, rule.line));
                    }
                }
            }
        }
        None
    }
}

impl<P: Pattern> Condition<P> {
    /// Where the library gives up, neither a pattern holds nor its negation.
    fn holds(&self, key: &[u8]) -> bool {
        self.pattern.matches(key) == Some(!self.negated)
    }
}

impl<P: Pattern> Rule<P> {
    fn holds(&self, key: &[u8]) -> bool {
        self.condition.holds(key) && self.second_holds(key)
    }

    fn second_holds(&self, key: &[u8]) -> bool {
        self.second.as_ref().is_none_or(|second| second.holds(key))
    }

    fn value(&self, parts: &[Part], key: &[u8]) -> Option<Vec<u8>> {
        if self.condition.negated || rules::is_plain(parts) {
            return self.holds(key).then(|| rules::value(parts, key, &Vec::new()));
        }
        let spans = self.condition.pattern.spans(key)?;
        self.second_holds(key).then(|| rules::value(parts, key, &spans))
    }
}

impl<P: Pattern> Patterns<P> {
    /// The value, without the prefilter: for tests, which compare.
    pub fn find_slowly(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.first(key, 0..self.rules.len()).map(|(value, _)| value)
    }
}

impl<P: Pattern> Table for Patterns<P> {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        match self.find(key) {
            Some((value, _)) => Lookup::Found(Cow::Owned(value)),
            None => Lookup::NotFound,
        }
    }

    fn line(&self, key: &[u8]) -> Option<usize> {
        self.find(key).map(|(_, line)| line)
    }
}
