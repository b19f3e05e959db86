//! Into the active queue: choosing the next message, reading it, resolving its recipients.

use super::{Active, Known, Qmgr, Stage, millis};
use crate::core::Core;
use crate::delivery::MessageInfo;
use crate::error;
use crate::limits::{PINNED_BYTES, PINNED_MESSAGE_BYTES};
use crate::maillog::{Daemon, Event};
use crate::parcel::{Parcel, Settle};
use crate::trivial_rewrite::{Class, Resolved};
use mail::{Address, Envelope};
use queue::{Content, Number, ReadError};
use scheduler::{Reason, RoutedRecipient, TransportId};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A recipient with its route.
struct Routed {
    index: u32,
    transport: String,
    nexthop: String,
}

impl Qmgr {
    /// Imports one message, alternately from incoming and from deferred; false when neither has
    /// one.
    pub(super) fn import_next(&mut self, core: &Rc<Core>) -> bool {
        self.from_deferred = !self.from_deferred;
        // Not one expression for both: whose turn it is decides who is asked first.
        let first = match self.from_deferred {
            true => self.import_deferred(core),
            false => self.import_incoming(core),
        };
        first
            || match self.from_deferred {
                true => self.import_incoming(core),
                false => self.import_deferred(core),
            }
    }

    fn import_incoming(&mut self, core: &Rc<Core>) -> bool {
        let Some(waiting) = self.incoming.pop_front() else { return false };
        let incoming =
            self.known.get(&waiting.number).is_some_and(|known| known.stage == Stage::Incoming);
        // It may have been held or deleted while it waited.
        if incoming {
            self.import(core, waiting.number, waiting.info);
        }
        true
    }

    fn import_deferred(&mut self, core: &Rc<Core>) -> bool {
        let Some((until, number)) = self.deferred.first().copied() else {
            self.scan_until = 0;
            return false;
        };
        if until > self.scan_until {
            self.scan_until = 0;
            return false;
        }
        self.deferred.remove(&(until, number));
        self.import(core, number, None);
        true
    }

    fn import(&mut self, core: &Rc<Core>, number: Number, info: Option<Arc<MessageInfo>>) {
        let Some(known) = self.known.get(&number) else { return };
        let read = match info {
            Some(info) => Ok(info),
            None => read(core, known, number),
        };
        let content = core.store.content(&known.location);
        match (read, content) {
            (Ok(info), Ok(content)) => self.activate(core, info, content),
            (Err(ReadError::Moved | ReadError::NotYet), _)
            | (_, Err(ReadError::Moved | ReadError::NotYet)) => self.locate(core, number),
            (Err(error), _) | (_, Err(error)) => {
                let text = format!("message {number}: {error}");
                core.log.warn(Daemon::Qmgr, &text);
                self.put_back(number, core.rt.unix_time().seconds() + 60);
            }
        }
    }

    /// The message was copied forward: asks its home core where it is, and tries again.
    fn locate(&mut self, core: &Core, number: Number) {
        core.port.send(self.home(number), Parcel::Locate { number });
        self.put_back(number, core.rt.unix_time().seconds());
    }

    /// Back among the deferred, in memory only.
    fn put_back(&mut self, number: Number, until: u64) {
        if let Some(known) = self.known.get_mut(&number) {
            known.stage = Stage::Deferred { until };
            self.deferred.insert((until, number));
        }
    }

    fn activate(&mut self, core: &Rc<Core>, info: Arc<MessageInfo>, content: Content) {
        let number = info.number;
        let now = core.rt.now();
        let Some(known) = self.known.get_mut(&number) else { return };
        known.stage = Stage::Active;
        let total = info.envelope.recipients.len() as u32;
        let done: BTreeSet<u32> = known.done.iter().copied().collect();
        let pending: Vec<u32> = (0..total).filter(|index| !done.contains(index)).collect();
        core.log.log(&Event::Active {
            id: info.id,
            sender: &info.envelope.sender,
            size: info.envelope.size,
            recipients: pending.len(),
        });
        let arrival = info.envelope.arrival_micros;
        let before = core.rt.unix_time().0.saturating_sub(arrival);
        let mut pending = self.routes(core, &info, &pending);
        let rest = pending.split_off(self.scheduler.recipients_to_read().min(pending.len()));
        let routed = self.routed(&pending);
        let unread = rest.len() as u32;
        let admitted = self.scheduler.admit(number.get(), &routed, unread, millis(now));
        let content = self.pin(content);
        let active = Active {
            activated: now,
            before_queue: Duration::from_micros(before),
            unread: rest.iter().rev().map(|routed| routed.index).collect(),
            sent: Vec::new(),
            failed: Vec::new(),
            deferred: Vec::new(),
            scheduled: admitted.message,
            hold: false,
            delete: false,
            info,
            content,
        };
        self.active.insert(number, active);
        for suspended in admitted.deferred_at_once {
            self.suspend(core, number, &suspended.recipients, &suspended.reason);
        }
        self.finish_if_done(core, number);
    }

    /// Keeps a message's bytes in memory until it is settled, if there is room.
    fn pin(&mut self, content: Content) -> Option<Content> {
        let bytes = content.len();
        if bytes > PINNED_MESSAGE_BYTES || self.pinned + bytes > PINNED_BYTES {
            return None;
        }
        self.pinned += bytes;
        Some(content)
    }

    /// The bytes of an active message, from memory or from the log.
    pub(super) fn content(&self, core: &Core, number: Number) -> Result<Content, ReadError> {
        match self.active.get(&number).and_then(|active| active.content.clone()) {
            Some(content) => Ok(content),
            None => {
                let known = self.known.get(&number).ok_or(ReadError::Moved)?;
                core.store.content(&known.location)
            }
        }
    }

    /// Reads more recipients of messages that have room for them.
    pub(super) fn refill(&mut self, core: &Rc<Core>) {
        let now = millis(core.rt.now());
        while let Some(wanted) = self.scheduler.wants_refill(now) {
            let Some(number) = Number::from_u64(wanted.key) else { return };
            let Some(active) = self.active.get_mut(&number) else { return };
            let keep = active.unread.len().saturating_sub(wanted.recipients_max as usize);
            let mut indices = active.unread.split_off(keep);
            indices.reverse();
            let (info, unread) = (active.info.clone(), active.unread.len() as u32);
            let routes = self.routes(core, &info, &indices);
            let routed = self.routed(&routes);
            let added = self.scheduler.add_recipients(wanted.message, &routed, unread, now);
            for suspended in added.deferred_at_once {
                self.suspend(core, number, &suspended.recipients, &suspended.reason);
            }
            self.finish_if_done(core, number);
        }
    }

    /// Routes, sorted so that one destination's recipients are together.
    fn routes(&mut self, core: &Rc<Core>, info: &MessageInfo, indices: &[u32]) -> Vec<Routed> {
        let mut routes: Vec<Routed> = Vec::with_capacity(indices.len());
        for index in indices {
            let address = &info.envelope.recipients[*index as usize].address;
            routes.push(self.route(core, address, *index));
        }
        if routes.len() > 1 {
            let address =
                |routed: &Routed| &info.envelope.recipients[routed.index as usize].address;
            routes.sort_by(|a, b| {
                (&a.transport, &a.nexthop, address(a)).cmp(&(&b.transport, &b.nexthop, address(b)))
            });
        }
        routes
    }

    fn route(&self, core: &Core, address: &Address, index: u32) -> Routed {
        let snapshot = core.snapshot.borrow();
        let to = |transport: &str, nexthop: &str| Routed {
            index,
            transport: transport.into(),
            nexthop: nexthop.to_ascii_lowercase(),
        };
        match snapshot.resolver.resolve(address) {
            Resolved::Route(route) => {
                let double = self.settings.double_bounce.as_bytes();
                if route.class == Class::Local
                    && route.recipient.local_part().eq_ignore_ascii_case(double)
                {
                    let text = "undeliverable postmaster notification discarded";
                    core.log.warn(Daemon::Qmgr, text);
                    return Routed { index, transport: "discard".into(), nexthop: text.into() };
                }
                if self.settings.defer_transports.contains(&route.transport) {
                    return to("retry", "4.3.2 deferred transport");
                }
                to(&route.transport, &route.nexthop)
            }
            Resolved::BadSyntax => to("error", "5.1.3 bad address syntax"),
            Resolved::Unknown => to("retry", "4.3.0 address resolver failure"),
        }
    }

    fn routed<'a>(&mut self, routes: &'a [Routed]) -> Vec<RoutedRecipient<'a>> {
        let recipient = |route: &'a Routed| RoutedRecipient {
            index: route.index,
            transport: self.transport(&route.transport),
            destination: &route.nexthop,
            alone: false,
        };
        routes.iter().map(recipient).collect()
    }

    fn transport(&mut self, name: &str) -> TransportId {
        let settings = || self.settings.transports.get(name).copied().unwrap_or_default();
        let id = self.scheduler.transport(name, settings);
        self.transport_names.entry(id).or_insert_with(|| name.into());
        id
    }

    /// Recipients whose destination is known to be out of service: deferred without an attempt.
    pub(super) fn suspend(
        &mut self,
        core: &Core,
        number: Number,
        indices: &[u32],
        reason: &Reason,
    ) {
        let Some(active) = self.active.get_mut(&number) else { return };
        let now = core.rt.now();
        let deferrals = error::suspend(core, &active.info, indices, active.delays(now), reason);
        active.deferred.extend(deferrals);
    }

    pub(super) fn finish_if_done(&mut self, core: &Rc<Core>, number: Number) {
        let Some(active) = self.active.get(&number) else { return };
        let over = active.sent.len() + active.failed.len() + active.deferred.len();
        let total = active.info.envelope.recipients.len();
        let done = self.known.get(&number).map_or(0, |known| known.done.len());
        if over + done >= total {
            self.settle(core, number);
        }
    }

    /// Forgets a message that is gone.
    pub(super) fn remove(&mut self, core: &Core, number: Number) {
        self.known.remove(&number);
        core.port.send(self.home(number), Parcel::Settle(Settle::Remove { number }));
    }
}

fn read(core: &Core, known: &Known, number: Number) -> Result<Arc<MessageInfo>, ReadError> {
    let bytes = core.store.envelope(&known.location)?;
    let envelope = Envelope::decode(&bytes).map_err(|_| ReadError::Damaged)?;
    let id = core.queue_id(known.arrival_us, number);
    Ok(Arc::new(MessageInfo { number, id, envelope }))
}
