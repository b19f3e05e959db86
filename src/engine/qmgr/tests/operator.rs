//! postsuper, postqueue and reload while mail is in every stage.

use super::*;
use crate::parcel::{Parcel, Settle};
use crate::testing::snapshot_with;

const ONE: &str = "smtp_destination_concurrency_limit = 1\nsmtp_destination_recipient_limit = 2\n";
const LATER: &str = "default_transport = retry:4.2.1 not now\nminimal_backoff_time = 600s\n";

#[test]
fn an_active_message_that_is_deleted_ends_with_what_is_under_way() {
    let log = play_new(ONE, takes_all(10), |hands| async move {
        let to = ["<u@b.example>", "<v@b.example>", "<w@b.example>"];
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        hands.send("a@z.example", "other@b.example").await;
        assert_eq!(hands.queues(), ["active", "active"]);
        assert_eq!(hands.order("delete"), 2);
        assert_eq!(hands.queues(), ["active"], "what waited is gone at once");
        hands.wait(60).await;
        assert_eq!((hands.mail().len(), hands.queues().len()), (1, 0));
    });
    assert_eq!(count(&log, "status=sent"), 2, "{log:#?}");
    assert_eq!(count(&log, ": removed"), 0, "postsuper says it: {log:#?}");
}

#[test]
fn an_active_message_that_is_held_keeps_what_was_not_tried() {
    let directory = tempfile::tempdir().unwrap();
    let log = play(directory.path(), ONE, takes_all(10), |hands| async move {
        let to = ["<u@b.example>", "<v@b.example>", "<w@b.example>"];
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        assert_eq!(hands.order("hold"), 1);
        hands.wait(60).await;
        assert_eq!((hands.mail().len(), hands.queues()), (1, vec!["hold"]));
    });
    assert_eq!((count(&log, "status=sent"), count(&log, ": removed")), (2, 0), "{log:#?}");
    let log = play(directory.path(), ONE, takes_all(0), |hands| async move {
        hands.wait(1000).await;
        assert_eq!((hands.mail().len(), hands.queues()), (0, vec!["hold"]));
        assert_eq!(hands.order("release"), 1);
        hands.wait(60).await;
        assert_eq!(hands.heard("RCPT TO:<w@b.example>"), 1);
        assert_eq!((hands.heard("RCPT"), hands.queues().len()), (1, 0));
    });
    assert_eq!((count(&log, "nrcpt=1 "), count(&log, ": removed")), (1, 1), "{log:#?}");
}

#[test]
fn mail_that_is_expired_by_force_comes_back_as_it_is() {
    let log = play_new(LATER, takes_all(0), |hands| async move {
        hands.send("a@b.example", "x@y.example").await;
        hands.wait(5).await;
        assert_eq!((hands.queues(), hands.order("expire")), (vec!["deferred"], 1));
        hands.wait(5).await;
        let mail = hands.mail();
        assert!(mail[0].contains("\r\n<x@y.example>: not now\r\n"), "{mail:#?}");
        assert!(mail[0].contains("\r\nAction: failed\r\nStatus: 4.2.1\r\n"), "{mail:#?}");
        assert_eq!(hands.queues().len(), 0);
    });
    assert_eq!(count(&log, "status=deferred"), 1, "one attempt: {log:#?}");
    let line = ": from=<a@b.example>, status=force-expired, returned to sender";
    assert_eq!(count(&log, line), 1, "{log:#?}");
    assert_eq!(count(&log, "from=<a@b.example>, size="), 2, "{log:#?}");
}

#[test]
fn mail_that_was_never_tried_says_that_it_was_expired() {
    let full = "qmgr_message_active_limit = 1\n";
    let log = play_new(full, takes_all(10), |hands| async move {
        hands.send("a@b.example", "first@b.example").await;
        hands.send("c@b.example", "second@b.example").await;
        assert_eq!(hands.queues(), ["active", "incoming"]);
        assert_eq!(hands.order("expire"), 2);
        hands.wait(60).await;
        assert_eq!(hands.heard("RCPT TO:<first@"), 1, "it was under way");
        assert_eq!(hands.heard("RCPT TO:<second@"), 0);
        let mail = hands.mail();
        assert!(
            mail[1].contains("\r\n<second@b.example>: message is administratively expired\r\n")
        );
        assert!(mail[1].contains("\r\nAction: failed\r\nStatus: 4.7.0\r\n"), "{mail:#?}");
        assert_eq!(hands.queues().len(), 0);
    });
    let line = "dsn=4.7.0, status=deferred (message is administratively expired)";
    assert_eq!(count(&log, line), 1, "{log:#?}");
    assert_eq!(count(&log, "status=force-expired, returned to sender"), 1, "{log:#?}");
}

/// A flush took what it had just deferred again and again.
#[test]
fn a_flush_tries_everything_once() {
    let log = play_new(LATER, takes_all(0), |hands| async move {
        for user in ["a", "b", "c"] {
            hands.send("a@b.example", &format!("{user}@y.example")).await;
        }
        hands.wait(5).await;
        hands.flush();
        hands.wait(5).await;
        assert_eq!(hands.queues(), ["deferred"; 3]);
    });
    assert_eq!(count(&log, "status=deferred (not now)"), 6, "{log:#?}");
}

#[test]
fn a_flush_lifts_defer_transports() {
    for by_flush in [true, false] {
        let log = play_new("defer_transports = smtp\n", takes_all(0), move |hands| async move {
            hands.send("a@b.example", "x@b.example").await;
            hands.wait(5).await;
            assert_eq!((hands.mail().len(), hands.queues()), (0, vec!["deferred"]));
            if by_flush {
                hands.flush()
            } else {
                assert_eq!(hands.order("flush-message"), 1)
            }
            hands.wait(5).await;
            assert_eq!((hands.mail().len(), hands.queues().len()), (1, 0));
        });
        let line = "relay=none, delay=0, delays=0/0/0/0, dsn=4.3.2, status=deferred \
                    (deferred transport)";
        assert_eq!(count(&log, line), 1, "{log:#?}");
    }
}

#[test]
fn a_reload_routes_anew_what_waits_and_leaves_what_is_under_way() {
    let log = play_new(ONE, takes_all(10), |hands| async move {
        for user in ["a", "b", "c"] {
            hands.send("a@z.example", &format!("{user}@b.example")).await;
        }
        assert_eq!((hands.heard("MAIL"), hands.queues()), (1, vec!["active"; 3]));
        let text = format!("{TO_SITE}virtual_transport = late:there\n");
        let late = snapshot_with(&text, "late unix - - n - - discard\n");
        hands.core.port.send(0, Parcel::Reload(late));
        hands.wait(5).await;
        assert_eq!(hands.queues().len(), 1);
        hands.wait(20).await;
        assert_eq!((hands.heard("MAIL"), hands.mail().len(), hands.queues().len()), (1, 1, 0));
    });
    assert_eq!(count(&log, "postfix/discard: "), 2, "{log:#?}");
    assert_eq!((count(&log, "status=sent"), count(&log, ": removed")), (3, 3), "{log:#?}");
}

#[test]
fn a_reload_changes_the_numbers_of_destinations_that_are_there() {
    play_new("smtp_destination_concurrency_limit = 3\n", takes_all(10), |hands| async move {
        for number in 0..9 {
            hands.send("a@z.example", &format!("u{number}@b.example")).await;
        }
        assert_eq!(hands.heard("MAIL"), 3);
        let text = format!("{TO_SITE}smtp_destination_concurrency_limit = 1\n");
        hands.core.port.send(0, Parcel::Reload(crate::testing::snapshot(&text)));
        hands.wait(12).await;
        assert_eq!((hands.mail().len(), hands.heard("MAIL")), (3, 4), "one at a time now");
        hands.wait(100).await;
        assert_eq!((hands.mail().len(), hands.queues().len()), (9, 0));
    });
}

#[test]
fn mail_released_before_it_was_parked_waits_for_its_time() {
    let old = format!("{ONE}maximal_queue_lifetime = 0\nminimal_backoff_time = 600s\n");
    let log = play_new(&old, takes_all(10), |hands| async move {
        let to = ["<u@b.example>", "<v@b.example>", "<w@b.example>"];
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        hands.wait(1).await;
        assert_eq!((hands.order("hold"), hands.order("release")), (1, 1));
        hands.wait(20).await;
        assert_eq!(hands.queues(), ["deferred"], "who was not tried is not given up");
        hands.wait(1200).await;
        assert_eq!((hands.heard("RCPT TO:<w@"), hands.queues().len()), (1, 0));
    });
    assert_eq!((count(&log, "status=sent"), count(&log, "status=expired")), (3, 0), "{log:#?}");
}

/// When the active queue is full, the next that comes in is new mail.
#[test]
fn new_mail_does_not_wait_behind_a_flush() {
    let main = "qmgr_message_active_limit = 1\ndefer_transports = smtp\n";
    let log = play_new(main, takes_all(10), |hands| async move {
        for user in ["old1", "old2", "old3"] {
            hands.send("a@z.example", &format!("{user}@b.example")).await;
        }
        hands.wait(5).await;
        assert_eq!(hands.queues(), ["deferred"; 3]);
        hands.flush();
        hands.wait(1).await;
        hands.send("a@z.example", "new@y.example").await;
        hands.wait(100).await;
        assert_eq!(hands.mail().len(), 3);
    });
    let active: Vec<&String> = log.iter().filter(|line| line.contains("(queue active)")).collect();
    assert_eq!(active.len(), 7);
    let new = log.iter().position(|line| line.contains("to=<new@y.example>")).unwrap();
    let sent = |line: &&String| line.contains("status=sent");
    assert_eq!(log[..new].iter().filter(sent).count(), 1, "{log:#?}");
}

/// Changes that found the log busy were put back while they were still being taken out: a panic.
#[test]
fn more_changes_than_a_write_takes_wait_for_the_next_ones() {
    const CHANGES: u32 = 60_000;
    play_new(LATER, takes_all(0), |hands| async move {
        hands.send("a@b.example", "x@y.example").await;
        hands.wait(5).await;
        let number = hands.core.queue.borrow().newest().unwrap();
        for flags in 0..CHANGES {
            let settle = Settle::Flags { number, flags: flags << 8 };
            hands.core.port.send(0, Parcel::Settle(settle));
        }
        // Segments are made by a real thread, which the simulated clock does not wait for.
        let flags = || hands.core.queue.borrow().find(number).unwrap().flags;
        for _ in 0..5_000_000 {
            if flags() == (CHANGES - 1) << 8 {
                break;
            }
            hands.wait(1).await;
        }
        assert_eq!(flags(), (CHANGES - 1) << 8);
        assert!(hands.core.unsettled.borrow().is_empty());
        assert_eq!(hands.queues(), ["deferred"]);
    });
}
