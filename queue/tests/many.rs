//! Many messages: what an append costs (printed for people), and readers beside the writer.

use std::{sync::mpsc, time::Instant};

use ringpost_queue::{Core, Location, Log, Options, ReadError, SEGMENT_MIN};

#[test]
fn ten_thousand_messages_of_four_kib_go_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 64 << 20, ..Options::default() };
    let (mut log, _) = Log::open(dir.path(), Core::new(0).unwrap(), options).unwrap();
    let content = vec![b'x'; 4096];
    let (mut spent, mut numbers) = (std::time::Duration::ZERO, Vec::new());
    for _ in 0..200 {
        if let Some(request) = log.wants_segment() {
            log.supply(request.prepare().unwrap());
        }
        let start = Instant::now();
        for _ in 0..50 {
            let number = log.reserve_number();
            log.append(number, 1, 0, &[b'e'; 200], &[&content]).unwrap();
            numbers.push(number);
        }
        spent += start.elapsed();
        while let Some(flush) = log.seal() {
            let written = flush.write_blocking();
            log.flushed(flush.id, written).unwrap();
        }
    }
    println!("append of 4 KiB: {:?} each", spent / numbers.len() as u32);
    assert!(numbers.iter().all(|number| log.content(*number).unwrap().len() == 4096));
    drop(log);
    let start = Instant::now();
    let (mut log, _) = Log::open(dir.path(), Core::new(0).unwrap(), options).unwrap();
    println!("recovery of {} messages: {:?}", log.len(), start.elapsed());
    assert_eq!(log.len(), numbers.len());
    for number in numbers {
        log.remove(number).unwrap();
    }
    assert!(log.is_empty());
}

#[test]
fn another_core_reads_whole_messages_or_is_told_that_they_moved() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { segment_bytes: SEGMENT_MIN, tail_bytes: 256 << 10, ..Options::default() };
    let (mut log, _) = Log::open(dir.path(), Core::new(0).unwrap(), options).unwrap();
    let store = log.store().clone();
    let (tell, told) = mpsc::sync_channel::<(Location, u8)>(64);
    let reader = std::thread::spawn(move || {
        let (mut whole, mut moved) = (0, 0);
        let mut old: Vec<(Location, u8)> = Vec::new();
        for (location, byte) in told {
            old.push((location, byte));
            for (location, byte) in old.iter().rev().step_by(old.len() / 8 + 1) {
                match store.content(location) {
                    Ok(content) => {
                        assert!(content.to_vec() == vec![*byte; 7000]);
                        whole += 1;
                    }
                    Err(ReadError::Moved) => moved += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        (whole, moved)
    });
    for at in 0..1500u32 {
        if let Some(request) = log.wants_segment() {
            log.supply(request.prepare().unwrap());
        }
        let number = log.reserve_number();
        let byte = at as u8;
        let placed = log.append(number, 1, 0, b"", &[&vec![byte; 7000]]).unwrap();
        while let Some(flush) = log.seal() {
            let written = flush.write_blocking();
            log.flushed(flush.id, written).unwrap();
        }
        tell.send((placed.location, byte)).unwrap();
        if at % 50 != 0 {
            log.remove(number).unwrap();
        }
        log.reclaim_step(64 << 10);
    }
    drop(tell);
    let (whole, moved) = reader.join().unwrap();
    assert!(whole > 1000 && moved > 100, "{whole} whole, {moved} moved");
}
