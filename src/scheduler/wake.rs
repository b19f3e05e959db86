//! What time alone changes: revival of the dead, end of rate delays, delayed reads.
//!
//! Timers are never cancelled; one that finds its state changed does nothing.

use core::cmp::Reverse;

use alloc::vec::Vec;

use crate::scheduler::Scheduler;
use crate::slab::{DestinationId, MessageId, TransportId};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    Destination(DestinationId),
    Transport(TransportId),
    Refill(MessageId),
}

impl Scheduler {
    /// When [`Scheduler::tick`] should run next, in monotonic milliseconds; may be early.
    #[must_use]
    pub fn next_event(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// Does what has become due.
    pub fn tick(&mut self, now_ms: u64) {
        while self.next_event().is_some_and(|due_ms| due_ms <= now_ms) {
            let Some(Reverse((_, wake))) = self.timers.pop() else { return };
            match wake {
                Wake::Destination(destination) => self.destination_timer_due(destination, now_ms),
                Wake::Transport(transport) => self.transport_timer_due(transport, now_ms),
                Wake::Refill(message) => self.refill_timer_due(message, now_ms),
            }
        }
    }

    fn destination_timer_due(&mut self, destination: DestinationId, now_ms: u64) {
        let Some(site) = self.destinations.get(destination) else { return };
        let rules = self.transports[site.transport].rules;
        if self.destinations[destination].timer_due(&rules, now_ms) {
            self.after_change(destination);
        }
    }

    fn transport_timer_due(&mut self, transport: TransportId, now_ms: u64) {
        if self.transports[transport].timer_due(now_ms) {
            self.transports[transport].unblock();
        }
    }

    /// Forgets which sites and transports are dead (trigger `F`).
    pub fn flush_dead(&mut self) {
        for index in 0..self.turns.len() {
            self.transports[self.turns[index]].forgive();
        }
        let dead: Vec<DestinationId> = self
            .destinations
            .iter()
            .filter(|(_, site)| site.is_dead())
            .map(|(destination, _)| destination)
            .collect();
        for destination in dead {
            self.forgive(destination);
        }
    }

    /// Forgets that one destination, or its transport, is dead (a message that is flushed).
    pub fn unthrottle(&mut self, transport: TransportId, destination: &str) {
        self.transports[transport].forgive();
        let site = self.transports[transport].destinations.get(destination).copied();
        if let Some(site) = site {
            self.forgive(site);
        }
    }

    fn forgive(&mut self, destination: DestinationId) {
        let rules = self.transports[self.destinations[destination].transport].rules;
        self.destinations[destination].forgive(&rules);
        self.after_change(destination);
    }
}
