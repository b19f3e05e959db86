//! Active queue limits, recipients per delivery, recipient slots and refills.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::SiteResult;

#[test]
fn the_active_queue_has_a_limit() {
    let mut scheduler = Scheduler::new(Limits { message_active_limit: 2, ..Limits::default() });
    let smtp = scheduler.transport("smtp", TransportSettings::default);
    let first = scheduler.admit(1, &routed(smtp, &["a"]), 0, 0);
    assert!(scheduler.room_for_message());
    let _ = scheduler.admit(2, &routed(smtp, &["a"]), 0, 0);
    assert!(!scheduler.room_for_message());
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    assert!(scheduler.done(entry, SiteResult::Ok, 0).message_finished);
    assert!(!scheduler.room_for_message(), "until the caller has settled it");
    scheduler.finish(first.message);
    assert!(scheduler.room_for_message());
}

#[test]
fn a_first_read_is_between_the_minimum_and_5000() {
    let limits =
        Limits { message_active_limit: 5, message_recipient_limit: 5500, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits);
    let smtp = scheduler.transport("smtp", TransportSettings::default);
    assert_eq!(scheduler.recipients_to_read(), 5000);
    let _ = scheduler.admit(1, &routed(smtp, &vec!["a"; 5000]), 0, 0);
    assert_eq!(scheduler.recipients_to_read(), 500);
    let _ = scheduler.admit(2, &routed(smtp, &vec!["a"; 495]), 0, 0);
    assert_eq!(scheduler.recipients_to_read(), 10);
}

#[test]
fn the_recipient_limit_is_never_below_the_active_limit() {
    let limits =
        Limits { message_recipient_limit: 7, message_active_limit: 900, ..Limits::default() };
    assert_eq!(Scheduler::new(limits).recipients_to_read(), 900);
}

#[test]
fn deliveries_have_up_to_fifty_recipients_in_order() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    let _ = scheduler.admit(1, &routed(smtp, &vec!["a"; 120]), 0, 0);
    let sizes: Vec<usize> =
        select_all(&mut scheduler, 0).iter().map(|selected| selected.recipients.len()).collect();
    assert_eq!(sizes, [50, 50, 20]);
}

#[test]
fn verp_recipients_go_alone() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    let mut recipients = routed(smtp, &["a", "a", "a", "a"]);
    recipients[1].alone = true;
    let _ = scheduler.admit(1, &recipients, 0, 0);
    let loads: Vec<Vec<u32>> =
        select_all(&mut scheduler, 0).iter().map(|selected| selected.recipients.to_vec()).collect();
    assert_eq!(loads, [vec![0], vec![1], vec![2, 3]]);
}

#[test]
fn a_destination_that_comes_again_joins_its_waiting_delivery() {
    let (mut scheduler, smtp) = scheduler(TransportSettings::default());
    let _ = scheduler.admit(1, &routed(smtp, &["a", "b", "c", "b", "a"]), 0, 0);
    let loads: Vec<Vec<u32>> =
        select_all(&mut scheduler, 0).iter().map(|selected| selected.recipients.to_vec()).collect();
    assert_eq!(loads, [vec![0, 4], vec![1, 3], vec![2]]);
}

#[test]
fn the_oldest_unread_job_gets_the_unused_slots() {
    let settings = TransportSettings { recipient_limit: 200, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 50]), 1000, 0);
    let _ = scheduler.admit(2, &routed(smtp, &["a"; 10]), 1000, 0);
    let wanted = scheduler.wants_refill(0).expect("160 slots are free");
    assert_eq!((wanted.key, wanted.recipients_max), (1, 160), "200 and the minimum, less 50");
    assert_eq!(scheduler.wants_refill(0), None, "the other one has 10 of 10");
    assert_consistent(&scheduler);
}

#[test]
fn few_free_slots_wait_for_the_refill_delay() {
    let settings = TransportSettings { recipient_limit: 0, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let admitted = scheduler.admit(1, &routed(smtp, &["a"; 10]), 30, 0);
    let entry = scheduler.select(0).expect("a delivery waits").entry;
    assert!(!scheduler.done(entry, SiteResult::Ok, 1000).message_finished);
    assert_eq!(scheduler.wants_refill(1000), None, "10 are not worth a read");
    assert_eq!(scheduler.next_event(), Some(5000));
    scheduler.tick(5000);
    let wanted = scheduler.wants_refill(5000).expect("the delay is over");
    assert_eq!((wanted.message, wanted.recipients_max), (admitted.message, 10));
    assert_eq!(scheduler.wants_refill(5000), None, "handed out once");
    let added = scheduler.add_recipients(wanted.message, &routed(smtp, &["a"; 10]), 20, 5000);
    assert!(!added.message_finished);
    assert_eq!(select_all(&mut scheduler, 5000).len(), 1);
}

#[test]
fn slots_come_back_when_a_message_is_read_to_the_end() {
    let settings = TransportSettings { recipient_limit: 300, ..TransportSettings::default() };
    let (mut scheduler, smtp) = scheduler(settings);
    let _ = scheduler.admit(1, &routed(smtp, &["a"; 100]), 50, 0);
    let _ = scheduler.admit(2, &routed(smtp, &["a"; 100]), 500, 0);
    let wanted = scheduler.wants_refill(0).expect("200 slots are free");
    assert_eq!((wanted.key, wanted.recipients_max), (1, 50), "not more than there are");
    let _ = scheduler.add_recipients(wanted.message, &routed(smtp, &["a"; 50]), 0, 0);
    scheduler.tick(5000);
    let wanted = scheduler.wants_refill(5000).expect("the second is first now");
    assert_eq!((wanted.key, wanted.recipients_max), (2, 60), "10 + 300 - 150, less its 100");
    assert_consistent(&scheduler);
}
