//! Jobs, peers, entries and the messages they are of: the records and their lists.
//!
//! A job (Postfix: `QMGR_JOB`) is a message's share of one transport; a peer (`QMGR_PEER`) a job's
//! share of one destination; an entry (`QMGR_ENTRY`) one delivery request. The scheduling of jobs
//! is in `preempt`, their choice in `select`.

use alloc::collections::BTreeMap;

use crate::recipients::Recipients;
use crate::slab::{
    DestinationId, EntryId, JobId, Links, List, MessageId, PeerId, Slab, Threaded, TransportId,
};

/// List name: the jobs of a transport.
pub(crate) enum OfTransport {}
/// List name: the jobs of a message.
pub(crate) enum OfMessage {}
/// List name: the jobs that preempted a job.
pub(crate) enum OfParent {}
/// List name: the peers of a job that have waiting entries.
pub(crate) enum OfJob {}
/// List name: the peers of a destination that have waiting entries.
pub(crate) enum OfDestination {}
/// List name: the waiting entries of a peer.
pub(crate) enum OfPeer {}

/// A message in the active queue.
pub(crate) struct Message {
    /// The caller's name for it.
    pub(crate) key: u64,
    /// Order of admission.
    pub(crate) sequence: u64,
    pub(crate) admitted_ms: u64,
    /// When recipients were last read.
    pub(crate) read_ms: u64,
    /// Recipients still on disk.
    pub(crate) unread: u32,
    /// Recipients waiting or under way.
    pub(crate) recipients: u32,
    /// Entries waiting or under way.
    pub(crate) entries: u32,
    pub(crate) jobs: List<JobId, OfMessage>,
    pub(crate) refill: Refill,
}

/// Where a message stands with its next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    /// Nothing to read, or no slots to read into.
    Idle,
    /// Some slots are free; a timer looks again.
    Delayed,
    /// In the queue of messages to read.
    Due,
    /// The caller was told to read and has not come back.
    Reading,
}

/// A message's share of one transport.
pub(crate) struct Job {
    pub(crate) message: MessageId,
    pub(crate) transport: TransportId,
    pub(crate) of_transport: Links<JobId>,
    pub(crate) of_message: Links<JobId>,
    pub(crate) of_parent: Links<JobId>,
    pub(crate) place: Place,
    pub(crate) children: List<JobId, OfParent>,
    /// Peers with waiting entries, next one first.
    pub(crate) peers: List<PeerId, OfJob>,
    /// All peers, those under way too.
    pub(crate) peer_count: u32,
    /// The first peer; the others are in the map of the arena.
    pub(crate) sole_peer: Option<PeerId>,
    /// The transport's blocker generation in which it could not start anything.
    pub(crate) blocker_tag: u64,
    /// Entries waiting.
    pub(crate) waiting: u32,
    /// Entries ever made.
    pub(crate) entries_read: u32,
    /// Entries ever taken off the waiting list.
    pub(crate) selected: u32,
    /// Delivery slots that preempting jobs may spend.
    pub(crate) slots_available: i64,
    /// Selections since it preempted, less what it paid for.
    pub(crate) slots_used: i64,
    /// Recipients waiting or under way.
    pub(crate) recipients: u32,
    /// Recipient slots out of the transport's pool.
    pub(crate) recipient_slots: i64,
    /// Recipient slots out of the pool for preempting jobs.
    pub(crate) extra_slots: u32,
}

/// Where a job stands in its transport's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing to select: not on the list.
    Retired,
    /// In its turn by age (stack level 0).
    InLine,
    /// In front of the job it preempted.
    Preempting {
        parent: JobId,
        /// At least 1.
        level: u32,
    },
    /// It preempted a job that is gone, and took over its place on the stack.
    Adopted {
        /// Who stands behind it now; `None` at the bottom of the stack.
        parent: Option<JobId>,
        /// As it was.
        level: u32,
    },
}

impl Place {
    pub(crate) const fn level(self) -> u32 {
        match self {
            Self::Retired | Self::InLine => 0,
            Self::Preempting { level, .. } | Self::Adopted { level, .. } => level,
        }
    }

    pub(crate) const fn parent(self) -> Option<JobId> {
        match self {
            Self::Retired | Self::InLine => None,
            Self::Preempting { parent, .. } => Some(parent),
            Self::Adopted { parent, .. } => parent,
        }
    }
}

impl Job {
    pub(crate) const fn new(message: MessageId, transport: TransportId) -> Self {
        Self {
            message,
            transport,
            of_transport: Links::NONE,
            of_message: Links::NONE,
            of_parent: Links::NONE,
            place: Place::Retired,
            children: List::EMPTY,
            peers: List::EMPTY,
            peer_count: 0,
            sole_peer: None,
            blocker_tag: 0,
            waiting: 0,
            entries_read: 0,
            selected: 0,
            slots_available: 0,
            slots_used: 0,
            recipients: 0,
            recipient_slots: 0,
            extra_slots: 0,
        }
    }

    /// Entries it will have had in the end, each unread recipient taken for one.
    pub(crate) fn entries_max(&self, unread: u32) -> i64 {
        i64::from(self.entries_read) + i64::from(unread)
    }
}

/// A job's share of one destination.
pub(crate) struct Peer {
    pub(crate) job: JobId,
    pub(crate) transport: TransportId,
    pub(crate) destination: DestinationId,
    pub(crate) of_job: Links<PeerId>,
    pub(crate) of_destination: Links<PeerId>,
    pub(crate) entries: List<EntryId, OfPeer>,
    /// Entries under way.
    pub(crate) busy: u32,
}

/// One delivery request.
pub(crate) struct Entry {
    pub(crate) peer: PeerId,
    pub(crate) of_peer: Links<EntryId>,
    pub(crate) load: Load,
}

/// The recipients of an entry.
pub(crate) enum Load {
    /// Waiting, and more of the same destination may join.
    Open(Recipients),
    /// Waiting, alone on purpose.
    Sealed(Recipients),
    /// Under way; the caller has the recipients.
    Started {
        /// How many.
        count: u32,
    },
}

macro_rules! threaded {
    ($tenant:ty, $key:ty, $list:ty, $links:ident) => {
        impl Threaded<$key, $list> for $tenant {
            fn links(&mut self) -> &mut Links<$key> {
                &mut self.$links
            }
        }
    };
}

threaded!(Job, JobId, OfTransport, of_transport);
threaded!(Job, JobId, OfMessage, of_message);
threaded!(Job, JobId, OfParent, of_parent);
threaded!(Peer, PeerId, OfJob, of_job);
threaded!(Peer, PeerId, OfDestination, of_destination);
threaded!(Entry, EntryId, OfPeer, of_peer);

/// The slabs of everything that belongs to messages.
pub(crate) struct Arena {
    pub(crate) messages: Slab<MessageId, Message>,
    pub(crate) jobs: Slab<JobId, Job>,
    pub(crate) peers: Slab<PeerId, Peer>,
    pub(crate) entries: Slab<EntryId, Entry>,
    /// The second and later peers of each job; most jobs have one.
    more_peers: BTreeMap<(JobId, DestinationId), PeerId>,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            messages: Slab::new(),
            jobs: Slab::new(),
            peers: Slab::new(),
            entries: Slab::new(),
            more_peers: BTreeMap::new(),
        }
    }

    /// Recipients on disk of the message a job is of.
    pub(crate) fn unread_of(&self, job: JobId) -> u32 {
        self.messages[self.jobs[job].message].unread
    }

    /// The message's job on a transport.
    pub(crate) fn find_job(&self, message: MessageId, transport: TransportId) -> Option<JobId> {
        let mut next = self.messages[message].jobs.head;
        while let Some(job) = next {
            if self.jobs[job].transport == transport {
                break;
            }
            next = self.jobs[job].of_message.next;
        }
        next
    }

    /// The job's peer for a destination, made when there is none.
    pub(crate) fn obtain_peer(&mut self, job: JobId, destination: DestinationId) -> PeerId {
        let sole = self.jobs[job].sole_peer;
        if let Some(peer) = sole.filter(|&peer| self.peers[peer].destination == destination) {
            return peer;
        }
        // A map look-up only for a job with more than one peer.
        let more = self.jobs[job].peer_count > u32::from(sole.is_some());
        if let Some(&peer) = more.then(|| self.more_peers.get(&(job, destination))).flatten() {
            return peer;
        }
        self.add_peer(job, destination)
    }

    fn add_peer(&mut self, job: JobId, destination: DestinationId) -> PeerId {
        let peer = self.peers.insert(Peer {
            job,
            transport: self.jobs[job].transport,
            destination,
            of_job: Links::NONE,
            of_destination: Links::NONE,
            entries: List::EMPTY,
            busy: 0,
        });
        let owner = &mut self.jobs[job];
        owner.peer_count += 1;
        if owner.sole_peer.is_none() {
            owner.sole_peer = Some(peer);
        } else {
            self.more_peers.insert((job, destination), peer);
        }
        peer
    }

    /// Drops a peer that has nothing left.
    pub(crate) fn drop_peer_if_empty(&mut self, peer: PeerId) {
        if self.peers[peer].busy > 0 || self.peers[peer].entries.head.is_some() {
            return;
        }
        let gone = self.peers.remove(peer);
        let owner = &mut self.jobs[gone.job];
        owner.peer_count -= 1;
        if owner.sole_peer == Some(peer) {
            owner.sole_peer = None;
        } else {
            self.more_peers.remove(&(gone.job, gone.destination));
        }
    }
}
