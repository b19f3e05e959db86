//! qmgr(8): which message is delivered when, and what becomes of it.
//!
//! It lives on one core and owns what is known about every message in the queue; the rules of
//! scheduling are in the `scheduler` crate, the log on each message's home core, the deliveries on
//! all cores.
//!
//! | stage | event | next |
//! | --- | --- | --- |
//! | Incoming | room in the active queue | Active |
//! | Active | all recipients done, notice durable | gone |
//! | Active | some deferred | Deferred |
//! | Active | some deferred, too old | gone, after a notice |
//! | Deferred | its time, a flush | Active |
//! | Incoming, Active, Deferred | `postsuper -h` | Held |
//! | Held | `postsuper -H` | Deferred, due now |
//! | any | `postsuper -d` | gone |
//! | any but Held | `postsuper -e` | Active, then gone after a notice |
//!
//! What is under way when a message is held or deleted ends first; what waits is withdrawn.
//!
//! Limits: `qmgr_message_active_limit`, `qmgr_message_recipient_limit`; messages waiting for room
//! are known by number and place only, beyond the first `WAITING_ENVELOPES`; see `known`.
//!
//! Standards: qmgr(8), SCHEDULER_README, QSHAPE_README.

use crate::bounce::Entry;
use crate::cleanup::commit::Start;
use crate::core::Core;
use crate::defer::Deferral;
use crate::delivery::MessageInfo;
use crate::parcel::{Incoming, Parcel};
use crate::snapshot::Snapshot;
use queue::{Content, Live, Number, NumberMap, State};
use runtime::Instant;
use runtime::local::Promise;
use scheduler::{Scheduler, TransportId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod active;
mod command;
mod crowd;
mod deliver;
mod expire;
mod known;
mod reload;
mod route;
mod scan;
mod settings;
mod settle;
mod stray;
#[cfg(test)]
mod tests;
mod transport;

use known::Known;
pub use known::Walk;
pub use settings::Settings;

/// The core it lives on.
pub const CORE: usize = 0;
/// Sticky flag: return the message at the next opportunity (`postsuper -e`).
pub const FLAG_EXPIRE: u32 = 1;
/// Sticky flag: the sender was warned of the delay.
pub const FLAG_WARNED: u32 = 2;
/// Messages waiting for room whose envelope is kept at hand.
const WAITING_ENVELOPES: usize = 20_000;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Incoming,
    Active,
    Deferred { until: u64 },
    Held,
}

/// Why a message is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urge {
    /// It is new, or its time has come.
    Usual,
    /// Everything is tried: `defer_transports` does not hold.
    Flush,
    /// Somebody asked for this message: its destinations are not dead any more either.
    Message,
}

/// What an operator wants of an active message once its deliveries under way are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing.
    None,
    /// To be parked.
    Hold,
    /// To be forgotten.
    Delete,
}

/// A message being worked on.
struct Active {
    info: Arc<MessageInfo>,
    /// The bytes, when they are kept in memory.
    content: Option<Content>,
    activated: Instant,
    before_queue: Duration,
    urge: Urge,
    /// Recipients that are not in the scheduler yet, last first.
    unread: Vec<u32>,
    /// Recipients without a result.
    pending: usize,
    /// Deliveries under way.
    under_way: usize,
    /// Recipients were withdrawn: the attempt is over without them.
    withdrawn: bool,
    sent: Vec<u32>,
    failed: Vec<Deferral>,
    deferred: Vec<Deferral>,
    /// What failed of recipients that became several.
    parts: Vec<Entry>,
    /// Recipients that got it, for a report of success.
    reports: Vec<Entry>,
    /// Nothing when no delivery is attempted.
    scheduled: Option<scheduler::MessageId>,
    wish: Wish,
}

struct Waiting {
    number: Number,
    info: Option<Arc<MessageInfo>>,
    urge: Urge,
}

/// Which notices of an attempt are being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// About recipients that failed.
    Failures,
    /// About those that got it.
    Successes,
    /// About all that are left: the message is too old.
    Expiry,
    /// About the same: it takes long.
    Delay,
}

/// The queue manager.
pub struct Qmgr {
    settings: Settings,
    cores: usize,
    scheduler: Scheduler,
    transport_names: BTreeMap<TransportId, Arc<str>>,
    known: NumberMap<Known>,
    /// Cores that have told everything that was in their logs at start.
    told: usize,
    active: BTreeMap<Number, Active>,
    /// Attempts that are over, until their notices are durable.
    noticing: BTreeMap<Number, (Active, Step)>,
    /// Messages to be returned as they are, until the reasons are read from the log.
    recalling: BTreeMap<Number, Active>,
    /// Deliveries started whose result has not come.
    under_way: usize,
    /// Messages whose place is asked for, and why.
    strays: BTreeMap<Number, Vec<stray::Errand>>,
    /// Messages that wait for servers to say where they go.
    rehearsing: usize,
    incoming: VecDeque<Waiting>,
    deferred: BTreeSet<(u64, Number)>,
    /// Those of them that a flush tries whatever the time.
    flushed: BTreeSet<(u64, Number)>,
    /// Deferred messages due up to this time are imported; zero between scans.
    scan_until: u64,
    next_scan: Instant,
    from_deferred: bool,
    alarm: Option<Instant>,
    /// Bytes of content kept in memory.
    pinned: u64,
    questions: BTreeMap<u64, Promise<String>>,
    next_question: u64,
}

impl Qmgr {
    /// A queue manager that knows no message yet.
    pub fn new(snapshot: &Snapshot, cores: usize) -> Qmgr {
        Qmgr {
            settings: snapshot.qmgr.clone(),
            cores,
            scheduler: Scheduler::new(snapshot.qmgr.limits),
            transport_names: BTreeMap::new(),
            known: NumberMap::default(),
            told: 0,
            active: BTreeMap::new(),
            noticing: BTreeMap::new(),
            recalling: BTreeMap::new(),
            under_way: 0,
            strays: BTreeMap::new(),
            rehearsing: 0,
            incoming: VecDeque::new(),
            deferred: BTreeSet::new(),
            flushed: BTreeSet::new(),
            scan_until: 0,
            next_scan: Instant(0),
            from_deferred: false,
            alarm: None,
            pinned: 0,
            questions: BTreeMap::new(),
            next_question: 0,
        }
    }

    /// Takes a parcel for the queue manager.
    pub fn receive(&mut self, core: &Rc<Core>, parcel: Parcel) {
        match parcel {
            Parcel::Incoming(incoming) => self.arrived(*incoming),
            Parcel::Outcome(outcome) => self.outcome(core, *outcome),
            Parcel::Recovered { live, last } => {
                live.into_iter().for_each(|live| self.recovered(live));
                self.told += usize::from(last);
            }
            Parcel::Noticed { about, made } => self.noticed(core, about, made),
            Parcel::Recalled { number, detail } => self.recalled(core, number, &detail),
            Parcel::Located { number, location } => self.located(core, number, location),
            Parcel::Gone { number } => self.gone(core, number),
            Parcel::ShowTell { token, text } => {
                if let Some(promise) = self.questions.remove(&token) {
                    promise.keep(text);
                }
            }
            _ => unreachable!("not for the queue manager"),
        }
    }

    /// One turn: timers, imports, deliveries.
    pub fn work(&mut self, core: &Rc<Core>) {
        let now = core.rt.now();
        self.scheduler.tick(millis(now));
        self.start_scan(core);
        if !core.is_stopping() {
            self.import_some(core);
            self.refill(core);
            self.deliver_some(core);
            self.warn_of_crowds(core);
        }
        self.set_alarm(core);
    }

    /// Whether no delivery and no notice is under way: what came of all of them has been sent home.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.noticing.is_empty() && self.recalling.is_empty()
    }

    /// Whether everything is known that was in the logs at start.
    pub fn is_told(&self) -> bool {
        self.told >= self.cores
    }

    /// Keeps a promise of an answer from another core; the token names it.
    pub fn ask(&mut self, promise: Promise<String>) -> u64 {
        self.next_question += 1;
        self.questions.insert(self.next_question, promise);
        self.next_question
    }

    fn arrived(&mut self, incoming: Incoming) {
        let Incoming { message, location, start } = incoming;
        let number = message.number;
        let mut known = Known::new(location, message.id.micros);
        if start == Start::Held {
            known.set_stage(Stage::Held);
            self.known.insert(number, known);
            return;
        }
        self.known.insert(number, known);
        let info = (self.incoming.len() < WAITING_ENVELOPES).then_some(message);
        self.incoming.push_back(Waiting { number, info, urge: Urge::Usual });
    }

    fn recovered(&mut self, live: Live) {
        let stage = match live.state {
            State::Incoming => Stage::Incoming,
            State::Deferred { until } => Stage::Deferred { until },
            State::Held => Stage::Held,
        };
        let number = live.number;
        match stage {
            Stage::Incoming => self.line_up(number, Urge::Usual),
            Stage::Deferred { until } => drop(self.deferred.insert((until, number))),
            _ => {}
        }
        let mut known = Known::new(live.location, live.arrival_us);
        known.set_stage(stage);
        (known.flags, known.tried) = (live.flags, live.until.is_some());
        known.add_done(live.marks.iter());
        self.known.insert(number, known);
    }

    /// To the end of the incoming queue.
    fn line_up(&mut self, number: Number, urge: Urge) {
        self.incoming.push_back(Waiting { number, info: None, urge });
    }

    fn home(&self, number: Number) -> usize {
        number.core().index() % self.cores
    }

    /// A turn for whatever comes first: a destination's revival, a refill, the next scan.
    fn set_alarm(&mut self, core: &Core) {
        let now = core.rt.now();
        let event = self.scheduler.next_event().map(|ms| Instant(ms.saturating_mul(1_000_000)));
        let scan = (!self.deferred.is_empty()).then_some(self.next_scan);
        let Some(next) = [event, scan].into_iter().flatten().min() else { return };
        if self.alarm.is_some_and(|alarm| alarm > now && alarm <= next) {
            return;
        }
        self.alarm = Some(next);
        let rt = core.rt.clone();
        core.rt.spawn(async move { rt.sleep_until(next).await });
    }
}

/// The scheduler's time.
fn millis(now: Instant) -> u64 {
    now.0 / 1_000_000
}
