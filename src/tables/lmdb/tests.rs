//! A file made by Postfix's postmap, and damaged ones.

use std::string::ToString;

use super::*;
use crate::source;

const POSTFIX: &[u8] = include_bytes!("../testdata/t.lmdb");

#[test]
fn files_of_postmap_are_read_as_they_are() {
    let mut expected = source::entries_for_tests(include_bytes!("../testdata/t"));
    for deleted in ["one", "user7"] {
        assert!(expected.remove(deleted.as_bytes()).is_some());
    }
    assert_eq!(entries(POSTFIX).unwrap(), expected);
}

#[test]
fn other_files_are_none_and_cut_off_ones_damaged() {
    assert_eq!(entries(b""), Err(BadFile::Foreign));
    assert_eq!(entries(&[b'x'; 4096]), Err(BadFile::Foreign));
    assert!(matches!(entries(&POSTFIX[..POSTFIX.len() - 4096]), Err(BadFile::Damaged(_))));
    let mut other = POSTFIX.to_vec();
    other[META_VERSION] = 2;
    assert_eq!(entries(&other).unwrap_err().to_string(), "unsupported LMDB version 2");
}

#[test]
fn no_changed_byte_is_a_panic_or_more_than_the_file_has() {
    for at in 0..POSTFIX.len() {
        let mut damaged = POSTFIX.to_vec();
        damaged[at] ^= 0xff;
        if let Ok(entries) = entries(&damaged) {
            let bytes: usize = entries.iter().map(|(k, v)| k.len() + v.len()).sum();
            assert!(bytes <= POSTFIX.len());
        }
    }
}
