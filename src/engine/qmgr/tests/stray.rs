//! Messages that are copied forward in the log while they wait for their turn.

use super::{count, play, play_new, takes_all};
use crate::limits::PINNED_MESSAGE_BYTES;
use mail::{Address, Envelope, Recipient};
use queue::{Core, Log, Options, Refused, Store};
use std::path::Path;

/// So few at once that the log is cleaned meanwhile.
const CROWDED: &str = "qmgr_message_active_limit = 20\n";

/// No scan takes them before, seconds since 1970.
const FAR: u64 = 1_800_000_000;

/// Deferred messages in a log of some segments.
fn fill(directory: &Path, messages: usize) {
    let store = Store::open(directory, Options { segment_bytes: 1 << 20, ..Options::default() });
    let (mut log, _) = Log::join(&store.unwrap(), Core::new(0).unwrap()).unwrap();
    let mut encoded = Vec::new();
    let to = Recipient::new(Address::from_internal(b"c@b.example"));
    let sender = Address::from_internal(b"a@b.example");
    let envelope = Envelope { sender, recipients: vec![to], size: 12, ..Envelope::default() };
    envelope.encode(&mut encoded);
    for _ in 0..messages {
        let number = log.reserve_number();
        while let Err(queue::Full::Busy) =
            log.append(number, 1_767_225_600_000_000, 0, &encoded, &[b"Subject: x\r\n"])
        {
            write(&mut log);
        }
        while let Err(Refused::Full(queue::Full::Busy)) = log.defer(number, FAR, b"x") {
            write(&mut log);
        }
    }
    write(&mut log);
}

fn write(log: &mut Log) {
    let Some(flush) = log.seal() else { return };
    let written = flush.write_blocking();
    log.flushed(flush.id, written).unwrap();
}

/// What had been copied forward before its turn came was put back among the deferred, to wait for
/// the next scan, and a flush left it there.
#[test]
fn a_flush_takes_what_is_copied_forward_meanwhile() {
    const MESSAGES: usize = 4000;
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), MESSAGES);
    play(directory.path(), CROWDED, takes_all(0), |hands| async move {
        hands.wait(1).await;
        assert_eq!(hands.queues().len(), MESSAGES);
        hands.flush();
        hands.wait(100).await;
        assert_eq!((hands.mail().len(), hands.queues().len()), (MESSAGES, 0));
    });
}

/// A message too large to be kept in memory that was copied forward while it was active was
/// deferred as unreadable.
#[test]
fn what_is_copied_forward_while_it_is_active_is_delivered() {
    let line = format!("{}\r\n", "x".repeat(900));
    let large = format!("\r\n{}y", line.repeat(PINNED_MESSAGE_BYTES as usize / 900));
    let settings = "message_size_limit = 1000000\nsmtp_destination_concurrency_limit = 1\n\
                    default_transport = error:5.0.0 away with it\n";
    let log = play_new(settings, takes_all(10), |hands| async move {
        for _ in 0..3 {
            hands.submit("<a@z.example>", &["<c@b.example>"], &large).await;
        }
        for _ in 0..500 {
            hands.submit("<>", &["<c@z.example>"], &large[..8000]).await;
        }
        hands.wait(100).await;
        assert_eq!((hands.mail().len(), hands.queues().len()), (3, 0));
    });
    assert_eq!(count(&log, "status=deferred"), 0);
}
