//! [`World`]: one network and one clock for several simulated kernels.
//!
//! Each core of a simulated machine has a [`SimIo`] of its own, and so has everybody outside; all
//! of them are members of one world. Whoever drives them lets every member work until none can go
//! on, and then moves the clock to what comes next: see [`World::advance`]. A [`SimIo`] that is
//! alone moves the clock by itself.
//!
//! Limits: members are never forgotten, only their sockets; a world outlives some ten thousand.

use super::network::{Event, Finished, Member, Network, OpKey, Result, Route, Weather};
use super::{SimIo, WriteFault};
use crate::clock::{Instant, UnixMicros};
use crate::io::{Shared, Sock, Target};
use crate::slab::Key;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where virtual wall-clock time starts: 2026-01-01 00:00:00 UTC.
const EPOCH: UnixMicros = UnixMicros(1_767_225_600_000_000);
/// How long a simulated log write takes.
const WRITE_TIME: Duration = Duration::from_micros(150);

/// Completions of one member that it has not taken yet.
pub(super) type Mailbox = Vec<(Key, Result, bool)>;

pub(super) struct State {
    pub now: Instant,
    pub network: Network,
    mailboxes: BTreeMap<Member, Mailbox>,
    wall_shift_micros: i64,
    write_time: Duration,
    fault: Option<WriteFault>,
    next_member: u32,
}

/// A network and a clock; clones are the same world.
#[derive(Clone)]
pub struct World(Rc<RefCell<State>>);

impl World {
    /// A world whose history is decided by `seed`.
    pub fn new(seed: u64) -> World {
        World(Rc::new(RefCell::new(State {
            now: Instant(1_000_000_000),
            network: Network::new(seed),
            mailboxes: BTreeMap::new(),
            wall_shift_micros: 0,
            write_time: WRITE_TIME,
            fault: None,
            next_member: 0,
        })))
    }

    /// The kernel of a new member.
    pub fn io(&self) -> SimIo {
        let mut state = self.state();
        state.next_member += 1;
        let member = Member(state.next_member);
        state.mailboxes.insert(member, Mailbox::new());
        drop(state);
        SimIo::of(self.clone(), member)
    }

    /// A listening socket at `address`.
    pub fn listen(&self, address: SocketAddr) -> Sock {
        self.state().network.listen(address)
    }

    /// A listening socket at `path`, which need not exist.
    pub fn listen_local(&self, path: &Path) -> Sock {
        self.state().network.listen_local(path)
    }

    /// From now on connection requests to `address` go this way.
    pub fn route(&self, address: IpAddr, route: Route) {
        self.state().network.route(address, route);
    }

    /// From now on the network does this to everybody.
    pub fn set_weather(&self, weather: Weather) {
        self.state().network.weather = weather;
    }

    /// From now on writes take so long.
    pub fn set_write_time(&self, time: Duration) {
        self.state().write_time = time;
    }

    /// From now on `fault` decides whether a write succeeds.
    pub fn fail_writes(&self, fault: Option<WriteFault>) {
        self.state().fault = fault;
    }

    /// Sets the wall clock forward or back; the monotonic one goes on.
    pub fn shift_clock(&self, micros: i64) {
        self.state().wall_shift_micros += micros;
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        self.look().now
    }

    /// The wall clock.
    pub fn unix_time(&self) -> UnixMicros {
        let state = self.look();
        let unix = EPOCH.0 + state.now.0 / 1000;
        UnixMicros(unix.saturating_add_signed(state.wall_shift_micros))
    }

    /// Whether completions wait for a member.
    pub fn has_mail(&self, member: Member) -> bool {
        self.look().mailboxes.get(&member).is_some_and(|mailbox| !mailbox.is_empty())
    }

    /// When something happens next; never, when nothing is on its way.
    pub fn next_event(&self) -> Instant {
        self.look().network.next_event().unwrap_or(Instant::NEVER)
    }

    /// Moves the clock to `to`, unless it is later already, and lets happen what is due by then.
    pub fn advance(&self, to: Instant) {
        let mut state = self.state();
        state.now = state.now.max(to);
        let now = state.now;
        while let Some(event) = state.network.due(now) {
            let finished = state.network.happen(now, event);
            state.post(finished);
        }
    }

    /// The process of a member is gone: its sockets are closed, nothing reaches it any more.
    pub fn bury(&self, member: Member) {
        let mut state = self.state();
        let now = state.now;
        state.mailboxes.remove(&member);
        state.network.bury(now, member);
    }

    pub(super) fn is_alive(&self, member: Member) -> bool {
        self.look().mailboxes.contains_key(&member)
    }

    pub(super) fn collect(&self, member: Member) -> Mailbox {
        self.state().mailboxes.get_mut(&member).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn write(
        &self,
        key: OpKey,
        file: Arc<dyn Target>,
        offset: u64,
        data: &Shared,
        sync: bool,
    ) {
        let mut fault = self.state().fault.take();
        let bytes = data.bytes();
        let refused = fault.as_mut().and_then(|fault| fault(offset, bytes.len()));
        let result = refused.map_or_else(|| file.write_at(offset, bytes), Err);
        let mut state = self.state();
        state.fault = fault;
        let at = state.now + state.write_time;
        // A crash before the flush leaves what it leaves.
        let event = match result {
            Ok(count) if sync => Event::Synced { key, file, count },
            result => Event::Finished { key, result },
        };
        state.network.schedule(at, event);
    }

    pub(super) fn look(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl State {
    fn post(&mut self, finished: Finished) {
        for ((member, key), result, more) in finished {
            // What a process that is gone had asked for interests nobody.
            if let Some(mailbox) = self.mailboxes.get_mut(&member) {
                mailbox.push((key, result, more));
            }
        }
    }
}
