//! Queues a notice on this core and tells the queue manager when it is durable.
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
    let unix = name.micros / 1_000_000;
    let scene = Scene { snapshot: &snapshot, local: &core.local, unix };
    let mut envelope = envelope(scene, notice);
    let to = envelope.recipients[0].address.clone();
    let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
    let receive = Receive { checks_content: snapshot.checks_notices, ..Receive::default() };
    let rehearsed = || {
        let mut envelope = envelope.clone();
        let _verdict = mapping.recipients(core, resolver, name.id, &mut envelope, Copies::None);
        if let Some(rewriting) = Rewriting::new(core, name.id, Context::Local, receive) {
            rewriting.look_up(&report::write(scene, notice, &to));
        }
        if let Some(inspector) = Inspector::new(core, name.id, &envelope, receive) {
            inspector.look_up(&report::write(scene, notice, &to));
        }
    };
    servers::rehearse(core.agents.asker(&Daemon::Cleanup), rehearsed).await;
    let mapped = mapping.recipients(core, resolver, name.id, &mut envelope, Copies::None);
    if let Err(trouble) = mapped {
        trouble.told(core, name.id);
        return false;
    }
    warn_of_words(core, notice);
    let text = report::write(scene, notice, &to);
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
            let text = format!("{}: notice not queued: {full}", notice.about.id);
            core.log.warn(Daemon::Bounce, &text);
            return false;
        }
    };
    let kind = kind(notice.occasion, notice.reader);
    core.log.log(&Event::Notification { id: notice.about.id, kind, notice: name.id });
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
            let local = Address::from_internal(settings.double_bounce_sender.as_bytes());
            let to = settings.postmaster(notice.reader, notice.occasion);
            let to = Address::from_internal(to.as_bytes());
            (local.with_domain(snapshot.myhostname.as_bytes()), to)
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
