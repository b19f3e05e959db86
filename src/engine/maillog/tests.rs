//! Every line as Postfix 3.7.11 writes it.

use super::*;
use mail::address::Address;
use mail::queue_id::QueueId;
use std::time::Duration;

fn logged(event: &Event<'_>) -> String {
    let memory = Rc::new(RefCell::new(String::new()));
    let identity = Identity { hostname: "mx".into(), syslog_name: "postfix".into(), pid: 7 };
    let sink = Sink::Memory(memory.clone());
    let log = Maillog::new(identity, sink, Rc::new(LocalTime::system()));
    log.set_time(UnixMicros(1_704_110_400_000_000));
    log.log(event);
    log.flush();
    let line = memory.borrow();
    line.split_once(" mx ").unwrap().1.trim_end().to_string()
}

fn id() -> QueueId {
    QueueId { micros: 1_795_347_846_000_171, number: 0xFACE, long: false }
}

#[test]
fn a_delivery_line() {
    let recipient = Address::from_internal(b"b@example.org");
    let original = Address::from_internal(b"a@example.org");
    let seconds = Duration::from_secs;
    let line = logged(&Event::Delivery {
        daemon: &Daemon::Smtp,
        id: id(),
        recipient: &recipient,
        original: &original,
        relay: "mx.example.org[192.0.2.1]:25",
        conn_use: 2,
        delays: Delays { before_queue: seconds(1), in_queue: seconds(2), ..Delays::default() },
        dsn: mail::Status::new(2, 0, 0),
        status: "sent",
        text: "250 ok",
    });
    assert_eq!(
        line,
        "postfix/smtp[7]: 000ABFACE: to=<b@example.org>, orig_to=<a@example.org>, \
         relay=mx.example.org[192.0.2.1]:25, conn_use=2, delay=3, delays=1/2/0/0, dsn=2.0.0, \
         status=sent (250 ok)"
    );
}

#[test]
fn a_reject_line_names_what_is_known() {
    let client = Client { name: "unknown".into(), address: "192.0.2.50".into() };
    let sender = Address::from_internal(b"a@example.org");
    let reject = |sender, recipient, helo| {
        logged(&Event::Verdict {
            action: "reject",
            id: None,
            stage: "RCPT",
            client: &client,
            text: "554 5.7.1 <x@y>: Relay access denied",
            sender,
            recipient,
            protocol: "ESMTP",
            helo,
        })
    };
    assert_eq!(
        reject(Some(&sender), Some(&sender), Some("c.example.org")),
        "postfix/smtpd[7]: NOQUEUE: reject: RCPT from unknown[192.0.2.50]: 554 5.7.1 <x@y>: \
         Relay access denied; from=<a@example.org> to=<a@example.org> proto=ESMTP \
         helo=<c.example.org>"
    );
    assert!(reject(None, None, None).ends_with("denied; proto=ESMTP"));
}

#[test]
fn bytes_from_outside_cannot_start_a_line() {
    let client = Client { name: "unknown".into(), address: "192.0.2.50".into() };
    let line = logged(&Event::NonSmtp { client: &client, line: b"GET /\nNov 1 fake\x1b[0m" });
    assert_eq!(
        line,
        "postfix/smtpd[7]: warning: non-SMTP command from unknown[192.0.2.50]: GET /?Nov 1 fake?[0m"
    );
}
