//! Mail that goes on to other addresses: one new message for each sender, through cleanup's
//! mappings, with a `Received:` and a `Delivered-To:` in front.
//!
//! Called by [`super`] when everything else that a recipient has become is done and nothing of it
//! waits. The new message is durable before the old recipient is marked: a crash in between sends
//! it twice and never loses it.
//!
//! **Diagnostics**: a message that finds no room in the queue log, or whose addresses cannot be
//! mapped now, is deferred (4.3.0); one with too many hops is returned (5.4.6).
//! **Limits**: the message is in memory whole, `message_size_limit` bounds it; `hopcount_limit`;
//! `duplicate_filter_limit`.
//! **Standards**: local(8), RFC 3461 (what becomes of DSN parameters).

use super::expand::Branch;
use super::recipient::external;
use super::settings::Settings;
use crate::cleanup::commit::{Name, Patience, Start, commit, describe};
use crate::cleanup::envelope::drop_duplicates;
use crate::cleanup::mapping::{Copies, Trouble};
use crate::cleanup::receive::Receive;
use crate::cleanup::rewrite::{Context, LOCAL_CONTEXT, REWRITE_CONTEXT, Rewriting};
use crate::cleanup::{Message, Origin};
use crate::core::Core;
use crate::delivery::DeliverRequest;
use crate::head;
use crate::lookup::servers;
use crate::maillog::Daemon;
use mail::date::HeaderDate;
use mail::queue_id::QueueId;
use mail::{Address, Dsn, Envelope, Recipient, Status};
use std::rc::Rc;

/// Bytes of a header whose addresses are asked for before it is written anew.
const HEADER_MAX: usize = 256 * 1024;

/// One message to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Letter {
    delivered: Address,
    /// When it is not the message's.
    sender: Option<Address>,
    recipients: Vec<Recipient>,
}

/// Branches that share a message: the same sender, come by the same way.
pub fn letters(branches: Vec<Branch>) -> Vec<Letter> {
    let mut letters: Vec<Letter> = Vec::new();
    for branch in branches {
        let Branch { mut recipient, delivered, sender, .. } = branch;
        if recipient.original.is_null() {
            recipient.original = recipient.address.clone();
        }
        let same = |it: &&mut Letter| it.delivered.same_as(&delivered) && it.sender == sender;
        match letters.iter_mut().find(same) {
            Some(letter) => letter.recipients.push(recipient),
            None => letters.push(Letter { delivered, sender, recipients: vec![recipient] }),
        }
    }
    letters
}

/// Queues one, and returns its id once it is durable.
///
/// # Errors
/// What becomes of the recipient that it is for.
pub async fn send(
    core: &Rc<Core>,
    request: &DeliverRequest,
    settings: &Settings,
    letter: Letter,
) -> Result<QueueId, Dsn> {
    let unable = || Dsn::local(Status::new(4, 3, 0), "unable to forward message");
    let name = Name::new(core);
    let Letter { delivered, sender, recipients } = letter;
    let old = &request.message.envelope;
    let mut envelope = Envelope {
        sender: sender.unwrap_or_else(|| old.sender.clone()),
        recipients: Vec::new(),
        envid: old.envid.clone(),
        ret: old.ret,
        encoding: old.encoding,
        smtputf8: old.smtputf8,
        attributes: old.attributes.clone(),
        ..Envelope::default()
    };
    let rewritten = rewriting(core, name.id, old).is_some();
    let header = if rewritten { head::read(&request.content, HEADER_MAX) } else { Vec::new() };
    servers::rehearse(core.agents.asker(&Daemon::Cleanup), || {
        let mut envelope = envelope.clone();
        let _verdict = map(core, name.id, &mut envelope, &recipients);
        if let Some(rewriting) = rewriting(core, name.id, old) {
            rewriting.look_up(&header);
        }
    })
    .await;
    map(core, name.id, &mut envelope, &recipients).map_err(|()| unable())?;
    drop_duplicates(&mut envelope, &core.snapshot().cleanup);
    let to = settings.delivered_header.forward.then_some(&delivered);
    let mut message = content(core, name, &envelope.sender, to, request)?;
    envelope.header_8bit = message.header_8bit();
    message.log_ids(core, name.id);
    describe(core, name, &mut envelope, &message.content);
    let how = (Start::Incoming, Patience::WhileBusy);
    let queued = commit(core, name, envelope, &message.content, how).await;
    queued.map(|()| name.id).map_err(|full| {
        let text = format!("{}: not forwarded: {full}", request.message.id);
        core.log.warn(Daemon::Local, &text);
        unable()
    })
}

/// Sender and recipients as cleanup's tables have them; the original recipients stay.
///
/// Errors: it has been said that a table cannot answer.
fn map(
    core: &Core,
    id: QueueId,
    envelope: &mut Envelope,
    recipients: &[Recipient],
) -> Result<(), ()> {
    let snapshot = core.snapshot();
    let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
    let told = |trouble: Trouble| drop(trouble.told(core, id));
    mapping.sender(core, resolver, id, &mut envelope.sender).map_err(told)?;
    let mut out = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        // Tables are asked for the address; the recipient it came from is only remembered.
        let asked = Recipient { original: recipient.address.clone(), ..recipient.clone() };
        let sender = envelope.sender.clone();
        let mut one = Envelope { sender, recipients: vec![asked], ..Envelope::default() };
        mapping.recipients(core, resolver, id, &mut one, Copies::None).map_err(told)?;
        let original = || recipient.original.clone();
        out.extend(one.recipients.into_iter().map(|it| Recipient { original: original(), ..it }));
    }
    envelope.recipients = out;
    Ok(())
}

/// What rewrites the header, as it was when the message came in.
fn rewriting<'a>(core: &'a Core, id: QueueId, old: &Envelope) -> Option<Rewriting<'a>> {
    let local = old.attribute(REWRITE_CONTEXT) == Some(LOCAL_CONTEXT);
    let context = if local { Context::Local } else { Context::Remote };
    Rewriting::new(core, id, context, Receive::default())
}

/// The old content behind what is new. Its header has been through cleanup before, and goes through
/// its mappings again.
fn content(
    core: &Core,
    name: Name,
    sender: &Address,
    delivered: Option<&Address>,
    request: &DeliverRequest,
) -> Result<Message, Dsn> {
    let snapshot = core.snapshot();
    let unix = name.micros / 1_000_000;
    let zone = core.local.at(unix);
    let date = HeaderDate { unix, zone: &zone };
    let (host, mail_name, id) = (&snapshot.myhostname, &snapshot.mail_name, name.id);
    let received = format_args!("Received: by {host} ({mail_name})\r\n\tid {id}; {date}\r\n");
    let mut message = Message::new(Vec::new(), received);
    if let Some(address) = delivered {
        // In lower case here, and nowhere else, as in Postfix.
        let address = external(address).to_ascii_lowercase();
        let line = [b"Delivered-To: ", address.as_slice(), b"\r\n"].concat();
        message.content.extend_from_slice(&line);
    }
    for piece in request.content.pieces() {
        message.content.extend_from_slice(&piece);
    }
    let rewriting = rewriting(core, id, &request.message.envelope);
    let origin = Origin {
        id,
        sender,
        full_name: None,
        unix,
        zone: &zone,
        add_missing: false,
        rewriting,
        inspector: None,
    };
    let finished = message.finish(&snapshot.cleanup, &origin);
    finished.map(|()| message).map_err(|reply| match reply.code() {
        400..500 => Dsn::local(Status::new(4, 3, 0), "unable to forward message"),
        _ => Dsn::local(Status::new(5, 4, 6), "too many hops"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_for_each_sender_and_way() {
        let address = |text: &str| Address::from_internal(text.as_bytes());
        let branch = |to: &str, delivered: &str, sender: Option<&str>| {
            let recipient =
                Recipient { original: address("list@a"), ..Recipient::new(address(to)) };
            Branch::for_tests(recipient, address(delivered), sender.map(address))
        };
        let letters = letters(vec![
            branch("x@b", "list@a", None),
            branch("y@b", "list@a", Some("owner@a")),
            branch("z@b", "List@a", None),
            branch("w@b", "other@a", None),
        ]);
        let to = |letter: &Letter| -> Vec<String> {
            letter.recipients.iter().map(|it| it.address.to_string()).collect()
        };
        let expected = [vec!["x@b", "z@b"], vec!["y@b"], vec!["w@b"]];
        assert_eq!(letters.iter().map(to).collect::<Vec<_>>(), expected);
        assert_eq!(letters[1].sender, Some(address("owner@a")));
    }
}
