//! The transition table, printed whole, and what each transition does to the window.

use std::format;
use std::string::String;

use super::*;
use crate::feedback::Feedback;
use crate::slab::Key;

const RULES: WindowRules = WindowRules {
    limit: 20,
    initial: 5,
    positive: Feedback::Constant(1.0),
    negative: Feedback::Constant(1.0),
    failed_cohort_limit: 1,
};

fn destination() -> Destination {
    let transport = TransportId::from_parts(0, core::num::NonZeroU32::MIN);
    let name: Arc<str> = Arc::from("example.com");
    Destination::new(transport, name.clone(), name, &RULES)
}

fn dead() -> Destination {
    let mut destination = destination();
    destination.waiting = 3;
    for _ in 0..3 {
        destination.start(0);
    }
    let reason = || Reason::new("4.4.1", "refused");
    while destination.failed(&RULES, reason, 300_000) == Verdict::Alive {}
    destination
}

#[test]
fn all_pairs_of_state_and_event() {
    let mut printed = String::new();
    for phase in [Phase::Ready, Phase::Suspended, Phase::Dead] {
        for event in [
            Event::Succeeded,
            Event::Failed,
            Event::Condemned,
            Event::Paused,
            Event::TimerDue,
            Event::Forgiven,
        ] {
            let next = transition(phase, event).map_or("bug".into(), |next| format!("{next:?}"));
            printed.push_str(&format!("{phase:?} {event:?} {next}\n"));
        }
    }
    std::print!("{printed}");
    assert_eq!(
        printed,
        "Ready Succeeded Ready\nReady Failed Ready\nReady Condemned Dead\n\
         Ready Paused Suspended\nReady TimerDue bug\nReady Forgiven Ready\n\
         Suspended Succeeded Suspended\nSuspended Failed Suspended\nSuspended Condemned bug\n\
         Suspended Paused Suspended\nSuspended TimerDue Ready\nSuspended Forgiven Suspended\n\
         Dead Succeeded Ready\nDead Failed Dead\nDead Condemned bug\n\
         Dead Paused bug\nDead TimerDue Ready\nDead Forgiven Ready\n"
    );
}

#[test]
fn a_dead_site_is_revived_with_what_is_under_way() {
    let mut destination = dead();
    assert!(!destination.timer_due(&RULES, 299_999));
    assert!(destination.timer_due(&RULES, 300_000));
    assert_eq!((destination.window_size(), destination.reason.is_none()), (3, true));
}

#[test]
fn an_idle_dead_site_is_revived_with_the_initial_window() {
    let mut destination = dead();
    for _ in 0..3 {
        destination.end(0);
    }
    destination.forgive(&RULES);
    assert_eq!((destination.window_size(), destination.has_room()), (5, true));
}

#[test]
fn a_late_success_revives_a_dead_site() {
    let mut destination = dead();
    destination.succeeded(&RULES);
    assert_eq!((destination.state(), destination.window_size()), (State::Ready, 3));
}

#[test]
fn a_dead_rate_limited_site_is_suspended_instead() {
    let rules = WindowRules { limit: 1, initial: 1, ..RULES };
    let transport = TransportId::from_parts(0, core::num::NonZeroU32::MIN);
    let name: Arc<str> = Arc::from("slow.example");
    let mut destination = Destination::new(transport, name.clone(), name, &rules);
    destination.waiting = 1;
    destination.start(0);
    let reason = || Reason::new("4.4.1", "refused");
    assert_eq!(destination.failed(&rules, reason, 300_000), Verdict::Dead);
    destination.end(4000);
    destination.pause(&rules, 7000);
    assert_eq!(destination.state(), State::Suspended { until_ms: 7000 });
    assert!(destination.timer_due(&rules, 7000));
    assert_eq!((destination.state(), destination.window_size()), (State::Ready, 1));
}

#[test]
fn connections_are_kept_while_deliveries_are_back_to_back_or_concurrent() {
    let mut destination = destination();
    destination.waiting = 10;
    assert!(!destination.start(0), "the first knows nothing yet");
    destination.end(1000);
    assert!(destination.start(2000), "within a second of the last");
    assert!(destination.start(9000), "concurrent");
    destination.end(9000);
    destination.end(9000);
    assert!(!destination.start(10_001), "neither");
    assert!(!destination.start(10_001), "concurrency alone does not turn it on");
}
