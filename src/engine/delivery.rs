//! What the queue manager and a delivery agent say to each other: a request and its outcome.
//!
//! A request names one message and some of its recipients that go to one destination. The agent
//! logs each recipient's line itself; the queue manager settles the outcome in the queue log.

use crate::bounce::Action;
use crate::maillog::Delays;
use mail::queue_id::QueueId;
use mail::{Dsn, Envelope, Recipient, Status};
use queue::{Content, Number};
use runtime::Instant;
use scheduler::EntryId;
use std::sync::Arc;

/// A message as every core may read it.
#[derive(Debug)]
pub struct MessageInfo {
    /// Its number in the queue log; the low bits name its home core.
    pub number: Number,
    /// Its queue id.
    pub id: QueueId,
    /// Who, to whom, when and how.
    pub envelope: Envelope,
}

/// A delivery to make.
#[derive(Clone, Debug)]
pub struct DeliverRequest {
    /// The queue manager's name for it.
    pub entry: EntryId,
    /// The message.
    pub message: Arc<MessageInfo>,
    /// Indices into the envelope's recipients; not empty.
    pub recipients: Vec<u32>,
    /// The master.cf service, such as `smtp` or `relay`.
    pub transport: Arc<str>,
    /// Where to, in the transport's own syntax.
    pub nexthop: Arc<str>,
    /// The message's bytes in wire form.
    pub content: Content,
    /// When the message became active, and how long it took to get there.
    pub activated: Instant,
    /// Time from arrival to the active queue.
    pub before_queue: std::time::Duration,
    /// Whether the connection should be kept for the next delivery to the same destination.
    pub keep_connection: bool,
    /// How many agents have handed it on to another transport.
    pub handovers: u32,
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered, or somebody else's responsibility now.
    Sent,
    /// To be tried again.
    Deferred,
    /// Failed for good.
    Bounced,
}

impl Disposition {
    /// What a status makes of a recipient, and the word of its log line. Under `soft_bounce` the
    /// status is changed too: what would bounce is deferred, with a status of its own class
    /// (postconf(5)).
    pub fn of(dsn: &mut Dsn, soft_bounce: bool) -> (Disposition, &'static str) {
        match (dsn.status.class, soft_bounce) {
            (2, _) => (Disposition::Sent, "sent"),
            (4, _) => (Disposition::Deferred, "deferred"),
            (_, true) => {
                dsn.status.class = 4;
                (Disposition::Deferred, "SOFTBOUNCE")
            }
            (_, false) => (Disposition::Bounced, "bounced"),
        }
    }
}

/// One recipient's result.
#[derive(Clone, Debug)]
pub struct RecipientResult {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// What became of it.
    pub disposition: Disposition,
    /// Status and reason.
    pub dsn: Dsn,
    /// Whether the next hop has taken over the duty to report success (RFC 3461).
    pub dsn_passed_on: bool,
    /// For a report of success: who has it now. One that has failed has one when it was expanded.
    pub receipt: Option<Receipt>,
    /// What of it failed for good, when it is more than one recipient by now: reports name these,
    /// whatever became of the rest.
    pub failures: Vec<PartFailure>,
}

/// Something that a recipient has become, and that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFailure {
    /// What it became.
    pub recipient: Recipient,
    /// Status and reason.
    pub dsn: Dsn,
}

/// Who took a recipient's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// `relay=` of the log line.
    pub relay: String,
    /// [`Action::Delivered`], [`Action::Relayed`] or [`Action::Expanded`].
    pub action: Action,
    /// What is reported, when that is not what became of the recipient: that a list was expanded
    /// is true whatever became of its members.
    pub told: Option<Dsn>,
}

/// The end of a delivery: every recipient of the request has exactly one result.
#[derive(Debug)]
pub struct Outcome {
    /// The request's entry.
    pub entry: EntryId,
    /// The message.
    pub message: Arc<MessageInfo>,
    /// One result for each recipient.
    pub results: Vec<RecipientResult>,
    /// Set when the destination itself failed (no connection, handshake failed): the queue manager
    /// counts it against the destination's concurrency.
    pub site_failure: Option<Dsn>,
}

/// The attribute of a message that checks have refused after it was taken: why, status and text.
pub const REFUSED: &str = "cleanup_refused";

impl MessageInfo {
    /// Why the message goes nowhere but back.
    pub fn refusal(&self) -> Option<Dsn> {
        let why = self.envelope.attribute(REFUSED)?;
        let (status, used) = Status::parse_prefix(why).unwrap_or((Status::new(5, 7, 1), 0));
        let text = String::from_utf8_lossy(&why[used..]);
        Some(Dsn::local(status, text.trim_start()))
    }
}

/// What agents say of a transport that cannot be used at all; see
/// [`Outcome::is_transport_failure`].
pub const TRANSPORT_UNAVAILABLE: &str = "mail transport unavailable";

impl Outcome {
    /// Whether not the destination failed but the transport: nobody serves it.
    pub fn is_transport_failure(&self) -> bool {
        self.site_failure.as_ref().is_some_and(|dsn| dsn.reason == TRANSPORT_UNAVAILABLE)
    }
}

impl DeliverRequest {
    /// What became of it.
    pub fn outcome(&self, results: Vec<RecipientResult>, site_failure: Option<Dsn>) -> Outcome {
        assert_eq!(results.len(), self.recipients.len());
        Outcome { entry: self.entry, message: self.message.clone(), results, site_failure }
    }

    /// The recipients with their indices.
    pub fn recipients(&self) -> impl Iterator<Item = (u32, &Recipient)> {
        let all = &self.message.envelope.recipients;
        self.recipients.iter().map(|index| (*index, &all[*index as usize]))
    }

    /// The first two parts of a delay, when the delivery starts at `now`.
    pub fn delays(&self, now: Instant) -> Delays {
        Delays {
            before_queue: self.before_queue,
            in_queue: now.since(self.activated),
            ..Delays::default()
        }
    }
}
