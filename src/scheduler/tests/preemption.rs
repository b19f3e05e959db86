//! Order of jobs: FIFO, fairness between large and small messages, bounded inflation, turns.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::SiteResult;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("d{number}")).collect()
}

/// So many deliveries, one at a time.
fn deliver(scheduler: &mut Scheduler, count: usize) {
    for _ in 0..count {
        let entry = scheduler.select(0).expect("plenty waits").entry;
        let _ = scheduler.done(entry, SiteResult::Ok, 0);
    }
}

/// One delivery at a time: the keys in the order of their deliveries.
fn serial(scheduler: &mut Scheduler, now_ms: u64) -> Vec<u64> {
    let step = || {
        let selected = scheduler.select(now_ms)?;
        let done = scheduler.done(selected.entry, SiteResult::Ok, now_ms);
        if done.message_finished {
            scheduler.finish(done.message);
        }
        Some(selected.key)
    };
    core::iter::from_fn(step).collect()
}

fn admit_wide(scheduler: &mut Scheduler, key: u64, transport: TransportId, count: usize) {
    let names = names(count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let _ = scheduler.admit(key, &routed(transport, &names), 0, 0);
}

#[test]
fn single_recipient_messages_are_first_in_first_out() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    for key in 0..100 {
        let _ = scheduler.admit(key, &routed(smtp, &[["a", "b", "c"][key as usize % 3]]), 0, key);
    }
    assert_eq!(serial(&mut scheduler, 100), (0..100).collect::<Vec<u64>>());
    assert_empty(&scheduler);
}

#[test]
fn a_huge_message_does_not_delay_a_small_one() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    admit_wide(&mut scheduler, 1, smtp, 10_000);
    admit_wide(&mut scheduler, 2, smtp, 1);
    let order = serial(&mut scheduler, 0);
    let place = order.iter().position(|&key| key == 2).expect("it is delivered");
    assert!(place <= 3, "after {place} deliveries of the huge one");
    assert_eq!(order.len(), 10_001);
    assert_empty(&scheduler);
}

#[test]
fn a_small_message_that_comes_later_waits_no_longer() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    admit_wide(&mut scheduler, 1, smtp, 10_000);
    for now_ms in 0..500 {
        let entry = scheduler.select(now_ms).expect("plenty waits").entry;
        let _ = scheduler.done(entry, SiteResult::Ok, now_ms);
    }
    admit_wide(&mut scheduler, 2, smtp, 1);
    assert_eq!(scheduler.select(500).expect("it has earned enough").key, 2);
}

#[test]
fn inflation_is_at_most_one_slot_in_cost() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    admit_wide(&mut scheduler, 1, smtp, 1000);
    for key in 2..1002 {
        let _ = scheduler.admit(key, &routed(smtp, &["small"]), 0, 0);
    }
    let order = serial(&mut scheduler, 0);
    let last = order.iter().rposition(|&key| key == 1).expect("it is delivered");
    let small = last + 1 - 1000;
    // A loan of 3 comes early, but is paid back before the next.
    assert!((190..=200 + 3).contains(&small), "{small} small ones went before its end");
    assert_empty(&scheduler);
}

#[test]
fn slot_cost_below_two_is_first_come_first_served() {
    let settings = TransportSettings { delivery_slot_cost: 1, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    admit_wide(&mut scheduler, 1, smtp, 100);
    admit_wide(&mut scheduler, 2, smtp, 1);
    assert_eq!(serial(&mut scheduler, 0).last(), Some(&2));
}

#[test]
fn a_message_below_the_minimum_is_not_preempted() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    admit_wide(&mut scheduler, 1, smtp, 14);
    admit_wide(&mut scheduler, 2, smtp, 1);
    assert_eq!(serial(&mut scheduler, 0).last(), Some(&2), "3 slots at 5 need 15 deliveries");
    admit_wide(&mut scheduler, 3, smtp, 15);
    admit_wide(&mut scheduler, 4, smtp, 1);
    assert_eq!(serial(&mut scheduler, 0)[1], 4);
}

#[test]
fn preempting_jobs_are_preempted_in_turn() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    admit_wide(&mut scheduler, 1, smtp, 1000);
    deliver(&mut scheduler, 200);
    admit_wide(&mut scheduler, 2, smtp, 30);
    deliver(&mut scheduler, 10);
    admit_wide(&mut scheduler, 3, smtp, 1);
    let order = serial(&mut scheduler, 0);
    let third = order.iter().position(|&key| key == 3).expect("it is delivered");
    assert!(third <= 2 && order[..third].iter().all(|&key| key == 2));
    let second = order.iter().rposition(|&key| key == 2).expect("it is delivered");
    assert_eq!(second, 20, "the one that preempted goes on in front of the huge one");
    assert_empty(&scheduler);
}

#[test]
fn destinations_of_a_message_take_turns() {
    let settings =
        TransportSettings { destination_recipient_limit: 1, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a", "a", "a", "b", "b", "b"]), 0, 0);
    let order: Vec<u32> = select_all(&mut scheduler, 0).iter().map(|it| it.recipients[0]).collect();
    assert_eq!(order, [0, 3, 1, 4, 2, 5]);
}

#[test]
fn transports_take_turns() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    let local = scheduler.transport("local", TransportSettings::default);
    assert_eq!(scheduler.transport("smtp", TransportSettings::default), smtp);
    for key in 0..6 {
        let transport = if key < 3 { smtp } else { local };
        let _ = scheduler.admit(key, &routed(transport, &["a"]), 0, 0);
    }
    let order: Vec<u64> = select_all(&mut scheduler, 0).iter().map(|it| it.key).collect();
    assert_eq!(order, [0, 3, 1, 4, 2, 5]);
}

#[test]
fn a_blocked_message_lets_the_others_pass() {
    let settings = TransportSettings {
        destination_concurrency_limit: 1,
        destination_recipient_limit: 1,
        ..TransportSettings::default()
    };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a", "a", "a"]), 0, 0);
    let _ = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    let _ = scheduler.admit(3, &routed(smtp, &["b"]), 0, 0);
    let selected = select_all(&mut scheduler, 0);
    assert_eq!(selected.iter().map(|it| it.key).collect::<Vec<u64>>(), [1, 3]);
    let _ = scheduler.done(selected[0].entry, SiteResult::Ok, 0);
    assert_eq!(scheduler.select(0).expect("a has room again").key, 1);
}

#[test]
fn a_preempting_message_with_unread_recipients_gets_half_the_extra_slots() {
    let settings = TransportSettings {
        recipient_limit: 0,
        extra_recipient_limit: 9,
        ..TransportSettings::default()
    };
    let (mut scheduler, smtp) = scheduler(settings);
    admit_wide(&mut scheduler, 1, smtp, 1000);
    deliver(&mut scheduler, 200);
    let second = scheduler.admit(2, &routed(smtp, &["x"]), 20, 0);
    assert_eq!(scheduler.select(0).expect("it preempts").key, 2);
    let job = scheduler.arena.find_job(second.message, smtp).expect("it has a job");
    assert_eq!(scheduler.arena.jobs[job].extra_slots, 5);
    assert_consistent(&scheduler);
}

#[test]
fn slots_paid_for_and_not_used_go_back_to_the_preempted_job() {
    let settings = TransportSettings {
        destination_recipient_limit: 1,
        initial_destination_concurrency: 1,
        ..TransportSettings::default()
    };
    let (mut scheduler, smtp) = scheduler(settings);
    admit_wide(&mut scheduler, 1, smtp, 1000);
    let first = scheduler.arena.messages.iter().next().expect("it is admitted").0;
    let job = scheduler.arena.find_job(first, smtp).expect("it has a job");
    deliver(&mut scheduler, 200);
    let _ = scheduler.admit(2, &routed(smtp, &["x", "x", "x"]), 0, 0);
    let selected = scheduler.select(0).expect("it preempts");
    assert_eq!((selected.key, scheduler.arena.jobs[job].slots_available), (2, 200 - 3 * 5));
    let done = scheduler.done(selected.entry, SiteResult::AgentCrashed, 0);
    assert_eq!(done.flushed.len(), 2);
    assert_eq!(scheduler.arena.jobs[job].slots_available, 200 - 5, "it used one");
}
