//! Pictures of a disk, and the images that a power cut at that moment may leave.
//!
//! Made by `SimDisk`, enumerated by tests. A picture has some units: sectors, lengths and names
//! that were changed and not synced. An image is made by saying of each whether it made it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Disk, Rng, SimDisk,
    file::File,
    names::{FileId, Names},
};

/// What a crash does to what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// All of it is lost.
    Lose,
    /// All of it made it.
    Keep,
    /// What came before a random point made it.
    Cut,
    /// What came after a random point made it, and nothing before.
    Late,
    /// Each unit made it or not, by itself.
    Shuffle,
}

impl Tear {
    /// All of them.
    pub const ALL: [Tear; 5] = [Tear::Lose, Tear::Keep, Tear::Cut, Tear::Late, Tear::Shuffle];

    /// Any of them.
    pub fn random(rng: &mut Rng) -> Tear {
        Tear::ALL[rng.below(Tear::ALL.len() as u64) as usize]
    }
}

/// A disk at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    pub(super) files: BTreeMap<FileId, Arc<File>>,
    pub(super) names: Arc<Names>,
    pub(super) total: u64,
}

impl Picture {
    /// How many things may or may not have made it, each by itself.
    #[must_use]
    pub fn units(&self) -> usize {
        self.files.values().map(|file| file.units()).sum::<usize>() + self.names.units()
    }

    /// The disk on which exactly the units that `made_it` says have made it.
    #[must_use]
    pub fn image(&self, seed: u64, made_it: &mut dyn FnMut(usize) -> bool) -> SimDisk {
        let mut base = 0;
        let mut files = BTreeMap::new();
        for (id, file) in &self.files {
            let crashed = match file.is_certain() {
                true => Arc::clone(file),
                false => Arc::new(File::clone(file).crash(&mut |unit| made_it(base + unit))),
            };
            files.insert(*id, crashed);
            base += file.units();
        }
        let mut names = Names::default();
        for (path, id) in self.names.crash(&mut |unit| made_it(base + unit)) {
            names.put(&path, id);
        }
        files.retain(|id, _| names.seen.values().any(|named| named == id));
        SimDisk::with(Disk::new(files, names, Rng::new(seed), self.total))
    }

    /// A disk torn in a random way.
    #[must_use]
    pub fn torn(&self, tear: Tear, rng: &mut Rng) -> SimDisk {
        let cut = rng.below(self.units() as u64 + 1) as usize;
        let (seed, mut dice) = (rng.next_u64(), Rng::new(rng.next_u64()));
        self.image(seed, &mut |unit| match tear {
            Tear::Lose => false,
            Tear::Keep => true,
            Tear::Cut => unit < cut,
            Tear::Late => unit >= cut,
            Tear::Shuffle => dice.one_in(2),
        })
    }
}
