//! A compact map by message number: sorted runs, full where numbers only rise.
//!
//! Used by `index`, and by the engine for what it knows about every message. Numbers rise as
//! messages arrive, so a run is filled once and stays full; a hash table would be up to half
//! empty, the standard ordered map too.
//!
//! Limits: 8 bytes and the value per message, one twentieth more; up to four times that where few
//! messages of a run are left.

use std::collections::BTreeMap;

use crate::Number;

/// Values in one run: taking one out moves the rest of it.
const RUN: usize = 128;

#[derive(Clone, Debug)]
struct Run<V> {
    numbers: Vec<Number>,
    values: Vec<V>,
}

impl<V> Run<V> {
    fn one(number: Number, value: V) -> Run<V> {
        Run { numbers: vec![number], values: vec![value] }
    }

    fn pairs_after(&self, number: Option<Number>) -> impl Iterator<Item = (Number, &V)> {
        let skip = number.map_or(0, |number| self.numbers.partition_point(|n| *n <= number));
        self.numbers[skip..].iter().copied().zip(&self.values[skip..])
    }

    fn split(&mut self) -> Run<V> {
        let half = self.numbers.len() / 2;
        Run { numbers: self.numbers.split_off(half), values: self.values.split_off(half) }
    }

    /// Gives memory back when most of it is not used.
    fn shrink(&mut self) {
        if self.numbers.len() * 4 <= self.numbers.capacity() {
            self.numbers.shrink_to(self.numbers.len() * 2);
            self.values.shrink_to(self.values.len() * 2);
        }
    }
}

/// A map from message numbers, in their order.
#[derive(Clone, Debug)]
pub struct NumberMap<V> {
    /// By a number that is not above the first of the run, and above the last of the run before.
    runs: BTreeMap<Number, Run<V>>,
    len: usize,
}

impl<V> Default for NumberMap<V> {
    fn default() -> Self {
        NumberMap { runs: BTreeMap::new(), len: 0 }
    }
}

impl<V> NumberMap<V> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a number.
    #[must_use]
    pub fn get(&self, number: Number) -> Option<&V> {
        let (_, run) = self.runs.range(..=number).next_back()?;
        let at = run.numbers.binary_search(&number).ok()?;
        run.values.get(at)
    }

    /// The value of a number, to be changed.
    pub fn get_mut(&mut self, number: Number) -> Option<&mut V> {
        let (_, run) = self.runs.range_mut(..=number).next_back()?;
        let at = run.numbers.binary_search(&number).ok()?;
        run.values.get_mut(at)
    }

    /// Whether a number has a value.
    #[must_use]
    pub fn contains(&self, number: Number) -> bool {
        self.get(number).is_some()
    }

    /// The last number.
    #[must_use]
    pub fn last(&self) -> Option<Number> {
        self.runs.values().next_back()?.numbers.last().copied()
    }

    /// Gives a number a value; the one it had.
    pub fn insert(&mut self, number: Number, value: V) -> Option<V> {
        if let Some(old) = self.get_mut(number) {
            return Some(std::mem::replace(old, value));
        }
        self.len += 1;
        let Some((_, run)) = self.runs.range_mut(..=number).next_back() else {
            self.runs.insert(number, Run::one(number, value));
            return None;
        };
        let at = run.numbers.partition_point(|here| *here < number);
        if run.numbers.len() < RUN {
            run.numbers.insert(at, number);
            run.values.insert(at, value);
        } else if at == RUN {
            self.runs.insert(number, Run::one(number, value));
        } else {
            let upper = run.split();
            self.runs.insert(upper.numbers[0], upper);
            self.len -= 1;
            return self.insert(number, value);
        }
        None
    }

    /// Takes a number's value out.
    pub fn remove(&mut self, number: Number) -> Option<V> {
        let (key, run) = self.runs.range_mut(..=number).next_back()?;
        let at = run.numbers.binary_search(&number).ok()?;
        let key = *key;
        run.numbers.remove(at);
        let value = run.values.remove(at);
        run.shrink();
        let left = run.numbers.len();
        self.len -= 1;
        if left == 0 {
            self.runs.remove(&key);
        } else if left <= RUN / 4 && left.is_multiple_of(8) {
            self.join_next(key);
        }
        Some(value)
    }

    /// Joins a run with the one after it when both are small.
    fn join_next(&mut self, key: Number) {
        let after = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let Some((next, run)) = self.runs.range(after).next() else { return };
        let (next, count) = (*next, run.numbers.len());
        if count + self.runs[&key].numbers.len() > RUN / 2 {
            return;
        }
        let mut upper = self.runs.remove(&next).expect("just found");
        let lower = self.runs.get_mut(&key).expect("the caller's");
        lower.numbers.append(&mut upper.numbers);
        lower.values.append(&mut upper.values);
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Number, &V)> {
        self.iter_after(None)
    }

    /// Those after `number`, in order; all when there is none.
    pub fn iter_after(&self, number: Option<Number>) -> impl Iterator<Item = (Number, &V)> {
        let first = number.and_then(|number| self.runs.range(..=number).next_back());
        let first = first.map_or(Number::MIN, |(key, _)| *key);
        self.runs.range(first..).flat_map(move |(_, run)| run.pairs_after(number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn number(value: u64) -> Number {
        Number::from_u64(value + 64).unwrap()
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0..3u8, 0..900u64), 0..3000)) {
            let (mut map, mut oracle) = (NumberMap::default(), BTreeMap::new());
            for (at, (kind, value)) in steps.into_iter().enumerate() {
                let number = number(value);
                match kind {
                    0 => prop_assert_eq!(map.remove(number), oracle.remove(&number)),
                    _ => prop_assert_eq!(map.insert(number, at), oracle.insert(number, at)),
                }
                prop_assert_eq!(map.get(number), oracle.get(&number));
                prop_assert_eq!(map.len(), oracle.len());
            }
            let all = |pairs: Vec<(Number, &usize)>| -> Vec<(Number, usize)> {
                pairs.into_iter().map(|(number, value)| (number, *value)).collect()
            };
            let expected: Vec<_> = oracle.iter().map(|(n, v)| (*n, *v)).collect();
            prop_assert_eq!(all(map.iter().collect()), &expected[..]);
            for from in [0, 1, 130, 450, 899] {
                let after = oracle.range(number(from)..).filter(|(n, _)| **n > number(from));
                let after: Vec<_> = after.map(|(n, v)| (*n, *v)).collect();
                prop_assert_eq!(all(map.iter_after(Some(number(from))).collect()), after);
            }
            prop_assert_eq!(all(map.iter_after(None).collect()), expected);
        }
    }

    #[test]
    fn rising_numbers_fill_their_runs_and_leavers_give_memory_back() {
        let mut map = NumberMap::default();
        for at in 0..10_000 {
            map.insert(number(at), [0u8; 64]);
        }
        assert!(map.runs.len() <= 10_000usize.div_ceil(RUN));
        let staying = |at: &u64| at.is_multiple_of(100);
        for at in (0..10_000).filter(|at| !staying(at)) {
            map.remove(number(at));
        }
        assert_eq!(map.len(), 100);
        let held: usize = map.runs.values().map(|run| run.values.capacity()).sum();
        assert!(held <= 400, "{held} places for 100 values in {} runs", map.runs.len());
    }
}
