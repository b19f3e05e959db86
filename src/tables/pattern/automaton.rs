//! Which patterns of a table may match a key: one pass of an automaton made of all of them.
//!
//! Its states are made when they are first needed, one store of them per thread that asks. What it
//! finds is tried again by the pattern's own library: it must find whatever that matches and may
//! find more. So `^` and `$` stand for the ends of any line here.
//!
//! A pattern that needs many states by itself would need more beside others: it stays out, and is
//! tried alone. Should all together still fill the store too often, the key is tried with each of
//! them; when that happens again and again, the automaton is not asked any more.
//!
//! **Limits**: [`PATTERN_BYTES_MAX`], [`STORE_BYTES_MAX`], [`GIVEN_UP_MAX`], [`KEYS_MIN`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use regex_automata::dfa::{StartKind, dense};
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::{Input, MatchKind, PatternSet};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

/// Bytes of states that a pattern may need by itself.
pub const PATTERN_BYTES_MAX: usize = 32 * 1024;
/// Bytes of states that a thread keeps.
pub const STORE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How often the automaton may fail before it is not asked any more.
pub const GIVEN_UP_MAX: usize = 16;
/// Keys that a store must have served when it fails; after fewer the failure counts.
pub const KEYS_MIN: usize = 256;
/// How often a store is emptied before that is a failure.
const CLEARED_MAX: usize = 2;
/// Bytes of the program that states are made of.
const PROGRAM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a thread needs to ask.
struct Store {
    states: Cache,
    found: PatternSet,
    /// Keys since it was made or failed.
    keys: usize,
}

type MakeStore = Box<dyn Fn() -> Store + Send + Sync>;

/// Many patterns at once.
pub struct Automaton {
    program: DFA,
    /// Whose each pattern is.
    rules: Vec<usize>,
    stores: Pool<Store, MakeStore>,
    given_up: AtomicUsize,
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Automaton of {}", self.rules.len())
    }
}

/// The pattern as it goes into an automaton; none, if it is too expensive.
pub fn usable(hir: &Hir) -> Option<Hir> {
    let hir = widened(hir);
    let program = program(&[&hir], PATTERN_BYTES_MAX)?;
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(PATTERN_BYTES_MAX))
        .determinize_size_limit(Some(PATTERN_BYTES_MAX));
    dense::Builder::new().configure(config).build_from_nfa(&program).ok().map(|_| hir)
}

fn program(patterns: &[&Hir], bytes_max: usize) -> Option<NFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(bytes_max));
    thompson::Compiler::new().configure(config).build_many_from_hir(patterns).ok()
}

/// A pattern that matches wherever this one may: ends of lines may be ends of the text to one
/// library and not to another, or to one option.
fn widened(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(widened).collect();
    match hir.kind() {
        HirKind::Look(Look::Start | Look::StartLF | Look::StartCRLF) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) => Hir::look(Look::EndLF),
        HirKind::Capture(capture) => widened(&capture.sub),
        HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
            let sub = Box::new(widened(sub));
            Hir::repetition(Repetition { min: *min, max: *max, greedy: *greedy, sub })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

impl Automaton {
    /// One of the patterns of these rules; none for no rule, or for too many.
    pub fn build(regular: &[(usize, Hir)]) -> Option<Automaton> {
        if regular.is_empty() {
            return None;
        }
        let patterns: Vec<&Hir> = regular.iter().map(|(_, hir)| hir).collect();
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(STORE_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARED_MAX))
            .minimum_bytes_per_state(None);
        let builder = DFA::builder().configure(config).clone();
        let program = builder.build_from_nfa(program(&patterns, PROGRAM_BYTES_MAX)?).ok()?;
        let (template, count) = (program.clone(), patterns.len());
        let make: MakeStore = Box::new(move || Store {
            states: template.create_cache(),
            found: PatternSet::new(count),
            keys: 0,
        });
        let rules = regular.iter().map(|(rule, _)| *rule).collect();
        Some(Automaton { program, rules, stores: Pool::new(make), given_up: AtomicUsize::new(0) })
    }

    /// Adds the rules that may match.
    pub fn candidates(&self, key: &[u8], found: &mut Vec<usize>) {
        // A count that several threads raise at once may be a little late.
        if self.given_up.load(Ordering::Relaxed) >= GIVEN_UP_MAX {
            found.extend(&self.rules);
            return;
        }
        let mut store = self.stores.get();
        let store: &mut Store = &mut store;
        store.found.clear();
        store.keys += 1;
        let (states, set) = (&mut store.states, &mut store.found);
        match self.program.try_which_overlapping_matches(states, &Input::new(key), set) {
            Ok(()) => found.extend(set.iter().map(|at| self.rules[at.as_usize()])),
            Err(_) => {
                self.fail(store);
                found.extend(&self.rules);
            }
        }
    }

    /// A store that was filled too often starts anew.
    fn fail(&self, store: &mut Store) {
        if store.keys < KEYS_MIN {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
        store.keys = 0;
        store.states.reset(&self.program);
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::super::{Case, Pattern, perl::Perl};
    use super::*;

    fn hir(pattern: &str) -> Hir {
        let options = Perl::options(b"", &mut |_| {}).unwrap();
        Perl::syntax(pattern.as_bytes(), &options, Case::AsWritten).unwrap()
    }

    fn candidates(patterns: &[&str], key: &[u8]) -> Vec<usize> {
        let regular = patterns.iter().map(|pattern| usable(&hir(pattern)).unwrap());
        let regular: Vec<_> = regular.enumerate().map(|(at, hir)| (at * 10, hir)).collect();
        let mut found = vec![];
        Automaton::build(&regular).unwrap().candidates(key, &mut found);
        found
    }

    #[test]
    fn one_pass_finds_all_that_may_match() {
        let patterns = ["[0-9]{5}", "^[a-c]+$", "x.y", "\\b[pq]\\b"];
        assert_eq!(candidates(&patterns, b"12345 x-y"), [0, 20]);
        assert_eq!(candidates(&patterns, b"CAB"), [10]);
        assert_eq!(candidates(&patterns, b"no\ncab\nno"), [10], "an end of a line may be one");
        assert_eq!(candidates(&patterns, b"a q"), [30]);
        assert_eq!(candidates(&patterns, b""), [0; 0]);
    }

    #[test]
    fn a_pattern_that_needs_many_states_stays_out() {
        assert!(usable(&hir("[ab].{0,20}[cd].{0,20}[ef]")).is_none());
        assert!(usable(&hir("[ab][cd]?[0-9]+")).is_some());
    }

    #[test]
    fn too_many_states_together_try_every_rule() {
        // Each remembers something of its own of the last bytes, and none matches.
        let patterns: Vec<String> = (0..200)
            .map(|at| {
                let (one, other) = (char::from(b'a' + at % 26), char::from(b'a' + at / 26));
                format!("[{one}{other}].{{4}}[{}5]", at % 10)
            })
            .collect();
        let hirs = patterns.iter().filter_map(|pattern| usable(&hir(pattern))).enumerate();
        let automaton = Automaton::build(&hirs.collect::<Vec<_>>()).unwrap();
        let mut seed = 1u32;
        let mut key = || -> Vec<u8> {
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + (seed >> 24) as u8 % 26
            };
            (0..12_000).map(|_| next()).collect()
        };
        for _ in 0..GIVEN_UP_MAX {
            automaton.candidates(&key(), &mut vec![]);
        }
        assert_eq!(automaton.given_up.load(Ordering::Relaxed), GIVEN_UP_MAX);
        let mut found = vec![];
        automaton.candidates(b"nothing", &mut found);
        assert_eq!(found, automaton.rules);
    }
}
