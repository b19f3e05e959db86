//! [`Machine`]: the engine's cores on one thread, over one simulated network, clock and disk.
//!
//! It is started from the disk as it is, and ends in one of three ways: stopped properly, killed,
//! or without power. Whoever drives it lets every core work until none can go on.
//!
//! | state | event | next |
//! | --- | --- | --- |
//! | Down | start | Up, or Down when the disk does not let it |
//! | Up | stop | Stopping |
//! | Stopping | every core is done | Down |
//! | Up, Stopping | kill, power cut, a core that fails | Down |

use super::names::Names;
use super::operators::CONTROL;
use super::plan::{Plan, smtpd_address};
use crate::accounts::Accounts;
use crate::anvil::Anvil;
use crate::background::Desk;
use crate::commit::Totals;
use crate::core::{Core, Turn};
use crate::launch::{Assembly, assemble};
use crate::localtime::LocalTime;
use crate::maillog::{Identity, Maillog, Sink};
use crate::parcel::Parcel;
use crate::resolver::Source;
use crate::smtpd::door::Doors;
use crate::snapshot::Snapshot;
use crate::{control, smtpd};
use queue::storage::sim::{Rng, SimDisk, Tear};
use queue::{Options, Store, SyncMode};
use runtime::io::Wait;
use runtime::lane::{Port, mesh};
use runtime::reactor::Pump;
use runtime::sim::{Member, World};
use runtime::wake::Waker;
use runtime::{Flow, Instant, Rt, Sock};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long work of the background thread takes.
const BACKGROUND: Duration = Duration::from_millis(40);
/// Descriptors of the process: many.
const DESCRIPTORS: u64 = 100_000;
/// Recent batches in memory: little, so that the disk is read, too.
const TAIL_BYTES: usize = 256 << 10;

struct Seat {
    core: Rc<Core>,
    member: Member,
    turn: Turn,
    done: bool,
}

/// The engine, or its absence.
pub struct Machine {
    world: World,
    names: Rc<Names>,
    smtpd: Vec<Sock>,
    control: Sock,
    disk: SimDisk,
    options: Options,
    log: Rc<RefCell<String>>,
    seats: Vec<Seat>,
    port: Option<Port<Parcel>>,
    seed: u64,
    tears: Rng,
    starts: u64,
}

impl Machine {
    /// A machine with an empty disk, and the sockets that master keeps open.
    pub fn new(world: &World, plan: &Plan, names: &Rc<Names>, cores_max: usize) -> Machine {
        let segment_bytes = plan.segment_bytes;
        Machine {
            world: world.clone(),
            names: names.clone(),
            smtpd: (0..cores_max).map(|core| world.listen(smtpd_address(core))).collect(),
            control: world.listen_local(Path::new(CONTROL)),
            disk: SimDisk::new(plan.seed, plan.disk_bytes),
            options: Options {
                cores: 1,
                segment_bytes,
                tail_bytes: TAIL_BYTES,
                sync: SyncMode::Linked,
            },
            log: Rc::default(),
            seats: Vec::new(),
            port: None,
            seed: plan.seed,
            tears: Rng::new(plan.seed),
            starts: 0,
        }
    }

    /// Its disk.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Whether it serves, or still stops.
    pub fn is_up(&self) -> bool {
        !self.seats.is_empty()
    }

    /// The queue manager's core.
    pub fn first(&self) -> Option<&Rc<Core>> {
        self.seats.first().map(|seat| &seat.core)
    }

    /// Its cores.
    pub fn cores(&self) -> impl Iterator<Item = &Rc<Core>> {
        self.seats.iter().map(|seat| &seat.core)
    }

    /// How many clients are inside.
    pub fn sessions(&self) -> usize {
        self.cores().map(|core| core.sessions.get()).sum()
    }

    /// What it has logged since the last call.
    pub fn take_log(&self) -> String {
        std::mem::take(&mut self.log.borrow_mut())
    }

    /// Starts it with so many cores.
    ///
    /// # Errors
    /// As [`crate::launch::Engine::start`]: the disk, mostly. Nothing is left running.
    pub fn start(&mut self, cores: usize, snapshot: &Arc<Snapshot>) -> io::Result<()> {
        assert!(!self.is_up(), "one engine at a time");
        self.starts += 1;
        self.options.cores = cores as u8;
        let storage = Arc::new(self.disk.clone());
        let store = Store::open_on(storage, Path::new("queue"), self.options);
        let store = store.map_err(io::Error::other)?;
        let wakers: Vec<Waker> = (0..=cores).map(|_| Waker::new()).collect::<io::Result<_>>()?;
        let mut ports = mesh(&wakers);
        self.port = ports.pop();
        let shared = Shared {
            store,
            cores,
            snapshot: snapshot.clone(),
            doors: Arc::new(Doors::new(DESCRIPTORS)),
            anvil: Arc::default(),
            totals: Arc::default(),
        };
        for (index, (port, waker)) in ports.into_iter().zip(wakers).enumerate() {
            if let Err(error) = self.seat(&shared, index, port, waker) {
                self.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn seat(
        &mut self,
        shared: &Shared,
        index: usize,
        port: Port<Parcel>,
        waker: Waker,
    ) -> io::Result<()> {
        let io = self.world.io();
        let member = io.member();
        let rt = Rt::new(Box::new(io), waker);
        let local = Rc::new(LocalTime::utc());
        let identity = Identity { hostname: "mx".into(), syslog_name: "postfix".into(), pid: 1 };
        let log = Rc::new(Maillog::new(identity, Sink::Memory(self.log.clone()), local.clone()));
        log.set_time(rt.unix_time());
        let core = assemble(Assembly {
            index,
            cores: shared.cores,
            estate: crate::custody::Estate::none(),
            port,
            snapshot: shared.snapshot.clone(),
            log,
            local,
            store: shared.store.clone(),
            desk: Desk::simulated(&rt, BACKGROUND),
            source: Source::Zones(self.names.clone()),
            // Mail is not for users here.
            accounts: Accounts::new(|_| Ok(false), None),
            seed: self.seed ^ self.starts << 8 ^ index as u64,
            doors: shared.doors.clone(),
            anvil: shared.anvil.clone(),
            memory: Arc::default(),
            totals: shared.totals.clone(),
            rt,
        })?;
        smtpd::listen(&core, self.smtpd[index], 0);
        if index == crate::qmgr::CORE {
            control::listen(&core, self.control);
        }
        let turn = core.turn();
        self.seats.push(Seat { core, member, turn, done: false });
        Ok(())
    }

    /// Gives every core a new configuration.
    pub fn reload(&self, snapshot: &Arc<Snapshot>) {
        self.tell(|| Parcel::Reload(snapshot.clone()));
    }

    /// Asks every core to finish.
    pub fn stop(&self) {
        self.tell(|| Parcel::Stop);
    }

    fn tell(&self, parcel: impl Fn() -> Parcel) {
        if let Some(port) = &self.port {
            (0..self.seats.len()).for_each(|core| port.send(core, parcel()));
            port.flush();
        }
    }

    /// The process is gone: what it has written stays.
    pub fn kill(&mut self) {
        self.clear();
        self.disk = self.disk.crashed(Tear::Keep, &mut self.tears);
    }

    /// The power is gone: what was not flushed may stay or not.
    pub fn cut_power(&mut self, tear: Tear) {
        self.clear();
        self.disk = self.disk.crashed(tear, &mut self.tears);
    }

    fn clear(&mut self) {
        self.port = None;
        for Seat { core, member, turn, .. } in std::mem::take(&mut self.seats) {
            self.world.bury(member);
            core.rt.drop_tasks();
            core.log.flush();
            drop(turn);
            assert_eq!(Rc::strong_count(&core), 1, "nothing outlives a core");
        }
    }

    /// Lets every core work that can; whether one could.
    pub fn work(&mut self) -> bool {
        let mut worked = false;
        for seat in self.seats.iter_mut().filter(|seat| !seat.done) {
            let rt = seat.core.rt.clone();
            let due = wakes_at(&rt, &seat.turn, self.world.now()) <= self.world.now();
            if !due && !self.world.has_mail(seat.member) {
                continue;
            }
            worked = true;
            // The simulated kernel's interface does not fail.
            rt.enter(Wait::Poll).expect("a simulated kernel");
            if rt.work(&mut seat.turn) == Flow::Stop {
                seat.done = true;
                rt.drop_tasks();
            }
        }
        worked
    }

    /// When a core has something to do without anybody's help.
    pub fn next_event(&self) -> Instant {
        let now = self.world.now();
        let working = self.seats.iter().filter(|seat| !seat.done);
        let next = working.map(|seat| wakes_at(&seat.core.rt, &seat.turn, now));
        next.min().unwrap_or(Instant::NEVER)
    }

    /// Takes note of an end: whether the engine has ended, and whether in failure.
    pub fn ended(&mut self) -> Option<Result<(), ()>> {
        let failed = self.cores().any(|core| core.has_failed());
        let done = self.is_up() && self.seats.iter().all(|seat| seat.done);
        if !failed && !done {
            return None;
        }
        self.kill();
        Some(if failed { Err(()) } else { Ok(()) })
    }
}

/// What the cores of one start share.
struct Shared {
    store: Store,
    cores: usize,
    snapshot: Arc<Snapshot>,
    doors: Arc<Doors>,
    anvil: Arc<Anvil>,
    totals: Arc<Totals>,
}

/// When a member has something to do: now, when something waits for it already.
pub fn wakes_at(rt: &Rt, pump: &dyn Pump, now: Instant) -> Instant {
    match rt.waits_for(pump) {
        Wait::Poll => now,
        Wait::Until(at) => at,
    }
}
