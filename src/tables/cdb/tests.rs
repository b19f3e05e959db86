//! A file made by Postfix's postmap, files made here, damaged ones.

use proptest::prelude::*;

use super::*;
use crate::source;

const POSTFIX: &[u8] = include_bytes!("../testdata/t.cdb");

#[test]
fn files_of_postmap_are_read_and_written() {
    let expected = source::entries_for_tests(include_bytes!("../testdata/t"));
    assert_eq!(entries(POSTFIX).unwrap(), expected);
    for nul in [false, true] {
        assert_eq!(entries(&encode(&expected, nul).unwrap()).unwrap(), expected);
    }
    assert_eq!(encode(&expected, false).unwrap().len(), POSTFIX.len());
}

#[test]
fn other_files_are_none_and_cut_off_ones_damaged() {
    assert_eq!(entries(b""), Err(BadFile::Foreign));
    assert_eq!(entries(&[b'x'; 4096]), Err(BadFile::Foreign));
    assert_eq!(entries(&POSTFIX[..POSTFIX.len() - 1]), Err(BadFile::Foreign));
    let mut damaged = POSTFIX.to_vec();
    damaged[HEADER_BYTES + 1] = 0xff;
    assert_eq!(entries(&damaged), Err(BadFile::Damaged(HEADER_BYTES as u64)));
}

/// What a program that reads such files does with a key.
fn find<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let numbers = Numbers { bytes, order: Order::Little };
    let hash = hash(key);
    let table = hash as usize % TABLES * 8;
    let (start, slots) = (numbers.word(table)? as usize, numbers.word(table + 4)? as usize);
    for probe in 0..slots {
        let slot = start + ((hash >> 8) as usize + probe) % slots * 8;
        let at = numbers.word(slot + 4)? as usize;
        if at == 0 {
            return None;
        }
        let (key_bytes, value_bytes) = (numbers.word(at)? as usize, numbers.word(at + 4)? as usize);
        if numbers.word(slot)? == hash && &bytes[at + 8..at + 8 + key_bytes] == key {
            return bytes.get(at + 8 + key_bytes..at + 8 + key_bytes + value_bytes);
        }
    }
    None
}

proptest! {
    #[test]
    fn every_key_is_where_the_hash_says(
        entries in proptest::collection::btree_map(
            proptest::collection::vec(1..=255u8, 1..8),
            proptest::collection::vec(1..=255u8, 0..8),
            0..200,
        ),
    ) {
        let bytes = encode(&entries, false).unwrap();
        for (key, value) in &entries {
            prop_assert_eq!(find(&bytes, key), Some(value.as_slice()));
        }
        prop_assert_eq!(find(&bytes, b"absent key"), None);
        prop_assert_eq!(super::entries(&bytes).unwrap(), entries);
    }
}
