//! What an operator changes while mail is under way: withdrawn messages, new numbers.

use std::vec;

use super::*;
use crate::SiteResult;

const ONE_EACH: fn() -> TransportSettings =
    || TransportSettings { destination_recipient_limit: 1, ..TransportSettings::default() };

#[test]
fn a_withdrawn_message_leaves_at_once_but_for_what_is_under_way() {
    let (mut scheduler, smtp) = scheduler(ONE_EACH());
    let first = scheduler.admit(1, &routed(smtp, &["a", "a", "b"]), 7, 0);
    let second = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let under_way = scheduler.select(0).expect("a delivery waits");
    let mut taken = scheduler.withdraw(first.message);
    taken.sort_unstable();
    assert_eq!((&*under_way.recipients, taken), (&[0][..], vec![1, 2]));
    assert_consistent(&scheduler);
    assert_eq!(scheduler.wants_refill(0), None, "what is on disk stays there");
    assert_eq!(scheduler.select(0).expect("the other message goes on").key, 2);
    assert_eq!(scheduler.select(0), None);
    let done = scheduler.done(under_way.entry, SiteResult::Ok, 0);
    assert!(done.message_finished);
    scheduler.finish(first.message);
    assert_consistent(&scheduler);
    assert_eq!((scheduler.counts().messages, second.message_finished), (1, false));
}

#[test]
fn a_message_of_which_nothing_is_under_way_is_over_when_it_is_withdrawn() {
    let (mut scheduler, smtp) = scheduler(ONE_EACH());
    let admitted = scheduler.admit(1, &routed(smtp, &["a", "b"]), 0, 0);
    assert_eq!(scheduler.withdraw(admitted.message).len(), 2);
    scheduler.finish(admitted.message);
    assert_empty(&scheduler);
}

#[test]
fn a_new_limit_holds_for_destinations_that_are_there() {
    let (mut scheduler, smtp) = scheduler(ONE_EACH());
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 30]), 0, 0);
    let under_way = select_all(&mut scheduler, 0);
    assert_eq!(under_way.len(), 5);
    let narrow = TransportSettings { destination_concurrency_limit: 2, ..ONE_EACH() };
    scheduler.reconfigure(Limits::default(), |_| narrow);
    assert_consistent(&scheduler);
    for selected in &under_way[..3] {
        assert_eq!(scheduler.select(0), None, "as many as before are under way");
        let _ = scheduler.done(selected.entry, SiteResult::Ok, 0);
    }
    assert_eq!(scheduler.select(0), None, "two are under way");
    let _ = scheduler.done(under_way[3].entry, SiteResult::Ok, 0);
    assert_eq!(select_all(&mut scheduler, 0).len(), 1);
    let wide = TransportSettings { destination_concurrency_limit: 4, ..ONE_EACH() };
    scheduler.reconfigure(Limits::default(), |_| wide);
    let _ = scheduler.done(under_way[4].entry, SiteResult::Ok, 0);
    assert_eq!(select_all(&mut scheduler, 0).len(), 2, "its own place and one more");
}

#[test]
fn a_process_limit_that_is_raised_lets_what_waited_start() {
    let tight = TransportSettings { process_limit: 1, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(tight);
    let _ = scheduler.admit(1, &routed(smtp, &["a", "b", "c"]), 0, 0);
    assert_eq!(select_all(&mut scheduler, 0).len(), 1);
    scheduler.reconfigure(Limits::default(), |_| TransportSettings::default());
    assert_eq!(select_all(&mut scheduler, 0).len(), 2);
}

/// More than one delivery was under way when the delay came.
#[test]
fn a_rate_delay_that_comes_with_a_reload_suspends_after_each_end() {
    let (mut scheduler, smtp) = scheduler(ONE_EACH());
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 4]), 0, 0);
    let under_way = select_all(&mut scheduler, 0);
    assert_eq!(under_way.len(), 4);
    let _ = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let slow = TransportSettings { destination_rate_delay_s: 3, ..ONE_EACH() };
    scheduler.reconfigure(Limits::default(), |_| slow);
    let refused = SiteResult::Failed { status: "4.4.1", reason: "refused" };
    for (selected, site) in under_way.iter().zip([SiteResult::Ok, SiteResult::Ok, refused, refused])
    {
        assert!(scheduler.done(selected.entry, site, 1000).flushed.is_empty());
        assert_consistent(&scheduler);
    }
    assert_eq!(scheduler.select(1000), None);
    scheduler.tick(4000);
    assert_eq!(scheduler.select(4000).expect("the delay is over").key, 2);
}

#[test]
fn the_active_limit_follows_a_reload() {
    let mut scheduler = Scheduler::new(Limits { message_active_limit: 1, ..Limits::default() });
    let smtp = scheduler.transport("smtp", TransportSettings::default);
    let _ = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    assert!(!scheduler.room_for_message());
    scheduler.reconfigure(Limits::default(), |_| TransportSettings::default());
    assert!(scheduler.room_for_message());
}

#[test]
fn deliveries_go_to_the_next_hop_not_to_the_queue_key() {
    let (mut scheduler, smtp) = scheduler(ONE_EACH());
    let to = |index, destination| RoutedRecipient {
        index,
        transport: smtp,
        destination,
        nexthop: "Mail.Example",
        alone: false,
    };
    let recipients = [to(0, "bob@mail.example"), to(1, "carol@mail.example")];
    let _ = scheduler.admit(1, &recipients, 0, 0);
    for selected in select_all(&mut scheduler, 0) {
        assert_eq!(&*selected.nexthop, "Mail.Example");
    }
    assert_eq!(scheduler.counts().destinations, 2);
}
