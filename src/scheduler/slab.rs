//! Slabs with generation-checked ids, and the lists threaded through them.
//!
//! Every noun of the scheduler lives in a slab; an id is a slot and the generation of its tenant.
//! Freed slots are reused, so that steady traffic does not allocate.
//!
//! Diagnostics: an id whose tenant is gone is a bug of ours, and indexing with it panics.
//! Limits: 2^32 slots per slab; a generation repeats after 2^32 - 1 reuses of one slot.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

/// What an id is made of.
pub(crate) trait Key: Copy + Eq {
    /// The id of a slot's tenant.
    fn from_parts(index: u32, generation: NonZeroU32) -> Self;
    /// The slot.
    fn index(self) -> u32;
    /// Which tenant of the slot.
    fn generation(self) -> NonZeroU32;
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            index: u32,
            generation: core::num::NonZeroU32,
        }

        impl $crate::slab::Key for $name {
            fn from_parts(index: u32, generation: core::num::NonZeroU32) -> Self {
                Self { index, generation }
            }
            fn index(self) -> u32 {
                self.index
            }
            fn generation(self) -> core::num::NonZeroU32 {
                self.generation
            }
        }
    };
}

key! {
    /// A message in the active queue.
    MessageId
}
key! {
    /// A delivery transport (`QMGR_TRANSPORT`); lives as long as the scheduler.
    TransportId
}
key! {
    /// A destination of a transport (`QMGR_QUEUE`).
    DestinationId
}
key! {
    /// A message's share of one transport (`QMGR_JOB`).
    JobId
}
key! {
    /// A job's share of one destination (`QMGR_PEER`).
    PeerId
}
key! {
    /// One delivery request (`QMGR_ENTRY`).
    EntryId
}

struct Slot<T> {
    generation: NonZeroU32,
    tenant: Option<T>,
}

/// Values of one noun, found by id.
pub(crate) struct Slab<K, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K: Key, T> Slab<K, T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), key: PhantomData }
    }

    /// How many tenants there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> K {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.tenant = Some(value);
            return K::from_parts(index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 tenants fit in memory");
        self.slots.push(Slot { generation: NonZeroU32::MIN, tenant: Some(value) });
        K::from_parts(index, NonZeroU32::MIN)
    }

    /// The tenant, unless it is gone.
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let slot = self.slots.get(key.index() as usize)?;
        if slot.generation == key.generation() { slot.tenant.as_ref() } else { None }
    }

    fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        if slot.generation == key.generation() { slot.tenant.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: K) -> T {
        let slot = &mut self.slots[key.index() as usize];
        assert!(slot.generation == key.generation(), "stale id");
        let tenant = slot.tenant.take().expect("an id of this generation has its tenant");
        slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.free.push(key.index());
        tenant
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let tenant = slot.tenant.as_ref()?;
            Some((K::from_parts(index, slot.generation), tenant))
        })
    }
}

impl<K: Key, T> Index<K> for Slab<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        self.get(key).expect("an id in use has its tenant")
    }
}

impl<K: Key, T> IndexMut<K> for Slab<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.get_mut(key).expect("an id in use has its tenant")
    }
}

/// A tenant's neighbours in one list.
#[derive(Clone, Copy)]
pub(crate) struct Links<K> {
    pub(crate) prev: Option<K>,
    pub(crate) next: Option<K>,
}

impl<K> Links<K> {
    pub(crate) const NONE: Self = Self { prev: None, next: None };
}

/// A tenant that can be threaded on the list named by `L`.
pub(crate) trait Threaded<K, L> {
    fn links(&mut self) -> &mut Links<K>;
}

/// The two ends of a list threaded through a slab.
pub(crate) struct List<K, L> {
    pub(crate) head: Option<K>,
    pub(crate) tail: Option<K>,
    name: PhantomData<L>,
}

impl<K: Key, L> List<K, L> {
    pub(crate) const EMPTY: Self = Self { head: None, tail: None, name: PhantomData };

    pub(crate) fn push_back<T: Threaded<K, L>>(&mut self, slab: &mut Slab<K, T>, key: K) {
        self.insert_after(slab, self.tail, key);
    }

    /// After `before`, or at the front when there is none.
    pub(crate) fn insert_after<T>(&mut self, slab: &mut Slab<K, T>, before: Option<K>, key: K)
    where
        T: Threaded<K, L>,
    {
        let after = match before {
            Some(before) => slab[before].links().next.replace(key),
            None => self.head.replace(key),
        };
        match after {
            Some(after) => slab[after].links().prev = Some(key),
            None => self.tail = Some(key),
        }
        *slab[key].links() = Links { prev: before, next: after };
    }

    pub(crate) fn unlink<T: Threaded<K, L>>(&mut self, slab: &mut Slab<K, T>, key: K) {
        let Links { prev, next } = core::mem::replace(slab[key].links(), Links::NONE);
        match prev {
            Some(prev) => slab[prev].links().next = next,
            None => self.head = next,
        }
        match next {
            Some(next) => slab[next].links().prev = prev,
            None => self.tail = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_dies_with_its_tenant() {
        let mut slab: Slab<EntryId, u8> = Slab::new();
        let first = slab.insert(1);
        slab.remove(first);
        let second = slab.insert(2);
        assert_eq!(second.index(), first.index());
        assert_eq!((slab.get(first), slab.get(second), slab.len()), (None, Some(&2), 1));
    }

    #[test]
    #[should_panic(expected = "stale id")]
    fn removing_twice_is_a_bug() {
        let mut slab: Slab<EntryId, u8> = Slab::new();
        let first = slab.insert(1);
        slab.remove(first);
        slab.remove(first);
    }
}
