//! Death, revival, suspension and locks of destinations and transports.

use std::vec::Vec;

use super::*;
use crate::SiteResult;

const REFUSED: SiteResult<'_> =
    SiteResult::Failed { status: "4.4.1", reason: "connect to a[192.0.2.1]:25: refused" };

fn one_at_a_time() -> TransportSettings {
    TransportSettings {
        destination_concurrency_limit: 1,
        destination_recipient_limit: 1,
        ..TransportSettings::default()
    }
}

#[test]
fn waiting_mail_of_a_dead_site_comes_back_with_the_reason() {
    let (mut scheduler, smtp) = scheduler(one_at_a_time());
    let _ = scheduler.admit(1, &routed(smtp, &["a", "a"]), 0, 0);
    let second = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    let done = scheduler.done(entry, REFUSED, 1000);
    assert!(done.message_finished);
    let dead = done.newly_dead.expect("a window of one dies at once");
    assert_eq!((dead.destination.as_deref(), dead.until_ms), (Some("a"), 301_000));
    let text = "delivery temporarily suspended: connect to a[192.0.2.1]:25: refused";
    let flushed: Vec<_> = done
        .flushed
        .iter()
        .map(|it| (it.key, &*it.recipients, &*it.reason.text, it.message_finished))
        .collect();
    assert_eq!(flushed, [(1, &[1][..], text, false), (2, &[0][..], text, true)]);
    scheduler.finish(done.message);
    scheduler.finish(second.message);
    assert_empty(&scheduler);
}

#[test]
fn new_mail_for_a_dead_site_is_deferred_until_the_backoff_ends() {
    let (mut scheduler, smtp) = scheduler(one_at_a_time());
    let first = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    let _ = scheduler.done(entry, REFUSED, 0);
    scheduler.finish(first.message);
    let second = scheduler.admit(2, &routed(smtp, &["a", "b", "a"]), 0, 1000);
    let deferred: Vec<_> =
        second.deferred_at_once.iter().map(|it| it.recipients.to_vec()).collect();
    assert_eq!((deferred, second.message_finished), ([[0], [2]].map(Vec::from).to_vec(), false));
    assert_eq!(scheduler.next_event(), Some(300_000));
    scheduler.tick(300_000);
    assert_eq!(scheduler.next_event(), None);
    let third = scheduler.admit(3, &routed(smtp, &["a"]), 0, 300_000);
    assert!(third.deferred_at_once.is_empty());
}

#[test]
fn a_message_all_of_which_is_deferred_at_once_is_finished() {
    let (mut scheduler, smtp) = scheduler(one_at_a_time());
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    let _ = scheduler.done(entry, SiteResult::AgentCrashed, 0);
    let second = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    assert!(second.message_finished);
    assert_eq!(
        &*second.deferred_at_once[0].reason.text,
        "delivery temporarily suspended: unknown mail transport error"
    );
    let third = scheduler.admit(3, &routed(smtp, &["a"]), 5, 0);
    assert!(!third.message_finished);
    assert_eq!(scheduler.wants_refill(0).expect("nothing else would start a read").key, 3);
}

#[test]
fn the_flush_trigger_revives_at_once() {
    let (mut scheduler, smtp) = scheduler(one_at_a_time());
    for revive in [Scheduler::flush_dead, |it: &mut Scheduler| {
        let smtp = it.transport("smtp", TransportSettings::default);
        it.unthrottle(smtp, "a");
    }] {
        let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
        let entry = scheduler.select(0).expect("a delivery waits").entry;
        assert!(scheduler.done(entry, REFUSED, 0).newly_dead.is_some());
        assert_eq!(scheduler.counts().destinations_dead, 1);
        revive(&mut scheduler);
        assert_eq!(scheduler.counts().destinations, 0);
    }
}

#[test]
fn an_unreachable_agent_kills_the_transport_for_a_minute() {
    let (mut scheduler, smtp) = scheduler(one_at_a_time());
    let local = scheduler.transport("local", TransportSettings::default);
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    let _ = scheduler.admit(2, &routed(smtp, &["b", "c", "b"]), 0, 0);
    let _ = scheduler.admit(3, &routed(local, &["b"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    let done = scheduler.done(entry, SiteResult::TransportUnavailable, 0);
    let mut flushed: Vec<u32> = done.flushed.iter().map(|it| it.recipients[0]).collect();
    flushed.sort_unstable();
    assert_eq!(flushed, [0, 1, 2]);
    assert!(done.flushed.iter().all(|it| it.key == 2));
    let dead = done.newly_dead.expect("the transport is dead");
    assert_eq!((dead.destination, &*dead.reason.text), (None, "mail transport unavailable"));
    assert_eq!(select_all(&mut scheduler, 0).len(), 1, "local lives");
    assert_eq!(scheduler.admit(4, &routed(smtp, &["z"]), 0, 0).deferred_at_once.len(), 1);
    scheduler.tick(60_000);
    assert!(scheduler.admit(5, &routed(smtp, &["z"]), 0, 60_000).deferred_at_once.is_empty());
    assert_eq!(scheduler.select(60_000).expect("revived").key, 5);
}

#[test]
fn a_destination_rate_delay_spaces_deliveries() {
    let settings =
        TransportSettings { destination_rate_delay_s: 3, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    for key in 0..3 {
        let _ = scheduler.admit(key, &routed(smtp, &["a"]), 0, 0);
    }
    for (key, now_ms) in [(0, 0), (1, 4000), (2, 8000)] {
        scheduler.tick(now_ms);
        let selected = scheduler.select(now_ms).expect("the delay is over");
        assert_eq!((selected.key, scheduler.select(now_ms)), (key, None));
        let _ = scheduler.done(selected.entry, SiteResult::Ok, now_ms + 1000);
        assert_eq!(scheduler.select(now_ms + 1000), None);
        assert_eq!(scheduler.next_event(), Some(now_ms + 4000));
    }
}

#[test]
fn a_rate_limited_site_that_dies_is_only_suspended() {
    let settings =
        TransportSettings { destination_rate_delay_s: 3, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    let _ = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    assert_eq!(scheduler.done(entry, REFUSED, 0).flushed.len(), 1);
    let third = scheduler.admit(3, &routed(smtp, &["a"]), 0, 0);
    assert!(third.deferred_at_once.is_empty());
    scheduler.tick(3000);
    assert_eq!(scheduler.select(3000).expect("the delay is over").key, 3);
}

#[test]
fn a_transport_rate_delay_locks_the_transport() {
    let settings = TransportSettings { transport_rate_delay_s: 2, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a", "b"]), 0, 0);
    let selected = select_all(&mut scheduler, 0);
    assert_eq!(selected.len(), 1);
    let _ = scheduler.done(selected[0].entry, SiteResult::Ok, 5000);
    assert_eq!((scheduler.select(5000), scheduler.next_event()), (None, Some(7000)));
    scheduler.tick(7000);
    assert!(scheduler.select(7000).is_some());
}

#[test]
fn the_process_limit_is_a_cap_of_its_own() {
    let settings = TransportSettings { process_limit: 2, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a", "b", "c"]), 0, 0);
    assert_eq!(select_all(&mut scheduler, 0).len(), 2);
}

#[test]
fn a_new_destination_starts_with_the_initial_window() {
    let settings =
        TransportSettings { destination_recipient_limit: 1, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 30]), 0, 0);
    let selected = select_all(&mut scheduler, 0);
    assert_eq!(selected.len(), 5);
    let _ = scheduler.done(selected[0].entry, SiteResult::Ok, 0);
    assert_eq!(select_all(&mut scheduler, 0).len(), 2, "its own place and one more");
}

#[test]
fn dead_sites_are_dropped_early_when_there_are_too_many() {
    let limits =
        Limits { message_active_limit: 1, message_recipient_limit: 2, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits);
    let smtp = scheduler.transport("smtp", one_at_a_time);
    for (count, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (4, "e"), (4, "f")] {
        let admitted = scheduler.admit(1, &routed(smtp, &[name]), 0, 0);
        let entry = scheduler.select(0).expect("a delivery waits").entry;
        let _ = scheduler.done(entry, REFUSED, 0);
        scheduler.finish(admitted.message);
        assert_eq!(scheduler.counts().destinations_dead, count);
    }
}

#[test]
#[should_panic(expected = "an id in use has its tenant")]
fn an_entry_is_done_once() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    let _ = scheduler.done(entry, SiteResult::Ok, 0);
    let _ = scheduler.done(entry, SiteResult::Ok, 0);
}
