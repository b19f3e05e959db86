//! What can be said about mail: one variant per fact, with the values it is about.

use mail::address::Address;
use mail::queue_id::QueueId;
use protocol::smtp::counters::Counters;
use std::fmt;
use std::time::Duration;

/// Which Postfix program a line seems to come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// master(8)
    Master,
    /// smtpd(8)
    Smtpd,
    /// cleanup(8)
    Cleanup,
    /// qmgr(8)
    Qmgr,
    /// smtp(8)
    Smtp,
    /// lmtp(8)
    Lmtp,
    /// error(8)
    Error,
    /// discard(8)
    Discard,
    /// local(8)
    Local,
    /// virtual(8)
    Virtual,
    /// bounce(8)
    Bounce,
    /// pickup(8)
    Pickup,
    /// anvil(8)
    Anvil,
    /// trivial-rewrite(8)
    TrivialRewrite,
    /// A service with `syslog_name` of its own: the whole tag.
    Named(String),
}

impl Daemon {
    /// `postfix/smtpd`.
    pub fn tag<'a>(&'a self, syslog_name: &'a str) -> Tag<'a> {
        Tag { daemon: self, syslog_name }
    }

    fn name(&self) -> &str {
        match self {
            Daemon::Master => "master",
            Daemon::Smtpd => "smtpd",
            Daemon::TrivialRewrite => "trivial-rewrite",
            Daemon::Cleanup => "cleanup",
            Daemon::Qmgr => "qmgr",
            Daemon::Smtp => "smtp",
            Daemon::Lmtp => "lmtp",
            Daemon::Error => "error",
            Daemon::Discard => "discard",
            Daemon::Local => "local",
            Daemon::Virtual => "virtual",
            Daemon::Bounce => "bounce",
            Daemon::Pickup => "pickup",
            Daemon::Anvil => "anvil",
            Daemon::Named(tag) => tag,
        }
    }
}

/// A daemon's name as lines begin with it.
pub struct Tag<'a> {
    daemon: &'a Daemon,
    syslog_name: &'a str,
}

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.daemon {
            Daemon::Named(tag) => f.write_str(tag),
            daemon => write!(f, "{}/{}", self.syslog_name, daemon.name()),
        }
    }
}

/// A client as lines name it: `name[address]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The verified name, or `unknown`.
    pub name: String,
    /// The address.
    pub address: String,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.address)
    }
}

/// The four parts of a delay: before the queue manager, in it, connection set-up, transmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// From arrival to the active queue.
    pub before_queue: Duration,
    /// From there to the start of the delivery.
    pub in_queue: Duration,
    /// Connection set-up.
    pub setup: Duration,
    /// Transmission.
    pub transmission: Duration,
}

impl Delays {
    /// All four together.
    pub fn total(&self) -> Duration {
        self.before_queue + self.in_queue + self.setup + self.transmission
    }
}

/// How much attention a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A mail fact.
    Info,
    /// An administrator should act.
    Warning,
    /// Part of a service does not work.
    Error,
    /// A service cannot go on.
    Fatal,
}

impl Severity {
    /// The syslog level.
    pub fn code(self) -> u8 {
        match self {
            Severity::Info => 6,
            Severity::Warning => 4,
            Severity::Error => 3,
            Severity::Fatal => 2,
        }
    }
}

/// A fact for the log.
#[derive(Debug)]
#[allow(missing_docs, reason = "fields are named as in the lines that `render` writes")]
pub enum Event<'a> {
    /// A client has connected.
    Connect { client: &'a Client },
    /// And is gone.
    Disconnect { client: &'a Client, counters: &'a Counters },
    /// It went without QUIT.
    LostConnection { client: &'a Client, after: &'a str, content_bytes: Option<u64> },
    /// It was too slow.
    Timeout { client: &'a Client, after: &'a str, content_bytes: Option<u64> },
    /// It made too many mistakes.
    TooManyErrors { client: &'a Client, after: &'a str },
    /// It did not wait for a reply.
    Improper { client: &'a Client, after: &'a str, input: &'a [u8] },
    /// It named an address that is none.
    IllegalAddress { client: &'a Client, command: &'a str, path: &'a [u8] },
    /// It asked for a report of something that does not exist.
    UnknownNotify { word: &'a [u8], value: &'a [u8] },
    /// It does not speak SMTP.
    NonSmtp { client: &'a Client, line: &'a [u8] },
    /// A message has got its queue id.
    ClientOf { id: QueueId, client: &'a Client },
    /// Policy has refused a command (`reject`), or something else about it: `hold`, `warn`, ...
    Verdict {
        id: Option<QueueId>,
        action: &'a str,
        stage: &'a str,
        client: &'a Client,
        text: &'a str,
        sender: Option<&'a Address>,
        recipient: Option<&'a Address>,
        protocol: &'a str,
        helo: Option<&'a str>,
    },
    /// What the message calls itself, or what it was called when it was sent again; nothing when it
    /// does not say.
    MessageId { id: QueueId, resent: bool, message_id: Option<&'a [u8]> },
    /// A check has found something in a header or in the body. Without a client the message comes
    /// from this host; the note comes last, when there is one.
    Check {
        id: QueueId,
        action: &'a str,
        what: &'a str,
        text: &'a [u8],
        client: Option<&'a Client>,
        sender: &'a Address,
        recipient: Option<&'a Address>,
        protocol: Option<&'a str>,
        helo: Option<&'a str>,
        note: &'a str,
    },
    /// A local submission.
    Pickup { id: QueueId, uid: u32, sender: &'a Address },
    /// The queue manager begins to work on a message.
    Active { id: QueueId, sender: &'a Address, size: u64, recipients: usize },
    /// It is done with it.
    Removed { id: QueueId },
    /// The message was in the queue for too long.
    Expired { id: QueueId, sender: &'a Address, forced: bool },
    /// A recipient's fate.
    Delivery {
        daemon: &'a Daemon,
        id: QueueId,
        recipient: &'a Address,
        original: &'a Address,
        relay: &'a str,
        conn_use: u32,
        delays: Delays,
        dsn: mail::Status,
        status: &'a str,
        text: &'a str,
    },
    /// The smtp client could not connect to one of several hosts.
    Connecting { daemon: &'a Daemon, text: &'a str },
    /// A host refused one transaction; another will be tried.
    HostSaid { daemon: &'a Daemon, id: QueueId, text: &'a str },
    /// A notice was queued.
    Notification { id: QueueId, kind: &'a str, notice: QueueId },
    /// Something an administrator should know.
    Warning { daemon: Daemon, text: &'a str },
    /// The same, about one message.
    MessageWarning { daemon: Daemon, id: QueueId, text: &'a str },
    /// Something worth a line.
    Info { daemon: Daemon, text: &'a str },
    /// Something that keeps part of the service from working.
    Error { daemon: Daemon, text: &'a str },
    /// The service cannot go on.
    Fatal { daemon: Daemon, text: &'a str },
}

impl Event<'_> {
    /// The program the line seems to come from.
    pub fn daemon(&self) -> &Daemon {
        match self {
            Event::MessageId { .. } | Event::Check { .. } => &Daemon::Cleanup,
            Event::Pickup { .. } => &Daemon::Pickup,
            Event::Active { .. } | Event::Removed { .. } | Event::Expired { .. } => &Daemon::Qmgr,
            Event::Delivery { daemon, .. }
            | Event::Connecting { daemon, .. }
            | Event::HostSaid { daemon, .. } => daemon,
            Event::Notification { .. } => &Daemon::Bounce,
            Event::Warning { daemon, .. }
            | Event::MessageWarning { daemon, .. }
            | Event::Info { daemon, .. }
            | Event::Error { daemon, .. }
            | Event::Fatal { daemon, .. } => daemon,
            _ => &Daemon::Smtpd,
        }
    }

    /// How much attention the line asks for.
    pub fn severity(&self) -> Severity {
        match self {
            Event::Warning { .. }
            | Event::MessageWarning { .. }
            | Event::IllegalAddress { .. }
            | Event::UnknownNotify { .. }
            | Event::NonSmtp { .. } => Severity::Warning,
            Event::Error { .. } => Severity::Error,
            Event::Fatal { .. } => Severity::Fatal,
            _ => Severity::Info,
        }
    }
}
