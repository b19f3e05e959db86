//! The vectors of the concurrency feedback, and its bounds.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const RULES: WindowRules = WindowRules {
    limit: 20,
    initial: 5,
    positive: Feedback::Constant(1.0),
    negative: Feedback::Constant(1.0),
    failed_cohort_limit: 1,
};

/// The window at each consecutive failure, the deadly one included.
fn trace(start: u32, rules: &WindowRules) -> Vec<u32> {
    let mut window = Window::new(start);
    let mut sizes = Vec::new();
    loop {
        sizes.push(window.size());
        if window.failed(rules) == Verdict::Dead {
            return sizes;
        }
    }
}

#[test]
fn windows_shrink_to_death_as_in_postfix() {
    let twenty: Vec<u32> = [20].into_iter().chain((7..=18).rev()).collect();
    assert_eq!(trace(1, &RULES), [1]);
    assert_eq!(trace(2, &RULES), [2, 1]);
    assert_eq!(trace(5, &RULES), [5, 3, 2]);
    assert_eq!(trace(10, &RULES), [10, 8, 7, 6, 5, 4, 3]);
    assert_eq!(trace(20, &RULES), twenty);
    assert_eq!(twenty.len(), 13);
}

#[test]
fn gentle_feedback_takes_longer_to_kill() {
    let rules = WindowRules { negative: Feedback::PerConcurrency(1.0), ..RULES };
    assert_eq!(trace(5, &rules), [5, 4, 4, 4, 3]);
}

#[test]
fn ten_cohorts_are_twelve_failures() {
    let rules = WindowRules { failed_cohort_limit: 10, ..RULES };
    assert_eq!(trace(5, &rules), [5, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn cohort_limit_zero_never_kills() {
    let rules = WindowRules { failed_cohort_limit: 0, ..RULES };
    let mut window = Window::new(5);
    for _ in 0..1000 {
        assert_eq!(window.failed(&rules), Verdict::Alive);
    }
    assert_eq!(window.size(), 1);
}

#[test]
fn success_opens_the_window_to_the_limit() {
    let mut window = Window::new(5);
    for expected in 6..=20 {
        window.succeeded(&RULES, window.size());
        assert_eq!(window.size(), expected);
    }
    window.succeeded(&RULES, 20);
    assert_eq!(window.size(), 20);
}

#[test]
fn gentle_success_needs_a_window_of_deliveries() {
    let rules = WindowRules { positive: Feedback::PerConcurrency(1.0), ..RULES };
    let mut window = Window::new(5);
    for _ in 0..4 {
        window.succeeded(&rules, 5);
        assert_eq!(window.size(), 5);
    }
    window.succeeded(&rules, 5);
    assert_eq!(window.size(), 6);
}

#[test]
fn an_idle_window_does_not_grow() {
    let mut window = Window::new(6);
    window.succeeded(&RULES, 1);
    assert_eq!(window.size(), 6);
    window.succeeded(&RULES, 2);
    assert_eq!(window.size(), 7);
}

#[test]
fn no_limit_grows_on() {
    let rules = WindowRules { limit: 0, ..RULES };
    let mut window = Window::new(5);
    for _ in 0..100 {
        window.succeeded(&rules, window.size());
    }
    assert_eq!(window.size(), 105);
}

#[test]
fn success_forgets_failed_cohorts() {
    let mut window = Window::new(2);
    assert_eq!(window.failed(&RULES), Verdict::Alive);
    window.succeeded(&RULES, 1);
    assert_eq!(window.size(), 2);
    assert_eq!(window.failed(&RULES), Verdict::Alive);
}

#[test]
fn feedback_has_three_forms() {
    assert_eq!(parse_feedback("1"), Ok(Feedback::Constant(1.0)));
    assert_eq!(parse_feedback(" 0.25 "), Ok(Feedback::Constant(0.25)));
    assert_eq!(parse_feedback("1/4"), Ok(Feedback::Constant(0.25)));
    assert_eq!(parse_feedback("1 / concurrency"), Ok(Feedback::PerConcurrency(1.0)));
    assert_eq!(parse_feedback("0.5/concurrency"), Ok(Feedback::PerConcurrency(0.5)));
}

#[test]
fn bad_feedback_is_refused() {
    for text in ["", "x", "1/", "/2", "1/sqrt_concurrency", "1/2/3"] {
        assert_eq!(parse_feedback(text), Err(FeedbackError::Malformed), "{text}");
    }
    for text in ["1.5", "-0.1", "2/1", "1/0", "0/0", "nan", "inf", "2/concurrency"] {
        assert_eq!(parse_feedback(text), Err(FeedbackError::OutOfRange), "{text}");
    }
    assert_eq!(Feedback::default(), Feedback::Constant(1.0));
}

proptest! {
    #[test]
    fn the_window_stays_within_one_and_the_limit(
        limit in 0u32..30, initial in 1u32..10, cohorts in 0u32..4,
        positive in 0.0f64..=1.0, negative in 0.0f64..=1.0,
        events in proptest::collection::vec((any::<bool>(), 1u32..20), 0..200),
    ) {
        let initial = if limit > 0 { initial.min(limit) } else { initial };
        let rules = WindowRules {
            limit, initial, failed_cohort_limit: cohorts,
            positive: Feedback::Constant(positive), negative: Feedback::PerConcurrency(negative),
        };
        let mut window = Window::new(initial);
        for (good, busy) in events {
            if good { window.succeeded(&rules, busy) } else { window.failed(&rules); }
            prop_assert!(window.size() >= 1 && (limit == 0 || window.size() <= limit));
        }
    }
}
