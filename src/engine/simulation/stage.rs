//! [`Stage`]: runs the engine and everybody outside in turns, and does what only the stage manager
//! may: starts, ends, reloads, and the disk.
//!
//! One step: orders are obeyed; everybody works until nobody can go on; the clock moves to whatever
//! comes next.
//!
//! Diagnostics: a clock that stands still while work goes on is a violation; it ends the run.

use super::faults::CORES_MAX;
use super::ledger::Ledger;
use super::machine::{Machine, wakes_at};
use super::names::Names;
use super::plan::{Limits, Plan};
use super::scene::{Order, Scene};
use super::sites::Site;
use super::{Options, faults, operators, senders};
use crate::qmgr::Walk;
use crate::snapshot::Snapshot;
use config::{Host, MainCf, MasterCf, Params};
use queue::storage::sim::{Failure, Fault, Op};
use runtime::io::Wait;
use runtime::reactor::Pump;
use runtime::sim::World;
use runtime::wake::Waker;
use runtime::{Flow, Instant, Rt};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::catalog::System;

/// Rounds of work at one moment; more is no progress.
const ROUNDS_MAX: usize = 1_000_000;
/// How long master waits before it starts an engine again.
const AGAIN: Duration = Duration::from_secs(10);

/// Everybody outside has no lanes.
pub(super) struct Outside;

impl Pump for Outside {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        Flow::Continue
    }

    fn has_mail(&self) -> bool {
        false
    }
}

/// A run.
pub struct Stage {
    scene: Rc<Scene>,
    machine: Machine,
    snapshot: Arc<Snapshot>,
    /// When the engine is to be started, while it is down.
    start_at: Option<Instant>,
    cores: usize,
    writes_fail: bool,
    stuck: bool,
    /// How often the engine ended without being asked to.
    pub crashes: u64,
}

/// What everybody shares, at the beginning.
///
/// # Errors
/// The system has no descriptors left.
pub fn scene(options: &mut Options) -> io::Result<Rc<Scene>> {
    let plan = Plan::new(options.seed, options.hours);
    let world = World::new(options.seed);
    let io = world.io();
    let member = io.member();
    let rt = Rt::new(Box::new(io), Waker::new()?);
    let names = Rc::new(Names::new(&plan.sites));
    let limits = RefCell::new(vec![(rt.now(), plan.limits)]);
    Ok(Rc::new(Scene {
        rt,
        member,
        world,
        names,
        ledger: RefCell::new(Ledger::default()),
        journal: RefCell::new(super::journal::Journal::new(options.echo.take())),
        orders: RefCell::default(),
        cores: plan.cores.into(),
        calm: false.into(),
        limits,
        sending: 0.into(),
        plan,
    }))
}

impl Stage {
    /// Everybody in place, the engine about to start.
    pub fn new(scene: &Rc<Scene>) -> Stage {
        let plan = &scene.plan;
        let machine = Machine::new(&scene.world, plan, &scene.names, CORES_MAX as usize);
        let sites: Vec<Rc<Site>> =
            (0..plan.sites.len()).map(|number| site(scene, number)).collect();
        faults::start(scene, &sites);
        senders::start(scene);
        operators::start(scene);
        Stage {
            scene: scene.clone(),
            machine,
            snapshot: snapshot(plan, plan.limits),
            start_at: Some(scene.world.now()),
            cores: plan.cores,
            writes_fail: false,
            stuck: false,
            crashes: 0,
        }
    }

    /// Runs until that time.
    pub fn run_until(&mut self, until: Instant) {
        while self.scene.world.now() < until && !self.stuck {
            self.step(until);
        }
    }

    /// Messages in the queue; none that is known while the engine is down.
    pub fn queue(&self) -> Option<Vec<(queue::Number, &'static str)>> {
        let qmgr = self.machine.first()?.qmgr.as_ref()?.borrow();
        let (mut walk, mut all) = (Walk::new(&[]), Vec::new());
        while let Some(found) = qmgr.walk(&mut walk, usize::MAX) {
            all.extend(found);
        }
        Some(all)
    }

    fn step(&mut self, until: Instant) {
        self.obey();
        self.start_if_due();
        self.work();
        let world = &self.scene.world;
        let outside = wakes_at(&self.scene.rt, &Outside, world.now());
        let start = self.start_at.unwrap_or(Instant::NEVER);
        let next = [outside, self.machine.next_event(), world.next_event(), start, until];
        world.advance(next.into_iter().min().unwrap_or(until));
    }

    /// Everybody works until nobody can go on at this moment.
    fn work(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let outside = self.work_outside();
            let inside = self.machine.work();
            self.keep_log();
            if let Some(end) = self.machine.ended() {
                self.has_ended(end);
            }
            if !outside && !inside {
                return;
            }
        }
        self.stuck = true;
        self.scene.ledger.borrow_mut().accuse(None, "the clock stands still".into());
    }

    fn work_outside(&mut self) -> bool {
        let (rt, world) = (&self.scene.rt, &self.scene.world);
        // The wheel may be early by a tick, and completions ring no bell.
        let due =
            wakes_at(rt, &Outside, world.now()) <= world.now() || world.has_mail(self.scene.member);
        if due {
            rt.enter(Wait::Poll).expect("a simulated kernel");
            rt.work(&mut Outside);
        }
        due
    }

    fn keep_log(&self) {
        let lines = self.machine.take_log();
        if !lines.is_empty() {
            let mut ledger = self.scene.ledger.borrow_mut();
            let now = self.scene.world.now();
            self.scene.journal.borrow_mut().engine(now, &lines, &mut ledger);
            let (inside, limit) = (self.machine.sessions(), self.scene.plan.smtpd_limit);
            if inside > limit {
                ledger.accuse(None, format!("{inside} clients inside, the limit is {limit}"));
            }
        }
    }

    fn obey(&mut self) {
        loop {
            let Some(order) = self.scene.orders.borrow_mut().pop_front() else { return };
            match order {
                Order::Kill { .. } | Order::PowerCut { .. } if !self.machine.is_up() => {}
                Order::Kill { down } => {
                    self.note("the process is killed");
                    self.machine.kill();
                    self.is_down(down);
                }
                Order::PowerCut { down, tear } => {
                    self.note(&format!("the power is cut: {tear:?}"));
                    self.machine.cut_power(tear);
                    self.is_down(down);
                }
                Order::Restart { cores } => {
                    self.note(&format!("a restart with {cores} cores"));
                    self.cores = cores;
                    self.machine.stop();
                }
                Order::Reload(limits) => self.reload(limits),
                Order::Room(room) => self.room(room),
                Order::FailWrites(fail) => self.fail_writes(fail),
            }
        }
    }

    fn note(&self, text: &str) {
        self.scene.note(&format!("* {text}"));
    }

    fn is_down(&mut self, down: Duration) {
        self.crashes += 1;
        self.absent(down);
    }

    fn has_ended(&mut self, end: Result<(), ()>) {
        match end {
            Ok(()) => self.absent(Duration::from_secs(1)),
            Err(()) => {
                self.note("the engine has failed");
                self.is_down(AGAIN);
            }
        }
    }

    fn absent(&mut self, down: Duration) {
        self.keep_log();
        let now = self.scene.world.now();
        self.start_at = Some(now + down);
        self.scene.ledger.borrow_mut().excuses.ends.push((now, Instant::NEVER));
        // A new process has a new view of the same disk.
        self.fail_writes(self.writes_fail);
    }

    fn start_if_due(&mut self) {
        let now = self.scene.world.now();
        if self.start_at.is_none_or(|at| at > now) {
            return;
        }
        match self.machine.start(self.cores, &self.snapshot) {
            Ok(()) => {
                self.note(&format!("the engine starts with {} cores", self.cores));
                self.start_at = None;
                self.scene.cores.set(self.cores);
                if let Some((_, up)) = self.scene.ledger.borrow_mut().excuses.ends.last_mut() {
                    *up = now;
                }
            }
            Err(error) => {
                self.note(&format!("the engine does not start: {error}"));
                self.start_at = Some(now + AGAIN);
            }
        }
        self.keep_log();
    }

    fn reload(&mut self, limits: Limits) {
        self.note(&format!("reload: {limits:?}"));
        self.snapshot = snapshot(&self.scene.plan, limits);
        self.scene.limits.borrow_mut().push((self.scene.world.now(), limits));
        self.machine.reload(&self.snapshot);
    }

    fn room(&mut self, room: Option<u64>) {
        let disk = self.machine.disk();
        let files = disk.paths().into_iter().filter_map(|path| disk.bytes(&path));
        let used: u64 = files.map(|bytes| bytes.len() as u64).sum();
        let total = room.map_or(self.scene.plan.disk_bytes, |room| used + room);
        self.note(&format!("the disk has {total} bytes"));
        disk.resize(total);
        let now = self.scene.world.now();
        let full = &mut self.scene.ledger.borrow_mut().excuses.full;
        match (room, full.last_mut()) {
            (Some(_), _) => full.push((now, Instant::NEVER)),
            (None, Some((_, until))) => *until = now,
            (None, None) => {}
        }
    }

    fn fail_writes(&mut self, fail: bool) {
        if fail != self.writes_fail {
            self.note(if fail { "writes fail" } else { "writes succeed" });
        }
        self.writes_fail = fail;
        let disk = self.machine.disk();
        disk.heal();
        if fail {
            let (op, failure) = (Op::Write, Failure::Device);
            disk.fail(Fault { op, after: 0, times: u64::MAX, failure });
        }
    }
}

fn site(scene: &Rc<Scene>, number: usize) -> Rc<Site> {
    let hosts = scene.plan.sites[number].hosts.iter();
    let listen = |host: &Ipv4Addr| scene.world.listen(SocketAddr::new(IpAddr::V4(*host), 25));
    Site::start(scene, number, hosts.map(listen).collect())
}

/// Tables without files, environment or chance.
fn tables() -> System {
    System {
        read: |_| Err("No such file or directory".into()),
        stamp: |_| None,
        variable: |_| None,
        random: || 0,
        remote: tables::catalog::no_remote,
    }
}

fn snapshot(plan: &Plan, limits: Limits) -> Arc<Snapshot> {
    let main = MainCf::parse("main.cf", plan.main_cf(limits).as_bytes());
    let main = main.expect("the plan's main.cf is valid");
    let master = MasterCf::parse("master.cf", plan.master_cf().as_bytes());
    let master = master.expect("the plan's master.cf is valid");
    let address = |core: usize| (super::plan::smtpd_address(core).ip(), 24);
    let host = Host {
        hostname: "mx.example.test".into(),
        interfaces: (0..CORES_MAX as usize).map(address).collect(),
        ..Host::default()
    };
    let snapshot = Snapshot::new(Params::new(main, host), &master, tables());
    Arc::new(snapshot.expect("the plan's parameters are valid"))
}
