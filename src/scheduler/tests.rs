//! Tests of the whole scheduler: its rules, and random traffic against simple maps.

mod crowd;
mod limits;
mod operator;
mod preemption;
mod sites;
mod traffic;

use std::collections::BTreeMap;
use std::vec::Vec;

use crate::scheduler::Scheduler;
use crate::slab::TransportId;
use crate::{Limits, RoutedRecipient, Selected, TransportSettings};

/// A scheduler with one transport, `smtp`.
fn scheduler(settings: TransportSettings) -> (Scheduler, TransportId) {
    let mut scheduler = Scheduler::new(Limits::default());
    let smtp = scheduler.transport("smtp", || settings);
    (scheduler, smtp)
}

/// Recipients 0, 1, 2... at these destinations.
fn routed<'a>(transport: TransportId, destinations: &[&'a str]) -> Vec<RoutedRecipient<'a>> {
    (0..)
        .zip(destinations)
        .map(|(index, &destination)| RoutedRecipient {
            index,
            transport,
            destination,
            nexthop: destination,
            alone: false,
        })
        .collect()
}

/// All deliveries that may start now.
fn select_all(scheduler: &mut Scheduler, now_ms: u64) -> Vec<Selected> {
    let selected = core::iter::from_fn(|| scheduler.select(now_ms)).collect();
    assert_consistent(scheduler);
    selected
}

/// What must hold between any two calls.
fn assert_consistent(scheduler: &Scheduler) {
    let arena = &scheduler.arena;
    let mut slots: BTreeMap<TransportId, (i64, u32)> = BTreeMap::new();
    for (_, job) in arena.jobs.iter() {
        let (slots, extra) = slots.entry(job.transport).or_default();
        *slots += job.recipient_slots;
        *extra += job.extra_slots;
        assert!(job.waiting <= job.entries_read - job.selected);
    }
    for (id, transport) in scheduler.transports.iter() {
        let mine = |site: &crate::destination::Destination| site.transport == id;
        let startable =
            scheduler.destinations.iter().filter(|(_, it)| mine(it) && it.is_startable());
        assert_eq!(startable.count(), transport.startable as usize);
        let (slots, extra) = slots.get(&id).copied().unwrap_or_default();
        assert_eq!(slots + transport.slots_unused, transport.settings.recipient_limit.into());
        let lent = i64::from(extra);
        assert_eq!(lent + transport.extra_slots, transport.settings.extra_recipient_limit.into());
    }
    let in_messages: u32 = arena.messages.iter().map(|(_, message)| message.recipients).sum();
    let in_jobs: u32 = arena.jobs.iter().map(|(_, job)| job.recipients).sum();
    assert_eq!(
        (in_messages as usize, in_jobs as usize),
        (scheduler.recipients, scheduler.recipients)
    );
    let waiting: u32 = scheduler.destinations.iter().map(|(_, site)| site.waiting).sum();
    let busy: u32 = scheduler.destinations.iter().map(|(_, site)| site.busy).sum();
    assert_eq!(waiting as usize, scheduler.counts().entries_waiting);
    assert_eq!(busy as usize, scheduler.entries_busy);
}

/// After `select` answered `None`: nothing that could start waits.
fn assert_nothing_startable(scheduler: &Scheduler) {
    for (_, site) in scheduler.destinations.iter() {
        if scheduler.transports[site.transport].has_room() && site.has_room() {
            assert_eq!(site.waiting, 0, "a delivery to {} could start", site.name);
        }
    }
}

/// Nothing is left of any message.
fn assert_empty(scheduler: &Scheduler) {
    let arena = &scheduler.arena;
    let left = (arena.messages.len(), arena.jobs.len(), arena.peers.len(), arena.entries.len());
    assert_eq!((left, scheduler.recipients, scheduler.refills.len()), ((0, 0, 0, 0), 0, 0));
    for (_, transport) in scheduler.transports.iter() {
        assert!(transport.jobs.head.is_none() && transport.unread_jobs.is_empty());
        assert_eq!(transport.busy, 0);
    }
    for (_, site) in scheduler.destinations.iter() {
        assert_ne!(site.state(), crate::destination::State::Ready, "{} is of no use", site.name);
    }
}
