//! Destinations with a great share of the active queue: other mail may not get through.
//!
//! Looked at when deliveries join a destination; each destination is named at most once per
//! `qmgr_clog_warn_time`.
//!
//! Standards: postconf(5) `qmgr_clog_warn_time`, `helpful_warnings`.

use alloc::sync::Arc;

use crate::scheduler::Scheduler;
use crate::slab::DestinationId;

/// A destination with more than a fifth of the active limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// Name of the transport.
    pub transport: Arc<str>,
    /// Where the destination's deliveries go.
    pub nexthop: Arc<str>,
    /// Deliveries waiting or under way.
    pub entries: u32,
    /// Messages in the active queue.
    pub messages: usize,
    /// What may help.
    pub advice: Advice,
}

/// What may help a crowded destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A higher destination concurrency limit than this one.
    RaiseConcurrency(u32),
    /// A higher active limit than this one.
    RaiseActiveLimit(u32),
    /// A transport of its own: other destinations share the one it has.
    SeparateTransport,
    /// Shorter timeouts, longer backoff, more processes.
    SkipSooner,
}

/// The share of the active limit above which a destination is crowded: one in so many.
const CROWDED_SHARE: u32 = 5;

impl Scheduler {
    /// A destination to warn of, each once.
    pub fn take_crowded(&mut self) -> Option<Crowded> {
        self.crowd.pop()
    }

    pub(crate) fn notice_crowd(&mut self, destination: DestinationId, now_ms: u64) {
        let site = &self.destinations[destination];
        let entries = site.busy + site.waiting;
        let crowded = entries > self.limits.message_active_limit / CROWDED_SHARE;
        if !crowded || self.limits.clog_warn_s == 0 || now_ms < site.warn_ms {
            return;
        }
        let crowded = Crowded {
            transport: self.transports[site.transport].name.clone(),
            nexthop: site.nexthop.clone(),
            entries,
            messages: self.arena.messages.len(),
            advice: self.advice(destination, entries),
        };
        self.crowd.push(crowded);
        let wait_ms = u64::from(self.limits.clog_warn_s) * 1000;
        self.destinations[destination].warn_ms = now_ms.saturating_add(wait_ms);
    }

    fn advice(&self, destination: DestinationId, entries: u32) -> Advice {
        let site = &self.destinations[destination];
        let owner = &self.transports[site.transport];
        let limit = owner.settings.destination_concurrency_limit;
        let active_limit = u64::from(self.limits.message_active_limit);
        let messages = self.arena.messages.len() as u64;
        if limit > 0 && limit <= site.busy + 1 {
            return Advice::RaiseConcurrency(limit);
        }
        // The window is above the destination's share of the active limit.
        if u64::from(site.window_size()) * messages > active_limit * u64::from(entries) {
            return Advice::RaiseActiveLimit(self.limits.message_active_limit);
        }
        match owner.destinations.len() {
            1 => Advice::SkipSooner,
            _ => Advice::SeparateTransport,
        }
    }
}
