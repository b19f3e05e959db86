//! The scheduler's state, and how messages and recipients enter it.

use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::crowd::Crowded;
use crate::destination::{Destination, State};
use crate::job::{Arena, Entry, Job, Load, Message, Place, Refill};
use crate::recipients::Recipients;
use crate::slab::{DestinationId, JobId, Links, List, MessageId, PeerId, Slab, TransportId};
use crate::transport::{Reason, Transport, TransportSettings};
use crate::wake::Wake;

/// Bounds of one scheduler, and the times it keeps by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `qmgr_message_active_limit`, 20000 messages.
    pub message_active_limit: u32,
    /// `qmgr_message_recipient_limit`, 20000 recipients; raised to the active limit if smaller.
    pub message_recipient_limit: u32,
    /// `qmgr_message_recipient_minimum`, 10 recipients of each message whatever the limit says.
    pub message_recipient_minimum: u32,
    /// `minimal_backoff_time`, 300 seconds a dead destination stays dead.
    pub minimal_backoff_s: u32,
    /// `transport_retry_time`, 60 seconds a dead transport stays dead.
    pub transport_retry_s: u32,
    /// `qmgr_clog_warn_time`, 300 seconds between two warnings about one destination; 0 is never.
    pub clog_warn_s: u32,
}

impl Default for Limits {
    /// Postfix 3.7's.
    fn default() -> Self {
        Self {
            message_active_limit: 20_000,
            message_recipient_limit: 20_000,
            message_recipient_minimum: 10,
            minimal_backoff_s: 300,
            transport_retry_s: 60,
            clog_warn_s: 300,
        }
    }
}

impl Limits {
    pub(crate) fn adjusted(mut self) -> Self {
        self.message_recipient_limit = self.message_recipient_limit.max(self.message_active_limit);
        self
    }
}

/// A recipient with its route.
#[derive(Clone, Copy, Debug)]
pub struct RoutedRecipient<'a> {
    /// The caller's number of the recipient within the message.
    pub index: u32,
    /// The transport that will deliver.
    pub transport: TransportId,
    /// Queue key: the lower-cased nexthop, or `localpart@nexthop` when one recipient at a time.
    pub destination: &'a str,
    /// Where deliveries go; the destination keeps the one it is made with.
    pub nexthop: &'a str,
    /// VERP: a delivery of its own.
    pub alone: bool,
}

/// Recipients whose destination or transport is dead: the caller defers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredAtOnce {
    /// Recipient indices.
    pub recipients: Recipients,
    /// What killed the site.
    pub reason: Reason,
}

/// What became of an admission or of added recipients.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    /// The message.
    pub message: MessageId,
    /// Recipients to defer now.
    pub deferred_at_once: Vec<DeferredAtOnce>,
    /// Nothing waits, is under way or is unread: settle it and call [`Scheduler::finish`].
    pub message_finished: bool,
}

/// Totals for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages in the active queue.
    pub messages: usize,
    /// Recipients in memory.
    pub recipients: usize,
    /// Deliveries that wait.
    pub entries_waiting: usize,
    /// Deliveries under way.
    pub entries_busy: usize,
    /// Destinations in memory.
    pub destinations: usize,
    /// Of those, dead.
    pub destinations_dead: usize,
    /// Transports that are dead.
    pub transports_dead: usize,
}

/// Dead and empty destinations above this many times the recipient limit are dropped early.
const DESTINATIONS_PER_RECIPIENT: usize = 2;

/// The queue manager of one core.
pub struct Scheduler {
    pub(crate) limits: Limits,
    pub(crate) arena: Arena,
    pub(crate) transports: Slab<TransportId, Transport>,
    transport_names: BTreeMap<Arc<str>, TransportId>,
    /// Transports in the order of their turns.
    pub(crate) turns: VecDeque<TransportId>,
    pub(crate) destinations: Slab<DestinationId, Destination>,
    pub(crate) timers: BinaryHeap<Reverse<(u64, Wake)>>,
    /// Messages with recipients to read and slots to read them into.
    pub(crate) refills: VecDeque<MessageId>,
    /// Destinations the administrator is to be warned of.
    pub(crate) crowd: Vec<Crowded>,
    pub(crate) recipients: usize,
    pub(crate) entries_busy: usize,
    next_sequence: u64,
}

impl Scheduler {
    /// An empty active queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: limits.adjusted(),
            arena: Arena::new(),
            transports: Slab::new(),
            transport_names: BTreeMap::new(),
            turns: VecDeque::new(),
            destinations: Slab::new(),
            timers: BinaryHeap::new(),
            refills: VecDeque::new(),
            crowd: Vec::new(),
            recipients: 0,
            entries_busy: 0,
            next_sequence: 0,
        }
    }

    /// The transport of this name; `settings` is asked for at its first use.
    pub fn transport(
        &mut self,
        name: &str,
        settings: impl FnOnce() -> TransportSettings,
    ) -> TransportId {
        if let Some(&transport) = self.transport_names.get(name) {
            return transport;
        }
        let transport = self.transports.insert(Transport::new(name, settings()));
        let name = self.transports[transport].name.clone();
        self.transport_names.insert(name, transport);
        self.turns.push_back(transport);
        transport
    }

    /// Takes a message in. `recipients` are the first ones read, best sorted by transport and
    /// destination; `unread` more are on disk.
    pub fn admit(
        &mut self,
        key: u64,
        recipients: &[RoutedRecipient<'_>],
        unread: u32,
        now_ms: u64,
    ) -> Admitted {
        let message = self.arena.messages.insert(Message {
            key,
            sequence: self.next_sequence,
            admitted_ms: now_ms,
            read_ms: now_ms,
            unread,
            recipients: 0,
            entries: 0,
            jobs: List::EMPTY,
            refill: Refill::Idle,
        });
        self.next_sequence += 1;
        let deferred_at_once = self.place(message, recipients, now_ms);
        let message_finished = self.is_finished(message);
        Admitted { message, deferred_at_once, message_finished }
    }

    /// Takes in the recipients that [`Scheduler::wants_refill`] asked for; `unread` are left.
    ///
    /// When the rest cannot be read, `unread` is 0: the caller defers that rest by itself.
    pub fn add_recipients(
        &mut self,
        message: MessageId,
        recipients: &[RoutedRecipient<'_>],
        unread: u32,
        now_ms: u64,
    ) -> Admitted {
        self.forget_refill(message);
        let owner = &mut self.arena.messages[message];
        assert!(unread <= owner.unread, "recipients on disk do not grow");
        (owner.unread, owner.read_ms) = (unread, now_ms);
        let deferred_at_once = self.place(message, recipients, now_ms);
        if unread == 0 {
            self.read_to_the_end(message);
        }
        let message_finished = self.is_finished(message);
        Admitted { message, deferred_at_once, message_finished }
    }

    /// Forgets a message of which nothing waits or is under way.
    pub fn finish(&mut self, message: MessageId) {
        assert!(self.arena.messages[message].entries == 0, "a message with entries is not over");
        self.forget_refill(message);
        self.arena.messages[message].unread = 0;
        self.read_to_the_end(message);
        self.arena.messages.remove(message);
    }

    /// Whether the active queue takes another message.
    #[must_use]
    pub fn room_for_message(&self) -> bool {
        self.room_beside(0)
    }

    /// Whether it takes another message when `others` come that are not here yet.
    #[must_use]
    pub fn room_beside(&self, others: usize) -> bool {
        self.arena.messages.len() + others < self.limits.message_active_limit as usize
    }

    /// Totals, counted by a walk over the destinations.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let dead = |(_, transport): &(_, &Transport)| transport.dead_reason().is_some();
        Counts {
            messages: self.arena.messages.len(),
            recipients: self.recipients,
            entries_waiting: self.arena.entries.len() - self.entries_busy,
            entries_busy: self.entries_busy,
            destinations: self.destinations.len(),
            destinations_dead: self.destinations.iter().filter(|(_, site)| site.is_dead()).count(),
            transports_dead: self.transports.iter().filter(dead).count(),
        }
    }

    pub(crate) fn is_finished(&self, message: MessageId) -> bool {
        let message = &self.arena.messages[message];
        message.entries == 0 && message.unread == 0
    }

    /// Makes jobs, peers and entries of recipients; answers those that must not wait.
    fn place(
        &mut self,
        message: MessageId,
        recipients: &[RoutedRecipient<'_>],
        now_ms: u64,
    ) -> Vec<DeferredAtOnce> {
        let mut deferred = Vec::new();
        let same = |a: &RoutedRecipient<'_>, b: &RoutedRecipient<'_>| {
            a.transport == b.transport && a.destination == b.destination
        };
        for run in recipients.chunk_by(same) {
            let Route { destination, dead } = self.route(run[0].transport, run[0].destination);
            match dead {
                Some(reason) => deferred.push(DeferredAtOnce { recipients: all_of(run), reason }),
                None => self.place_run(message, destination, run, now_ms),
            }
        }
        if self.arena.messages[message].unread > 0 {
            self.review_refill(message, now_ms);
        }
        deferred
    }

    fn route(&self, transport: TransportId, name: &str) -> Route {
        let owner = &self.transports[transport];
        let destination = owner.destinations.get(name).copied();
        let of_site = || self.destinations[destination?].reason.as_ref();
        Route { destination, dead: owner.dead_reason().or_else(of_site).cloned() }
    }

    fn place_run(
        &mut self,
        message: MessageId,
        destination: Option<DestinationId>,
        run: &[RoutedRecipient<'_>],
        now_ms: u64,
    ) {
        let transport = run[0].transport;
        let destination = destination.unwrap_or_else(|| self.add_destination(&run[0]));
        let job = self.obtain_job(message, transport);
        let peer = self.arena.obtain_peer(job, destination);
        for recipient in run {
            self.place_recipient(peer, recipient);
        }
        let count = u32::try_from(run.len()).expect("recipients are counted in 32 bits");
        self.arena.messages[message].recipients += count;
        self.arena.jobs[job].recipients += count;
        self.recipients += run.len();
        self.settle_slots(job);
        self.offer(job);
        self.notice_crowd(destination, now_ms);
    }

    /// Adds to the last waiting entry of the peer, or makes a new one.
    fn place_recipient(&mut self, peer: PeerId, recipient: &RoutedRecipient<'_>) {
        let owner = &self.arena.peers[peer];
        let recipients_max = self.transports[owner.transport].entry_recipients_max();
        let tail = owner.entries.tail;
        if let Some(tail) = tail.filter(|_| !recipient.alone)
            && let Load::Open(recipients) = &mut self.arena.entries[tail].load
            && recipients.count() < recipients_max
        {
            return recipients.push(recipient.index);
        }
        let recipients = Recipients::one(recipient.index);
        let load = if recipient.alone { Load::Sealed(recipients) } else { Load::Open(recipients) };
        self.add_entry(peer, load);
    }

    fn add_entry(&mut self, peer: PeerId, load: Load) {
        let Arena { messages, jobs, peers, entries, .. } = &mut self.arena;
        let entry = entries.insert(Entry { peer, of_peer: Links::NONE, load });
        let (job, destination) = (peers[peer].job, peers[peer].destination);
        let site = &mut self.destinations[destination];
        if peers[peer].entries.head.is_none() {
            jobs[job].peers.push_back(peers, peer);
            site.peers.push_back(peers, peer);
        }
        peers[peer].entries.push_back(entries, entry);
        site.waiting += 1;
        jobs[job].waiting += 1;
        jobs[job].entries_read += 1;
        messages[jobs[job].message].entries += 1;
        self.recount(destination);
    }

    fn obtain_job(&mut self, message: MessageId, transport: TransportId) -> JobId {
        if let Some(job) = self.arena.find_job(message, transport) {
            return job;
        }
        let Arena { messages, jobs, .. } = &mut self.arena;
        let job = jobs.insert(Job::new(message, transport));
        messages[message].jobs.push_back(jobs, job);
        if messages[message].unread > 0 {
            self.enter_unread(job);
        }
        job
    }

    /// Takes a job without peers off everything, once its message is read to the end.
    pub(crate) fn drop_job_if_empty(&mut self, job: JobId) {
        if self.arena.jobs[job].peer_count > 0 || self.arena.unread_of(job) > 0 {
            return;
        }
        if self.arena.jobs[job].place != Place::Retired {
            self.retire(job);
        }
        self.settle_slots(job);
        let Arena { messages, jobs, .. } = &mut self.arena;
        messages[jobs[job].message].jobs.unlink(jobs, job);
        jobs.remove(job);
    }

    fn add_destination(&mut self, first: &RoutedRecipient<'_>) -> DestinationId {
        let owner = &mut self.transports[first.transport];
        let name: Arc<str> = Arc::from(first.destination);
        let same = first.nexthop == first.destination;
        let nexthop = if same { name.clone() } else { Arc::from(first.nexthop) };
        let site = Destination::new(first.transport, name.clone(), nexthop, &owner.rules);
        let destination = self.destinations.insert(site);
        owner.destinations.insert(name, destination);
        destination
    }

    /// Drops a destination for which there is nothing, unless its state is worth keeping.
    pub(crate) fn drop_destination_if_idle(&mut self, destination: DestinationId) {
        let site = &self.destinations[destination];
        if !site.is_empty() {
            return;
        }
        let recipients_max = self.limits.message_recipient_limit as usize;
        let crowd = self.destinations.len() > DESTINATIONS_PER_RECIPIENT * recipients_max;
        if site.state() == State::Ready || (site.is_dead() && crowd) {
            let site = self.destinations.remove(destination);
            self.transports[site.transport].destinations.remove(&site.name);
        }
    }
}

/// Where a run of recipients goes.
struct Route {
    /// `None` when it has to be made.
    destination: Option<DestinationId>,
    /// Why they must not wait.
    dead: Option<Reason>,
}

fn all_of(run: &[RoutedRecipient<'_>]) -> Recipients {
    let mut recipients = Recipients::one(run[0].index);
    for recipient in &run[1..] {
        recipients.push(recipient.index);
    }
    recipients
}
