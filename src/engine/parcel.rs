//! [`Parcel`]: everything one core can say to another.

use crate::bounce::{Entry, Occasion, Reader};
use crate::cleanup::commit::Start;
use crate::delivery::{DeliverRequest, MessageInfo, Outcome};
use crate::snapshot::Snapshot;
use queue::{Content, Location, Number};
use std::sync::Arc;

/// A message for another core.
pub enum Parcel {
    /// To the queue manager: a message has become durable.
    Incoming(Box<Incoming>),
    /// From the queue manager: deliver.
    Deliver(Box<DeliverRequest>),
    /// To the queue manager: the result.
    Outcome(Box<Outcome>),
    /// From the queue manager to the message's home: write this down.
    Settle(Settle),
    /// To the queue manager: these were in a core's log at start.
    Recovered {
        /// Some of them.
        live: Vec<queue::Live>,
        /// Whether these were that core's last.
        last: bool,
    },
    /// From the queue manager to a home core: make a notice.
    Notice(Box<Notice>),
    /// To the queue manager: the notice is durable, or cannot be made now.
    Noticed {
        /// The message it is about.
        about: Number,
        /// Whether it worked.
        made: bool,
    },
    /// From the queue manager to a home core: why was this message deferred last?
    Recall {
        /// The message.
        number: Number,
    },
    /// The answer.
    Recalled {
        /// The message.
        number: Number,
        /// Encoded reasons, see `defer`; empty when there are none.
        detail: Vec<u8>,
    },
    /// From the queue manager to a home core: where does this message stand?
    Locate {
        /// The message.
        number: Number,
    },
    /// The answer.
    Located {
        /// The message.
        number: Number,
        /// Where.
        location: Location,
    },
    /// From the queue manager to a home core: this message cannot be read as it was written.
    PutAside {
        /// The message.
        number: Number,
    },
    /// To the queue manager: it has been put aside.
    Gone {
        /// The message.
        number: Number,
    },
    /// From a listing to a home core: describe these.
    ShowAsk {
        /// Names the question.
        token: u64,
        /// The messages.
        messages: Vec<crate::showq::Listed>,
    },
    /// The answer: lines of a listing.
    ShowTell {
        /// Names the question.
        token: u64,
        /// The lines.
        text: String,
    },
    /// A new configuration.
    Reload(Arc<Snapshot>),
    /// To all: the same configuration, whose tables have changed.
    Tables(Arc<Snapshot>),
    /// Stop taking work, finish, and leave.
    Stop,
    /// From the queue manager, stopping: every delivery has its result, and nothing follows.
    Last,
}

/// A message that has been committed.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub message: Arc<MessageInfo>,
    /// Where it stands in the log.
    pub location: Location,
    /// Where it begins.
    pub start: Start,
}

/// What a message's home core is to append to its log.
#[derive(Debug)]
pub enum Settle {
    /// These recipients are done.
    Mark {
        /// The message.
        number: Number,
        /// Recipient indices.
        recipients: Vec<u32>,
    },
    /// Try again later.
    Defer {
        /// The message.
        number: Number,
        /// Seconds since 1970.
        until: u64,
        /// Encoded reasons, see `defer`.
        detail: Vec<u8>,
    },
    /// Replace the sticky flags.
    Flags {
        /// The message.
        number: Number,
        /// All of them.
        flags: u32,
    },
    /// Park it.
    Hold {
        /// The message.
        number: Number,
    },
    /// Take it off hold.
    Release {
        /// The message.
        number: Number,
    },
    /// All recipients are done.
    Remove {
        /// The message.
        number: Number,
    },
}

/// A notice to be written and queued.
#[derive(Debug)]
pub struct Notice {
    /// The message it is about.
    pub about: Arc<MessageInfo>,
    /// That message's bytes.
    pub content: Content,
    /// What is reported.
    pub occasion: Occasion,
    /// To whom.
    pub reader: Reader,
    /// The recipients it is about.
    pub entries: Vec<Entry>,
    /// Who is told in the sender's place: the owner of a list.
    pub owner: Option<mail::Address>,
}

impl Settle {
    /// Which message it is about; the number names the home core.
    pub fn number(&self) -> Number {
        match self {
            Settle::Mark { number, .. }
            | Settle::Defer { number, .. }
            | Settle::Flags { number, .. }
            | Settle::Hold { number }
            | Settle::Release { number }
            | Settle::Remove { number } => *number,
        }
    }
}
