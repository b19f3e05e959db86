//! A generational slab: stable small keys for what is in flight, stale keys told apart.
//!
//! Limits: 2^32 - 1 entries; a generation wraps after 2^32 reuses of one place, by which time no
//! completion that old can exist.

/// Names one entry: its place and how often the place has been reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The place, dense from zero.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Both halves in one number, as the kernel carries them.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`Key::to_bits`].
    pub fn from_bits(bits: u64) -> Key {
        Key { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// Values by [`Key`].
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts `value` in a free place.
    pub fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 entries")
        });
        let place = &mut self.places[index as usize];
        debug_assert!(place.value.is_none());
        place.value = Some(value);
        Key { index, generation: place.generation }
    }

    /// The value, unless the key is stale.
    pub fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index())?;
        if place.generation == key.generation { place.value.as_ref() } else { None }
    }

    /// The value, unless the key is stale.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index())?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    /// Takes the value out; the key is stale from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index())?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// The keys of all values.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.value.is_some())
            .map(|(index, place)| Key { index: index as u32, generation: place.generation })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_key_of_a_removed_entry_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert(1);
        assert_eq!(slab.remove(first), Some(1));
        let second = slab.insert(2);
        assert_eq!(first.index(), second.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&2));
        assert_eq!(Key::from_bits(second.to_bits()), second);
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_map(
            steps in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..200),
        ) {
            let mut slab = Slab::default();
            let mut model: HashMap<u64, u8> = HashMap::new();
            let mut keys = Vec::new();
            for (add, value) in steps {
                if add || keys.is_empty() {
                    let key = slab.insert(value);
                    model.insert(key.to_bits(), value);
                    keys.push(key);
                } else {
                    let key: Key = keys[value as usize % keys.len()];
                    prop_assert_eq!(slab.remove(key), model.remove(&key.to_bits()));
                }
                prop_assert_eq!(slab.len(), model.len());
                for key in &keys {
                    prop_assert_eq!(slab.get(*key), model.get(&key.to_bits()));
                }
            }
        }
    }
}
