//! Writing `lmdb:` files with the library that defines them.
//!
//! The library writes a file of its own, beside the table's and without a name anyone looks for;
//! its bytes are what the caller then puts in the table's place.
//!
//! **Diagnostics**: the library's words.
//! **Limits**: keys of 511 bytes with their NUL, which is the library's.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use heed::types::Bytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, PutFlags};
use rustix::fs::{self, AtFlags};
use tables::catalog::Entries;

/// What a file needs besides its entries: two pages of its own, the tree above the leaves.
const MAP_BYTES_LEAST: usize = 1 << 20;
/// How much larger than its bytes an entry may come out: a value just over a page takes two, a leaf
/// may be half empty.
const GROWTH: usize = 4;
/// What an entry takes beyond its bytes.
const ENTRY_BYTES: usize = 32;
/// Maps are made of whole pages, of any machine.
const PAGE_BYTES: usize = 65536;

/// The bytes of a file that holds `entries`; `nul` ends keys and values with a NUL byte.
/// `directory` is where it is made meanwhile.
pub(super) fn encode(directory: &OwnedFd, entries: &Entries, nul: bool) -> Result<Vec<u8>, String> {
    let name = format!(".lmdb.{}", std::process::id());
    // The library takes a path; this one stays in the directory that is open.
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
    let absent = || fs::unlinkat(directory, &name, AtFlags::empty());
    // Left behind by a process of the same number that was killed.
    let _absent = absent();
    let done = write(&path, entries, nul).map_err(|error| error.to_string());
    let bytes = done.and_then(|()| std::fs::read(&path).map_err(|error| error.to_string()));
    // Its bytes are read; if it stays, the next process of this number removes it.
    let _absent = absent();
    bytes
}

#[allow(unsafe_code)]
fn write(path: &std::path::Path, entries: &Entries, nul: bool) -> Result<(), heed::Error> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_bytes(entries));
    // SAFETY: nobody else maps or locks this file: it was made by this call, under a name that is
    // this process's, and is removed before it is used.
    let env = unsafe { options.flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK).open(path)? };
    let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let table = opener.create_database::<Bytes, Bytes>(transaction, None)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
    });
    let table = opened?.unwrap_commit();
    let mut transaction = env.write_txn()?;
    let end: &[u8] = if nul { b"\0" } else { b"" };
    for (key, value) in entries {
        let (key, value) = ([key.as_slice(), end].concat(), [value.as_slice(), end].concat());
        // In order: each goes to the end.
        table.put_with_flags(&mut transaction, PutFlags::APPEND, &key, &value)?;
    }
    transaction.commit()
}

fn map_bytes(entries: &Entries) -> usize {
    let bytes = entries.iter().map(|(key, value)| key.len() + value.len() + ENTRY_BYTES);
    let needed = bytes.fold(0, usize::saturating_add).saturating_mul(GROWTH);
    // A value over half a page has pages of its own, the last of them mostly empty.
    let large = entries.values().filter(|value| value.len() > 1024).count();
    let needed = needed.saturating_add(large.saturating_mul(8192)).saturating_add(MAP_BYTES_LEAST);
    needed.next_multiple_of(PAGE_BYTES)
}
