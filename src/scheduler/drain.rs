//! A load to measure: single-recipient messages through the whole scheduler.
//!
//! Called by the micro-benchmarks only.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{EntryId, Limits, RoutedRecipient, Scheduler, SiteResult, TransportSettings};

/// Destinations the messages go to in turn.
const DESTINATIONS: usize = 100;

/// Messages taken in before the oldest delivery ends.
const UNDER_WAY_MAX: usize = 64;

/// Admits, selects and ends this many single-recipient messages; answers how many recipients
/// were delivered.
#[must_use]
pub fn drain(messages: usize) -> u64 {
    let names: Vec<String> = (0..DESTINATIONS).map(|number| format!("d{number}.example")).collect();
    let mut scheduler = Scheduler::new(Limits::default());
    let transport = scheduler.transport("smtp", TransportSettings::default);
    let mut under_way = VecDeque::with_capacity(UNDER_WAY_MAX + 1);
    let mut delivered = 0;
    for (key, name) in (0u64..).zip(names.iter().cycle()).take(messages) {
        let (destination, nexthop) = (name, name);
        let recipient = RoutedRecipient { index: 0, transport, destination, nexthop, alone: false };
        let _ = scheduler.admit(key, &[recipient], 0, key);
        while let Some(selected) = scheduler.select(key) {
            under_way.push_back(selected.entry);
        }
        if under_way.len() > UNDER_WAY_MAX {
            delivered += end_oldest(&mut scheduler, &mut under_way, key);
        }
    }
    while !under_way.is_empty() {
        delivered += end_oldest(&mut scheduler, &mut under_way, u64::MAX);
    }
    delivered
}

fn end_oldest(scheduler: &mut Scheduler, under_way: &mut VecDeque<EntryId>, now_ms: u64) -> u64 {
    let Some(entry) = under_way.pop_front() else { return 0 };
    let done = scheduler.done(entry, SiteResult::Ok, now_ms);
    if done.message_finished {
        scheduler.finish(done.message);
    }
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn everything_is_delivered() {
        assert_eq!(super::drain(1000), 1000);
    }
}
