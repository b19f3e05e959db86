//! Mail that another transport takes, in the place of a mailbox or where there is none:
//! `mailbox_transport`, `fallback_transport` and their maps; and `luser_relay`.
//!
//! Called by [`super`] for a recipient that is to go to a mailbox. The request is handed to the
//! other transport's agent on this core within the same delivery, with that recipient alone: the
//! agent logs what becomes of it, and its result is this recipient's. The queue manager hears of it
//! once, from local, so a crash in between does it again as any other.
//!
//! | asked in this order | what it names |
//! | --- | --- |
//! | `mailbox_transport_maps`, `mailbox_transport` | who takes it, user or not |
//! | the helper | there is no such user |
//! | `fallback_transport_maps`, `fallback_transport` | who takes it |
//! | `luser_relay`, once | the address it goes to |
//! | a required name | 2.0.0, discarded |
//! | anybody else | 5.1.1 |
//!
//! **Diagnostics**: a table that cannot tell, a transport that nobody serves and one that leads
//! back to itself are deferrals (4.3.0, 4.3.5) with a warning. A transport that fails says nothing
//! about local, so no destination of local is throttled by it.
//! **Limits**: [`HANDOVERS_MAX`]; the other transport's process and concurrency limits are the
//! queue manager's, and bound its own mail only: what is handed on here is bounded by local's.
//! **Standards**: local(8), postconf(5).

use super::expand::Branch;
use super::recipient::User;
use super::{Delivery, Mailed};
use crate::delivery::{DeliverRequest, MessageInfo, RecipientResult, TRANSPORT_UNAVAILABLE};
use crate::limits::HANDOVERS_MAX;
use crate::lookup::servers;
use crate::lookup::{Maps, Part};
use crate::maillog::{Daemon, Event};
use mail::address::Printable;
use mail::expand::expand;
use mail::{Address, Dsn, Envelope, Status};
use std::sync::Arc;
use tables::Lookup;

/// Names that must have an alias.
const REQUIRED: [&[u8]; 2] = [b"postmaster", b"mailer-daemon"];

/// Who takes a user's mail.
enum Taker {
    /// This transport, with its next hop if it names one.
    Transport(String),
    Nobody,
    /// A table cannot tell.
    Unknown,
}

impl Delivery<'_> {
    /// Who takes the mail before a mailbox is looked for.
    pub(super) async fn before_mailbox(&self, branch: &Branch, user: &User) -> Option<Mailed> {
        let (maps, otherwise) =
            (&self.settings.transports.mailbox, &self.settings.mailbox_transport);
        let taker = self.taker(maps, otherwise, user).await;
        self.by(taker, branch).await
    }

    /// Nobody of that name.
    pub(super) async fn unknown(&self, branch: &Branch, user: &User) -> Mailed {
        let (maps, otherwise) =
            (&self.settings.transports.fallback, &self.settings.fallback_transport);
        let taker = self.taker(maps, otherwise, user).await;
        if let Some(mailed) = self.by(taker, branch).await {
            return mailed;
        }
        if !self.settings.luser_relay.is_empty() && !branch.relayed {
            return self.relay(branch, user);
        }
        let name = user.to_string();
        if REQUIRED.contains(&user.name.as_slice()) {
            self.core.log.warn(Daemon::Local, &format!("required alias not found: {name}"));
            return Mailed::Ended(Dsn::local(Status::new(2, 0, 0), "discarded").into());
        }
        let text = format!("unknown user: \"{name}\"");
        Mailed::Ended(Dsn::local(Status::new(5, 1, 1), text).into())
    }

    async fn taker(&self, maps: &Maps, otherwise: &str, user: &User) -> Taker {
        if !maps.is_empty() {
            let asker = self.core.agents.asker(&Daemon::Local);
            servers::rehearse(asker, || drop(maps.find(&user.name, Part::Whole))).await;
            match maps.find(&user.name, Part::Whole) {
                Lookup::Found(value) => {
                    return Taker::Transport(String::from_utf8_lossy(&value).into_owned());
                }
                Lookup::Retry(_) => {
                    for complaint in maps.complaints(&user.name) {
                        self.core.log.warn(Daemon::Local, &complaint);
                    }
                    return Taker::Unknown;
                }
                Lookup::NotFound => {}
            }
        }
        match otherwise {
            "" => Taker::Nobody,
            transport => Taker::Transport(transport.to_string()),
        }
    }

    async fn by(&self, taker: Taker, branch: &Branch) -> Option<Mailed> {
        match taker {
            Taker::Nobody => None,
            Taker::Unknown => {
                let dsn = Dsn::local(Status::new(4, 3, 0), "table lookup failure");
                Some(Mailed::Ended(dsn.into()))
            }
            Taker::Transport(named) => Some(self.hand_over(&named, branch).await),
        }
    }

    /// Has another transport deliver to a recipient; `named` is the transport, and behind a colon
    /// its next hop.
    async fn hand_over(&self, named: &str, branch: &Branch) -> Mailed {
        let (transport, nexthop) = named.split_once(':').unwrap_or((named, ""));
        let nexthop = if nexthop.is_empty() { &*self.request.nexthop } else { nexthop };
        let refused = |text: &str, status, said: &str| {
            self.core.log.warn(Daemon::Local, text);
            Mailed::Ended(Dsn::local(status, said).into())
        };
        let misconfigured =
            |text: &str| refused(text, Status::new(4, 3, 5), "mail system configuration error");
        if transport.is_empty() {
            return misconfigured(&format!("missing transport name in \"{named}\""));
        }
        if self.request.handovers >= HANDOVERS_MAX {
            return misconfigured(&format!("transport {transport} leads back to itself"));
        }
        let (id, address) = (self.request.message.id, &branch.recipient.address);
        let text = format!("{id}: passing <{address}> to transport={transport}");
        self.core.log.log(&Event::Info { daemon: Daemon::Local, text: &text });
        if self.snapshot.program(transport).is_none() {
            let place = format!("private/{}", Printable(transport.as_bytes()));
            let text = format!("connect #1 to subsystem {place}: No such file or directory");
            return refused(&text, Status::new(4, 3, 0), TRANSPORT_UNAVAILABLE);
        }
        let request = self.handed(transport, nexthop, branch);
        // A future of its own: that agent may be local again.
        let delivery = Box::pin(self.core.agents.deliver(self.core, request));
        let mut outcome = delivery.await;
        let result = outcome.results.pop().expect("one result for each recipient");
        Mailed::Handed(RecipientResult { index: self.index, ..result })
    }

    /// The request with one recipient, as it is by now.
    fn handed(&self, transport: &str, nexthop: &str, branch: &Branch) -> DeliverRequest {
        let DeliverRequest { message, content, .. } = self.request;
        let Envelope { size, has_8bit, header_8bit, longest_line, warn_at, .. } = message.envelope;
        let old = &message.envelope;
        let envelope = Envelope {
            arrival_micros: old.arrival_micros,
            size,
            sender: old.sender.clone(),
            recipients: vec![branch.recipient.clone()],
            envid: old.envid.clone(),
            ret: old.ret,
            encoding: old.encoding,
            smtputf8: old.smtputf8,
            has_8bit,
            header_8bit,
            longest_line,
            warn_at,
            filter: None,
            attributes: old.attributes.clone(),
        };
        DeliverRequest {
            entry: self.request.entry,
            message: Arc::new(MessageInfo { number: message.number, id: message.id, envelope }),
            recipients: vec![0],
            transport: transport.into(),
            nexthop: nexthop.into(),
            content: content.clone(),
            activated: self.request.activated,
            before_queue: self.request.before_queue,
            keep_connection: false,
            handovers: self.request.handovers + 1,
        }
    }

    /// `luser_relay` with its names filled in.
    fn relay(&self, branch: &Branch, user: &User) -> Mailed {
        let address = &branch.recipient.address;
        let filled = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        let attribute = |name: &str| filled(self.request.message.envelope.attribute(name)?);
        let pattern = &self.settings.luser_relay;
        let expanded = expand(pattern, None, &mut |name, _| match name {
            "user" => filled(&user.name),
            "local" | "mailbox" => filled(&user.local),
            "extension" => filled(&user.extension),
            "recipient_delimiter" => user.delimiter().map(|byte| vec![byte]),
            "domain" => filled(address.domain()?),
            "recipient" => filled(address.as_bytes()),
            "client_address" => attribute("log_client_address"),
            "client_helo" => attribute("log_helo_name"),
            "client_hostname" => attribute("log_client_name"),
            "client_protocol" => attribute("log_protocol_name"),
            "sasl_username" => attribute("sasl_username"),
            _ => None,
        });
        match expanded {
            Ok(done) => Mailed::Relayed(Address::from_internal(&done.text)),
            Err(malformed) => {
                self.core.log.warn(Daemon::Local, &malformed.to_string());
                let what = "bad parameter value syntax for luser_relay";
                self.core.log.warn(Daemon::Local, &format!("{what}: {pattern}"));
                let text = "mail system configuration error";
                Mailed::Ended(Dsn::local(Status::new(4, 3, 5), text).into())
            }
        }
    }
}
