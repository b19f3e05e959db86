//! Queues a notice, or other mail to a postmaster, on this core, and tells the queue manager when
//! it is durable.
//!
//! Diagnostics: a notice that finds no room is logged and reported as not made; the queue manager
//! keeps the original and tries again.

use super::{Occasion, Reader, Scene, report};
use crate::cleanup::checks::{Findings, Inspector};
use crate::cleanup::commit::{Name, Patience, Start, describe, durable, place};
use crate::cleanup::mapping::{Copies, blind_copy};
use crate::cleanup::receive::Receive;
use crate::cleanup::rewrite::{Context, Rewriting};
use crate::cleanup::{Message, Origin};
use crate::core::Core;
use crate::lookup::servers;
use crate::maillog::{Daemon, Event};
use crate::parcel::{Notice, Parcel};
use crate::snapshot::Snapshot;
use mail::Recipient;
use mail::address::Address;
use mail::date::HeaderDate;
use mail::envelope::Envelope;
use mail::queue_id::QueueId;
use protocol::smtp::reply::Reply;
use std::rc::Rc;

/// Writes and queues a notice.
pub fn post(core: &Rc<Core>, notice: Box<Notice>) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let about = notice.about.number;
        let made = post_now(&core, &notice).await;
        // Nobody waits for a copy.
        if notice.reader != Reader::Copy {
            core.port.send(crate::qmgr::CORE, Parcel::Noticed { about, made });
        }
    });
}

/// Writes and queues a notice; whether it is durable.
pub async fn post_now(core: &Rc<Core>, notice: &Notice) -> bool {
    let name = Name::new(core);
    let snapshot = core.snapshot();
    let scene = scene(core, &snapshot, name);
    let envelope = envelope(scene, notice);
    let to = envelope.recipients[0].address.clone();
    let checks_content = snapshot.checks_notices.bounce;
    let letter = Letter { name, envelope, checks_content, notice: Some(notice) };
    queue(core, scene, letter, &|| report::write(scene, notice, &to)).await
}

fn scene<'a>(core: &'a Core, snapshot: &'a Snapshot, name: Name) -> Scene<'a> {
    Scene { snapshot, local: &core.local, unix: name.micros / 1_000_000 }
}

/// Mail to a postmaster that is not about a message.
pub struct Memo<'a> {
    /// Whom it goes to.
    pub to: &'a str,
    /// Whom the header names.
    pub shown_to: &'a str,
    /// `Subject:`.
    pub subject: String,
    /// Its text, lines ended by CR LF.
    pub body: Vec<u8>,
}

impl Memo<'_> {
    fn write(&self, snapshot: &Snapshot) -> Vec<u8> {
        let (host, to, subject) = (&snapshot.myhostname, self.shown_to, &self.subject);
        let top = match snapshot.bounce.obsolete_from {
            true => format!(
                "From: MAILER-DAEMON@{host} (Mail Delivery System)\r\nTo: {to} (Postmaster)"
            ),
            false => format!(
                "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: Postmaster <{to}>"
            ),
        };
        [format!("{top}\r\nSubject: {subject}\r\n\r\n").as_bytes(), &self.body].concat()
    }
}

/// Queues mail to a postmaster and waits until it is durable. From the double-bounce address, so
/// that it is itself never reported on; nobody waits for it, so a failure is a line in the log.
pub async fn tell_postmaster(core: &Rc<Core>, memo: &Memo<'_>) {
    let name = Name::new(core);
    let snapshot = core.snapshot();
    let to = Address::from_internal(memo.to.as_bytes());
    let mut recipient = Recipient::new(snapshot.resolver.canonical(&to));
    recipient.original = to;
    let sender = double_bounce(&snapshot);
    let envelope = Envelope { sender, recipients: vec![recipient], ..Envelope::default() };
    let checks_content = snapshot.checks_notices.notify;
    let letter = Letter { name, envelope, checks_content, notice: None };
    let scene = scene(core, &snapshot, name);
    if !queue(core, scene, letter, &|| memo.write(&snapshot)).await {
        core.log.warn(Daemon::Smtpd, "postmaster notify: mail not queued");
    }
}

fn double_bounce(snapshot: &Snapshot) -> Address {
    let local = Address::from_internal(snapshot.bounce.double_bounce_sender.as_bytes());
    local.with_domain(snapshot.myhostname.as_bytes())
}

/// What is to be queued.
struct Letter<'a> {
    name: Name,
    envelope: Envelope,
    checks_content: bool,
    /// The notice that it is, when it is about a message.
    notice: Option<&'a Notice>,
}

/// Maps, writes and queues a letter; whether it is durable.
async fn queue(
    core: &Rc<Core>,
    scene: Scene<'_>,
    letter: Letter<'_>,
    write: &dyn Fn() -> Vec<u8>,
) -> bool {
    let Letter { name, mut envelope, checks_content, notice } = letter;
    let snapshot = scene.snapshot;
    let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
    let receive = Receive { checks_content, ..Receive::default() };
    let rehearsed = || {
        let mut envelope = envelope.clone();
        let _verdict = mapping.sender(core, resolver, name.id, &mut envelope.sender);
        let _verdict = mapping.recipients(core, resolver, name.id, &mut envelope, Copies::None);
        if let Some(rewriting) = Rewriting::new(core, name.id, Context::Local, receive) {
            rewriting.look_up(&write());
        }
        if let Some(inspector) = Inspector::new(core, name.id, &envelope, receive) {
            inspector.look_up(&write());
        }
    };
    servers::rehearse(core.agents.asker(&Daemon::Cleanup), rehearsed).await;
    // A table for everybody is asked for nobody too.
    let mapped = mapping
        .sender(core, resolver, name.id, &mut envelope.sender)
        .and_then(|()| mapping.name_originals(resolver, &mut envelope.recipients, &|_| ()))
        .and_then(|()| mapping.recipients(core, resolver, name.id, &mut envelope, Copies::None));
    if let Err(trouble) = mapped {
        trouble.told(core, name.id);
        return false;
    }
    if let Some(notice) = notice {
        warn_of_words(core, notice);
    }
    let text = write();
    let rewriting = Rewriting::new(core, name.id, Context::Local, receive);
    let inspector = Inspector::new(core, name.id, &envelope, receive);
    let finished = finish_content(scene, name.id, (rewriting, inspector), &envelope.sender, &text);
    let Ok(mut message) = finished else { return false };
    message.log_ids(core, name.id);
    let findings = message.findings().map(std::mem::take);
    let Findings { orders, .. } = findings.unwrap_or_default();
    if orders.discard {
        return true;
    }
    envelope.recipients.extend(orders.bcc.iter().map(blind_copy));
    orders.route(&mut envelope);
    let start = if orders.hold { Start::Held } else { Start::Incoming };
    let content = message.content;
    describe(core, name, &mut envelope, &content);
    let how = (start, Patience::WhileBusy);
    let placed = match place(core, name, &envelope, &content, how).await {
        Ok(placed) => placed,
        Err(full) => {
            let id = notice.map_or(name.id, |notice| notice.about.id);
            core.log.warn(Daemon::Bounce, &format!("{id}: notice not queued: {full}"));
            return false;
        }
    };
    if let Some(notice) = notice {
        let kind = kind(notice.occasion, notice.reader);
        core.log.log(&Event::Notification { id: notice.about.id, kind, notice: name.id });
    }
    durable(core, name, envelope, (&placed, start)).await.is_ok()
}

/// A delay of less than an hour reads as none.
fn warn_of_words(core: &Core, notice: &Notice) {
    let snapshot = core.snapshot();
    if notice.occasion != Occasion::Delay || notice.reader != Reader::Sender {
        return;
    }
    let name = "delay_warning_time_hours";
    let (what, advice) = match snapshot.bounce.delay_warning / 3600 {
        0 => ("zero result", "reduce"),
        1000.. => ("excessive result", "increase"),
        _ => return,
    };
    let warn = |text: String| core.log.warn(Daemon::Bounce, &text);
    warn(format!("[built-in]: {what} in delay template conversion of parameter \"{name}\""));
    warn(format!("please {advice} time unit \"hours\" of \"{name}\" in delay template"));
    warn("for instructions see the bounce(5) manual".into());
}

/// As log lines call it.
fn kind(occasion: Occasion, reader: Reader) -> &'static str {
    match (occasion, reader) {
        (Occasion::Failure, Reader::Sender) => "sender non-delivery",
        (Occasion::Failure, _) => "postmaster non-delivery",
        (Occasion::Delay, Reader::Sender) => "sender delay",
        (Occasion::Delay, _) => "postmaster delay",
        (Occasion::Success, _) => "sender delivery status",
    }
}

pub(super) fn envelope(scene: Scene<'_>, notice: &Notice) -> Envelope {
    let snapshot = scene.snapshot;
    let settings = &snapshot.bounce;
    let (sender, original) = match notice.reader {
        Reader::Sender => {
            let sender = notice.owner.as_ref().unwrap_or(&notice.about.envelope.sender);
            (Address::null(), sender.clone())
        }
        Reader::Postmaster | Reader::Copy => {
            let to = settings.postmaster(notice.reader, notice.occasion);
            let to = Address::from_internal(to.as_bytes());
            (double_bounce(snapshot), to)
        }
    };
    let mut to = Recipient::new(snapshot.resolver.canonical(&original));
    to.original = original;
    let smtputf8 = notice.about.envelope.smtputf8;
    let encoding = settings.encoding(notice.about.envelope.encoding);
    Envelope { sender, recipients: vec![to], smtputf8, encoding, ..Envelope::default() }
}

/// Our Received: on top, Date and Message-Id where cleanup puts them, lines stuffed.
///
/// Diagnostics: an address in the header cannot be mapped now; the log has said why.
pub(super) fn finish_content(
    scene: Scene<'_>,
    id: QueueId,
    (rewriting, inspector): (Option<Rewriting<'_>>, Option<Inspector<'_>>),
    sender: &Address,
    text: &[u8],
) -> Result<Message, Reply> {
    let Scene { snapshot, local, unix } = scene;
    let zone = local.at(unix);
    let date = HeaderDate { unix, zone: &zone };
    let (host, mail_name) = (&snapshot.myhostname, &snapshot.mail_name);
    let received =
        format_args!("Received: by {host} ({mail_name})\r\n\tid {id}; {date}\r\nDate: {date}\r\n");
    let mut message = Message::new(Vec::new(), received);
    message.note_own_date();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            message.content.push(b'.');
        }
        message.content.extend_from_slice(line);
    }
    let origin = Origin {
        id,
        sender,
        full_name: None,
        unix,
        zone: &zone,
        add_missing: true,
        rewriting,
        inspector,
    };
    message.finish(&snapshot.cleanup, &origin).map(|()| message)
}
