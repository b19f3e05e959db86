//! Bad disks: damage, torn ends, failed writes, full volumes - each touches only what it must.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ringpost_queue::{
    Core, Full, Kind, Log, Number, Options, ReadError, Recovery, Refused, SEGMENT_MIN, Store,
    storage::sim::{SimDisk, Tear},
};

const SEGMENT: &str = "/q/log/core-00/00-000000.seg";

fn open_with(disk: &SimDisk, tail_bytes: usize) -> (Log, Recovery) {
    let options = Options { segment_bytes: SEGMENT_MIN, tail_bytes, ..Options::default() };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new("/q"), options).unwrap();
    Log::join(&store, Core::new(0).unwrap()).unwrap()
}

fn open(disk: &SimDisk) -> (Log, Recovery) {
    open_with(disk, 1 << 20)
}

fn flush(log: &mut Log) {
    while let Some(flush) = log.seal() {
        let written = flush.write_blocking();
        log.flushed(flush.id, written).unwrap();
    }
}

fn supply(log: &mut Log) {
    log.retry_segments();
    while let Some(request) = log.wants_segment() {
        match request.prepare() {
            Ok(ready) => log.supply(ready),
            Err(error) => return log.segment_failed(&error),
        }
    }
}

fn append(log: &mut Log, content: &[u8]) -> Number {
    let number = log.reserve_number();
    log.append(number, 1, 0, b"envelope", &[content]).unwrap();
    number
}

fn find(disk: &SimDisk, path: &str, needle: &[u8]) -> usize {
    let bytes = disk.bytes(Path::new(path)).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

fn flip(disk: &SimDisk, path: &str, at: usize) {
    let mut bytes = disk.bytes(Path::new(path)).unwrap();
    bytes[at] ^= 1;
    disk.put(Path::new(path), bytes);
}

fn numbers(log: &Log) -> Vec<Number> {
    log.live().map(|live| live.number).collect()
}

#[test]
fn damage_in_one_message_moves_that_message_and_touches_nothing_else() {
    for one_batch in [true, false] {
        let disk = SimDisk::new(1, 64 << 20);
        let (mut log, _) = open(&disk);
        let contents = [b"first".repeat(900), b"second".repeat(900), b"third".repeat(900)];
        let mut all = Vec::new();
        for content in &contents {
            all.push(append(&mut log, content));
            if !one_batch {
                flush(&mut log);
            }
        }
        flush(&mut log);
        drop(log);
        flip(&disk, SEGMENT, find(&disk, SEGMENT, b"secondsecond") + 100);

        let (log, recovery) = open(&disk);
        assert_eq!(numbers(&log), [all[0], all[2]]);
        let live: Vec<_> = log.live().collect();
        assert_eq!(log.content(all[0]).unwrap().to_vec(), contents[0]);
        assert_eq!(log.content(all[2]).unwrap().to_vec(), contents[2]);
        let [report] = &recovery.corrupt[..] else { panic!("{recovery:?}") };
        assert_eq!((report.number, report.kind), (Some(all[1]), Some(Kind::Message)));
        let path = PathBuf::from(format!("/q/corrupt/{}", all[1]));
        assert_eq!(report.saved.as_ref(), Some(&path));
        let saved = disk.bytes(&path).unwrap();
        assert_eq!(saved.len(), 64 + b"envelope".len() + contents[1].len());
        let differ = saved[72..].iter().zip(&contents[1]).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 1, "one flipped bit, nothing else");
        drop(log);
        let (log, again) = open(&disk);
        assert!(again.corrupt.is_empty() && again.missing.is_empty(), "reported once");
        assert_eq!(log.live().collect::<Vec<_>>(), live);
    }
}

#[test]
fn a_damaged_header_loses_only_its_record() {
    let disk = SimDisk::new(2, 64 << 20);
    let (mut log, _) = open(&disk);
    let all = [b"one", b"two", b"six"].map(|word| {
        let number = append(&mut log, &word.repeat(2000));
        flush(&mut log);
        number
    });
    drop(log);
    let content = find(&disk, SEGMENT, b"twotwotwo");
    flip(&disk, SEGMENT, content - 72);
    let (log, recovery) = open(&disk);
    assert_eq!(numbers(&log), [all[0], all[2]]);
    let [report] = &recovery.corrupt[..] else { panic!("{recovery:?}") };
    assert_eq!(report.number, None);
    let saved = disk.bytes(report.saved.as_ref().unwrap()).unwrap();
    assert!(saved.windows(6000).any(|window| window == b"two".repeat(2000)));
}

#[test]
fn damage_in_an_extent_moves_its_whole_message() {
    let disk = SimDisk::new(3, 64 << 20);
    let (mut log, _) = open(&disk);
    let number = log.reserve_number();
    let mut draft = log.begin(number);
    for piece in [b"abc".repeat(3000), b"xyz".repeat(3000)] {
        log.extend(&mut draft, &piece).unwrap();
    }
    log.commit(draft, 1, 0, b"envelope").unwrap();
    let other = append(&mut log, b"other");
    flush(&mut log);
    drop(log);
    flip(&disk, SEGMENT, find(&disk, SEGMENT, b"xyzxyz") + 50);
    let (log, recovery) = open(&disk);
    assert_eq!(numbers(&log), [other]);
    let saved: Vec<_> = recovery.corrupt.iter().filter_map(|r| r.saved.clone()).collect();
    assert_eq!(saved, [PathBuf::from(format!("/q/corrupt/{number}"))]);
    let bytes = disk.bytes(&saved[0]).unwrap();
    assert!(bytes.windows(9000).any(|window| window == b"abc".repeat(3000)));
    drop(log);
    let (_, again) = open(&disk);
    assert!(again.corrupt.is_empty(), "{again:?}");
}

#[test]
fn a_torn_last_write_is_dropped_and_reported() {
    let disk = SimDisk::new(4, 64 << 20);
    let (mut log, _) = open(&disk);
    let first = append(&mut log, &[1; 5000]);
    flush(&mut log);
    let second = append(&mut log, &[2; 20_000]);
    flush(&mut log);
    drop(log);
    let bytes = disk.bytes(Path::new(SEGMENT)).unwrap();
    let at = bytes.windows(1000).position(|window| window == [2; 1000]).unwrap();
    let mut torn = bytes.clone();
    torn[at + 8192..at + 20_000].fill(0);
    disk.put(Path::new(SEGMENT), torn);
    let (mut log, recovery) = open(&disk);
    assert_eq!(numbers(&log), [first]);
    assert!(recovery.torn.is_some() && recovery.corrupt.is_empty(), "{recovery:?}");
    let third = append(&mut log, &[3; 100]);
    assert!(third > second);
    flush(&mut log);
    drop(log);
    let (log, recovery) = open(&disk);
    assert_eq!(numbers(&log), [first, third]);
    assert!(recovery.torn.is_none() && recovery.corrupt.is_empty(), "{recovery:?}");
}

#[test]
fn a_record_inside_a_message_is_content() {
    // The body is a perfect record of another segment use: all but the salt can be guessed.
    let disk = SimDisk::new(5, 64 << 20);
    let (mut log, _) = open(&disk);
    append(&mut log, b"victim");
    flush(&mut log);
    let forged = disk.bytes(Path::new(SEGMENT)).unwrap()[4096..8192].to_vec();
    drop(log);
    let other = SimDisk::new(6, 64 << 20);
    let (mut log, _) = open(&other);
    let carrier = append(&mut log, &[&[0; 4024][..], &forged].concat());
    flush(&mut log);
    drop(log);
    // The carrier's own header is destroyed, so recovery looks for records in its content.
    let at = find(&other, SEGMENT, b"victim");
    assert!(at > 8192);
    flip(&other, SEGMENT, 4096);
    let (log, _) = open(&other);
    assert_eq!(numbers(&log), [], "{carrier} is lost, nothing was invented");
}

#[test]
fn a_failed_or_short_write_poisons_the_log() {
    for result in [Err(io::Error::other("bad disk")), Ok(512)] {
        let disk = SimDisk::new(7, 64 << 20);
        let (mut log, _) = open(&disk);
        let kept = append(&mut log, b"kept");
        flush(&mut log);
        let durable = log.durable();
        let number = log.reserve_number();
        let placed = log.append(number, 1, 0, b"", &[b"lost"]).unwrap();
        let flush = log.seal().unwrap();
        let poisoned = log.flushed(flush.id, result).unwrap_err();
        assert_eq!((poisoned.durable, poisoned.appended), (durable, placed.lsn));
        assert!(log.seal().is_none() && log.poisoned() && log.room() == 0);
        let number = log.reserve_number();
        assert_eq!(log.append(number, 1, 0, b"", &[b"x"]), Err(Full::Poisoned));
        assert_eq!(log.remove(kept), Err(Refused::Full(Full::Poisoned)));
        drop(log);
        assert_eq!(numbers(&open(&disk).0), [kept]);
    }
}

#[test]
fn a_full_disk_refuses_mail_but_takes_outcomes_and_recovers() {
    let disk = SimDisk::new(8, 4 << 20);
    let (mut log, _) = open(&disk);
    let mut live = Vec::new();
    let refused = loop {
        supply(&mut log);
        let number = log.reserve_number();
        match log.append(number, 1, 0, b"env", &[&[9; 30_000]]) {
            Ok(_) => live.push(number),
            Err(full) => break full,
        }
        flush(&mut log);
    };
    assert_eq!(refused, Full::NoSpace);
    assert!(log.room() < 300_000, "{}", log.room());
    for number in &live {
        log.mark(*number, &[0]).unwrap();
        log.remove(*number).unwrap();
    }
    flush(&mut log);
    assert!(log.reclaim_step(1 << 20).segments >= 2);
    supply(&mut log);
    append(&mut log, &[1; 30_000]);
    flush(&mut log);
    assert_eq!(log.len(), 1);
}

#[test]
fn space_that_comes_back_is_used() {
    let disk = SimDisk::new(9, 2 << 20);
    let (mut log, _) = open(&disk);
    let mut count = 0;
    let mut fill = |log: &mut Log| {
        loop {
            supply(log);
            let number = log.reserve_number();
            if log.append(number, 1, 0, b"env", &[&[9; 30_000]]).is_err() {
                return count;
            }
            count += 1;
            flush(log);
        }
    };
    let before = fill(&mut log);
    disk.resize(8 << 20);
    assert!(fill(&mut log) > before + 100);
}

#[test]
fn content_that_waits_for_the_disk_is_bounded() {
    let disk = SimDisk::new(10, 256 << 20);
    let options = Options { segment_bytes: 16 << 20, ..Options::default() };
    let store = Store::open_on(Arc::new(disk), Path::new("/q"), options).unwrap();
    let (mut log, _) = Log::join(&store, Core::new(0).unwrap()).unwrap();
    let mut bytes = 0;
    let kept = append(&mut log, b"kept");
    loop {
        let number = log.reserve_number();
        match log.append(number, 1, 0, b"env", &[&[9; 100_000]]) {
            Ok(_) => bytes += 100_000,
            Err(full) => break assert_eq!(full, Full::Busy),
        }
    }
    let max = ringpost_queue::BATCH_BYTES_MAX;
    assert!(bytes > max / 2 && bytes <= max, "{bytes}");
    log.mark(kept, &[1]).unwrap();
    let number = log.reserve_number();
    flush(&mut log);
    log.append(number, 1, 0, b"env", &[&[9; 100_000]]).unwrap();
}

#[test]
fn a_handle_keeps_its_segment_from_being_recycled() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: SEGMENT_MIN, tail_bytes: 0, ..Options::default() };
    let (mut log, _) = Log::open(directory.path(), Core::new(0).unwrap(), options).unwrap();
    // Long enough not to be copied.
    let number = append(&mut log, &[5; 40_000]);
    flush(&mut log);
    let stale = log.location(number).unwrap();
    let content = log.content(number).unwrap();
    let piece = content.pieces().next().unwrap();
    log.remove(number).unwrap();
    for _ in 0..600 {
        supply(&mut log);
        let number = append(&mut log, &[6; 9000]);
        flush(&mut log);
        log.remove(number).unwrap();
        flush(&mut log);
        log.reclaim_step(1 << 20);
    }
    assert!(matches!(log.store().content(&stale), Err(ReadError::Moved)));
    assert_eq!(content.to_vec(), [5; 40_000]);
    drop(content);
    assert!(piece.iter().all(|byte| *byte == 5));
    let files = || std::fs::read_dir(directory.path().join("log/core-00")).unwrap().count();
    let with_handle = files();
    drop(piece);
    supply(&mut log);
    assert!(files() < with_handle, "{with_handle} files before");
}

#[test]
fn lost_headers_are_found_again_from_the_records() {
    let disk = SimDisk::new(12, 64 << 20);
    let (mut log, _) = open(&disk);
    let number = append(&mut log, b"content");
    flush(&mut log);
    drop(log);
    let mut bytes = disk.bytes(Path::new(SEGMENT)).unwrap();
    bytes[..4096].fill(0xee);
    disk.put(Path::new(SEGMENT), bytes);
    let (mut log, _) = open(&disk);
    assert_eq!(numbers(&log), [number]);
    assert!(log.reserve_number() > number);
}

#[test]
fn a_segment_that_was_being_made_is_cleared_away() {
    let disk = SimDisk::new(13, 64 << 20);
    let (log, _) = open(&disk);
    drop(log);
    let half = Path::new("/q/log/core-00/00-000007.seg");
    disk.put(half, vec![0; 12_345]);
    let image = disk.crashed(Tear::Lose, &mut ringpost_queue::storage::sim::Rng::new(1));
    let (_, recovery) = open(&image);
    assert!(recovery.unreadable.is_empty());
    assert!(image.bytes(half).is_none());
}

/// Traffic that comes and goes, until `done` or 2000 messages; reclaims meanwhile.
fn traffic(log: &mut Log, mut done: impl FnMut(usize) -> bool) {
    for _ in 0..2000 {
        supply(log);
        let number = append(log, &[6; 9000]);
        flush(log);
        log.remove(number).unwrap();
        flush(log);
        let copied = log.reclaim_step(1 << 20).copied;
        flush(log);
        if done(copied) {
            return;
        }
    }
}

#[test]
fn a_copy_without_its_state_is_not_followed() {
    // Found by the crash test: a write was torn between the copy of a straggler and its State
    // record; the next start followed the copy, recycled the original's segment, and with it the
    // only record of a mark.
    let disk = SimDisk::new(14, 64 << 20);
    let (mut log, _) = open(&disk);
    let straggler = append(&mut log, b"straggler");
    log.mark(straggler, &[2]).unwrap();
    log.defer(straggler, 7, b"needle").unwrap();
    flush(&mut log);
    traffic(&mut log, |copied| copied > 0);
    drop(log);
    let count = |bytes: &[u8]| bytes.windows(6).filter(|window| window == b"needle").count();
    let with_copy: Vec<PathBuf> = disk
        .paths()
        .into_iter()
        .filter(|path| count(&disk.bytes(path).unwrap()) == 1)
        .filter(|path| path != Path::new(SEGMENT))
        .collect();
    let [copy] = &with_copy[..] else { panic!("{with_copy:?}") };
    let copy = copy.to_str().unwrap();
    flip(&disk, copy, find(&disk, copy, b"needle"));

    let (mut log, _) = open(&disk);
    assert_eq!(numbers(&log), [straggler]);
    let mut copied = 0;
    traffic(&mut log, |bytes| {
        copied += bytes;
        false
    });
    assert!(copied > 0, "the straggler moved after all");
    drop(log);
    let (log, recovery) = open(&disk);
    assert!(log.find(straggler).unwrap().marks.contains(2), "{recovery:?}");
    assert_eq!(&*log.defer_detail(straggler).unwrap().unwrap(), b"needle");
    assert_eq!(log.content(straggler).unwrap().to_vec(), b"straggler");
}

/// Writes a checkpoint now.
fn checkpoint(log: &mut Log) {
    log.hurry_checkpoint();
    log.checkpoint().expect("everything is durable").write().unwrap();
    log.checkpointed();
}

const CHECKPOINT: &str = "/q/log/core-00/checkpoint";

#[test]
fn damage_that_a_checkpoint_hides_is_found_before_anybody_gets_it() {
    let disk = SimDisk::new(15, 64 << 20);
    let (mut log, _) = open(&disk);
    let all = [b"first", b"wrong", b"third"].map(|word| append(&mut log, &word.repeat(500)));
    flush(&mut log);
    checkpoint(&mut log);
    drop(log);
    flip(&disk, SEGMENT, find(&disk, SEGMENT, b"wrongwrong") + 50);
    let (mut log, recovery) = open_with(&disk, 0);
    assert!(recovery.corrupt.is_empty(), "it was not read: {recovery:?}");
    assert!(matches!(log.content(all[1]), Err(ReadError::Damaged)));
    assert_eq!(log.content(all[2]).unwrap().to_vec(), b"third".repeat(500));
    assert!(log.put_aside(all[1]));
    flush(&mut log);
    assert!(disk.bytes(&PathBuf::from(format!("/q/corrupt/{}", all[1]))).is_some());
    drop(log);
    assert_eq!(numbers(&open(&disk).0), [all[0], all[2]]);
}

#[test]
fn a_damaged_checkpoint_is_nothing() {
    for at in [0, 20, 70, 200] {
        let disk = SimDisk::new(16, 64 << 20);
        let (mut log, _) = open(&disk);
        let all = [b"one", b"two"].map(|word| append(&mut log, word));
        flush(&mut log);
        checkpoint(&mut log);
        drop(log);
        flip(&disk, CHECKPOINT, at);
        let (log, recovery) = open(&disk);
        assert_eq!(numbers(&log), all);
        assert!(recovery.corrupt.is_empty() && recovery.missing.is_empty());
        assert!(disk.bytes(Path::new(CHECKPOINT)).is_none(), "it is never asked again");
    }
}

#[test]
fn a_checkpoint_of_another_log_is_nothing() {
    let [old, new] = [17, 18].map(|seed| SimDisk::new(seed, 64 << 20));
    let (mut log, _) = open(&old);
    append(&mut log, b"of long ago");
    flush(&mut log);
    checkpoint(&mut log);
    drop(log);
    let (mut log, _) = open(&new);
    let number = append(&mut log, b"of today");
    flush(&mut log);
    drop(log);
    new.put(Path::new(CHECKPOINT), old.bytes(Path::new(CHECKPOINT)).unwrap());
    let (log, _) = open(&new);
    assert_eq!(numbers(&log), [number]);
    assert_eq!(log.content(number).unwrap().to_vec(), b"of today");
}

/// Segments on a disk, each of `SEGMENT_MIN` bytes.
fn segments(disk: &SimDisk) -> u64 {
    let is_segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "seg");
    disk.paths().iter().filter(is_segment).count() as u64
}

/// What a live message takes in the log beside its content: its frame, envelope and reason.
const FRAME: u64 = 80;

/// Quick mail, of which one message in `straggles` stays for long: how many segments the log takes
/// beside twice its live bytes, at most.
fn excess_segments(straggles: u64, size: usize, bytes: u64) -> f64 {
    let disk = SimDisk::new(straggles, 256 << 20);
    let (mut log, _) = open_with(&disk, 0);
    let (mut live, mut worst) = (0u64, f64::MIN);
    for at in 0..bytes / size as u64 {
        supply(&mut log);
        let content = vec![6; size];
        let number = log.reserve_number();
        // As an engine does: what does not fit waits for the next segment.
        while let Err(full) = log.append(number, 1, 0, b"envelope", &[&content]) {
            assert_eq!(full, Full::NoSpace);
            supply(&mut log);
        }
        flush(&mut log);
        if at % straggles == 0 {
            log.defer(number, at, b"for long").unwrap();
            live += size as u64 + FRAME;
        } else {
            log.remove(number).unwrap();
        }
        flush(&mut log);
        while log.reclaim_step(64 << 10).more {
            flush(&mut log);
        }
        worst = worst.max(segments(&disk) as f64 - 2.0 * live as f64 / SEGMENT_MIN as f64);
    }
    worst
}

#[test]
fn the_log_takes_at_most_twice_its_live_bytes_and_two_segments() {
    for straggles in [2, 10, 1_000_000] {
        for (size, bytes) in [(500, 3_000_000), (8000, 20_000_000), (60_000, 20_000_000)] {
            let excess = excess_segments(straggles, size, bytes);
            println!("one in {straggles} of {size} bytes stays: {excess} segments");
            assert!(excess <= 2.0, "one in {straggles} of {size} bytes stays: {excess} segments");
        }
    }
}
