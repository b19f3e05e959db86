//! [`Tables`]: the tables of one configuration, each opened once, and what tells that their files
//! have changed.
//!
//! Made by the [`crate::lookup::Opener`]; kept in the [`crate::snapshot::Snapshot`], whose owner
//! asks for [`Tables::changed`] and then makes a snapshot that takes over what has not.
//!
//! **Diagnostics**: a table that cannot be opened is kept as such, with its files, so that it is
//! tried again when one of them comes or changes.
//! **Standards**: DATABASE_README of Postfix 3.7: a table that was built anew is used without a
//! reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use tables::catalog::{BadTable, Opened, Stamp};

/// A file, and what it was before it was read.
pub type File = (String, Option<Stamp>);

/// Tables by the words that name them.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    kept: BTreeMap<String, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// An error is why it cannot be used, in Postfix's words.
    table: Result<Arc<Opened>, String>,
    files: Vec<File>,
    /// What its source is warned of.
    said: Vec<String>,
}

/// The name behind a table's key: without what it is used for.
fn plain(key: &str) -> &str {
    let uses = [" (raw)", " (sensitive)", " (verbatim)"];
    uses.iter().find_map(|suffix| key.strip_suffix(suffix)).unwrap_or(key)
}

impl Kept {
    fn has_changed(&self, stamp: fn(&str) -> Option<Stamp>) -> bool {
        self.files.iter().any(|(path, before)| stamp(path) != *before)
    }
}

impl Tables {
    /// Whether the table is here, or is now since `before` has it and its files are what they were.
    pub(super) fn take_over(
        &mut self,
        word: &str,
        before: &Tables,
        stamp: fn(&str) -> Option<Stamp>,
    ) -> bool {
        if self.kept.contains_key(word) {
            return true;
        }
        let kept = before.kept.get(word).filter(|kept| !kept.has_changed(stamp));
        let Some(kept) = kept else { return false };
        self.kept.insert(word.to_owned(), kept.clone());
        true
    }

    /// The table, which is here.
    pub(super) fn get(&self, word: &str) -> Result<Arc<Opened>, String> {
        self.known(word).table.clone()
    }

    /// What should be said of the table, which is here.
    pub(super) fn said(&self, word: &str) -> &[String] {
        &self.known(word).said
    }

    fn known(&self, word: &str) -> &Kept {
        self.kept.get(word).expect("only what was taken over or kept is asked for")
    }

    /// Keeps what came of opening a table from these files.
    pub(super) fn keep(
        &mut self,
        word: &str,
        opened: Result<Opened, BadTable>,
        files: Vec<File>,
        said: Vec<String>,
    ) {
        let table = opened.map(Arc::new).map_err(|bad| bad.0);
        self.kept.insert(word.to_owned(), Kept { table, files, said });
    }

    /// The tables whose files are not what they were.
    pub fn changed(&self, stamp: fn(&str) -> Option<Stamp>) -> Vec<&str> {
        let changed = self.kept.iter().filter(|(_, kept)| kept.has_changed(stamp));
        let mut names: Vec<&str> = changed.map(|(word, _)| plain(word)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The files that were written to in place, each with what it is now. One that was replaced is
    /// whole at once; these may be half written.
    pub fn written_in_place(&self, stamp: fn(&str) -> Option<Stamp>) -> Vec<(&str, Stamp)> {
        let files = self.kept.values().flat_map(|kept| &kept.files);
        let written = files.filter_map(|(path, before)| {
            let (before, now) = ((*before)?, stamp(path)?);
            (before != now && before[..2] == now[..2]).then_some((path.as_str(), now))
        });
        written.collect()
    }

    /// The files of all tables.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.kept.values().flat_map(|kept| &kept.files).map(|(path, _)| path.as_str())
    }
}

#[cfg(test)]
mod tests;
