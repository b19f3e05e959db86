//! The end of a delivery: feedback, death of sites and transports, deferring what waits for them.
//!
//! The entry's own recipients are the caller's to settle, whatever the result: it has had them
//! since `select`. Waiting entries of what died come back as [`Flushed`].
//!
//! Standards: qmgr(8), postconf(5) `transport_retry_time`, `minimal_backoff_time`.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::feedback::Verdict;
use crate::job::{Arena, Load};
use crate::recipients::Recipients;
use crate::scheduler::Scheduler;
use crate::slab::{DestinationId, EntryId, MessageId, PeerId};
use crate::transport::{Reason, TransportState};
use crate::wake::Wake;

/// How a delivery ended, as far as the site is concerned; refused recipients are no site problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteResult<'a> {
    /// The site was reached.
    Ok,
    /// The site could not be used: no connection, no handshake with any host.
    Failed {
        /// Enhanced status code, `4.4.1`.
        status: &'a str,
        /// What the agent said.
        reason: &'a str,
    },
    /// The agent broke after it took the request; counts as a site failure.
    AgentCrashed,
    /// The agent was not reached, or broke before it took the request: the transport is dead.
    TransportUnavailable,
}

/// A waiting delivery whose destination or transport just died: the caller defers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The message.
    pub message: MessageId,
    /// The caller's name for the message.
    pub key: u64,
    /// Recipients to defer.
    pub recipients: Recipients,
    /// With the prefix for dead sites.
    pub reason: Reason,
    /// This was the last of the message: settle it and call [`Scheduler::finish`].
    pub message_finished: bool,
}

/// What just died, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewlyDead {
    /// Name of the transport.
    pub transport: Arc<str>,
    /// The queue key, or `None` when the whole transport is dead.
    pub destination: Option<Arc<str>>,
    /// With the prefix for dead sites.
    pub reason: Reason,
    /// When it is tried again.
    pub until_ms: u64,
}

/// What the end of a delivery changed.
#[derive(Debug)]
#[must_use]
pub struct Done {
    /// The message.
    pub message: MessageId,
    /// The caller's name for the message.
    pub key: u64,
    /// Nothing of it waits, is under way or is unread: settle it and call [`Scheduler::finish`].
    pub message_finished: bool,
    /// What died of this.
    pub newly_dead: Option<NewlyDead>,
    /// Deliveries to defer because of that.
    pub flushed: Vec<Flushed>,
}

const SUSPENDED_PREFIX: &str = "delivery temporarily suspended: ";
const AGENT_CRASHED: (&str, &str) = ("4.3.0", "unknown mail transport error");
const TRANSPORT_UNAVAILABLE: (&str, &str) = ("4.3.0", "mail transport unavailable");

impl Scheduler {
    /// A delivery ended. Call it once for each [`crate::Selected`].
    pub fn done(&mut self, entry: EntryId, site: SiteResult<'_>, now_ms: u64) -> Done {
        let peer = self.arena.entries[entry].peer;
        let destination = self.arena.peers[peer].destination;
        let message = self.arena.jobs[self.arena.peers[peer].job].message;
        let key = self.arena.messages[message].key;
        let mut flushed = Vec::new();
        let newly_dead = match site {
            SiteResult::Ok => self.site_succeeded(destination),
            SiteResult::Failed { status, reason } => {
                self.site_failed(destination, status, reason, now_ms)
            }
            SiteResult::AgentCrashed => {
                self.site_failed(destination, AGENT_CRASHED.0, AGENT_CRASHED.1, now_ms)
            }
            SiteResult::TransportUnavailable => self.transport_failed(destination, now_ms),
        };
        if let Some(dead) = &newly_dead {
            self.flush(destination, dead, &mut flushed);
        }
        self.end_entry(entry, now_ms);
        self.delay_transport(destination, now_ms);
        if site != SiteResult::TransportUnavailable {
            self.delay_destination(destination, now_ms);
        }
        self.after_change(destination);
        self.review_refill(message, now_ms);
        let message_finished = self.is_finished(message);
        Done { message, key, message_finished, newly_dead, flushed }
    }

    fn site_succeeded(&mut self, destination: DestinationId) -> Option<NewlyDead> {
        let site = &mut self.destinations[destination];
        site.succeeded(&self.transports[site.transport].rules);
        None
    }

    fn site_failed(
        &mut self,
        destination: DestinationId,
        status: &str,
        text: &str,
        now_ms: u64,
    ) -> Option<NewlyDead> {
        let until_ms = after(now_ms, self.limits.minimal_backoff_s);
        let site = &mut self.destinations[destination];
        let owner = &self.transports[site.transport];
        let suspended = || Reason::new(status, &format!("{SUSPENDED_PREFIX}{text}"));
        if site.failed(&owner.rules, suspended, until_ms) == Verdict::Alive {
            return None;
        }
        self.timers.push(Reverse((until_ms, Wake::Destination(destination))));
        Some(NewlyDead {
            transport: owner.name.clone(),
            destination: Some(site.name.clone()),
            reason: site.reason.clone().expect("a dead site has its reason"),
            until_ms,
        })
    }

    /// Several agents may fail at once: the transport dies of the first.
    fn transport_failed(&mut self, destination: DestinationId, now_ms: u64) -> Option<NewlyDead> {
        let transport = self.destinations[destination].transport;
        let owner = &mut self.transports[transport];
        if owner.dead_reason().is_some() {
            return None;
        }
        let wait_s = self.limits.transport_retry_s.max(owner.settings.transport_rate_delay_s);
        let until_ms = after(now_ms, wait_s);
        let reason = Reason::new(TRANSPORT_UNAVAILABLE.0, TRANSPORT_UNAVAILABLE.1);
        owner.state = TransportState::Dead { until_ms, reason: reason.clone() };
        self.timers.push(Reverse((until_ms, Wake::Transport(transport))));
        Some(NewlyDead { transport: owner.name.clone(), destination: None, reason, until_ms })
    }

    /// Gives back what waits for what died.
    fn flush(&mut self, destination: DestinationId, dead: &NewlyDead, flushed: &mut Vec<Flushed>) {
        if dead.destination.is_some() {
            return self.flush_destination(destination, &dead.reason, flushed);
        }
        let transport = self.destinations[destination].transport;
        let sites: Vec<DestinationId> =
            self.transports[transport].destinations.values().copied().collect();
        for site in sites {
            self.flush_destination(site, &dead.reason, flushed);
            if site != destination {
                self.drop_destination_if_idle(site);
            }
        }
    }

    fn flush_destination(
        &mut self,
        destination: DestinationId,
        reason: &Reason,
        flushed: &mut Vec<Flushed>,
    ) {
        while let Some(peer) = self.destinations[destination].peers.head {
            self.destinations[destination].waiting -= 1;
            let (entry, recipients) = self.take_waiting(peer);
            self.arena.entries[entry].load = Load::Started { count: recipients.count() };
            let message = self.release(entry);
            flushed.push(Flushed {
                message,
                key: self.arena.messages[message].key,
                recipients,
                reason: reason.clone(),
                message_finished: self.is_finished(message),
            });
        }
        self.recount(destination);
    }

    /// Counts an entry under way out.
    fn end_entry(&mut self, entry: EntryId, now_ms: u64) {
        let peer = self.arena.entries[entry].peer;
        let ended = &mut self.arena.peers[peer];
        assert!(ended.busy > 0, "an entry is done after it was selected");
        ended.busy -= 1;
        self.transports[ended.transport].busy -= 1;
        self.destinations[ended.destination].end(now_ms);
        self.entries_busy -= 1;
        self.release(entry);
    }

    /// Forgets an entry and what it was the last of, but not the message.
    pub(crate) fn release(&mut self, entry: EntryId) -> MessageId {
        let Arena { messages, jobs, peers, entries, .. } = &mut self.arena;
        let gone = entries.remove(entry);
        let Load::Started { count } = gone.load else {
            panic!("an entry is done after it was selected");
        };
        let job = peers[gone.peer].job;
        let message = jobs[job].message;
        jobs[job].recipients -= count;
        messages[message].recipients -= count;
        messages[message].entries -= 1;
        self.recipients -= count as usize;
        self.finish_peer(gone.peer);
        message
    }

    fn finish_peer(&mut self, peer: PeerId) {
        let job = self.arena.peers[peer].job;
        self.arena.drop_peer_if_empty(peer);
        self.settle_slots(job);
        self.drop_job_if_empty(job);
    }

    fn delay_transport(&mut self, destination: DestinationId, now_ms: u64) {
        let transport = self.destinations[destination].transport;
        let owner = &mut self.transports[transport];
        if owner.state == TransportState::Locked {
            let until_ms = after(now_ms, owner.settings.transport_rate_delay_s);
            owner.state = TransportState::Paused { until_ms };
            self.timers.push(Reverse((until_ms, Wake::Transport(transport))));
        }
    }

    fn delay_destination(&mut self, destination: DestinationId, now_ms: u64) {
        let site = &mut self.destinations[destination];
        let owner = &self.transports[site.transport];
        if owner.settings.destination_rate_delay_s > 0 {
            let until_ms = after(now_ms, owner.settings.destination_rate_delay_s);
            site.pause(&owner.rules, until_ms);
            self.timers.push(Reverse((until_ms, Wake::Destination(destination))));
        }
    }

    /// A destination may have got room, or may be of no more use.
    pub(crate) fn after_change(&mut self, destination: DestinationId) {
        self.recount(destination);
        let site = &self.destinations[destination];
        let owner = &mut self.transports[site.transport];
        if site.blocker_tag == owner.blocker_tag && site.has_room() {
            owner.unblock();
        }
        self.drop_destination_if_idle(destination);
    }
}

/// Some seconds later.
fn after(now_ms: u64, wait_s: u32) -> u64 {
    now_ms.saturating_add(u64::from(wait_s) * 1000)
}
