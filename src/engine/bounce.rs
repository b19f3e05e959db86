//! bounce(8): what senders and postmasters are told about mail that failed, waits, or arrived.
//!
//! | occasion | to the sender, from <> | to a postmaster, from the double-bounce address |
//! | --- | --- | --- |
//! | Failure | NOTIFY absent or FAILURE | a copy, class `bounce` |
//! | Failure of mail from <> | - | a double bounce, class `bounce` or `2bounce` |
//! | Delay | NOTIFY absent or DELAY | a copy, class `delay` |
//! | Success | NOTIFY with SUCCESS, `confirm_delay_cleared` | for mail from <>, class `2bounce` |
//! | errors in a session of the SMTP server | - | its transcript, see `smtpd/transcript.rs` |
//!
//! Mail from the double-bounce address is reported to nobody, so nothing ever loops. The queue
//! manager decides with [`audience`] who is told; the message's home core writes the notice
//! (`report`) and queues it (`post`). The queue manager removes the original only when the notice
//! is durable; copies for the postmaster are made on a best-effort basis.
//!
//! Limits: `bounce_size_limit`. Templates are the built-in ones.
//!
//! Standards: bounce(8), RFC 3461, RFC 3464, RFC 3834 (Auto-Submitted).

use crate::defer::Deferral;
use crate::delivery::MessageInfo;
use crate::localtime::LocalTime;
use crate::snapshot::Snapshot;
use config::Params;
use config::params::BadValue;
use mail::Recipient;
use mail::dsn::Dsn;
use mail::envelope::{Encoding, notify};
use std::sync::Arc;

mod fuzz;
mod original;
mod post;
mod report;
mod template;

pub use fuzz::fuzz_dsn;
pub use post::{Memo, post, post_now, tell_postmaster};

/// What the notices need of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `bounce_size_limit`: a larger original comes back as its header.
    size_limit: u64,
    /// `notify_classes`, as far as they are about notices.
    classes: Classes,
    /// `bounce_notice_recipient`.
    bounce_recipient: String,
    /// `2bounce_notice_recipient`.
    double_bounce_recipient: String,
    /// `delay_notice_recipient`.
    delay_recipient: String,
    /// `double_bounce_sender`.
    double_bounce_sender: String,
    /// `enable_threaded_bounces`.
    threaded: bool,
    /// `header_from_format` is `obsolete`.
    obsolete_from: bool,
    /// `soft_bounce`.
    soft: bool,
    /// `smtputf8_enable`.
    utf8: bool,
    /// `delay_warning_time`, seconds.
    delay_warning: u64,
    /// `maximal_queue_lifetime`, seconds.
    lifetime: u64,
}

/// Which notices a postmaster gets.
#[derive(Clone, Copy, Debug, Default)]
struct Classes {
    bounce: bool,
    double_bounce: bool,
    delay: bool,
}

/// Where and when a notice is written.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The local zone.
    pub local: &'a LocalTime,
    /// Now, seconds since 1970.
    pub unix: u64,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Recipients failed for good, or the message is too old.
    Failure,
    /// The message waits for longer than `delay_warning_time`.
    Delay,
    /// Recipients got it, and somebody wanted to know.
    Success,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The sender.
    Sender,
    /// A postmaster, instead of the sender that is not there.
    Postmaster,
    /// A postmaster, beside the sender.
    Copy,
}

/// What became of a recipient (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It failed for good.
    Failed,
    /// It is tried again.
    Delayed,
    /// It is in its mailbox.
    Delivered,
    /// The next system has it and makes no reports.
    Relayed,
    /// It became others.
    Expanded,
}

impl Action {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }
}

/// One recipient of a report.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Index into the envelope's recipients.
    pub index: u32,
    /// What that recipient has become, when this is about that.
    pub part: Option<Arc<Recipient>>,
    /// Status and reason.
    pub dsn: Arc<Dsn>,
    /// What became of it.
    pub action: Action,
}

impl Entry {
    /// Recipients that did not get the message, with the same fate.
    pub fn all(deferrals: &[Deferral], action: Action) -> Vec<Entry> {
        let entry =
            |it: &Deferral| Entry { index: it.index, part: None, dsn: it.dsn.clone(), action };
        deferrals.iter().map(entry).collect()
    }

    /// Whom it is about.
    fn recipient<'a>(&'a self, message: &'a MessageInfo) -> &'a Recipient {
        let named = &message.envelope.recipients[self.index as usize];
        self.part.as_deref().unwrap_or(named)
    }
}

impl Settings {
    /// Reads the parameters; a class that is not acted upon whole is named in `warnings`.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, warnings: &mut Vec<String>) -> Result<Settings, BadValue> {
        let classes = params.list("notify_classes")?;
        let set = params.is_set("notify_classes");
        if set && classes.iter().any(|class| class.eq_ignore_ascii_case("protocol")) {
            let what = "of class protocol, the smtp client's are not sent";
            warnings.push(format!("notify_classes: {what}"));
        }
        let has = |class: &str| classes.iter().any(|it| it.eq_ignore_ascii_case(class));
        Ok(Settings {
            size_limit: params.int("bounce_size_limit")?.unsigned_abs(),
            classes: Classes {
                bounce: has("bounce"),
                double_bounce: has("2bounce"),
                delay: has("delay"),
            },
            bounce_recipient: params.text("bounce_notice_recipient")?,
            double_bounce_recipient: params.text("2bounce_notice_recipient")?,
            delay_recipient: params.text("delay_notice_recipient")?,
            double_bounce_sender: params.text("double_bounce_sender")?,
            threaded: params.flag("enable_threaded_bounces")?,
            obsolete_from: params.text("header_from_format")? == "obsolete",
            soft: params.flag("soft_bounce")?,
            utf8: params.flag("smtputf8_enable")?,
            delay_warning: params.seconds("delay_warning_time")?,
            lifetime: params.seconds("maximal_queue_lifetime")?,
        })
    }

    /// Whether failures for good are to be tried again instead (`soft_bounce`).
    pub fn is_soft(&self) -> bool {
        self.soft
    }

    /// What a notice about a message of this encoding is declared to be.
    fn encoding(&self, original: Option<Encoding>) -> Option<Encoding> {
        if self.utf8 { Some(Encoding::EightBit) } else { original }
    }

    fn copies(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Failure => self.classes.bounce,
            Occasion::Delay => self.classes.delay,
            Occasion::Success => false,
        }
    }

    fn instead_of_null(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Failure => self.classes.bounce || self.classes.double_bounce,
            Occasion::Delay => false,
            Occasion::Success => self.classes.double_bounce,
        }
    }

    fn postmaster(&self, reader: Reader, occasion: Occasion) -> &str {
        match (reader, occasion) {
            (Reader::Copy, Occasion::Delay) => &self.delay_recipient,
            (Reader::Copy, _) => &self.bounce_recipient,
            _ => &self.double_bounce_recipient,
        }
    }
}

/// Who is told of these recipients; `None` when the message is itself a postmaster's notice.
pub fn audience(
    snapshot: &Snapshot,
    message: &MessageInfo,
    occasion: Occasion,
    entries: &[Entry],
) -> Option<Vec<Reader>> {
    let settings = &snapshot.bounce;
    if is_double_bounce(snapshot, message) {
        return None;
    }
    let mut readers = Vec::new();
    if message.envelope.sender.is_null() {
        readers.extend(settings.instead_of_null(occasion).then_some(Reader::Postmaster));
        return Some(readers);
    }
    if entries.iter().any(|entry| wants(message, entry, occasion)) {
        readers.push(Reader::Sender);
    }
    readers.extend(settings.copies(occasion).then_some(Reader::Copy));
    Some(readers)
}

fn is_double_bounce(snapshot: &Snapshot, message: &MessageInfo) -> bool {
    let sender = &message.envelope.sender;
    let double = snapshot.bounce.double_bounce_sender.as_bytes();
    let ours = |domain: &[u8]| {
        domain.eq_ignore_ascii_case(snapshot.myhostname.as_bytes())
            || domain.eq_ignore_ascii_case(snapshot.resolver.myorigin().as_bytes())
    };
    sender.local_part().eq_ignore_ascii_case(double) && sender.domain().is_none_or(ours)
}

/// RFC 3461: whether the sender asked for this, or did not say.
fn wants(message: &MessageInfo, entry: &Entry, occasion: Occasion) -> bool {
    let bits = entry.recipient(message).notify;
    match occasion {
        Occasion::Failure => bits == 0 || bits & notify::FAILURE != 0,
        Occasion::Delay => bits == 0 || bits & notify::DELAY != 0,
        Occasion::Success => true,
    }
}

#[cfg(test)]
mod tests;
