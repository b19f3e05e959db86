//! Who is told of failures, delays and successes.

use super::*;

const LATER: &str = "default_transport = retry:4.2.1 not now\nminimal_backoff_time = 600s\n\
    maximal_backoff_time = 600s\ndelay_warning_time = 1h\n";
const GONE: &str = "default_transport = error:5.1.6 gone away\n";

/// The parts of the only notice the site has.
fn notice(hands: &Hands) -> String {
    let mail = hands.mail();
    assert_eq!(mail.len(), 1, "{mail:#?}");
    mail[0].clone()
}

#[test]
fn the_sender_is_warned_of_a_delay_once_even_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let log = play(directory.path(), LATER, takes_all(0), |hands| async move {
        hands.submit("<a@b.example>", &["<x@y.example>"], "Subject: waits\r\n\r\nbody").await;
        hands.wait(3000).await;
        assert_eq!(hands.mail().len(), 0, "not before its time");
        hands.wait(3000).await;
        let text = notice(&hands);
        for part in [
            "Subject: Delayed Mail (still being retried)\r\n",
            "Your message could not be delivered for more than 1 hour(s).\r\n",
            "It will be retried until it is 5 day(s) old.\r\n",
            "\r\n<x@y.example>: not now\r\n",
            "\r\nAction: delayed\r\nStatus: 4.2.1\r\nDiagnostic-Code: X-Postfix; not now\r\n\
             Will-Retry-Until: ",
            "Content-Description: Undelivered Message Headers\r\n\
             Content-Type: text/rfc822-headers\r\n",
            "\r\nSubject: waits\r\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("body"), "{text}");
    });
    assert_eq!(count(&log, "postfix/bounce: "), 1, "{log:#?}");
    assert_eq!(count(&log, ": sender delay notification: "), 1, "{log:#?}");
    let log = play(directory.path(), LATER, takes_all(0), |hands| async move {
        hands.wait(10_000).await;
        assert_eq!((hands.mail().len(), hands.queues()), (0, vec!["deferred"]));
    });
    assert!(count(&log, "status=deferred (not now)") > 2, "{log:#?}");
}

#[test]
fn only_who_asked_is_warned_of_a_delay() {
    let log = play_new(LATER, takes_all(0), |hands| async move {
        let to = ["<n@y.example> NOTIFY=NEVER", "<f@y.example> NOTIFY=FAILURE"];
        hands.submit("<a@b.example>", &to, "\r\nx").await;
        hands.submit("<>", &["<x@y.example>"], "\r\nx").await;
        hands.wait(10_000).await;
        assert_eq!(hands.mail().len(), 0);
        let to = ["<n@y.example> NOTIFY=NEVER", "<d@y.example> NOTIFY=DELAY"];
        hands.submit("<a@b.example>", &to, "\r\nx").await;
        hands.wait(5000).await;
        let text = notice(&hands);
        assert!(text.contains("<d@y.example>: not now") && !text.contains("n@y.example"), "{text}");
    });
    assert_eq!(count(&log, " notification: "), 1, "{log:#?}");
}

#[test]
fn a_postmaster_may_have_a_copy_of_every_warning() {
    let copies = format!("{LATER}notify_classes = delay\ndelay_notice_recipient = pm@b.example\n");
    let log = play_new(&copies, takes_all(0), |hands| async move {
        hands.submit("<a@b.example>", &["<n@y.example> NOTIFY=NEVER"], "\r\nx").await;
        hands.wait(5000).await;
        let text = notice(&hands);
        assert!(text.contains("Subject: Postmaster Warning: Delayed Mail\r\n"), "{text}");
        assert!(text.contains("\r\n\r\n\r\n<n@y.example>: not now\r\n"), "{text}");
        assert_eq!(hands.heard("MAIL FROM:<double-bounce@mx.example.test>"), 1);
    });
    assert_eq!(count(&log, ": postmaster delay notification: "), 1, "{log:#?}");
}

#[test]
fn the_end_of_a_delay_is_reported_when_that_is_confirmed() {
    let confirming = format!("{LATER}confirm_delay_cleared = yes\n");
    let log = play_new(&confirming, takes_all(0), |hands| async move {
        hands.send("a@b.example", "x@y.example").await;
        hands.wait(5000).await;
        assert_eq!(hands.mail().len(), 1);
        let text =
            format!("{TO_SITE}confirm_delay_cleared = yes\ndefault_transport = discard:ok\n");
        let snapshot = crate::testing::snapshot(&text);
        hands.core.port.send(0, crate::parcel::Parcel::Reload(snapshot));
        hands.wait(1000).await;
        let text = hands.mail().pop().unwrap();
        assert!(text.contains("Subject: Successful Mail Delivery Report\r\n"), "{text}");
        assert!(text.contains("\r\n<x@y.example>: delivery via none: ok\r\n"), "{text}");
    });
    assert_eq!(count(&log, ": sender delivery status notification: "), 1, "{log:#?}");
}

#[test]
fn success_is_reported_when_asked_for_and_nobody_else_will() {
    let log = play_new("", takes_all(0), |hands| async move {
        let to = ["<x@b.example> NOTIFY=SUCCESS", "<y@b.example>", "<z@b.example> NOTIFY=NEVER"];
        hands.submit("<a@b.example> RET=FULL", &to, "Subject: s\r\n\r\nbody").await;
        hands.wait(60).await;
        let mail = hands.mail();
        assert_eq!(mail.len(), 2, "{mail:#?}");
        for part in [
            "Subject: Successful Mail Delivery Report\r\n",
            "\r\n<x@b.example>: delivery via 192.0.2.61[192.0.2.61]:25: 250 2.0.0 Ok: kept\r\n\r\n--",
            "\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; 192.0.2.61\r\n\
             Diagnostic-Code: smtp; 250 2.0.0 Ok: kept\r\n",
            "Content-Description: Message Headers\r\nContent-Type: text/rfc822-headers\r\n",
        ] {
            assert!(mail[1].contains(part), "{part}\n{}", mail[1]);
        }
    });
    assert_eq!(count(&log, ": sender delivery status notification: "), 1, "{log:#?}");
}

#[test]
fn a_next_hop_that_reports_success_is_left_to_it() {
    let site = answers("EHLO", "250-site\r\n250 DSN");
    let log = play_new("", site, |hands| async move {
        hands.submit("<a@b.example>", &["<x@b.example> NOTIFY=SUCCESS"], "\r\nx").await;
        hands.wait(60).await;
        assert_eq!(hands.mail().len(), 1);
    });
    assert_eq!(count(&log, " notification: "), 0, "{log:#?}");
}

#[test]
fn a_bounce_has_three_parts_and_the_whole_message() {
    let log = play_new(GONE, takes_all(0), |hands| async move {
        let to = ["<x@y.example> ORCPT=rfc822;first+2Borig@z.example", "<v@y.example>"];
        let content = "Subject: comes back\r\n\r\nbody\r\n..dot";
        hands.submit("<a@b.example> ENVID=QQ+2B1", &to, content).await;
        hands.wait(60).await;
        let text = notice(&hands);
        let (top, rest) = text.split_once("Message-Id: ").unwrap();
        assert!(top.ends_with("/mx.example.test\"\r\nContent-Transfer-Encoding: 8bit\r\n"));
        let boundary = top.split('"').nth(1).unwrap();
        let rest = rest.replace(boundary, "BOUNDARY");
        for part in [
            "\r\n\r\nThis is a MIME-encapsulated message.\r\n\r\n--BOUNDARY\r\n\
             Content-Description: Notification\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n\
             This is the mail system at host mx.example.test.\r\n\r\n\
             I'm sorry to have to inform you that your message could not\r\n\
             be delivered to one or more recipients. It's attached below.\r\n\r\n\
             For further assistance, please send mail to postmaster.\r\n\r\n\
             If you do so, please include this problem report. You can\r\n\
             delete your own text from the attached returned message.\r\n\r\n\
             \x20                  The mail system\r\n\r\n\
             <v@y.example>: gone away\r\n\r\n<x@y.example>: gone away\r\n\r\n--BOUNDARY\r\n\
             Content-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.example.test\r\nOriginal-Envelope-Id: QQ+1\r\n\
             X-Postfix-Queue-ID: ",
            "\r\nX-Postfix-Sender: rfc822; a@b.example\r\nArrival-Date: ",
            "\r\n\r\nFinal-Recipient: rfc822; v@y.example\r\n\
             Original-Recipient: rfc822;v@y.example\r\nAction: failed\r\nStatus: 5.1.6\r\n\
             Diagnostic-Code: X-Postfix; gone away\r\n\r\n\
             Final-Recipient: rfc822; x@y.example\r\n\
             Original-Recipient: rfc822;first+orig@z.example\r\nAction: failed\r\n",
            "\r\n\r\n--BOUNDARY\r\nContent-Description: Undelivered Message\r\n\
             Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             Return-Path: <a@b.example>\r\nReceived: from c ",
            "\r\nSubject: comes back\r\n",
            "\r\n\r\nbody\r\n..dot\r\n\r\n--BOUNDARY--\r\n",
        ] {
            assert!(rest.contains(part), "{part}\n{rest}");
        }
    });
    assert_eq!(count(&log, ": sender non-delivery notification: "), 1, "{log:#?}");
}

#[test]
fn a_large_message_or_ret_hdrs_comes_back_as_its_header() {
    let small = format!("{GONE}bounce_size_limit = 1000\n");
    let long = format!("Subject: long\r\n\r\n{}", "body\r\n".repeat(300));
    play_new(&small, takes_all(0), |hands| async move {
        hands.submit("<a@b.example> RET=FULL", &["<x@y.example>"], &long).await;
        hands.submit("<a@b.example> RET=HDRS", &["<x@y.example>"], "Subject: s\r\n\r\nbody").await;
        hands.submit("<a@b.example>", &["<x@y.example> NOTIFY=NEVER"], "\r\nbody").await;
        hands.submit("<a@b.example>", &["<x@y.example> NOTIFY=SUCCESS,DELAY"], "\r\nbody").await;
        hands.wait(60).await;
        assert_eq!(hands.mail().len(), 2);
        for text in hands.mail() {
            assert!(text.contains("Undelivered Message Headers\r\n"), "{text}");
            assert!(!text.contains("\r\nbody\r\n"), "{text}");
        }
        assert_eq!(hands.queues(), [""; 0]);
    });
}

#[test]
fn the_postmaster_has_copies_of_bounces_and_the_bounces_of_the_null_sender() {
    let classes = format!(
        "{GONE}notify_classes = bounce, 2bounce\nbounce_notice_recipient = copy@b.example\n\
         2bounce_notice_recipient = double@b.example\n"
    );
    let log = play_new(&classes, takes_all(0), |hands| async move {
        hands.send("a@b.example", "x@y.example").await;
        hands.send("", "x@y.example").await;
        hands.send("double-bounce@mx.example.test", "x@y.example").await;
        hands.wait(60).await;
        let mut to: Vec<String> = hands.kept.borrow().lines.clone();
        to.retain(|line| line.starts_with("RCPT"));
        to.sort();
        assert_eq!(
            to,
            ["RCPT TO:<a@b.example>", "RCPT TO:<copy@b.example>", "RCPT TO:<double@b.example>"]
        );
        let mail = hands.mail();
        let double = mail.iter().find(|text| text.contains("To: double@")).unwrap();
        assert!(double.contains("X-Postfix-Sender: rfc822; MAILER-DAEMON@mx.example.test\r\n"));
        assert!(double.contains("Return-Path: <MAILER-DAEMON@mx.example.test>\r\n"), "{double}");
        assert!(double.contains("Subject: Postmaster Copy: Undelivered Mail\r\n"));
        let copy = mail.iter().find(|text| text.contains("To: copy@")).unwrap();
        assert!(copy.contains("Auto-Submitted: auto-generated\r\n"));
        assert!(copy.contains("Undelivered Message Headers\r\n"));
    });
    assert_eq!(count(&log, ": sender non-delivery notification: "), 1, "{log:#?}");
    assert_eq!(count(&log, ": postmaster non-delivery notification: "), 2, "{log:#?}");
    assert_eq!(count(&log, ": undeliverable postmaster notification discarded"), 1, "{log:#?}");
}

#[test]
fn a_bounce_of_the_null_sender_is_dropped_unless_somebody_wants_it() {
    let log = play_new(GONE, takes_all(0), |hands| async move {
        hands.send("", "x@y.example").await;
        hands.wait(60).await;
        assert_eq!((hands.mail().len(), hands.queues().len()), (0, 0));
    });
    assert_eq!(count(&log, " notification: "), 0, "{log:#?}");
}

#[test]
fn bounces_join_the_thread_when_they_should() {
    let threaded = format!("{GONE}enable_threaded_bounces = yes\nheader_from_format = obsolete\n");
    play_new(&threaded, takes_all(0), |hands| async move {
        let content = "Message-ID:\r\n <one@two.example>\r\n\r\nx";
        hands.submit("<a@b.example>", &["<x@y.example>"], content).await;
        hands.wait(60).await;
        let text = notice(&hands);
        let thread = "References: <one@two.example>\r\nIn-Reply-To: <one@two.example>\r\n";
        assert!(text.contains(&format!("To: a@b.example\r\n{thread}Auto-Submitted")), "{text}");
        let from = "From: MAILER-DAEMON@mx.example.test (Mail Delivery System)\r\n";
        assert!(text.contains(from), "{text}");
    });
}

#[test]
fn soft_bounces_wait() {
    let soft = format!("{GONE}soft_bounce = yes\n");
    let log = play_new(&soft, takes_all(0), |hands| async move {
        hands.send("a@b.example", "x@y.example").await;
        hands.wait(5).await;
        assert_eq!((hands.mail().len(), hands.queues()), (0, vec!["deferred"]));
    });
    assert_eq!(count(&log, "dsn=4.1.6, status=SOFTBOUNCE (gone away)"), 1, "{log:#?}");
}

#[test]
fn mail_to_the_double_bounce_address_ends_here() {
    let local = "mydestination = mx.example.test\n";
    let log = play_new(local, takes_all(0), |hands| async move {
        let to = ["<double-bounce@mx.example.test>", "<x@b.example>"];
        hands.submit("<a@z.example>", &to, "\r\nx").await;
        hands.wait(5).await;
        assert_eq!((hands.heard("RCPT"), hands.queues().len()), (1, 0));
    });
    let line = "to=<double-bounce@mx.example.test>, relay=none, delay=0, delays=0/0/0/0, \
                dsn=2.0.0, status=sent (undeliverable postmaster notification discarded)";
    assert_eq!(count(&log, line), 1, "{log:#?}");
    assert_eq!((count(&log, "postfix/qmgr: "), count(&log, ": removed")), (3, 1), "{log:#?}");
}

/// Not kept in memory while it is active.
const LARGE: usize = 300_000;
const LARGE_OK: &str = "message_size_limit = 1000000\nbounce_size_limit = 1000000\n\
    minimal_backoff_time = 300s\nmaximal_backoff_time = 300s\n";

/// A large message to the site, as the client says it.
fn large() -> String {
    let line = format!("{}\r\n", "x".repeat(78));
    format!("Subject: original\r\n\r\n{}", line.repeat(LARGE / line.len()))
}

/// A site that refuses the first so many messages after their content and takes the others.
fn refuses(first: usize, pause: u64) -> (Rule, u64) {
    let left = std::cell::Cell::new(first);
    let rule = move |line: &str| {
        let refused = line == "." && left.get() > 0;
        left.set(left.get() - usize::from(refused));
        refused.then(|| "550 5.1.1 nobody".to_string())
    };
    (Box::new(rule), pause)
}

#[test]
fn a_large_message_that_reclaim_moves_under_its_delivery_comes_back_whole() {
    let more = format!("{LARGE_OK}transport_maps = inline:{{z.example=discard:}}\n");
    let log = play_new(&more, refuses(2, 200), |hands| async move {
        hands.submit("<a@b.example>", &["<x@b.example>"], &large()).await;
        // The log turns over while the site thinks.
        for _ in 0..40 {
            hands.submit("<>", &["<q@z.example>"], &large()).await;
            hands.wait(1).await;
        }
        hands.wait(1500).await;
        assert_eq!(hands.queues(), [""; 0]);
        let mail = hands.mail();
        let notice = mail.iter().find(|text| text.contains("multipart/report")).unwrap();
        assert!(notice.contains("Subject: original\r\n") && notice.len() > LARGE, "{notice}");
    });
    assert_eq!(count(&log, "no notice without the message: "), 1, "{log:#?}");
    assert_eq!(count(&log, "status=bounced (host 192.0.2.61[192.0.2.61] said"), 2, "{log:#?}");
    assert_eq!(count(&log, ": sender non-delivery notification: "), 1, "{log:#?}");
}
