//! Mail goes through: every message once, and the log tells so as log readers count it.

use crate::support::system::System;
use crate::support::wait;
use bench::load::sink::Sink;
use bench::load::source::{Load, Source};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const MESSAGES: u64 = 500;

fn load(to: u16) -> Load {
    Load {
        to: (Ipv4Addr::LOCALHOST, to).into(),
        messages: MESSAGES,
        sessions: 20,
        size: Arc::new(|number| 1024 << (number % 4)),
        recipient: Arc::new(|number| format!("user{number}@sink.example")),
        sender: "sender@source.example".into(),
    }
}

/// The queue ids of the lines with `text`, as a log reader finds them: `daemon[pid]: ID: text`.
fn ids(log: &str, text: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains(text));
    let id = |line: &str| line.split("]: ").nth(1)?.split(": ").next().map(str::to_string);
    lines.filter_map(id).collect()
}

#[test]
fn five_hundred_messages_through_twenty_sessions_arrive_once_and_are_logged_once() {
    let system = System::started("");
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, system.sink))).unwrap();
    let source = Source::start(load(system.port)).unwrap();
    let counts = source.counts.clone();
    source.join().unwrap();
    assert_eq!(counts.accepted.load(Ordering::Relaxed), MESSAGES);
    assert_eq!(counts.refused.load(Ordering::Relaxed), 0);
    system.wait_until_empty();
    assert_eq!(sink.counts.messages.load(Ordering::Relaxed), MESSAGES);
    wait("every removal in the log", || system.logged(": removed") as u64 >= MESSAGES);
    let log = system.log();
    let removed = ids(&log, ": removed");
    let distinct: BTreeSet<&String> = removed.iter().collect();
    assert_eq!((removed.len() as u64, distinct.len() as u64), (MESSAGES, MESSAGES));
    for text in [": client=", ": message-id=<", ", nrcpt=1 (queue active)", ", status=sent ("] {
        let found: BTreeSet<String> = ids(&log, text).into_iter().collect();
        assert!(found.iter().eq(distinct.iter().copied()), "{text}: {} ids", found.len());
    }
    assert_eq!(system.logged(" mx postfix/"), log.lines().count(), "one name in all lines");
    for text in ["status=deferred", "status=bounced", ": reject: ", "warning: ", "fatal: "] {
        assert_eq!(system.logged(text), 0, "{text}");
    }
    sink.stop().unwrap();
}

#[test]
fn what_is_refused_at_first_is_sent_later_and_counted_as_both() {
    let extra = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n";
    let system = System::started(extra);
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, system.sink))).unwrap();
    let recipient = Arc::new(|number| match number % 10 {
        0 => format!("later{number}@sink.example"),
        _ => format!("user{number}@sink.example"),
    });
    let source = Source::start(Load { messages: 50, recipient, ..load(system.port) }).unwrap();
    source.join().unwrap();
    system.wait_until_empty();
    assert_eq!(sink.counts.messages.load(Ordering::Relaxed), 50);
    assert_eq!(sink.counts.deferred.load(Ordering::Relaxed), 5);
    wait("every removal in the log", || system.logged(": removed") == 50);
    let first = system.logged(", status=deferred (host 127.0.0.1[127.0.0.1] said: 450 4.2.0 ");
    assert_eq!((first, system.logged(", status=sent (")), (5, 50));
    sink.stop().unwrap();
}
