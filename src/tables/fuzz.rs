//! The entries of the fuzzer.

use alloc::vec::Vec;

use crate::cidr::Cidr;
use crate::constant::{ConstantDb, put_checksums_right};
use crate::pattern::{Pattern, Patterns, perl::Perl, posix::Posix};
use crate::source::{LogicalLine, LogicalLines};
use crate::{Lookup, Table, alias, berkeley, cdb, lmdb};

/// Any bytes as a database, as they are and with right checksums: no panic, bounded work, whether
/// it verifies or not.
pub fn fuzz_constant_db(data: &[u8]) {
    look_up(data);
    let mut sealed = data.to_vec();
    put_checksums_right(&mut sealed);
    look_up(&sealed);
}

/// Any bytes as a file of another program: no panic, and no more comes out than the file has.
pub fn fuzz_foreign_db(data: &[u8]) {
    for entries in [berkeley::entries(data), lmdb::entries(data), cdb::entries(data)] {
        let Ok(entries) = entries else { continue };
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes <= data.len(), "nothing is there twice");
        let Ok(written) = cdb::encode(&entries, false) else { continue };
        let _keys_that_end_with_nul = cdb::entries(&written);
    }
}

/// Any text as a `cidr:` table, and a key after a NUL.
pub fn fuzz_cidr(data: &[u8]) {
    let (text, key) = text_and_key(data);
    let table = Cidr::parse("t", text, &drop);
    let (answer, line) = (table.lookup(key), table.line(key));
    let lines = text.split(|byte| *byte == b'\n').count();
    assert_eq!(matches!(answer, Lookup::Found(_)), line.is_some());
    assert!(line.is_none_or(|line| (1..=lines).contains(&line)));
}

/// Any text as an alias file: what was read and written twice does not change any more. A quoted
/// string without an end gets one when it is written first.
pub fn fuzz_alias(data: &[u8]) {
    for line in LogicalLines::new(data) {
        for utf8 in [false, true] {
            let Ok(entry) = alias::entry(&line, utf8) else { continue };
            let written = rewritten(&entry.value, utf8);
            assert_eq!(rewritten(&written, utf8), written);
        }
    }
}

fn rewritten(value: &[u8], utf8: bool) -> Vec<u8> {
    let text = [b"name: ", value].concat();
    match alias::entry(&LogicalLine { number: 1, text }, utf8) {
        Ok(entry) => entry.value,
        Err(_) => Vec::new(),
    }
}

fn look_up(data: &[u8]) {
    let Ok(db) = ConstantDb::open(data) else { return };
    let _verdict = db.verify();
    let keys: Vec<_> = db.iter().take(1000).map(|(key, _)| key).collect();
    for key in keys {
        let _found = db.find(key);
    }
    let _absent = db.find(b"absent");
}

/// Bytes of a table's text; patterns are expensive to compile.
const RULES_BYTES_MAX: usize = 4096;

/// Any text as a table of patterns, of both kinds, and a key after a NUL: the prefilter hides no
/// rule, and a value is made of what the key and the rule have.
pub fn fuzz_pattern(data: &[u8]) {
    let (text, key) = text_and_key(data);
    if text.len() > RULES_BYTES_MAX {
        return;
    }
    if !is_costly(text) {
        compare(&Patterns::<Posix>::parse("t", text, &drop), key);
    }
    compare(&Patterns::<Perl>::parse("t", text, &drop), key);
}

fn text_and_key(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, data),
    }
}

/// Whether regcomp(3) of some systems might take all memory: repetitions of repetitions are copied
/// there. Whoever writes such a table has the machine anyway.
fn is_costly(text: &[u8]) -> bool {
    let repeats = |byte: u8| matches!(byte, b'*' | b'+' | b'?');
    let pairs = || text.windows(2);
    let stacked = pairs().any(|pair| repeats(pair[0]) && repeats(pair[1]));
    let groups = pairs().filter(|pair| pair[0] == b')' && repeats(pair[1])).count();
    stacked || groups > 2 || text.contains(&b'{')
}

fn compare<P: Pattern>(table: &Patterns<P>, key: &[u8]) {
    let quick = match table.lookup(key) {
        Lookup::Found(value) => Some(value.into_owned()),
        _ => None,
    };
    assert_eq!(quick, table.find_slowly(key), "the prefilter changes nothing");
}
