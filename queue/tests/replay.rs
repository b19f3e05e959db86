//! What was written is what is found, on the real file system.

use std::path::Path;

use ringpost_queue::{
    Core, FLAG_HELD, Log, Lsn, OpenError, Options, Reader, SEGMENT_MIN, State, Store,
};

fn options() -> Options {
    Options { segment_bytes: SEGMENT_MIN, ..Options::default() }
}

fn open(dir: &Path) -> (Log, ringpost_queue::Recovery) {
    Log::open(dir, Core::new(0).unwrap(), options()).unwrap()
}

/// Writes everything that waits.
fn flush(log: &mut Log) -> Lsn {
    while let Some(flush) = log.seal() {
        let written = flush.write_blocking();
        log.flushed(flush.id, written).unwrap();
    }
    log.durable()
}

fn supply(log: &mut Log) {
    while let Some(request) = log.wants_segment() {
        log.supply(request.prepare().unwrap());
    }
}

#[test]
fn a_message_and_its_state_survive_a_stop_without_close() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, recovery) = open(dir.path());
    assert!(log.is_empty() && recovery.torn.is_none());
    let number = log.reserve_number();
    assert_eq!(number.get(), 64);
    let placed = log.append(number, 123, 7, b"envelope", &[b"hello ", b"world"]).unwrap();
    log.mark(number, &[0, 3, 70]).unwrap();
    log.defer(number, 1000, b"try later").unwrap();
    assert!(flush(&mut log) >= placed.lsn);
    assert_eq!(log.content(number).unwrap().to_vec(), b"hello world");
    drop(log);

    let (log, _) = open(dir.path());
    let found: Vec<_> = log.live().collect();
    let [live] = &found[..] else { panic!("{found:?}") };
    assert_eq!((live.number, live.arrival_us, live.flags, live.size), (number, 123, 7, 11));
    assert_eq!(live.marks.iter().collect::<Vec<_>>(), [0, 3, 70]);
    assert_eq!(live.state, State::Deferred { until: 1000 });
    assert_eq!(log.store().content(&live.location).unwrap().to_vec(), b"hello world");
    assert_eq!(&*log.envelope(number).unwrap(), b"envelope");
    assert_eq!(&*log.defer_detail(number).unwrap().unwrap(), b"try later");

    let reader = Reader::open(dir.path()).unwrap();
    let message = reader.message(number).unwrap();
    assert_eq!(message.envelope, b"envelope");
    assert_eq!(message.detail, b"try later");
    assert_eq!(message.live, *live);
}

#[test]
fn a_number_is_never_used_again_after_a_crash_or_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let first = log.reserve_number();
    drop(log);
    let (mut log, _) = open(dir.path());
    let second = log.reserve_number();
    assert!(second > first);
    let last = (0..5000).map(|_| log.reserve_number()).last().unwrap();
    drop(log);
    let (mut log, _) = open(dir.path());
    let third = log.reserve_number();
    assert!(third > last);
    log.close().unwrap();
    let (mut log, _) = open(dir.path());
    let fourth = log.reserve_number();
    assert_eq!(fourth.counter(), third.counter() + 1);
    // Nothing was written since the orderly end, and yet a number was given out.
    drop(log);
    let (mut log, _) = open(dir.path());
    assert!(log.reserve_number() > fourth);
}

#[test]
fn a_message_larger_than_a_segment_spans_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let number = log.reserve_number();
    let mut draft = log.begin(number);
    let mut expected = Vec::new();
    for at in 0..100u32 {
        supply(&mut log);
        let piece = vec![at as u8; 50_001];
        log.extend(&mut draft, &piece).unwrap();
        expected.extend(piece);
        flush(&mut log);
    }
    let placed = log.commit(draft, 1, FLAG_HELD, b"env").unwrap();
    flush(&mut log);
    assert!(log.store().content(&placed.location).unwrap().to_vec() == expected);
    drop(log);
    let (log, _) = open(dir.path());
    assert_eq!(log.len(), 1);
    assert_eq!(
        (log.find(number).unwrap().state, log.find(number).unwrap().flags),
        (State::Held, 0)
    );
    assert!(log.content(number).unwrap().to_vec() == expected);
    let mut read = Vec::new();
    let reader = Reader::open(dir.path()).unwrap();
    reader.content(number, &mut |piece| read.extend_from_slice(piece)).unwrap();
    assert!(read == expected);
}

#[test]
fn two_engines_on_one_queue_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    assert!(matches!(Store::open(dir.path(), options()), Err(OpenError::Locked(_))));
    let core = Core::new(1).unwrap();
    let log = Log::join(&store, core).unwrap();
    assert!(matches!(Log::join(&store, core), Err(OpenError::CoreTaken(1))));
    drop(log);
    assert!(Log::join(&store, core).is_ok());
    assert_eq!(store.cores_on_disk().unwrap(), [core]);
}

#[test]
fn segments_are_recycled_and_stragglers_survive() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let straggler = log.reserve_number();
    log.append(straggler, 9, 1, b"stay", &[&[7; 3000]]).unwrap();
    log.mark(straggler, &[2]).unwrap();
    log.defer(straggler, 77, b"detail").unwrap();
    let held = log.content(straggler).err();
    assert!(held.is_some(), "not sealed yet");
    let mut recycled = 0;
    for _ in 0..2000 {
        supply(&mut log);
        let number = log.reserve_number();
        log.append(number, 1, 0, b"go", &[&[1; 8000]]).unwrap();
        flush(&mut log);
        log.remove(number).unwrap();
        flush(&mut log);
        recycled += log.reclaim_step(1 << 20).segments;
    }
    assert!(recycled > 10, "{recycled}");
    assert_eq!(log.content(straggler).unwrap().to_vec(), [7; 3000]);
    let files = std::fs::read_dir(dir.path().join("log/core-00")).unwrap().count();
    assert!(files <= 6, "{files} segments for one message");
    drop(log);
    let (log, recovery) = open(dir.path());
    assert_eq!(log.len(), 1);
    assert!(recovery.corrupt.is_empty() && recovery.missing.is_empty(), "{recovery:?}");
    let live = log.find(straggler).unwrap();
    assert_eq!(live.state, State::Deferred { until: 77 });
    assert!(live.marks.contains(2));
    assert_eq!(&*log.defer_detail(straggler).unwrap().unwrap(), b"detail");
    assert_eq!(log.content(straggler).unwrap().to_vec(), [7; 3000]);
}
