//! The last step of cleanup(8) for a message that is in memory whole: a local submission, a
//! forwarded message, a notice. What comes over SMTP is written while it arrives, see
//! `smtpd/transaction.rs`.
//!
//! **Diagnostics**: [`Full`], when the log cannot take the message and the caller does not wait.
//! **Limits**: a message that does not fit into one record is written piece by piece.

use crate::core::Core;
use crate::delivery::MessageInfo;
use crate::limits::FULL_RETRY;
use crate::parcel::Incoming;
use mail::Envelope;
use mail::queue_id::QueueId;
use queue::{Draft, FLAG_HELD, Full, Log, Number, Placed};
use std::rc::Rc;
use std::sync::Arc;

/// The name of a message that is about to be queued.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// In the queue log; this core is its home.
    pub number: Number,
    /// In the mail log.
    pub id: QueueId,
    /// When it came, microseconds since 1970.
    pub micros: u64,
}

impl Name {
    /// A new name.
    pub fn new(core: &Core) -> Name {
        let number = core.queue.borrow_mut().reserve_number();
        let micros = core.rt.unix_time().0;
        Name { number, id: core.queue_id(micros, number), micros }
    }
}

/// What to do while the log has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Wait until it has: the message is safe where it is.
    Forever,
    /// Wait while the disk catches up, unless the engine stops.
    WhileBusy,
}

impl Patience {
    fn waits(self, core: &Core, full: Full) -> bool {
        match self {
            Patience::Forever => matches!(full, Full::Busy | Full::NoSpace),
            Patience::WhileBusy => full == Full::Busy && !core.is_stopping(),
        }
    }
}

/// Where a message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In the incoming queue.
    Incoming,
    /// On hold.
    Held,
}

impl Start {
    /// As the log has it.
    pub fn flags(self) -> u32 {
        match self {
            Start::Incoming => 0,
            Start::Held => FLAG_HELD,
        }
    }
}

/// What an envelope says about the content, and when to warn of a delay.
pub fn describe(core: &Core, name: Name, envelope: &mut Envelope, content: &[u8]) {
    let longest = content.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    envelope.arrival_micros = name.micros;
    envelope.size = content.len() as u64;
    envelope.has_8bit = !content.is_ascii();
    envelope.longest_line = longest.unwrap_or(0).saturating_sub(1) as u32;
    envelope.warn_at = warn_at(core, name.micros, envelope);
}

/// `delay_warning_time` after the arrival; senders without an address are not warned.
pub fn warn_at(core: &Core, micros: u64, envelope: &Envelope) -> Option<u64> {
    let delay = core.snapshot.borrow().delay_warning;
    (delay > 0 && !envelope.sender.is_null()).then_some(micros / 1_000_000 + delay)
}

/// Queues a message and returns once it is durable; the queue manager has it then.
///
/// # Errors
/// Nothing was queued, or nothing can be promised.
pub async fn commit(
    core: &Rc<Core>,
    name: Name,
    envelope: Envelope,
    content: &[u8],
    (start, patience): (Start, Patience),
) -> Result<(), Full> {
    let placed = place(core, name, &envelope, content, (start, patience)).await?;
    durable(core, name, envelope, (&placed, start)).await
}

/// The first half of [`commit`]: the message is in the log, and not durable yet.
///
/// # Errors
/// The log has no room.
pub async fn place(
    core: &Rc<Core>,
    name: Name,
    envelope: &Envelope,
    content: &[u8],
    (start, patience): (Start, Patience),
) -> Result<Placed, Full> {
    let mut encoded = Vec::new();
    envelope.encode(&mut encoded);
    let Name { number, micros, .. } = name;
    let flags = start.flags();
    let placing = Placing { number, micros, flags, encoded, content, draft: None, taken: 0 };
    placing.place(core, patience).await
}

/// The second half.
///
/// # Errors
/// Nothing can be promised.
pub async fn durable(
    core: &Rc<Core>,
    name: Name,
    envelope: Envelope,
    (placed, start): (&Placed, Start),
) -> Result<(), Full> {
    let message = Arc::new(MessageInfo { number: name.number, id: name.id, envelope });
    let incoming = Box::new(Incoming { message, location: placed.location, start });
    core.committed(placed.lsn, incoming).wait().await.ok_or(Full::Poisoned)
}

/// A message on its way into the log: a small one in one step, a large one piece by piece.
struct Placing<'a> {
    number: Number,
    micros: u64,
    flags: u32,
    encoded: Vec<u8>,
    content: &'a [u8],
    draft: Option<Draft>,
    /// Bytes of the content that the draft has.
    taken: usize,
}

impl Placing<'_> {
    async fn place(mut self, core: &Rc<Core>, patience: Patience) -> Result<Placed, Full> {
        loop {
            let tried = self.step(&mut core.queue.borrow_mut());
            match tried {
                Ok(Some(placed)) => return Ok(placed),
                Ok(None) => {}
                Err(full) if patience.waits(core, full) => {
                    core.commit_soon();
                    core.rt.sleep_until(core.rt.now() + FULL_RETRY).await;
                }
                Err(full) => {
                    if let Some(draft) = self.draft.take() {
                        core.queue.borrow_mut().abandon(draft);
                    }
                    return Err(full);
                }
            }
        }
    }

    fn step(&mut self, log: &mut Log) -> Result<Option<Placed>, Full> {
        let most = log.append_max();
        if self.content.len() <= most {
            let content = [self.content];
            return log
                .append(self.number, self.micros, self.flags, &self.encoded, &content)
                .map(Some);
        }
        let mut draft = self.draft.take().unwrap_or_else(|| log.begin(self.number));
        let rest = &self.content[self.taken..];
        if rest.is_empty() {
            let committed = log.commit(draft, self.micros, self.flags, &self.encoded);
            return committed.map(Some).map_err(|(full, draft)| {
                self.draft = Some(draft);
                full
            });
        }
        let piece = &rest[..rest.len().min(most)];
        let extended = log.extend(&mut draft, piece);
        self.draft = Some(draft);
        extended.map(|()| {
            self.taken += piece.len();
            None
        })
    }
}
