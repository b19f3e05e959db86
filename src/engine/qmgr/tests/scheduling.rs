//! Transports and destinations as the configuration has them.

use super::*;
use crate::lookup::remarks::Remark;
use crate::testing::site::Rule;
use crate::testing::snapshot_with;
use std::cell::Cell;

#[test]
fn limits_are_per_user_when_recipients_go_one_at_a_time() {
    let main = "smtp_destination_recipient_limit = 1\nsmtp_destination_concurrency_limit = 1\n\
        recipient_delimiter = +\n";
    let log = play_new(main, takes_all(10), |hands| async move {
        let to = ["<bob@b.example>", "<Bob+lists@b.example>", "<carol@b.example>"];
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        hands.wait(1).await;
        assert_eq!(hands.heard("MAIL"), 2, "bob and carol");
        assert_eq!(hands.heard("RCPT TO:<carol@"), 1);
        hands.wait(12).await;
        assert_eq!((hands.heard("MAIL"), hands.mail().len()), (3, 2));
        hands.wait(12).await;
    });
    assert_eq!(count(&log, "relay=192.0.2.61[192.0.2.61]:25"), 3, "the real next hop: {log:#?}");
}

#[test]
fn a_transport_nobody_serves_is_dead_as_a_whole_for_a_while() {
    let main = "default_transport = nosuch:there\nminimal_backoff_time = 10s\n\
        queue_run_delay = 10s\nmaximal_backoff_time = 10s\ntransport_retry_time = 600s\n";
    let log = play_new(main, takes_all(0), |hands| async move {
        for user in ["a", "b", "c"] {
            hands.send("s@b.example", &format!("{user}@{user}.y.example")).await;
        }
        hands.wait(500).await;
        assert_eq!(hands.queues(), ["deferred"; 3]);
    });
    let warning = "warning: connect to transport private/nosuch: No such file or directory";
    assert_eq!(count(&log, warning), 1, "{log:#?}");
    let line = "relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0, status=deferred \
                (mail transport unavailable)";
    assert!(count(&log, line) >= 3, "{log:#?}");
    assert!(count(&log, "status=deferred (mail transport unavailable)") > 30, "{log:#?}");
}

#[test]
fn a_crowded_destination_is_named_with_advice() {
    let main = "qmgr_message_active_limit = 10\nsmtp_destination_concurrency_limit = 1\n";
    let log = play_new(main, takes_all(100), |hands| async move {
        for user in ["a", "b", "c", "d"] {
            hands.send("s@z.example", &format!("{user}@b.example")).await;
        }
    });
    let warnings: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_prefix("postfix/qmgr: warning: "))
        .filter(|line| !line.contains("parameter"))
        .collect();
    assert_eq!(
        warnings,
        [
            "mail for [192.0.2.61] is using up 3 of 3 active queue entries",
            "you may need to increase the main.cf smtp_destination_concurrency_limit from 1",
            "please avoid flushing the whole queue when you have",
            "lots of deferred mail, that is bad for performance",
            "to turn off these warnings specify: qmgr_clog_warn_time = 0",
        ]
    );
}

#[test]
fn the_process_limit_comes_from_master_cf() {
    let services = "one unix - - n - 1 smtp\nany unix - - n - 0 smtp\n";
    let snapshot = snapshot_with("default_process_limit = 7\n", services);
    let limit = |name| snapshot.qmgr.transport(name).process_limit;
    assert_eq!((limit("one"), limit("any"), limit("smtp")), (1, 0, 7));
}

#[test]
fn strange_numbers_are_said_to_be() {
    let snapshot = crate::testing::snapshot(
        "bounce_queue_lifetime = 6d\nqmgr_message_recipient_limit = 5\n\
         smtp_destination_concurrency_negative_feedback = 7\nin_flow_delay = 2s\n\
         notify_classes = 2bounce, protocol\n",
    );
    for part in [
        "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting",
        "qmgr_message_recipient_limit is smaller than qmgr_message_active_limit - adjusting",
        "smtp_destination_concurrency_negative_feedback: ignoring malformed or unreasonable \
         feedback: 7",
        "parameter not acted upon: in_flow_delay=2s",
        "notify_classes: of class protocol, the smtp client's are not sent",
    ] {
        let said = |remark: &Remark| remark.text.contains(part);
        assert!(snapshot.remarks.iter().any(said), "{part}\n{:#?}", snapshot.remarks);
    }
}

#[test]
fn a_message_with_more_recipients_than_memory_is_delivered_whole() {
    let main = "qmgr_message_active_limit = 2\nqmgr_message_recipient_limit = 20\n\
        smtp_recipient_limit = 15\nsmtp_extra_recipient_limit = 0\n";
    let log = play_new(main, takes_all(1), |hands| async move {
        let to: Vec<String> = (0..200).map(|number| format!("<u{number}@b.example>")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        hands.wait(300).await;
        assert_eq!((hands.heard("RCPT"), hands.queues().len()), (200, 0));
    });
    assert_eq!(count(&log, ": removed"), 1);
}

#[test]
fn recipients_of_one_delivery_are_sorted_by_domain() {
    play_new(
        "virtual_mailbox_domains = b.example, a.example\n",
        takes_all(0),
        |hands| async move {
            let to = ["<z@A.example>", "<b@b.example>", "<a@b.example>", "<c@a.example>"];
            hands.submit("<s@z.example>", &to, "\r\nx").await;
            hands.wait(5).await;
            let lines = hands.kept.borrow().lines.clone();
            let to: Vec<&str> =
                lines.iter().filter_map(|line| line.strip_prefix("RCPT TO:")).collect();
            assert_eq!(to, ["<c@a.example>", "<z@A.example>", "<a@b.example>", "<b@b.example>"]);
        },
    );
}

/// What was deferred while a destination was down comes to it within its window once it is back,
/// however much is due at once.
#[test]
fn a_destination_that_is_back_is_not_hit_by_everything_at_once() {
    const MESSAGES: usize = 60;
    const WINDOW: usize = 4;
    let main = "smtp_destination_concurrency_limit = 4\nminimal_backoff_time = 300s\n\
                maximal_backoff_time = 300s\nqueue_run_delay = 300s\n";
    let up = Rc::new(Cell::new(false));
    let site_up = up.clone();
    let rule: Rule = Box::new(move |line| {
        (line.starts_with("RCPT") && !site_up.get()).then(|| "450 4.2.0 not now".to_string())
    });
    let log = play_new(main, (rule, 2), move |hands| async move {
        for at in 0..MESSAGES {
            hands.send("a@b.example", &format!("user{at}@b.example")).await;
        }
        hands.wait(60).await;
        assert_eq!(hands.queues(), vec!["deferred"; MESSAGES]);
        up.set(true);
        let mut worst = 0;
        let begun = |hands: &Hands| hands.heard("DATA");
        while hands.mail().len() < MESSAGES {
            worst = worst.max(begun(&hands) - hands.mail().len());
            hands.wait(1).await;
        }
        assert!((1..=WINDOW).contains(&worst), "{worst} at once");
    });
    assert_eq!(count(&log, "status=sent"), MESSAGES, "{log:#?}");
}
