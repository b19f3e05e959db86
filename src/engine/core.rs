//! [`Core`]: what one core owns, and the turn it takes between two visits to the kernel.
//!
//! A turn: ready tasks have run; parcels are received and handled; core 0 lets the queue manager
//! work; one commit is started for everything appended; the log lines of the turn are written;
//! other cores are woken. Nothing in it blocks.

use crate::accounts::Accounts;
use crate::anvil::Anvil;
use crate::background::Desk;
use crate::commit::{Commits, Totals};
use crate::custody::Custody;
use crate::delivery::DeliverRequest;
use crate::limits::{OUTBOX_HIGH_WATER, PARCELS_PER_TURN, SPARE_BUFFER_BYTES, SPARE_BUFFERS};
use crate::localtime::LocalTime;
use crate::maillog::{Daemon, Event, Maillog};
use crate::memory::{self, Memory};
use crate::parcel::{Parcel, Settle};
use crate::qmgr::Qmgr;
use crate::smtpd::door::Doors;
use crate::smtpd::rates;
use crate::snapshot::Snapshot;
use crate::{agent, bounce, pickup, showq};
use mail::queue_id::QueueId;
use queue::{Full, Number, Refused, Store};
use runtime::lane::Port;
use runtime::reactor::Pump;
use runtime::{Flow, Instant, Rt};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// What a stop has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// Not asked for.
    No,
    /// New work is refused; what is under way goes on until the deadline.
    Draining(Instant),
}

/// What one core owns. Built on its own thread, never sent.
pub struct Core {
    /// Which core this is.
    pub index: usize,
    /// Its loop.
    pub rt: Rt,
    /// Its end of the mesh; the last port is the main thread's.
    pub port: Port<Parcel>,
    /// How many cores there are.
    pub cores: usize,
    /// The configuration.
    pub snapshot: RefCell<Arc<Snapshot>>,
    /// The mail log.
    pub log: Rc<Maillog>,
    /// The local zone.
    pub local: Rc<LocalTime>,
    /// This core's part of the queue log.
    pub queue: RefCell<queue::Log>,
    /// Parts of cores that are not used any more: their mail is delivered from here.
    pub adopted: Vec<RefCell<queue::Log>>,
    /// All cores' parts, for reading.
    pub store: Store,
    /// Who waits for a commit.
    pub commits: Commits,
    /// Delivery agents.
    pub agents: agent::Agents,
    /// What outlives this engine.
    pub custody: Rc<Custody>,
    /// Local submissions.
    pub pickup: pickup::Pickup,
    /// The system's users.
    pub accounts: Accounts,
    /// How many clients are inside, over all cores.
    pub doors: Arc<Doors>,
    /// What clients do, over all cores.
    pub anvil: Arc<Anvil>,
    /// Whether memory is scarce.
    pub memory: Arc<Memory>,
    /// The queue manager, on [`crate::qmgr::CORE`] only.
    pub qmgr: Option<RefCell<Qmgr>>,
    /// Changes that found the log full, to be tried again.
    pub unsettled: RefCell<VecDeque<Settle>>,
    pub(crate) desk: Desk,
    pub(crate) segments_retry: Cell<Option<Instant>>,
    pub(crate) stopping: Cell<Stopping>,
    /// Stopping, and the queue manager has nothing more to say.
    last: Cell<bool>,
    pub(crate) sessions: Cell<usize>,
    pub(crate) deliveries: Cell<usize>,
    full: Cell<bool>,
    failed: Cell<bool>,
    buffers: RefCell<Vec<Vec<u8>>>,
}

/// What a core is made of.
pub struct Parts {
    /// Which core.
    pub index: usize,
    /// Its loop.
    pub rt: Rt,
    /// Its end of the mesh; the last port is the main thread's.
    pub port: Port<Parcel>,
    /// How many cores there are.
    pub cores: usize,
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The mail log.
    pub log: Rc<Maillog>,
    /// The local zone.
    pub local: Rc<LocalTime>,
    /// Its part of the queue log.
    pub queue: queue::Log,
    /// Parts without a core of their own.
    pub adopted: Vec<queue::Log>,
    /// All cores' parts.
    pub store: Store,
    /// Its way to the background thread.
    pub desk: Desk,
    /// Delivery agents.
    pub agents: agent::Agents,
    /// What outlives this engine.
    pub custody: Rc<Custody>,
    /// The system's users.
    pub accounts: Accounts,
    /// How many clients are inside, over all cores.
    pub doors: Arc<Doors>,
    /// What clients do, over all cores.
    pub anvil: Arc<Anvil>,
    /// The memory of all cores.
    pub memory: Arc<Memory>,
    /// Counts of all cores.
    pub totals: Arc<Totals>,
}

impl Core {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Rc<Core> {
        let first = parts.index == crate::qmgr::CORE;
        let qmgr = first.then(|| RefCell::new(Qmgr::new(&parts.snapshot, parts.cores)));
        Rc::new(Core {
            index: parts.index,
            rt: parts.rt,
            port: parts.port,
            cores: parts.cores,
            snapshot: RefCell::new(parts.snapshot),
            log: parts.log,
            local: parts.local,
            queue: RefCell::new(parts.queue),
            adopted: parts.adopted.into_iter().map(RefCell::new).collect(),
            store: parts.store,
            commits: Commits::new(parts.totals),
            agents: parts.agents,
            custody: parts.custody,
            pickup: pickup::Pickup::default(),
            accounts: parts.accounts,
            doors: parts.doors,
            anvil: parts.anvil,
            memory: parts.memory,
            qmgr,
            unsettled: RefCell::default(),
            desk: parts.desk,
            segments_retry: Cell::new(None),
            stopping: Cell::new(Stopping::No),
            last: Cell::new(false),
            sessions: Cell::new(0),
            deliveries: Cell::new(0),
            full: Cell::new(false),
            failed: Cell::new(false),
            buffers: RefCell::default(),
        })
    }

    /// Runs until it is told to stop, or fails.
    ///
    /// # Errors
    /// When the kernel's interface or the queue log has failed: the engine must be started anew.
    pub fn run(self: &Rc<Self>) -> io::Result<()> {
        let rt = self.rt.clone();
        rt.run(&mut self.turn())?;
        rt.drop_tasks();
        self.log.flush();
        if self.failed.get() { Err(io::Error::other("the queue log has failed")) } else { Ok(()) }
    }

    /// What this core does once per turn, for whoever drives it.
    pub fn turn(self: &Rc<Self>) -> Turn {
        Turn(self.clone())
    }

    /// Whether nothing can be promised any more.
    pub fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// The configuration of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// The queue id of a message.
    pub fn queue_id(&self, micros: u64, number: Number) -> QueueId {
        QueueId { micros, number: number.get(), long: self.snapshot.borrow().long_ids }
    }

    /// The part of the log that owns a message homed here.
    pub fn log_of(&self, number: Number) -> &RefCell<queue::Log> {
        let owns = |log: &&RefCell<queue::Log>| log.borrow().core() == number.core();
        self.adopted.iter().find(owns).unwrap_or(&self.queue)
    }

    /// Every part of the log that is written here, this core's own first.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &RefCell<queue::Log>> {
        std::iter::once(&self.queue).chain(&self.adopted)
    }

    /// Whether new work is refused.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get() != Stopping::No
    }

    /// Whether other cores cannot keep up: no new commands are read then.
    pub fn is_backed_up(&self) -> bool {
        self.port.backlog() >= OUTBOX_HIGH_WATER
    }

    /// An empty buffer for content.
    pub fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a content buffer back.
    pub fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        let spare = buffers.len() < SPARE_BUFFERS && !self.memory.is_scarce();
        if spare && buffer.capacity() <= SPARE_BUFFER_BYTES {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Says once that the disk is full; and once when it is not any more.
    pub(crate) fn warn_full(&self, error: &io::Error) {
        if !self.full.replace(true) {
            self.log.warn(Daemon::Qmgr, &format!("queue log: no new segment: {error}"));
        }
    }

    /// Nothing can be promised any more: this process ends and master starts another.
    pub(crate) fn fail(&self, text: &str) {
        if !self.failed.replace(true) {
            self.log.log(&Event::Fatal { daemon: Daemon::Qmgr, text });
        }
    }

    fn handle(self: &Rc<Self>, parcel: Parcel) {
        match parcel {
            Parcel::Deliver(request) => self.start_delivery(request),
            Parcel::Settle(settle) => self.settle(settle),
            Parcel::Notice(notice) => bounce::post(self, notice),
            Parcel::Reload(snapshot) => self.reload(snapshot),
            Parcel::Tables(snapshot) => self.take(snapshot),
            Parcel::Stop => self.stop(),
            Parcel::Last => self.last.set(true),
            Parcel::Locate { number } => {
                let answer = match self.log_of(number).borrow().location(number) {
                    Some(location) => Parcel::Located { number, location },
                    None => Parcel::Gone { number },
                };
                self.port.send(crate::qmgr::CORE, answer);
            }
            Parcel::Recall { number } => {
                let detail = self.log_of(number).borrow().defer_detail(number);
                let detail = detail.ok().flatten().map(|it| it.to_vec()).unwrap_or_default();
                self.port.send(crate::qmgr::CORE, Parcel::Recalled { number, detail });
            }
            Parcel::PutAside { number } => self.put_aside(number),
            Parcel::ShowAsk { token, messages } => showq::tell(self, token, &messages),
            _ => {
                let qmgr = self.qmgr.as_ref().expect("sent to the queue manager's core");
                qmgr.borrow_mut().receive(self, parcel);
            }
        }
    }

    /// Saves what is left of a message that is not what was written, and ends it.
    fn put_aside(&self, number: Number) {
        if self.log_of(number).borrow_mut().put_aside(number) {
            self.commit_lazily();
            let text = format!("saving corrupt message {number} to queue \"corrupt\"");
            self.log.warn(Daemon::Qmgr, &text);
            self.port.send(crate::qmgr::CORE, Parcel::Gone { number });
        }
    }

    fn start_delivery(self: &Rc<Self>, request: Box<DeliverRequest>) {
        self.deliveries.set(self.deliveries.get() + 1);
        let core = self.clone();
        self.rt.spawn(async move {
            let outcome = core.agents.deliver(&core, *request).await;
            core.deliveries.set(core.deliveries.get() - 1);
            core.port.send(crate::qmgr::CORE, Parcel::Outcome(Box::new(outcome)));
        });
    }

    fn reload(&self, snapshot: Arc<Snapshot>) {
        if let Some(qmgr) = &self.qmgr {
            qmgr.borrow_mut().reload(&snapshot);
        }
        self.take(snapshot);
        self.log_warnings();
    }

    /// Takes over a configuration that differs in what its tables have.
    fn take(&self, snapshot: Arc<Snapshot>) {
        self.agents.reload(&snapshot);
        *self.snapshot.borrow_mut() = snapshot;
    }

    fn stop(&self) {
        if self.stopping.get() == Stopping::No {
            let deadline = self.rt.now() + crate::limits::STOP_GRACE;
            self.stopping.set(Stopping::Draining(deadline));
            // The alarm gives the loop a turn at the deadline.
            let rt = self.rt.clone();
            self.rt.spawn(async move { rt.sleep_until(deadline).await });
            // Idle sessions say goodbye now.
            self.rt.wake_all();
        }
    }

    /// Appends a change to the log; kept and tried again while the log is full.
    fn settle(&self, settle: Settle) {
        if !self.unsettled.borrow().is_empty() || !self.try_settle(&settle) {
            self.unsettled.borrow_mut().push_back(settle);
        }
    }

    fn try_settle(&self, settle: &Settle) -> bool {
        let mut queue = self.log_of(settle.number()).borrow_mut();
        let result = match settle {
            Settle::Mark { number, recipients } => queue.mark(*number, recipients),
            Settle::Defer { number, until, detail } => queue.defer(*number, *until, detail),
            Settle::Flags { number, flags } => queue.set_flags(*number, *flags),
            Settle::Hold { number } => queue.hold(*number),
            Settle::Release { number } => queue.release(*number),
            Settle::Remove { number } => queue.remove(*number),
        };
        drop(queue);
        match result {
            Ok(lsn) => {
                self.custody.settled(settle, lsn);
                self.commit_lazily();
                true
            }
            // The next write takes it.
            Err(Refused::Full(Full::Busy)) => {
                self.commit_soon();
                false
            }
            // Poisoned: this process ends; what is not written is tried again by the next one.
            Err(Refused::Full(full)) => {
                self.warn_full(&io::Error::other(full.to_string()));
                false
            }
            Err(refused) => {
                self.log.warn(Daemon::Qmgr, &format!("queue log: {refused}"));
                true
            }
        }
    }

    fn settle_again(&self) {
        loop {
            // Not `while let`: the borrow would last through the body.
            let Some(settle) = self.unsettled.borrow_mut().pop_front() else { break };
            if !self.try_settle(&settle) {
                self.unsettled.borrow_mut().push_front(settle);
                return;
            }
        }
        if self.full.get() && self.queue.borrow().room() > 0 && self.segments_retry.get().is_none()
        {
            self.full.set(false);
        }
    }

    /// The queue manager's core, stopping: tells the others once every delivery has its result. The
    /// results are in the same lanes before it, so that no removal is lost and no mail sent twice.
    fn say_last(&self) {
        let Some(qmgr) = &self.qmgr else { return };
        if self.is_stopping() && !self.last.get() && qmgr.borrow().is_quiet() {
            (0..self.cores).for_each(|core| self.port.send(core, Parcel::Last));
        }
    }

    fn is_done(&self) -> bool {
        let Stopping::Draining(deadline) = self.stopping.get() else { return false };
        let told = self.qmgr.is_none() || self.port.backlog() == 0;
        let settled = self.last.get() && told && self.unsettled.borrow().is_empty();
        let idle = settled && self.sessions.get() == 0 && self.deliveries.get() == 0;
        let written = self.logs().all(|log| log.borrow().durable() == log.borrow().appended());
        idle && written || self.rt.now() >= deadline
    }
}

/// A core between two visits to the kernel.
pub struct Turn(Rc<Core>);

impl Pump for Turn {
    fn pump(&mut self, rt: &Rt) -> Flow {
        let core = &self.0;
        core.log.set_time(rt.unix_time());
        for _ in 0..PARCELS_PER_TURN {
            let Some(parcel) = core.port.receive() else { break };
            core.handle(parcel);
        }
        core.agents.pump();
        core.accounts.pump(core);
        while let Some(answer) = core.desk.take() {
            answer(core);
        }
        core.settle_again();
        if let Some(qmgr) = &core.qmgr {
            qmgr.borrow_mut().work(core);
        }
        core.say_last();
        core.tend_segments();
        core.start_commit();
        core.custody.pump(|number| core.log_of(number).borrow().durable());
        core.tend_checkpoints();
        core.port.flush();
        core.log.flush();
        if core.failed.get() || core.is_done() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        self.0.port.has_mail()
            || self.0.desk.has_answer()
            || self.0.accounts.has_answer()
            || self.0.agents.has_mail()
    }
}

impl Core {
    /// Says once what should be said about the configuration.
    pub fn log_warnings(&self) {
        if self.qmgr.is_some() {
            for remark in &self.snapshot().remarks {
                self.log.log(&remark.event());
            }
        }
    }

    /// Starts what every core runs: the local submissions and the commands on core 0.
    pub fn start_services(self: &Rc<Self>) {
        if self.qmgr.is_some() {
            pickup::start(self);
            rates::keep_statistics(self);
        }
        memory::watch(self);
    }
}
