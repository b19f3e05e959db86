//! [`Scene`]: what everybody in a run shares: time, network, names, the books.
//!
//! Actors outside the engine are tasks of one runtime. What only the stage manager may do, to start
//! and to stop the engine, they ask for with an [`Order`].

use super::chance::Chance;
use super::journal::Journal;
use super::ledger::Ledger;
use super::names::Names;
use super::plan::{Limits, Plan};
use queue::storage::sim::Tear;
use runtime::sim::{Member, World};
use runtime::{Instant, Rt};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// What becomes of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its process is gone; the disk has all that was written.
    Kill {
        /// Until it is started again.
        down: Duration,
    },
    /// The power is gone.
    PowerCut {
        /// Until it is started again.
        down: Duration,
        /// What the disk makes of it.
        tear: Tear,
    },
    /// It is stopped properly and started again.
    Restart {
        /// With so many cores.
        cores: usize,
    },
    /// It gets new bounds.
    Reload(Limits),
    /// The disk has so many more bytes than are used, or all it should have.
    Room(Option<u64>),
    /// Writes fail from now on, or succeed again.
    FailWrites(bool),
}

/// What everybody shares.
pub struct Scene {
    /// Time for everybody outside.
    pub rt: Rt,
    /// Their name in the world.
    pub member: Member,
    /// Network and clocks.
    pub world: World,
    /// What the seed decided.
    pub plan: Plan,
    /// DNS.
    pub names: Rc<Names>,
    /// The books.
    pub ledger: RefCell<Ledger>,
    /// The record.
    pub journal: RefCell<Journal>,
    /// What the stage manager is to do.
    pub orders: RefCell<VecDeque<Order>>,
    /// Cores that serve now.
    pub cores: Cell<usize>,
    /// No more faults, no new mail.
    pub calm: Cell<bool>,
    /// Bounds, and since when.
    pub limits: RefCell<Vec<(Instant, Limits)>>,
    /// Senders that have something to say yet.
    pub sending: Cell<usize>,
}

impl Scene {
    /// The decisions of an actor.
    pub fn chance(&self, name: u64) -> Chance {
        Chance::new(self.plan.seed, name)
    }

    /// This moment.
    pub fn now(&self) -> Instant {
        self.rt.now()
    }

    /// Waits.
    pub async fn sleep(&self, time: Duration) {
        self.rt.sleep_until(self.rt.now() + time).await;
    }

    /// Writes a line down.
    pub fn note(&self, text: &str) {
        self.journal.borrow_mut().note(self.world.now(), text);
    }

    /// Asks the stage manager.
    pub fn order(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
    }

    /// How many deliveries to a site may be under way: what was decided within the longest delivery
    /// counts.
    pub fn concurrency(&self, site: usize) -> usize {
        const LONGEST: Duration = Duration::from_secs(4 * 3600);
        let limits = self.limits.borrow();
        let until = |at: usize| limits.get(at + 1).map_or(Instant::NEVER, |(since, _)| *since);
        let recent = limits.iter().enumerate().filter(|(at, _)| until(*at) + LONGEST > self.now());
        recent.map(|(_, (_, limits))| self.plan.concurrency(site, *limits)).max().unwrap_or(0)
    }
}
