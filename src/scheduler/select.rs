//! The choice of the next delivery: transports in turn, jobs by the scheduler, peers in turn.
//!
//! A job that has entries but no destination with room is a blocker until one of those
//! destinations gets room; the current job is the first that is no blocker.

use alloc::sync::Arc;

use crate::job::{Arena, Load};
use crate::recipients::Recipients;
use crate::scheduler::Scheduler;
use crate::slab::{DestinationId, EntryId, JobId, MessageId, PeerId, TransportId};
use crate::transport::TransportState;

/// A delivery to start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Selected {
    /// For [`Scheduler::done`].
    pub entry: EntryId,
    /// The message.
    pub message: MessageId,
    /// The caller's name for the message.
    pub key: u64,
    /// Who delivers.
    pub transport: TransportId,
    /// Queue key.
    pub destination: Arc<str>,
    /// Where it goes.
    pub nexthop: Arc<str>,
    /// Who gets it, in the order given at admission.
    pub recipients: Recipients,
    /// Whether the connection should be kept for the next delivery (on-demand caching).
    pub keep_connection: bool,
}

impl Scheduler {
    /// The next delivery to start; `None` when nothing waits or all that waits is held back.
    pub fn select(&mut self, now_ms: u64) -> Option<Selected> {
        for turn in 0..self.turns.len() {
            let transport = self.turns[turn];
            let owner = &self.transports[transport];
            if owner.startable == 0 || !owner.has_room() {
                continue;
            }
            if let Some(peer) = self.select_peer(transport, now_ms) {
                // Its next turn comes after everybody else's.
                self.turns.remove(turn);
                self.turns.push_back(transport);
                return Some(self.start(peer, now_ms));
            }
        }
        None
    }

    /// The peer to start an entry of, with its job made the current one.
    fn select_peer(&mut self, transport: TransportId, now_ms: u64) -> Option<PeerId> {
        let mut next = self.preempt(transport, now_ms);
        while let Some(job) = next {
            next = self.arena.jobs[job].of_transport.next;
            if self.arena.jobs[job].blocker_tag == self.transports[transport].blocker_tag {
                continue;
            }
            if let Some(peer) = self.peer_with_room(job) {
                self.transports[transport].current = Some(job);
                return Some(peer);
            }
            if self.arena.jobs[job].waiting > 0 {
                self.mark_blocker(job);
            } else {
                self.retire(job);
            }
        }
        self.transports[transport].current = None;
        None
    }

    fn peer_with_room(&self, job: JobId) -> Option<PeerId> {
        let mut next = self.arena.jobs[job].peers.head;
        while let Some(peer) = next {
            if self.destinations[self.arena.peers[peer].destination].has_room() {
                break;
            }
            next = self.arena.peers[peer].of_job.next;
        }
        next
    }

    /// Tags the job, and its destinations so that they tell when they get room.
    fn mark_blocker(&mut self, job: JobId) {
        let Arena { jobs, peers, .. } = &mut self.arena;
        let tag = self.transports[jobs[job].transport].blocker_tag;
        jobs[job].blocker_tag = tag;
        let mut next = jobs[job].peers.head;
        while let Some(peer) = next {
            self.destinations[peers[peer].destination].blocker_tag = tag;
            next = peers[peer].of_job.next;
        }
    }

    fn start(&mut self, peer: PeerId, now_ms: u64) -> Selected {
        let (entry, recipients) = self.take_waiting(peer);
        let started = &mut self.arena.peers[peer];
        started.busy += 1;
        let (job, transport) = (started.job, started.transport);
        let destination = started.destination;
        let site = &mut self.destinations[destination];
        let keep_connection = site.start(now_ms);
        let (name, nexthop) = (site.name.clone(), site.nexthop.clone());
        self.recount(destination);
        self.entries_busy += 1;
        self.count_start(transport);
        self.arena.entries[entry].load = Load::Started { count: recipients.count() };
        self.earn_slot(job);
        let message = self.arena.jobs[job].message;
        let key = self.arena.messages[message].key;
        let destination = name;
        Selected {
            entry,
            message,
            key,
            transport,
            destination,
            nexthop,
            recipients,
            keep_connection,
        }
    }

    /// Tells the transport whether a delivery to the destination could start.
    pub(crate) fn recount(&mut self, destination: DestinationId) {
        let site = &mut self.destinations[destination];
        let startable = &mut self.transports[site.transport].startable;
        match (site.counted, site.is_startable()) {
            (false, true) => *startable += 1,
            (true, false) => *startable -= 1,
            (false, false) | (true, true) => {}
        }
        site.counted = site.is_startable();
    }

    fn count_start(&mut self, transport: TransportId) {
        let owner = &mut self.transports[transport];
        owner.busy += 1;
        if owner.settings.transport_rate_delay_s > 0 {
            owner.state = TransportState::Locked;
        }
    }

    fn earn_slot(&mut self, job: JobId) {
        let selected = &mut self.arena.jobs[job];
        selected.slots_available += 1;
        selected.slots_used += 1;
        if selected.waiting == 0 && self.arena.unread_of(job) == 0 {
            self.retire(job);
        }
    }

    /// Takes the first waiting entry off its lists and sends the peer to the end of its job's.
    ///
    /// The destination's count of waiting entries is the caller's to lower.
    pub(crate) fn take_waiting(&mut self, peer: PeerId) -> (EntryId, Recipients) {
        let Arena { jobs, peers, entries, .. } = &mut self.arena;
        let entry = peers[peer].entries.head.expect("a listed peer has a waiting entry");
        peers[peer].entries.unlink(entries, entry);
        let job = peers[peer].job;
        jobs[job].waiting -= 1;
        jobs[job].selected += 1;
        jobs[job].peers.unlink(peers, peer);
        if peers[peer].entries.head.is_some() {
            jobs[job].peers.push_back(peers, peer);
        } else {
            self.destinations[peers[peer].destination].peers.unlink(peers, peer);
        }
        let none = Load::Started { count: 0 };
        match core::mem::replace(&mut entries[entry].load, none) {
            Load::Open(recipients) | Load::Sealed(recipients) => (entry, recipients),
            Load::Started { .. } => unreachable!("an entry under way does not wait"),
        }
    }
}
