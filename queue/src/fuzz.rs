//! The body of the `queue_replay` fuzz target: any bytes as the segments of a core.
//!
//! Called by the fuzz workspace and by a test here. Nothing may panic, nothing that was not
//! committed may appear, memory stays in proportion to the input.

mod script;

use script::Script;
use std::collections::{BTreeSet, HashSet};

use crate::{
    Core,
    record::{HEADER, Key, Kind, Probe, finish, parse, probe},
    recover::replay_bytes,
    replay::Replay,
    segment::{Head, PAGE, SEGMENT_MIN},
};

/// Input beyond this is not looked at.
const INPUT_MAX: usize = 256 << 10;
/// The key that the input's records get, so that a fuzzer need not guess it.
const SALT: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// Replays `data` as up to four segments. The first byte says how many there are and what they are:
/// bytes, bytes whose records' checksums are made right first (so that mutations reach past the
/// checksum), or a script.
///
/// # Panics
/// When something uncommitted appears, or something committed does not: a bug.
pub fn fuzz_queue_replay(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(INPUT_MAX)];
    let (count, fix, scripted) = (usize::from(first & 3) + 1, first & 4 != 0, first & 8 != 0);
    let core = Core::new(0).expect("core 0");
    let (mut replay, mut script) = (Replay::new(core), Script::default());
    let (mut promised, mut room) = (HashSet::new(), 0);
    let share = rest.len().div_ceil(count).max(1);
    for (at, part) in rest.chunks(share).enumerate() {
        let key = Key { epoch: at as u32 + 1, salt: SALT };
        let bytes = match (scripted, fix) {
            (true, _) => script.segment(part, key),
            (false, true) => make_valid(part, key),
            (false, false) => [&[0; PAGE], part].concat(),
        };
        room += bytes.len() - PAGE;
        promised.extend(committed(&bytes, key));
        let head = Head { core, slot: at as u32, size: SEGMENT_MIN, key, lease: 1 };
        let end = replay_bytes(&mut replay, head, &bytes);
        assert!(end.next <= bytes.len().next_multiple_of(PAGE), "the end is inside");
    }
    replay.settle();
    for (number, entry) in replay.index.iter() {
        assert!(promised.contains(&number.get()), "message {number} was never committed");
        assert!(u64::from(entry.place.length) <= room as u64, "inside the input");
    }
    assert!(replay.index.len() <= room / HEADER, "bounded by the input");
    if let Some(expected) = script.expected().filter(|_| scripted) {
        let found: BTreeSet<u64> = replay.index.iter().map(|(number, _)| number.get()).collect();
        assert_eq!(found, *expected, "what was committed and not removed");
        assert!(replay.is_clean(), "nothing is missing");
    }
}

/// Numbers of all whole Message and Commit records, wherever they stand.
fn committed(bytes: &[u8], key: Key) -> Vec<u64> {
    let places = (PAGE..bytes.len()).step_by(crate::record::ALIGN);
    places
        .filter_map(|at| match probe(&bytes[at..], key) {
            Probe::Valid(h) if matches!(h.kind, Kind::Message | Kind::Commit) => Some(h.number),
            _ => None,
        })
        .collect()
}

/// A segment in which every plausible record has the right key and checksum, one after the other.
fn make_valid(part: &[u8], key: Key) -> Vec<u8> {
    let mut bytes = [&[0; PAGE], part].concat();
    let mut at = PAGE;
    while at + HEADER <= bytes.len() {
        bytes[at..at + 4].copy_from_slice(&crate::record::MAGIC.to_le_bytes());
        let Some(header) = parse(&bytes[at..]) else {
            at += crate::record::ALIGN;
            continue;
        };
        let length = HEADER + header.length as usize % 4096;
        let end = (at + length).min(bytes.len());
        let length = (end - at) as u32;
        finish(&mut bytes[at..end], &crate::record::Header { key, length, ..header });
        at = crate::record::aligned(end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(any::<u8>(), 0..120);
        (1..14u8, 0..4u64, 0..6u64, body).prop_map(|(kind, lsn, number, body)| {
            let mut bytes = vec![0; HEADER];
            bytes[4] = kind;
            bytes[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
            bytes[16..24].copy_from_slice(&lsn.to_le_bytes());
            bytes[24..32].copy_from_slice(&(number << 6).to_le_bytes());
            bytes.extend(body);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        })
    }

    proptest! {
        #[test]
        fn any_bytes_replay_without_a_panic(
            data in proptest::collection::vec(any::<u8>(), 0..9000),
        ) {
            fuzz_queue_replay(&data);
        }

        #[test]
        fn any_records_replay_without_a_panic(
            first in 4..8u8,
            records in proptest::collection::vec(record(), 0..40),
        ) {
            let mut data = vec![first];
            records.into_iter().for_each(|record| data.extend(record));
            fuzz_queue_replay(&data);
        }

        #[test]
        fn any_script_replays_without_a_panic(
            first in 8..12u8,
            script in proptest::collection::vec(0..48u8, 0..400),
        ) {
            fuzz_queue_replay(&[&[first], &script[..]].concat());
        }
    }
}
