//! Who is told, by sender and class.

use super::*;
use crate::testing::snapshot;
use mail::queue_id::QueueId;
use mail::{Address, Envelope, Recipient, Status};
use queue::Number;

fn readers(main_cf: &str, sender: &str, bits: u8, occasion: Occasion) -> Option<Vec<Reader>> {
    let mut recipient = Recipient::new(Address::from_internal(b"x@y.example"));
    recipient.notify = bits;
    let envelope = Envelope {
        sender: Address::from_internal(sender.as_bytes()),
        recipients: vec![recipient],
        ..Envelope::default()
    };
    let number = Number::from_u64(0xB140).unwrap();
    let message =
        MessageInfo { number, id: QueueId { micros: 0, number: 1, long: false }, envelope };
    let dsn = Arc::new(Dsn::local(Status::new(5, 0, 0), "no"));
    let entries = [Entry { index: 0, part: None, dsn, action: Action::Failed }];
    audience(&snapshot(main_cf), &message, occasion, &entries)
}

#[test]
fn notify_and_classes_decide() {
    use Occasion::{Delay, Failure, Success};
    use Reader::{Copy, Postmaster, Sender};
    let all = "notify_classes = bounce, 2bounce, delay\n";
    for (classes, sender, bits, occasion, expected) in [
        ("", "a@b", 0, Failure, vec![Sender]),
        ("", "a@b", notify::NEVER, Failure, vec![]),
        ("", "a@b", notify::DELAY, Failure, vec![]),
        ("", "a@b", notify::DELAY, Delay, vec![Sender]),
        ("", "a@b", notify::FAILURE, Delay, vec![]),
        (all, "a@b", notify::NEVER, Failure, vec![Copy]),
        (all, "a@b", 0, Delay, vec![Sender, Copy]),
        (all, "a@b", notify::SUCCESS, Success, vec![Sender]),
        ("", "", 0, Failure, vec![]),
        ("notify_classes = bounce\n", "", 0, Failure, vec![Postmaster]),
        (all, "", 0, Failure, vec![Postmaster]),
        (all, "", 0, Delay, vec![]),
        (all, "", notify::SUCCESS, Success, vec![Postmaster]),
    ] {
        let found = readers(classes, sender, bits, occasion);
        assert_eq!(found, Some(expected), "{classes} {sender} {bits} {occasion:?}");
    }
    for sender in ["double-bounce@mx.example.test", "Double-Bounce"] {
        assert_eq!(readers(all, sender, 0, Failure), None);
    }
}
