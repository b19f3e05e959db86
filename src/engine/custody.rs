//! What master keeps for the next engine, and what it has kept for this one: transactions of
//! smtp(8) whose end of data was sent, and whose reply is not settled yet.
//!
//! Each core has one [`Custody`]. A delivery that waits for its reply gives a copy of its socket
//! ([`Custody::keep`]). A good reply is noted in its place ([`Custody::answered`]) and forgotten
//! when the log has the recipients' marks: until then the next engine would settle from it. After
//! any other reply, or none, there is nothing that a second delivery would double, and the slot is
//! forgotten at once.
//!
//! | a slot | event | next |
//! | --- | --- | --- |
//! | - | the reply is slow | waiting, or nothing when master has no room |
//! | waiting | good reply | answered |
//! | waiting | other reply, no reply | forgotten |
//! | answered | mark, deferral or removal appended | due |
//! | due | durable | forgotten |
//! | answered | [`ANSWERED_MAX`] newer ones | forgotten |
//!
//! What the engine before left is an [`Orphan`] until the delivery of its recipients takes it, or
//! for as long as the reply may take at most: its message is gone then, or goes another way.
//!
//! **Diagnostics**: a record that cannot be read is a warning; its message is delivered again.
//! **Limits**: [`ANSWERED_MAX`]; `privsep::custody` has master's.

use crate::delivery::MessageInfo;
use crate::limits::ANSWERED_MAX;
use crate::maillog::{Daemon, Maillog};
use crate::parcel::Settle;
use privsep::Transaction;
use privsep::custody::{Request, SLOTS_MAX};
use queue::{Lsn, Number};
use runtime::net::Stream;
use runtime::net::shared::Channel;
use runtime::{Rt, Sock};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What the engine before has left, as master hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where master keeps it.
    pub slot: u64,
    /// The connection, unless the reply has come already.
    pub sock: Option<Sock>,
    /// A [`Transaction`].
    pub record: Vec<u8>,
}

/// What all cores start with.
#[derive(Clone, Debug)]
pub struct Estate {
    channel: Option<Channel>,
    left: Arc<[Left]>,
    next: Arc<AtomicU64>,
}

impl Estate {
    /// A way to master and what came from there. Without a way nothing is kept.
    pub fn new(channel: Option<Channel>, left: Vec<Left>) -> Estate {
        // Master keeps those of the engine before under their slots.
        let last = left.iter().map(|left| left.slot).max().unwrap_or(0);
        Estate { channel, left: left.into(), next: Arc::new(AtomicU64::new(last.wrapping_add(1))) }
    }

    /// Nobody keeps anything.
    pub fn none() -> Estate {
        Estate::new(None, Vec::new())
    }
}

/// A transaction that an earlier engine has left under way.
#[derive(Debug)]
pub struct Orphan {
    /// Its place.
    pub slot: Slot,
    /// The connection, unless the reply has come already.
    pub sock: Option<Sock>,
    /// What is known of it.
    pub transaction: Transaction,
}

/// A place at master's. Forgetting it takes [`Custody`].
#[derive(Debug, PartialEq, Eq)]
pub struct Slot(u64);

/// Whether master has heard what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has, or will before anything else of this engine.
    Yes,
    /// It may act on what it heard before.
    No,
}

struct Answered {
    slot: u64,
    recipients: Vec<u32>,
}

/// One core's part.
pub struct Custody {
    rt: Rt,
    channel: Option<Channel>,
    next: Arc<AtomicU64>,
    orphans: RefCell<BTreeMap<Number, Vec<Orphan>>>,
    answered: RefCell<BTreeMap<Number, Vec<Answered>>>,
    due: RefCell<VecDeque<(Number, Lsn, u64)>>,
    /// To be forgotten, as soon as the channel has room.
    unsent: RefCell<Vec<u64>>,
}

impl Custody {
    /// The part of core `index` of `cores`: orphans of messages that are delivered from here.
    pub fn new(rt: &Rt, log: &Maillog, estate: &Estate, index: usize, cores: usize) -> Rc<Custody> {
        let custody = Rc::new(Custody {
            rt: rt.clone(),
            channel: estate.channel.clone(),
            next: estate.next.clone(),
            orphans: RefCell::default(),
            answered: RefCell::default(),
            due: RefCell::default(),
            unsent: RefCell::default(),
        });
        for left in estate.left.iter() {
            custody.adopt(log, left, index, cores);
        }
        custody
    }

    fn adopt(&self, log: &Maillog, left: &Left, index: usize, cores: usize) {
        let read = Transaction::decode(&left.record);
        let number = read.as_ref().ok().and_then(|read| Number::from_u64(read.number));
        let home = number.map_or(0, |number| number.core().index() % cores);
        if home != index {
            return;
        }
        let slot = Slot(left.slot);
        match (number, read) {
            (Some(number), Ok(transaction)) => {
                let orphan = Orphan { slot, sock: left.sock, transaction };
                self.orphans.borrow_mut().entry(number).or_default().push(orphan);
            }
            _ => {
                log.warn(Daemon::Smtp, "what an earlier engine has left cannot be read");
                self.close(slot, left.sock);
            }
        }
    }

    /// Whether anything is kept.
    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// Has master keep a connection for the next engine, for at most `limit`; no slot when it
    /// cannot.
    pub fn keep(
        &self,
        stream: &Stream,
        transaction: &Transaction,
        limit: Duration,
    ) -> Option<Slot> {
        let channel = self.channel.as_ref().filter(|_| transaction.is_valid())?;
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let request = Request::Keep { slot, seconds, record: transaction.encode() };
        stream.share(channel, &request.encode()).ok().map(|()| Slot(slot))
    }

    /// The server has taken the message: the reply is in `transaction`. When master cannot be told,
    /// nothing may be said on the connection whose reply could be taken for this one.
    pub fn answered(&self, slot: Slot, transaction: &Transaction) -> Told {
        let told = self.say_answered(slot.0, transaction);
        self.await_settlement(slot, transaction);
        told
    }

    fn say_answered(&self, slot: u64, transaction: &Transaction) -> Told {
        let Some(channel) = self.channel.as_ref().filter(|_| transaction.is_valid()) else {
            return Told::No;
        };
        let request = Request::Answered { slot, record: transaction.encode() };
        if channel.send(&request.encode()).is_ok() { Told::Yes } else { Told::No }
    }

    /// Forgets an answered slot when its recipients are settled.
    pub fn await_settlement(&self, slot: Slot, transaction: &Transaction) {
        let Some(number) = Number::from_u64(transaction.number) else {
            self.forget(slot);
            return;
        };
        let mut answered = self.answered.borrow_mut();
        let recipients = transaction.recipients.clone();
        answered.entry(number).or_default().push(Answered { slot: slot.0, recipients });
        // Those of messages that were removed meanwhile would stay for ever.
        if answered.len() > ANSWERED_MAX
            && let Some((_, oldest)) = answered.pop_first()
        {
            self.unsent.borrow_mut().extend(oldest.iter().map(|answered| answered.slot));
        }
    }

    /// Has master close what it keeps there.
    pub fn forget(&self, slot: Slot) -> Told {
        self.unsent.borrow_mut().push(slot.0);
        self.send_unsent();
        if self.unsent.borrow().is_empty() { Told::Yes } else { Told::No }
    }

    /// Takes what an earlier engine left under way of a message, if all its recipients are `among`
    /// these.
    pub fn take(&self, message: &MessageInfo, among: &[u32]) -> Option<Orphan> {
        let mut orphans = self.orphans.borrow_mut();
        let of_message = orphans.get_mut(&message.number)?;
        let at = of_message.iter().position(|orphan| {
            let Transaction { micros, recipients, .. } = &orphan.transaction;
            *micros == message.id.micros && recipients.iter().all(|index| among.contains(index))
        })?;
        let orphan = of_message.swap_remove(at);
        if of_message.is_empty() {
            orphans.remove(&message.number);
        }
        Some(orphan)
    }

    /// A change of a message was appended to the log at `lsn`.
    pub fn settled(&self, settle: &Settle, lsn: Lsn) {
        let mut answered = self.answered.borrow_mut();
        if answered.is_empty() {
            return;
        }
        let number = settle.number();
        let mut settled = Vec::new();
        match settle {
            Settle::Mark { recipients, .. } => {
                let Some(of_message) = answered.get_mut(&number) else { return };
                let marked = |answered: &mut Answered| {
                    answered.recipients.iter().all(|index| recipients.contains(index))
                };
                settled.extend(of_message.extract_if(.., marked));
                if of_message.is_empty() {
                    answered.remove(&number);
                }
            }
            Settle::Defer { .. } | Settle::Remove { .. } => {
                settled.extend(answered.remove(&number).unwrap_or_default());
            }
            Settle::Flags { .. } | Settle::Hold { .. } | Settle::Release { .. } => {}
        }
        let due = settled.into_iter().map(|answered| (number, lsn, answered.slot));
        self.due.borrow_mut().extend(due);
    }

    /// Forgets what is settled for good: once per turn. `durable` is how far the part of the log is
    /// written that a message is in.
    pub fn pump(&self, durable: impl Fn(Number) -> Lsn) {
        let mut due = self.due.borrow_mut();
        if !due.is_empty() {
            let mut unsent = self.unsent.borrow_mut();
            due.retain(|(number, lsn, slot)| {
                let written = *lsn <= durable(*number);
                unsent.extend(written.then_some(*slot));
                !written
            });
        }
        self.send_unsent();
    }

    fn send_unsent(&self) {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            let Some(channel) = &self.channel else { return unsent.clear() };
            let count = unsent.len().min(SLOTS_MAX);
            let request = Request::Forget { slots: unsent[..count].to_vec() };
            match channel.send(&request.encode()) {
                Ok(()) => drop(unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Nobody is there any more to keep anything.
                Err(_) => return unsent.clear(),
            }
        }
    }

    /// Closes what no delivery has taken within `limit`.
    pub fn close_unclaimed(self: &Rc<Self>, limit: Duration) {
        if self.orphans.borrow().is_empty() {
            return;
        }
        let custody = self.clone();
        self.rt.spawn(async move {
            custody.rt.sleep_until(custody.rt.now() + limit).await;
            let left = custody.orphans.take();
            for orphan in left.into_values().flatten() {
                custody.close(orphan.slot, orphan.sock);
            }
        });
    }

    fn close(&self, slot: Slot, sock: Option<Sock>) {
        self.forget(slot);
        // What cannot be taken over is not open.
        drop(sock.map(|sock| Stream::inherit(&self.rt, sock)));
    }
}
