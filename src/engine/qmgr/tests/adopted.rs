//! A part of the log whose core is not there any more.

use super::play;
use mail::{Address, Envelope, Recipient};
use queue::{Core, Log, Options, Refused, Store};
use std::path::Path;

/// One deferred message in the part of a second core, and so many changes that there is room for
/// none more.
fn fill(directory: &Path) {
    let options = Options { cores: 2, segment_bytes: 1 << 20, ..Options::default() };
    let store = Store::open(directory, options).unwrap();
    let (mut log, _) = Log::join(&store, Core::new(1).unwrap()).unwrap();
    let to = Recipient::new(Address::from_internal(b"c@b.example"));
    let sender = Address::from_internal(b"a@b.example");
    let envelope = Envelope { sender, recipients: vec![to], size: 12, ..Envelope::default() };
    let mut encoded = Vec::new();
    envelope.encode(&mut encoded);
    let number = log.reserve_number();
    log.append(number, 1_767_225_600_000_000, 0, &encoded, &[b"Subject: x\r\n"]).unwrap();
    for size in [50_000, 1000, 0] {
        while let Ok(_) | Err(Refused::Full(queue::Full::Busy)) =
            log.defer(number, 1_767_225_600, &vec![b'x'; size])
        {
            let flush = log.seal().unwrap();
            let written = flush.write_blocking();
            log.flushed(flush.id, written).unwrap();
        }
    }
}

/// It got no further segment: once the last one was full no removal was written down any more, of
/// any message of that core, and a restart delivered all of them again.
#[test]
fn a_full_part_without_a_core_gets_room_for_its_removals() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let log = play(directory.path(), "", super::takes_all(0), |hands| async move {
        hands.wait(10).await;
        assert_eq!(hands.mail().len(), 1);
        assert!(hands.core.unsettled.borrow().is_empty(), "a removal waits for room");
    });
    assert_eq!(super::count(&log, "removed"), 1, "{log:#?}");
    play(directory.path(), "", super::takes_all(0), |hands| async move {
        assert!(hands.queues().is_empty());
        hands.wait(1000).await;
        assert!(hands.mail().is_empty(), "delivered again");
    });
}
