//! Marks: which recipients of a message are done, as a bit set that costs nothing while small.
//!
//! Called by `index`, `recover`, `log`; shown to the engine in `Live`.
//!
//! Limits: indices up to `MARK_INDEX_MAX`.

/// Largest recipient index that can be marked.
pub const MARK_INDEX_MAX: u32 = (1 << 20) - 1;

/// The set of done recipients of one message, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    // A thin pointer: one word in the index for the many messages that never need more.
    #[expect(clippy::box_collection, reason = "a third of the size of a bare Vec")]
    words: Option<Box<Vec<u64>>>,
}

impl Marks {
    /// Adds one index, which must not be above `MARK_INDEX_MAX`.
    pub(crate) fn insert(&mut self, index: u32) {
        assert!(index <= MARK_INDEX_MAX, "checked by the caller");
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        let words = self.words.get_or_insert_default();
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= bit;
    }

    /// Whether the recipient with this index is done.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        let word = self.words().nth((index / 64) as usize).unwrap_or(0);
        word & 1 << (index % 64) != 0
    }

    /// How many recipients are done.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.words().map(u64::count_ones).sum()
    }

    /// Whether nobody is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words().all(|word| word == 0)
    }

    /// The done indices, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = |(at, word): (usize, u64)| {
            (0..64).filter(move |bit| word & 1 << bit != 0).map(move |bit| at as u32 * 64 + bit)
        };
        self.words().enumerate().flat_map(bits)
    }

    /// As written in a State record.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.words().flat_map(u64::to_le_bytes).collect()
    }

    /// Adds what a State record says; false when it is longer than any set can be.
    pub(crate) fn merge(&mut self, bytes: &[u8]) -> bool {
        let words_max = (MARK_INDEX_MAX as usize + 1) / 64;
        if !bytes.len().is_multiple_of(8) || bytes.len() / 8 > words_max {
            return false;
        }
        for (at, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            for bit in (0..64).filter(|bit| word & 1 << bit != 0) {
                self.insert(at as u32 * 64 + bit);
            }
        }
        true
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let words = self.words.as_deref().map_or(&[][..], Vec::as_slice);
        words.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_are_a_set(indices in proptest::collection::vec(0..5000u32, 0..50)) {
            let mut marks = Marks::default();
            indices.iter().for_each(|i| marks.insert(*i));
            let set: BTreeSet<u32> = indices.into_iter().collect();
            prop_assert_eq!(marks.iter().collect::<Vec<_>>(), Vec::from_iter(set.clone()));
            prop_assert_eq!(marks.count() as usize, set.len());
            prop_assert!(set.iter().all(|i| marks.contains(*i)));
            prop_assert!(!marks.contains(5001));
            let mut copy = Marks::default();
            prop_assert!(copy.merge(&marks.to_bytes()));
            prop_assert_eq!(copy, marks);
        }
    }
}
