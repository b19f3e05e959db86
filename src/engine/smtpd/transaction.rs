//! One mail transaction: from MAIL FROM to the commit.
//!
//! Content is cleaned as it arrives; a small message is appended to the queue log in one record, a
//! large one goes there in extents while it arrives, so that neither is in memory whole for long.

use crate::cleanup::checks::Inspector;
use crate::cleanup::commit::{Start, warn_at};
use crate::cleanup::envelope::drop_duplicates;
use crate::cleanup::mapping::{Copies, blind_copy};
use crate::cleanup::orders::Orders;
use crate::cleanup::receive::Receive;
use crate::cleanup::rewrite::{Context, LOCAL_CONTEXT, REWRITE_CONTEXT, Rewriting};
use crate::cleanup::{self, Message, Origin, TOO_MANY_HOPS};
use crate::core::Core;
use crate::delivery::MessageInfo;
use crate::limits::EXTENT_BYTES;
use crate::maillog::{Client, Daemon, Event};
use crate::parcel::Incoming;
use mail::address::Address;
use mail::date::Zone;
use mail::queue_id::QueueId;
use mail::received::Received;
use mail::{Envelope, Recipient};
use protocol::smtp::command::{Mail, Rcpt};
use protocol::smtp::data::Findings;
use protocol::smtp::reply::Reply;
use queue::{Draft, Full, Number, Placed};
use runtime::UnixMicros;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long a session waits for the disk to catch up before the client is told to come back.
/// Zeroing a new segment can keep a slow disk busy for a second or two.
const BUSY_PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

const WRITE_ERROR: Reply = Reply::fixed("451 4.3.0 Error: queue file write error");
const NO_SPACE: Reply = Reply::fixed("452 4.3.1 Insufficient system storage");
const TOO_BIG: Reply = Reply::fixed("552 5.3.4 Error: message file too big");

/// What is known about the client when the content begins.
pub struct Sender<'a> {
    /// `name[address]`.
    pub client: &'a Client,
    /// HELO's argument, or the client's name.
    pub helo: &'a str,
    /// `SMTP`, `ESMTP`, ...
    pub protocol: &'a str,
}

/// What is decided when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Whether its headers are completed as those of local mail.
    pub is_local: bool,
    /// What is left out.
    pub receive: Receive,
}

/// A transaction.
pub struct Transaction {
    /// Its envelope so far.
    pub envelope: Envelope,
    /// Number and id, once a recipient was accepted.
    pub opened: Option<(Number, QueueId)>,
    /// The content, once it has begun.
    pub message: Option<Message>,
    /// Why the message cannot be taken, once that is known.
    pub failure: Option<Reply>,
    draft: Option<Draft>,
    add_missing: bool,
    context: Context,
    micros: u64,
    zone: Rc<Zone>,
    size_limit: u64,
    kind: Kind,
    /// What access tables have decided about the message.
    pub orders: Orders,
    /// Headers that they put on top of it.
    pub prepends: Vec<String>,
    /// The sender as the client named it, when somebody will ask.
    pub mail_from: Option<Address>,
}

impl Transaction {
    /// A transaction after MAIL.
    pub fn new(core: &Core, mail: Mail, size_limit: u64, kind: Kind) -> Transaction {
        let UnixMicros(micros) = core.rt.unix_time();
        let envelope = Envelope {
            sender: mail.sender,
            envid: mail.envid,
            ret: mail.ret,
            encoding: mail.encoding,
            smtputf8: mail.smtputf8,
            arrival_micros: micros,
            ..Envelope::default()
        };
        Transaction {
            envelope,
            opened: None,
            message: None,
            failure: None,
            draft: None,
            add_missing: false,
            context: Context::Local,
            micros,
            zone: Rc::default(),
            size_limit,
            kind,
            orders: Orders::default(),
            prepends: Vec::new(),
            mail_from: None,
        }
    }

    /// The queue id, once there is one.
    pub fn id(&self) -> Option<QueueId> {
        self.opened.map(|(_, id)| id)
    }

    /// Adds an accepted recipient. The first one opens the message: true.
    pub fn add_recipient(&mut self, core: &Core, address: Address, rcpt: Rcpt) -> bool {
        let original = rcpt.address;
        let (dsn_orcpt, notify) = (rcpt.orcpt, rcpt.notify);
        self.envelope.recipients.push(Recipient { address, original, dsn_orcpt, notify });
        if self.opened.is_some() {
            return false;
        }
        let number = core.queue.borrow_mut().reserve_number();
        self.micros = core.rt.unix_time().0;
        self.opened = Some((number, core.queue_id(self.micros, number)));
        true
    }

    /// The content begins: our Received: header goes on top.
    pub fn begin(&mut self, core: &Core, sender: &Sender<'_>) {
        let (_, id) = self.opened.expect("a recipient was accepted");
        let snapshot = core.snapshot();
        self.envelope.sender = snapshot.resolver.canonical(&self.envelope.sender);
        let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
        let mapped = match self.kind.receive.maps_addresses {
            true => mapping.sender(core, resolver, id, &mut self.envelope.sender),
            false => Ok(()),
        };
        let unix = self.micros / 1_000_000;
        self.zone = core.local.at(unix);
        self.context = if self.kind.is_local { Context::Local } else { Context::Remote };
        let untouched = !self.kind.is_local && snapshot.remote_rewrite_domain.is_empty();
        self.add_missing = !untouched || snapshot.always_add_missing;
        self.note_client(sender);
        let recipient = match self.envelope.recipients.as_slice() {
            [only] => Some(&only.original),
            _ => None,
        };
        let received = Received {
            helo: sender.helo,
            client_name: &sender.client.name,
            client_address: &sender.client.address,
            authenticated: None,
            hostname: &snapshot.myhostname,
            mail_name: &snapshot.mail_name,
            protocol: sender.protocol,
            queue_id: &id,
            recipient,
            unix,
            zone: &self.zone,
        };
        let mut message = Message::new(core.take_buffer(), format_args!("{received}"));
        message.keep_separators();
        // The first of them comes first.
        self.prepends.drain(..).rev().for_each(|line| message.prepend(&line));
        self.message = Some(message);
        if let Err(trouble) = mapped {
            self.failure = Some(trouble.told(core, id));
        }
    }

    fn note_client(&mut self, sender: &Sender<'_>) {
        let attributes = [
            ("log_client_name", sender.client.name.as_str()),
            ("log_client_address", sender.client.address.as_str()),
            ("log_helo_name", sender.helo),
            ("log_protocol_name", sender.protocol),
        ];
        let owned = attributes.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        self.envelope.attributes.extend(owned);
        if self.context == Context::Local {
            self.envelope.attributes.push((REWRITE_CONTEXT.into(), LOCAL_CONTEXT.to_vec()));
        }
    }

    /// Asks the tables that map the sender, and changes nothing.
    pub fn look_up_sender(&self, core: &Core) {
        let (Some((_, id)), snapshot) = (self.opened, core.snapshot()) else { return };
        let mut sender = snapshot.resolver.canonical(&self.envelope.sender);
        let _verdict = snapshot.mapping.sender(core, &snapshot.resolver, id, &mut sender);
    }

    /// Asks the tables for what is in the header so far, and at its end for the recipients;
    /// changes nothing.
    pub fn look_up(&self, core: &Core, ends: bool) {
        let (Some((_, id)), Some(message)) = (self.opened, &self.message) else { return };
        if self.failure.is_some() {
            return;
        }
        if let Some(rewriting) = Rewriting::new(core, id, self.context, self.kind.receive) {
            rewriting.look_up(message.header_so_far());
        }
        if let Some(inspector) = Inspector::new(core, id, &self.envelope, self.kind.receive) {
            inspector.look_up(message.rest());
        }
        if ends && self.kind.receive.maps_addresses {
            let snapshot = core.snapshot();
            let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
            let mut envelope = self.envelope.clone();
            let _verdict = mapping.recipients(core, resolver, id, &mut envelope, Copies::Made(&[]));
        }
    }

    /// Content was appended: cleans it. True when it should be handed on to the log now, with
    /// [`Transaction::spill_content`].
    pub fn content(&mut self, core: &Rc<Core>) -> bool {
        if self.failure.is_none() {
            match self.take_in(core) {
                Ok(full) => return full,
                Err(reply) => self.fail(core, reply),
            }
        }
        if let Some(message) = &mut self.message {
            message.content.clear();
        }
        false
    }

    fn take_in(&mut self, core: &Rc<Core>) -> Result<bool, Reply> {
        self.clean(core, Message::advance)?;
        let message = self.message.as_mut().expect("the content has begun");
        let written = self.draft.as_ref().map_or(0, Draft::size);
        if self.size_limit > 0 && written + message.content.len() as u64 > self.size_limit {
            return Err(TOO_BIG);
        }
        Ok(message.in_body() && message.settled() >= EXTENT_BYTES)
    }

    /// Hands collected content on to the log.
    pub async fn spill_content(&mut self, core: &Rc<Core>) {
        if let Err(reply) = self.spill(core).await {
            self.fail(core, reply);
        }
    }

    fn clean(
        &mut self,
        core: &Core,
        step: impl FnOnce(&mut Message, &cleanup::Settings, &Origin<'_>) -> Result<(), Reply>,
    ) -> Result<(), Reply> {
        let (_, id) = self.opened.expect("a recipient was accepted");
        let origin = Origin {
            id,
            sender: &self.envelope.sender,
            full_name: None,
            unix: self.micros / 1_000_000,
            zone: &self.zone,
            add_missing: self.add_missing,
            rewriting: Rewriting::new(core, id, self.context, self.kind.receive),
            inspector: Inspector::new(core, id, &self.envelope, self.kind.receive),
        };
        let snapshot = core.snapshot();
        let message = self.message.as_mut().expect("the content has begun");
        let stepped = step(message, &snapshot.cleanup, &origin);
        message.log_ids(core, id);
        stepped
    }

    /// Moves collected content to the log.
    async fn spill(&mut self, core: &Rc<Core>) -> Result<(), Reply> {
        let (number, _) = self.opened.expect("a recipient was accepted");
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => core.queue.borrow_mut().begin(number),
        };
        let message = self.message.as_mut().expect("the content has begun");
        let mut result = Ok(());
        let most = core.queue.borrow().append_max();
        for piece in message.content[..message.settled()].chunks(most) {
            result =
                append_patiently(core, || core.queue.borrow_mut().extend(&mut draft, piece)).await;
            if result.is_err() {
                break;
            }
        }
        message.forget_settled();
        core.commit_soon();
        self.draft = Some(draft);
        result
    }

    fn fail(&mut self, core: &Core, reply: Reply) {
        if let Some(draft) = self.draft.take() {
            core.queue.borrow_mut().abandon(draft);
        }
        if let Some((_, id)) = self.opened {
            let warn = |daemon, text| core.log.log(&Event::MessageWarning { daemon, id, text });
            if reply == TOO_BIG {
                warn(Daemon::Cleanup, "queue file size limit exceeded");
                warn(Daemon::Smtpd, "queue file size limit exceeded");
            } else if reply == TOO_MANY_HOPS {
                warn(Daemon::Cleanup, "message rejected: hopcount exceeded");
            }
        }
        self.failure = Some(reply);
    }

    /// The content is complete: commits the message and waits until it is durable.
    pub async fn commit(mut self, core: &Rc<Core>, findings: Findings) -> Reply {
        self.content(core);
        if self.failure.is_none()
            && let Err(reply) = self.clean(core, Message::finish)
        {
            self.fail(core, reply);
        }
        let reply = match self.failure.take() {
            Some(reply) => reply,
            None => self.append(core, findings).await.unwrap_or_else(|reply| reply),
        };
        if let Some(draft) = self.draft.take() {
            core.queue.borrow_mut().abandon(draft);
        }
        if let Some(message) = self.message.take() {
            core.give_buffer(message.content);
        }
        reply
    }

    async fn append(&mut self, core: &Rc<Core>, findings: Findings) -> Result<Reply, Reply> {
        let (number, id) = self.opened.expect("a recipient was accepted");
        let size = findings.chunked.map(|size| format!("{size} bytes ")).unwrap_or_default();
        let taken = Reply::from(format!("250 2.0.0 Ok: {size}queued as {id}"));
        let orders = self.take_orders();
        if orders.discard {
            return Ok(taken);
        }
        self.map_recipients(core, id, &orders)?;
        orders.route(&mut self.envelope);
        self.complete_envelope(core, findings);
        let start = if orders.hold { Start::Held } else { Start::Incoming };
        let placed = self.place(core, number, start).await?;
        let envelope = std::mem::take(&mut self.envelope);
        let message = Arc::new(MessageInfo { number, id, envelope });
        let incoming = Box::new(Incoming { message, location: placed.location, start });
        let pledge = core.committed(placed.lsn, incoming);
        pledge.wait().await.map(|()| taken).ok_or(WRITE_ERROR)
    }

    /// What access tables and checks have decided, in this order.
    fn take_orders(&mut self) -> Orders {
        let mut orders = std::mem::take(&mut self.orders);
        let findings = self.message.as_mut().and_then(Message::findings);
        orders.add(findings.map(|it| std::mem::take(&mut it.orders)).unwrap_or_default());
        orders
    }

    fn map_recipients(&mut self, core: &Core, id: QueueId, orders: &Orders) -> Result<(), Reply> {
        let envelope = &mut self.envelope;
        if !self.kind.receive.maps_addresses {
            envelope.recipients.extend(orders.bcc.iter().map(blind_copy));
            return Ok(());
        }
        let snapshot = core.snapshot();
        let (mapping, resolver) = (&snapshot.mapping, &snapshot.resolver);
        let mapped = mapping.recipients(core, resolver, id, envelope, Copies::Made(&orders.bcc));
        mapped.map_err(|trouble| trouble.told(core, id))
    }

    fn complete_envelope(&mut self, core: &Core, findings: Findings) {
        let written = self.draft.as_ref().map_or(0, Draft::size);
        let message = self.message.as_ref().expect("the content has begun");
        let envelope = &mut self.envelope;
        envelope.header_8bit = message.header_8bit();
        drop_duplicates(envelope, &core.snapshot.borrow().cleanup);
        envelope.size = written + message.content.len() as u64;
        envelope.has_8bit = findings.has_8bit;
        envelope.longest_line = findings.longest_line;
        envelope.arrival_micros = self.micros;
        envelope.warn_at = warn_at(core, self.micros, envelope);
    }

    async fn place(
        &mut self,
        core: &Rc<Core>,
        number: Number,
        start: Start,
    ) -> Result<Placed, Reply> {
        let mut encoded = Vec::with_capacity(256);
        self.envelope.encode(&mut encoded);
        if self.draft.is_some() {
            self.spill(core).await?;
        }
        let content = &self.message.as_ref().expect("the content has begun").content;
        let (micros, flags, draft) = (self.micros, start.flags(), &mut self.draft);
        append_patiently(core, || match draft.take() {
            None => core.queue.borrow_mut().append(number, micros, flags, &encoded, &[content]),
            Some(large) => core.queue.borrow_mut().commit(large, micros, flags, &encoded).map_err(
                |(full, large)| {
                    *draft = Some(large);
                    full
                },
            ),
        })
        .await
    }

    /// Gives up: the client is gone or has reset.
    pub fn abandon(mut self, core: &Core) {
        if let Some(draft) = self.draft.take() {
            core.queue.borrow_mut().abandon(draft);
        }
        if let Some(message) = self.message.take() {
            core.give_buffer(message.content);
        }
    }
}

/// Appends to the log; waits while too much is on its way to the disk.
async fn append_patiently<T>(
    core: &Rc<Core>,
    mut append: impl FnMut() -> Result<T, Full>,
) -> Result<T, Reply> {
    let deadline = core.rt.now() + BUSY_PATIENCE;
    loop {
        let full = match append() {
            Ok(done) => return Ok(done),
            Err(full) => full,
        };
        // Without room, a segment may be on its way; a disk that is full says so at once.
        let hopeless = full == Full::NoSpace && core.queue.borrow().room() == 0;
        if hopeless || !matches!(full, Full::Busy | Full::NoSpace) || core.rt.now() >= deadline {
            core.log.warn(Daemon::Cleanup, &format!("queue log: {full}"));
            return Err(if full == Full::NoSpace { NO_SPACE } else { WRITE_ERROR });
        }
        core.commit_soon();
        core.rt.sleep_until(core.rt.now() + BUSY_PAUSE).await;
    }
}
