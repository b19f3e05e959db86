//! The clog warning.

use super::*;
use crate::Advice;

fn crowd(active: u32, settings: TransportSettings) -> (Scheduler, TransportId) {
    let limits = Limits { message_active_limit: active, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits);
    let smtp = scheduler.transport("smtp", || settings);
    (scheduler, smtp)
}

#[test]
fn more_than_a_fifth_of_the_active_limit_is_crowded_once_in_five_minutes() {
    let (mut scheduler, smtp) = crowd(10, TransportSettings::default());
    for key in 0..2 {
        let _ = scheduler.admit(key, &routed(smtp, &["a"]), 0, 0);
    }
    assert_eq!(scheduler.take_crowded(), None);
    let _ = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let crowded = scheduler.take_crowded().expect("3 of 10 is more than a fifth");
    assert_eq!((&*crowded.transport, &*crowded.nexthop), ("smtp", "a"));
    assert_eq!((crowded.entries, crowded.messages), (3, 3));
    let _ = scheduler.admit(3, &routed(smtp, &["a"]), 0, 299_999);
    assert_eq!(scheduler.take_crowded(), None);
    let _ = scheduler.admit(4, &routed(smtp, &["a", "b"]), 0, 300_000);
    assert_eq!(scheduler.take_crowded().expect("again").entries, 5);
}

#[test]
fn zero_switches_the_warning_off() {
    let limits = Limits { message_active_limit: 5, clog_warn_s: 0, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits);
    let smtp = scheduler.transport("smtp", TransportSettings::default);
    let _ = scheduler.admit(0, &routed(smtp, &["a"]), 0, 0);
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    assert_eq!(scheduler.take_crowded(), None);
}

#[test]
fn the_advice_fits_what_holds_the_destination_back() {
    let base = TransportSettings { destination_recipient_limit: 1, ..TransportSettings::default() };
    let narrow = TransportSettings { destination_concurrency_limit: 1, ..base };
    let (mut scheduler, smtp) = crowd(5, narrow);
    let _ = scheduler.admit(0, &routed(smtp, &["a", "a"]), 0, 0);
    let advice = scheduler.take_crowded().map(|crowded| crowded.advice);
    assert_eq!(advice, Some(Advice::RaiseConcurrency(1)));
    let (mut scheduler, smtp) = crowd(50, base);
    let _ = scheduler.admit(0, &routed(smtp, &["a"; 11]), 0, 0);
    let advice = scheduler.take_crowded().map(|crowded| crowded.advice);
    assert_eq!(advice, Some(Advice::SkipSooner), "it has the transport for itself");
    let (mut scheduler, smtp) = crowd(50, base);
    let _ = scheduler.admit(0, &routed(smtp, &["b"]), 0, 0);
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 11]), 0, 0);
    let advice = scheduler.take_crowded().map(|crowded| crowded.advice);
    assert_eq!(advice, Some(Advice::SeparateTransport));
}
