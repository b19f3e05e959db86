//! The simulated directories: names as they are seen, as they are durable, and what was done to
//! them since a directory was last synced.
//!
//! Used by `sim` and `sim::picture`. Each change of a name is whole or lost, independently of every
//! other: more than any file system with a journal does to us.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Which file a name stands for.
pub(super) type FileId = u64;

#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, FileId),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, FileId),
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Change::Link(path, _) | Change::Unlink(path) => inside(path),
            Change::Rename(from, to, _) => inside(from) || inside(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, FileId>) {
        match self {
            Change::Link(path, id) => drop(names.insert(path.clone(), *id)),
            Change::Unlink(path) => drop(names.remove(path)),
            Change::Rename(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }
}

/// All names of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) seen: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    pending: Vec<Change>,
}

impl Names {
    /// A name that has always been there.
    pub(super) fn put(&mut self, path: &Path, id: FileId) {
        self.seen.insert(path.to_path_buf(), id);
        self.durable.insert(path.to_path_buf(), id);
    }

    pub(super) fn link(&mut self, path: &Path, id: FileId) {
        self.change(Change::Link(path.to_path_buf(), id));
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.change(Change::Unlink(path.to_path_buf()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, id: FileId) {
        self.change(Change::Rename(from.to_path_buf(), to.to_path_buf(), id));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// Makes what was done in a directory durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let here = change.is_in(dir);
            if here {
                change.apply(durable);
            }
            !here
        });
    }

    /// How many things may or may not have made it.
    pub(super) fn units(&self) -> usize {
        self.pending.len()
    }

    /// The names after a crash.
    pub(super) fn crash(
        &self,
        made_it: &mut dyn FnMut(usize) -> bool,
    ) -> BTreeMap<PathBuf, FileId> {
        let mut names = self.durable.clone();
        for (at, change) in self.pending.iter().enumerate() {
            if made_it(at) {
                change.apply(&mut names);
            }
        }
        names
    }
}
