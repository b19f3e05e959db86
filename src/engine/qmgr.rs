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
//!
//! Limits: `qmgr_message_active_limit`, `qmgr_message_recipient_limit`; messages waiting for room
//! are known by number and place only, beyond the first `WAITING_ENVELOPES`.
//!
//! Standards: qmgr(8), SCHEDULER_README, QSHAPE_README.

use crate::core::Core;
use crate::defer::Deferral;
use crate::delivery::MessageInfo;
use crate::limits::IMPORTS_PER_TURN;
use crate::parcel::{Incoming, Parcel};
use crate::snapshot::Snapshot;
use config::Params;
use config::params::BadValue;
use queue::{Content, Live, Location, Number, State};
use runtime::Instant;
use runtime::local::Promise;
use scheduler::{Scheduler, TransportId, TransportSettings};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod active;
mod command;
mod deliver;
mod settle;
mod transport;

/// The core it lives on.
pub const CORE: usize = 0;
/// Sticky flag: return the message at the next opportunity (`postsuper -e`).
pub const FLAG_EXPIRE: u32 = 1;
/// Sticky flag: the sender was warned of the delay.
pub const FLAG_WARNED: u32 = 2;
/// Messages waiting for room whose envelope is kept at hand.
const WAITING_ENVELOPES: usize = 20_000;

/// What the queue manager needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `minimal_backoff_time`, `maximal_backoff_time`, lifetimes: seconds.
    pub retry: scheduler::backoff::RetryPolicy,
    /// Bounds of the active queue.
    pub limits: scheduler::Limits,
    /// `queue_run_delay`.
    pub run_delay: Duration,
    /// `defer_transports`.
    pub defer_transports: Vec<String>,
    /// `double_bounce_sender`.
    pub double_bounce: String,
    /// `2bounce_notice_recipient`.
    pub double_bounce_notice: String,
    /// The numbers of every transport in master.cf.
    pub transports: BTreeMap<String, TransportSettings>,
}

impl Settings {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, transports: &[(String, String)]) -> Result<Settings, BadValue> {
        let settings = |(name, _): &(String, String)| {
            transport::settings(params, name).map(|settings| (name.clone(), settings))
        };
        Ok(Settings {
            transports: transports.iter().map(settings).collect::<Result<_, _>>()?,
            retry: transport::retry_policy(params)?,
            limits: transport::limits(params)?,
            run_delay: Duration::from_secs(params.seconds("queue_run_delay")?),
            defer_transports: params.list("defer_transports")?,
            double_bounce: params.text("double_bounce_sender")?,
            double_bounce_notice: params.text("2bounce_notice_recipient")?,
        })
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Incoming,
    Active,
    Deferred { until: u64 },
    Held,
}

/// What is known about a message that is not active.
struct Known {
    stage: Stage,
    location: Location,
    arrival_us: u64,
    flags: u32,
    /// Recipients that are done, when not all are.
    done: Vec<u32>,
}

/// A message being worked on.
struct Active {
    info: Arc<MessageInfo>,
    /// The bytes, when they are kept in memory.
    content: Option<Content>,
    activated: Instant,
    before_queue: Duration,
    /// Recipients that are not in the scheduler yet, last first.
    unread: Vec<u32>,
    sent: Vec<u32>,
    failed: Vec<Deferral>,
    deferred: Vec<Deferral>,
    scheduled: scheduler::MessageId,
    /// To be parked when the deliveries under way are over.
    hold: bool,
    /// To be forgotten then.
    delete: bool,
}

struct Waiting {
    number: Number,
    info: Option<Arc<MessageInfo>>,
}

/// What is to be done when a notice is durable.
enum After {
    Settle,
    Remove,
}

/// The queue manager.
pub struct Qmgr {
    settings: Settings,
    cores: usize,
    scheduler: Scheduler,
    transport_names: BTreeMap<TransportId, Arc<str>>,
    known: BTreeMap<Number, Known>,
    active: BTreeMap<Number, Active>,
    noticing: BTreeMap<Number, (Active, After)>,
    /// Deliveries started whose result has not come.
    under_way: usize,
    incoming: VecDeque<Waiting>,
    deferred: BTreeSet<(u64, Number)>,
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
            known: BTreeMap::new(),
            active: BTreeMap::new(),
            noticing: BTreeMap::new(),
            under_way: 0,
            incoming: VecDeque::new(),
            deferred: BTreeSet::new(),
            scan_until: 0,
            next_scan: Instant(0),
            from_deferred: false,
            alarm: None,
            pinned: 0,
            questions: BTreeMap::new(),
            next_question: 0,
        }
    }

    /// Takes a new configuration over. Transports keep the numbers they began with until they are
    /// idle.
    pub fn reload(&mut self, snapshot: &Snapshot) {
        self.settings = snapshot.qmgr.clone();
    }

    /// Takes a parcel for the queue manager.
    pub fn receive(&mut self, core: &Rc<Core>, parcel: Parcel) {
        match parcel {
            Parcel::Incoming(incoming) => self.arrived(*incoming),
            Parcel::Outcome(outcome) => self.outcome(core, *outcome),
            Parcel::Recovered(live) => live.into_iter().for_each(|live| self.recovered(live)),
            Parcel::Noticed { about, made } => self.noticed(core, about, made),
            Parcel::Located { number, location } => self.located(number, location),
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
        }
        self.set_alarm(core);
    }

    /// Whether no delivery and no notice is under way: what came of all of them has been sent home.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.noticing.is_empty()
    }

    /// Keeps a promise of an answer from another core; the token names it.
    pub fn ask(&mut self, promise: Promise<String>) -> u64 {
        self.next_question += 1;
        self.questions.insert(self.next_question, promise);
        self.next_question
    }

    fn arrived(&mut self, incoming: Incoming) {
        let Incoming { message, location } = incoming;
        let number = message.number;
        let arrival_us = message.id.micros;
        let known =
            Known { stage: Stage::Incoming, location, arrival_us, flags: 0, done: Vec::new() };
        self.known.insert(number, known);
        let info = (self.incoming.len() < WAITING_ENVELOPES).then_some(message);
        self.incoming.push_back(Waiting { number, info });
    }

    fn recovered(&mut self, live: Live) {
        let stage = match live.state {
            State::Incoming => Stage::Incoming,
            State::Deferred { until } => Stage::Deferred { until },
            State::Held => Stage::Held,
        };
        let number = live.number;
        match stage {
            Stage::Incoming => self.incoming.push_back(Waiting { number, info: None }),
            Stage::Deferred { until } => drop(self.deferred.insert((until, number))),
            _ => {}
        }
        let known = Known {
            stage,
            location: live.location,
            arrival_us: live.arrival_us,
            flags: live.flags,
            done: live.marks.iter().collect(),
        };
        self.known.insert(number, known);
    }

    fn located(&mut self, number: Number, location: Location) {
        if let Some(known) = self.known.get_mut(&number) {
            known.location = location;
        }
    }

    fn home(&self, number: Number) -> usize {
        number.core().index() % self.cores
    }

    fn start_scan(&mut self, core: &Core) {
        if core.rt.now() >= self.next_scan {
            self.scan_until = core.rt.unix_time().seconds() + 1;
            self.next_scan = core.rt.now() + self.settings.run_delay;
        }
    }

    fn import_some(&mut self, core: &Rc<Core>) {
        for _ in 0..IMPORTS_PER_TURN {
            if !self.scheduler.room_for_message() || !self.import_next(core) {
                return;
            }
        }
        // There may be more: the next turn comes at once.
        core.rt.spawn(async {});
    }

    /// A turn for whatever comes first: a destination's revival, a refill, the next scan.
    fn set_alarm(&mut self, core: &Core) {
        let now = core.rt.now();
        let event = self.scheduler.next_event().map(|ms| Instant(ms.saturating_mul(1_000_000)));
        let scan = if self.deferred.is_empty() { None } else { Some(self.next_scan) };
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
