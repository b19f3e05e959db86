//! [`Rt`]: one core's loop. It runs ready tasks, lets the engine pump its lanes, enters the kernel
//! once, and hands completions and expired timers back to tasks.
//!
//! Everything here lives on one thread and is shared by `Rc`; borrows are short and never held
//! across a call out of this crate.

use crate::clock::{Instant, UnixMicros};
use crate::disk::Written;
use crate::executor::{Executor, TaskId};
use crate::io::{Completion, Io, Op, Outcome, Wait};
use crate::net::{ConnKey, Conns, ListenerKey};
use crate::slab::{Key, Slab};
use crate::timer::{TimerKey, Wheel};
use crate::wake::Waker;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// Tasks polled between two visits to the kernel.
const TASKS_PER_TURN: usize = 1024;

/// Whether a core goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Another turn.
    Continue,
    /// Leave [`Rt::run`].
    Stop,
}

/// What the engine does once per turn.
pub trait Pump {
    /// Receives parcels, starts deliveries, starts the commit. Runs after the ready tasks.
    fn pump(&mut self, rt: &Rt) -> Flow;

    /// The last look before sleeping: whether something has arrived from another thread.
    fn has_mail(&self) -> bool;
}

/// Whose completion an operation's key stands for.
pub(crate) enum Pending {
    Accept(ListenerKey),
    Connect(ConnKey),
    Recv(ConnKey),
    Send(ConnKey),
    Write(Rc<Written>),
    Wake,
    Close,
}

pub(crate) enum Alarm {
    Task(TaskId),
    Conn(ConnKey),
}

struct Inner {
    io: RefCell<Box<dyn Io>>,
    ops: RefCell<Slab<Pending>>,
    conns: RefCell<Conns>,
    timers: RefCell<Wheel<Alarm>>,
    executor: Executor,
    now: Cell<Instant>,
    unix: Cell<UnixMicros>,
    completed: RefCell<Vec<Completion>>,
    waker: Waker,
}

/// The runtime of one core; clones share it.
#[derive(Clone)]
pub struct Rt(Rc<Inner>);

impl Rt {
    /// A runtime on top of `io`, whose wake operation watches `waker`.
    pub fn new(io: Box<dyn Io>, waker: Waker) -> Rt {
        let now = io.now();
        let unix = io.unix_time();
        let rt = Rt(Rc::new(Inner {
            io: RefCell::new(io),
            ops: RefCell::default(),
            conns: RefCell::default(),
            timers: RefCell::new(Wheel::new(now)),
            executor: Executor::default(),
            now: Cell::new(now),
            unix: Cell::new(unix),
            completed: RefCell::default(),
            waker,
        }));
        rt.submit(Pending::Wake, Op::Wake);
        rt
    }

    /// This turn's monotonic time.
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// This turn's wall-clock time.
    pub fn unix_time(&self) -> UnixMicros {
        self.0.unix.get()
    }

    /// Starts a task.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskId {
        self.0.executor.spawn(future)
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.0.executor.len()
    }

    /// The task that is being polled.
    pub fn current(&self) -> TaskId {
        self.0.executor.current()
    }

    /// Marks a task ready.
    pub fn wake(&self, task: TaskId) {
        self.0.executor.wake(task);
    }

    /// Drops every task: the end of a core, which breaks the circle of tasks that own what owns
    /// them. Connections of which others have copies go on for these.
    pub fn drop_tasks(&self) {
        self.leave_shared();
        self.0.executor.clear();
    }

    /// Marks every task ready.
    pub fn wake_all(&self) {
        self.0.executor.wake_all();
    }

    /// What other threads use to wake this core.
    pub fn waker(&self) -> &Waker {
        &self.0.waker
    }

    /// Waits until `at`.
    pub async fn sleep_until(&self, at: Instant) {
        let mut timer = Alarmed { rt: self, key: None };
        poll_fn(|_| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            timer.set(at);
            Poll::Pending
        })
        .await;
    }

    /// Lets every other ready task and the kernel have a turn.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|_| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            self.wake(self.current());
            Poll::Pending
        })
        .await;
    }

    /// Runs turns until the pump says stop.
    ///
    /// # Errors
    /// When the kernel's interface fails; the core cannot go on.
    pub fn run(&self, pump: &mut dyn Pump) -> io::Result<()> {
        while self.work(pump) == Flow::Continue {
            let wait = self.wait_for(pump);
            self.enter(wait)?;
        }
        Ok(())
    }

    /// The first half of a turn: ready tasks, then the pump. For whoever runs several cores in
    /// turns on one thread; [`Rt::run`] is both halves until the pump says stop.
    pub fn work(&self, pump: &mut dyn Pump) -> Flow {
        self.0.executor.run(TASKS_PER_TURN);
        let flow = pump.pump(self);
        self.unlend();
        flow
    }

    /// The second half: the kernel, and what has completed or expired.
    ///
    /// # Errors
    /// When the kernel's interface fails; the core cannot go on.
    pub fn enter(&self, wait: Wait) -> io::Result<()> {
        let mut completed = self.0.completed.take();
        self.0.io.borrow_mut().turn(wait, &mut completed)?;
        self.0.waker.woke_up();
        self.read_clocks();
        for completion in completed.drain(..) {
            self.dispatch(completion);
        }
        self.0.completed.replace(completed);
        self.expire();
        Ok(())
    }

    /// What the core would wait for now; for the same caller as [`Rt::work`], who wakes nobody.
    pub fn waits_for(&self, pump: &dyn Pump) -> Wait {
        if self.0.executor.has_ready() || pump.has_mail() {
            return Wait::Poll;
        }
        Wait::Until(self.0.timers.borrow().next_expiry().unwrap_or(Instant::NEVER))
    }

    pub(crate) fn submit(&self, pending: Pending, op: Op) -> Key {
        let key = self.0.ops.borrow_mut().insert(pending);
        self.0.io.borrow_mut().submit(key, op);
        key
    }

    pub(crate) fn cancel(&self, key: Key) {
        if self.0.ops.borrow().get(key).is_some() {
            self.0.io.borrow_mut().cancel(key);
        }
    }

    pub(crate) fn io(&self) -> std::cell::RefMut<'_, Box<dyn Io>> {
        self.0.io.borrow_mut()
    }

    pub(crate) fn conns(&self) -> std::cell::RefMut<'_, Conns> {
        self.0.conns.borrow_mut()
    }

    pub(crate) fn set_timer(&self, at: Instant, alarm: Alarm) -> TimerKey {
        self.0.timers.borrow_mut().insert(at, alarm)
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        self.0.timers.borrow_mut().cancel(key);
    }

    fn wait_for(&self, pump: &dyn Pump) -> Wait {
        if self.0.executor.has_ready() {
            return Wait::Poll;
        }
        self.0.waker.going_to_sleep();
        self.waits_for(pump)
    }

    fn read_clocks(&self) {
        let io = self.0.io.borrow();
        self.0.now.set(io.now());
        self.0.unix.set(io.unix_time());
    }

    fn dispatch(&self, completion: Completion) {
        let Completion { key, outcome, more, data } = completion;
        let pending = if more { None } else { self.0.ops.borrow_mut().remove(key) };
        let ops = self.0.ops.borrow();
        let pending = pending.as_ref().or_else(|| ops.get(key));
        // The kernel only completes what we have submitted: anything else is a lost buffer.
        match pending.expect("a completion for an operation in flight") {
            Pending::Accept(listener) => {
                let listener = *listener;
                drop(ops);
                self.accepted(listener, outcome, more);
            }
            Pending::Connect(conn) => {
                let conn = *conn;
                drop(ops);
                self.connected(conn, outcome);
            }
            Pending::Recv(conn) => {
                let conn = *conn;
                drop(ops);
                self.received(conn, outcome, more);
            }
            Pending::Send(conn) => {
                let conn = *conn;
                drop(ops);
                self.sent(conn, outcome, data);
            }
            Pending::Write(written) => written.complete(self, done(outcome)),
            Pending::Wake => {
                drop(ops);
                self.0.waker.clear();
                self.submit(Pending::Wake, Op::Wake);
            }
            Pending::Close => {}
        }
    }

    fn expire(&self) {
        let mut due = Vec::new();
        self.0.timers.borrow_mut().expire(self.now(), |alarm| due.push(alarm));
        for alarm in due {
            match alarm {
                Alarm::Task(task) => self.wake(task),
                Alarm::Conn(conn) => self.conn_alarm(conn),
            }
        }
    }
}

/// The result of an operation that does not receive.
pub(crate) fn done(outcome: Outcome) -> io::Result<usize> {
    match outcome {
        Outcome::Done(result) => result,
        Outcome::Received(lent) => Ok(lent.len as usize),
    }
}

/// A task's timer, cancelled when the future that set it goes away.
pub(crate) struct Alarmed<'a> {
    rt: &'a Rt,
    key: Option<TimerKey>,
}

impl Alarmed<'_> {
    /// Sets the timer anew: whether an earlier one is still there does not matter.
    fn set(&mut self, at: Instant) {
        self.clear();
        self.key = Some(self.rt.set_timer(at, Alarm::Task(self.rt.current())));
    }

    fn clear(&mut self) {
        if let Some(key) = self.key.take() {
            self.rt.cancel_timer(key);
        }
    }
}

impl Drop for Alarmed<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
