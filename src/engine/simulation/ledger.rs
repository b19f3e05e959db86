//! [`Ledger`]: every message, what its sender was told about it, and what was seen of it since.
//!
//! Senders write what they were told, sites what they took, the journal what the engine's log
//! says; the oracle reads. Recipient addresses are unique, `m7r2@...` is the third recipient of
//! message 7, and a message's sender is `s7@...`, so that every sight of a message can be booked.

use runtime::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// How a recipient's site treats it, whatever else happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Takes it.
    Usual,
    /// Takes it from the second attempt on, some time after the first.
    Greylisted,
    /// Never now, perhaps later: the mail expires.
    Later,
    /// Never.
    Never,
}

/// What a sender knows of one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The final dot was not sent.
    Unsent,
    /// The final dot is sent, or part of it, and no reply came; or one that says that writing
    /// failed, after which the disk may have the message or not.
    Unanswered,
    /// The server said no.
    Refused,
    /// The server said yes; the queue id.
    Taken(String),
}

/// One submission of a message.
#[derive(Clone, Debug)]
pub struct Try {
    /// What came of it.
    pub fate: Fate,
    /// When.
    pub at: Instant,
    /// Recipients that the server accepted.
    pub accepted: BTreeSet<usize>,
}

/// One copy at a site.
#[derive(Clone, Debug)]
pub struct Copy {
    /// When.
    pub at: Instant,
    /// The engine's name for it.
    pub queue_id: String,
}

/// What the engine's log says about an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// The message.
    pub queue_id: String,
    /// `sent`, `deferred`, `bounced`.
    pub status: String,
}

/// One recipient.
#[derive(Clone, Debug)]
pub struct Rcpt {
    /// Its address.
    pub address: String,
    /// Where it lives.
    pub site: usize,
    /// How it is treated there.
    pub kind: Kind,
    /// Copies that the site took.
    pub copies: Vec<Copy>,
    /// Notices of failure that reached the sender, or were refused there.
    pub notices: usize,
    /// What the log says.
    pub lines: Vec<Line>,
    /// When the site saw it first.
    pub first_seen: Option<Instant>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its sender; nothing for a notice.
    pub sender: Option<String>,
    /// Content bytes.
    pub bytes: usize,
    /// To whom.
    pub rcpts: Vec<Rcpt>,
    /// Submissions.
    pub tries: Vec<Try>,
}

impl Mail {
    /// The submission that was acknowledged, and its queue id.
    pub fn taken(&self) -> Option<(&Try, &str)> {
        self.tries.iter().find_map(|it| match &it.fate {
            Fate::Taken(id) => Some((it, id.as_str())),
            _ => None,
        })
    }

    /// Submissions that may have been queued without the sender's knowledge.
    pub fn unanswered(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(|it| it.fate == Fate::Unanswered)
    }
}

/// What is known of a queue id.
#[derive(Clone, Debug, Default)]
pub struct Queued {
    /// When the log named it first.
    pub first: Option<Instant>,
    /// When the log said that it is too old; and whether an operator wanted that.
    pub expired: Option<(Instant, bool)>,
    /// When an operator asked for it to go, whatever came of that.
    pub deleted: Option<Instant>,
    /// When an operator made it be tried.
    pub hurried: Vec<Instant>,
    /// It was on hold.
    pub held: bool,
}

/// Events that excuse what they touch.
#[derive(Clone, Debug, Default)]
pub struct Excuses {
    /// When the engine ended, and when it served again.
    pub ends: Vec<(Instant, Instant)>,
    /// When the disk had little room, or none.
    pub full: Vec<(Instant, Instant)>,
    /// When everything was flushed.
    pub flushes: Vec<Instant>,
    /// When the wall clock jumped.
    pub jumps: Vec<Instant>,
    /// Sites whose domain did not exist at times.
    pub vanished: BTreeSet<usize>,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Messages by number.
    pub mail: BTreeMap<u32, Mail>,
    /// By queue id.
    pub queued: BTreeMap<String, Queued>,
    /// What excuses what.
    pub excuses: Excuses,
    /// Notices for the postmaster that arrived.
    pub double_bounces: usize,
    /// What is wrong already: which message, and how.
    pub violations: Vec<(Option<u32>, String)>,
}

impl Ledger {
    /// Books a violation.
    pub fn accuse(&mut self, id: Option<u32>, text: String) {
        self.violations.push((id, text));
    }

    /// The recipient with this address.
    pub fn rcpt(&mut self, address: &str) -> Option<(u32, &mut Rcpt)> {
        let (id, at) = parse_recipient(address)?;
        let rcpt = self.mail.get_mut(&id)?.rcpts.get_mut(at)?;
        (rcpt.address == address).then_some((id, rcpt))
    }

    /// What is known of a queue id.
    pub fn queued(&mut self, id: &str) -> &mut Queued {
        if !self.queued.contains_key(id) {
            self.queued.insert(id.to_string(), Queued::default());
        }
        self.queued.get_mut(id).expect("it is there now")
    }
}

/// The message and the place among its recipients.
pub fn parse_recipient(address: &str) -> Option<(u32, usize)> {
    let (local, _) = address.split_once('@')?;
    let (id, at) = local.strip_prefix('m')?.split_once('r')?;
    Some((id.parse().ok()?, at.parse().ok()?))
}

/// The message of a sender's address.
pub fn parse_sender(address: &str) -> Option<u32> {
    address.split_once('@')?.0.strip_prefix('s')?.parse().ok()
}
