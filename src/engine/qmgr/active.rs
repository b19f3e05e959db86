//! Into the active queue: choosing the next message, reading it, resolving its recipients.

use super::stray::{self, Errand};
use super::{Active, FLAG_EXPIRE, Known, Qmgr, Stage, Urge, Waiting, Wish, millis};
use crate::core::Core;
use crate::delivery::MessageInfo;
use crate::error;
use crate::limits::{PINNED_BYTES, PINNED_MESSAGE_BYTES};
use crate::lookup::servers;
use crate::maillog::{Daemon, Event};
use crate::parcel::{Parcel, Settle};
use mail::Envelope;
use queue::{Content, Number, ReadError};
use scheduler::Reason;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

impl Qmgr {
    pub(super) fn import(&mut self, core: &Rc<Core>, waiting: Waiting) {
        let Waiting { number, info, urge } = waiting;
        let Some(known) = self.known.get(number) else { return };
        let read = match info {
            Some(info) => Ok(info),
            None => read(core, known, number),
        };
        let content = core.store.content(&known.location);
        match (read, content) {
            (Ok(info), Ok(content)) if servers::exist() => {
                self.rehearse(core, info, content, urge);
            }
            (Ok(info), Ok(content)) => self.activate(core, info, content, urge),
            (Err(error), _) | (_, Err(error)) if stray::is_stray(&error) => {
                self.seek(core, number, Errand::Import(urge), &error);
            }
            (Err(error), _) | (_, Err(error)) => {
                let text = format!("message {number}: {error}");
                core.log.warn(Daemon::Qmgr, &text);
                self.put_back(number, core.rt.unix_time().seconds() + 60);
                if matches!(error, ReadError::Damaged) {
                    core.port.send(self.home(number), Parcel::PutAside { number });
                }
            }
        }
    }

    /// Activates a message once servers have answered what its first recipients' routes depend on.
    fn rehearse(&mut self, core: &Rc<Core>, info: Arc<MessageInfo>, content: Content, urge: Urge) {
        let number = info.number;
        let Some(known) = self.known.get(number) else { return };
        let stage = known.stage();
        let done: BTreeSet<u32> = known.done().iter().copied().collect();
        let total = info.envelope.recipients.len() as u32;
        let pending = (0..total).filter(|index| !done.contains(index));
        let first: Vec<u32> = pending.take(self.scheduler.recipients_to_read()).collect();
        self.rehearsing += 1;
        let core = core.clone();
        core.rt.clone().spawn(async move {
            rehearse_routes(&core, &info, &first).await;
            let qmgr = core.qmgr.as_ref().expect("it lives on this core");
            let mut qmgr = qmgr.borrow_mut();
            qmgr.rehearsing -= 1;
            // It may have been held, deleted or tried by then.
            if qmgr.known.get(number).is_some_and(|known| known.stage() == stage) {
                qmgr.activate(&core, info, content, urge);
            }
        });
    }

    /// Back among the deferred, in memory only.
    fn put_back(&mut self, number: Number, until: u64) {
        if let Some(known) = self.known.get_mut(number) {
            known.set_stage(Stage::Deferred { until });
            self.deferred.insert((until, number));
        }
    }

    fn activate(&mut self, core: &Rc<Core>, info: Arc<MessageInfo>, content: Content, urge: Urge) {
        let number = info.number;
        let Some(known) = self.known.get_mut(number) else { return };
        known.set_stage(Stage::Active);
        let expire = known.flags & FLAG_EXPIRE != 0;
        let done: BTreeSet<u32> = known.done().iter().copied().collect();
        let total = info.envelope.recipients.len() as u32;
        let pending: Vec<u32> = (0..total).filter(|index| !done.contains(index)).collect();
        let refusal = info.refusal();
        if refusal.is_none() {
            core.log.log(&Event::Active {
                id: info.id,
                sender: &info.envelope.sender,
                size: info.envelope.size,
                recipients: pending.len(),
            });
        }
        let arrival = info.envelope.arrival_micros;
        let before = core.rt.unix_time().0.saturating_sub(arrival);
        let active = Active {
            activated: core.rt.now(),
            before_queue: Duration::from_micros(before),
            urge,
            unread: Vec::new(),
            pending: pending.len(),
            under_way: 0,
            withdrawn: false,
            sent: Vec::new(),
            failed: Vec::new(),
            deferred: Vec::new(),
            parts: Vec::new(),
            reports: Vec::new(),
            scheduled: None,
            wish: Wish::None,
            content: self.pin(content),
            info,
        };
        match (refusal, expire) {
            (Some(why), _) => self.return_refused(core, active, &pending, why),
            (None, true) => self.return_as_it_is(core, active, &pending),
            (None, false) => self.schedule(core, active, pending),
        }
    }

    /// Hands the first recipients to the scheduler.
    fn schedule(&mut self, core: &Rc<Core>, mut active: Active, mut pending: Vec<u32>) {
        let number = active.info.number;
        let mut rest = pending.split_off(self.scheduler.recipients_to_read().min(pending.len()));
        let routes = self.routes(core, &active.info, &pending, active.urge);
        let routes = active.discard(core, routes);
        let routed = self.routed(&routes, active.urge);
        let unread = rest.len() as u32;
        let now = millis(core.rt.now());
        let admitted = self.scheduler.admit(number.get(), &routed, unread, now);
        rest.reverse();
        active.unread = rest;
        active.scheduled = Some(admitted.message);
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
                let known = self.known.get(number).ok_or(ReadError::Moved)?;
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
            if !servers::exist() {
                self.add_recipients(core, number, wanted.message, &indices);
                continue;
            }
            let (core, info) = (core.clone(), active.info.clone());
            core.rt.clone().spawn(async move {
                rehearse_routes(&core, &info, &indices).await;
                let qmgr = core.qmgr.as_ref().expect("it lives on this core");
                qmgr.borrow_mut().add_recipients(&core, number, wanted.message, &indices);
            });
        }
    }

    /// Hands these recipients of an active message to the scheduler.
    fn add_recipients(
        &mut self,
        core: &Rc<Core>,
        number: Number,
        message: scheduler::MessageId,
        indices: &[u32],
    ) {
        // It may be gone: withdrawn, with everything that was not under way.
        let Some(active) = self.active.get(&number) else { return };
        if active.scheduled != Some(message) {
            return;
        }
        let (info, unread) = (active.info.clone(), active.unread.len() as u32);
        let (urge, now) = (active.urge, millis(core.rt.now()));
        let mut routes = self.routes(core, &info, indices, urge);
        if let Some(active) = self.active.get_mut(&number) {
            routes = active.discard(core, routes);
        }
        let routed = self.routed(&routes, urge);
        let added = self.scheduler.add_recipients(message, &routed, unread, now);
        for suspended in added.deferred_at_once {
            self.suspend(core, number, &suspended.recipients, &suspended.reason);
        }
        self.finish_if_done(core, number);
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
        active.pending -= deferrals.len();
        active.deferred.extend(deferrals);
    }

    pub(super) fn finish_if_done(&mut self, core: &Rc<Core>, number: Number) {
        if self.active.get(&number).is_some_and(|active| active.pending == 0) {
            self.settle(core, number);
        }
    }

    /// A message that is not active is not in the log any more.
    pub(super) fn forget(&mut self, number: Number) {
        if let Some(Stage::Deferred { until }) = self.known.remove(number).map(|k| k.stage()) {
            self.leave_deferred(until, number);
        }
    }

    /// Forgets a message that is gone.
    pub(super) fn remove(&mut self, core: &Core, number: Number) {
        self.known.remove(number);
        core.port.send(self.home(number), Parcel::Settle(Settle::Remove { number }));
    }
}

/// Has servers asked for what the routes of some recipients depend on.
async fn rehearse_routes(core: &Rc<Core>, info: &MessageInfo, indices: &[u32]) {
    let snapshot = core.snapshot();
    let resolve = || {
        for index in indices {
            let recipient = &info.envelope.recipients[*index as usize].address;
            let _route = snapshot.resolver.resolve_queued(&info.envelope.sender, recipient);
        }
    };
    servers::rehearse(core.agents.asker(&Daemon::Qmgr), resolve).await;
}

fn read(core: &Core, known: &Known, number: Number) -> Result<Arc<MessageInfo>, ReadError> {
    let bytes = core.store.envelope(&known.location)?;
    let envelope = Envelope::decode(&bytes).map_err(|_| ReadError::Damaged)?;
    let id = core.queue_id(known.arrival_us, number);
    Ok(Arc::new(MessageInfo { number, id, envelope }))
}
