//! Real files, made by Postfix's postmap and by db_load, and files that were damaged.

use alloc::format;
use alloc::vec::Vec;
use std::string::ToString;

use super::*;
use crate::source;

const HASH: &[u8] = include_bytes!("../testdata/hash.db");
const BTREE: &[u8] = include_bytes!("../testdata/btree.db");
/// Pages of 512 bytes, numbers with the highest byte first.
const HASH_BIG_ENDIAN: &[u8] = include_bytes!("../testdata/hash-big-endian.db");
const BTREE_BIG_ENDIAN: &[u8] = include_bytes!("../testdata/btree-big-endian.db");

/// What the files were made of, without the key that was deleted afterwards.
fn without(deleted: &str) -> Entries {
    let mut out = source::entries_for_tests(include_bytes!("../testdata/t"));
    assert!(out.remove(deleted.as_bytes()).is_some());
    out
}

#[test]
fn files_of_postmap_are_read_as_they_are() {
    for (file, deleted) in
        [(HASH, "user7"), (BTREE, "one"), (HASH_BIG_ENDIAN, "user7"), (BTREE_BIG_ENDIAN, "one")]
    {
        assert!(is_berkeley(file));
        assert_eq!(entries(file).unwrap(), without(deleted));
    }
}

#[test]
fn a_file_of_another_kind_is_none() {
    assert_eq!(entries(b"one 1\n"), Err(BadFile::Foreign));
    assert_eq!(entries(b""), Err(BadFile::Foreign));
    let mut other = HASH.to_vec();
    other[VERSION] = 11;
    let said = entries(&other).unwrap_err().to_string();
    assert_eq!(said, "unsupported Berkeley DB hash version 11");
    other = BTREE.to_vec();
    other[FLAGS] = 1;
    let said = entries(&other).unwrap_err().to_string();
    assert_eq!(said, "unsupported Berkeley DB encryption or checksums");
}

#[test]
fn a_file_that_was_cut_off_names_the_page() {
    let cut = &HASH[..HASH.len() - 4096];
    assert_eq!(entries(cut), Err(BadFile::Damaged((cut.len() / 4096) as u64)));
    assert!(entries(&HASH[..100]).is_err());
}

#[test]
fn no_changed_byte_is_a_panic_or_more_than_the_file_has() {
    for file in [HASH_BIG_ENDIAN, BTREE_BIG_ENDIAN] {
        for at in 0..file.len() {
            let mut damaged: Vec<u8> = file.to_vec();
            damaged[at] ^= 0xff;
            if let Ok(entries) = entries(&damaged) {
                let bytes: usize = entries.iter().map(|(k, v)| k.len() + v.len()).sum();
                assert!(bytes <= file.len(), "{}", format!("byte {at}"));
            }
        }
    }
}
