//! Round trips against an ordered map, and damage.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn small() -> BTreeMap<Vec<u8>, Vec<u8>> {
    [("a", "1"), ("b", ""), ("", "nothing")]
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .into()
}

#[test]
fn an_empty_database_has_no_key() {
    let db = ConstantDb::open(encode(&BTreeMap::new()).unwrap()).unwrap();
    assert_eq!(db.verify(), Ok(()));
    assert!(db.is_empty());
    assert_eq!(db.find(b""), Ok(None));
}

#[test]
fn other_files_are_told_apart() {
    assert_eq!(ConstantDb::open(b"a b\n").unwrap_err(), BadDb::Foreign);
    assert_eq!(ConstantDb::open(&MAGIC).unwrap_err(), BadDb::Size);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = encode(&small()).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let verdict = ConstantDb::open(&bad).and_then(|db| db.verify());
        assert!(verdict.is_err(), "bit {bit}");
    }
}

#[test]
fn every_shorter_file_is_noticed() {
    let good = encode(&small()).unwrap();
    for end in 0..good.len() {
        assert!(ConstantDb::open(&good[..end]).is_err(), "{end} bytes");
    }
}

proptest! {
    #[test]
    fn what_went_in_comes_out(
        entries: BTreeMap<Vec<u8>, Vec<u8>>,
        others: Vec<Vec<u8>>,
    ) {
        let db = ConstantDb::open(encode(&entries).unwrap()).unwrap();
        prop_assert_eq!(db.verify(), Ok(()));
        for key in entries.keys().chain(&others) {
            prop_assert_eq!(db.find(key).unwrap(), entries.get(key).map(Vec::as_slice));
        }
        let listed: Vec<_> = db.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        prop_assert_eq!(listed, entries.into_iter().collect::<Vec<_>>());
    }

    /// As they are, and with checksums put right.
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        crate::fuzz_constant_db(&bytes);
    }
}
