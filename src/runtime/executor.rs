//! The tasks of one core: a slab of futures, polled when something they wait for has happened.
//!
//! Futures of this crate do not use wakers: they note the current [`TaskId`], and what completes
//! marks that task ready, which costs no atomic operation. A task may be polled without cause;
//! every future here looks at its own state again.

use crate::slab::{Key, Slab};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Names a task of this core.
pub type TaskId = Key;

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Entry {
    /// `None` while the task is being polled.
    task: Option<Task>,
    queued: bool,
}

/// All tasks of one core.
#[derive(Default)]
pub struct Executor {
    tasks: RefCell<Slab<Entry>>,
    ready: RefCell<VecDeque<TaskId>>,
    current: Cell<Option<TaskId>>,
}

impl Executor {
    /// Adds a task; it is polled for the first time in this turn or the next.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let entry = Entry { task: Some(Box::pin(future)), queued: true };
        let id = self.tasks.borrow_mut().insert(entry);
        self.ready.borrow_mut().push_back(id);
        id
    }

    /// Marks a task ready. One that has ended meanwhile is left in peace.
    pub fn wake(&self, id: TaskId) {
        if let Some(entry) = self.tasks.borrow_mut().get_mut(id)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.ready.borrow_mut().push_back(id);
        }
    }

    /// Marks every task ready: something that any of them may wait for has changed.
    pub fn wake_all(&self) {
        let ids: Vec<TaskId> = self.tasks.borrow().keys().collect();
        ids.into_iter().for_each(|id| self.wake(id));
    }

    /// Drops every task, and with them what they own. Not from within a task.
    pub fn clear(&self) {
        assert!(self.current.get().is_none(), "a task cannot drop itself");
        let ids: Vec<TaskId> = self.tasks.borrow().keys().collect();
        for id in ids {
            let entry = self.tasks.borrow_mut().remove(id);
            drop(entry);
        }
        self.ready.borrow_mut().clear();
    }

    /// The task that is being polled. Panics outside of one: these futures live in tasks only.
    pub fn current(&self) -> TaskId {
        self.current.get().expect("awaited outside of a task")
    }

    /// Whether a task waits to be polled.
    pub fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Polls at most `budget` ready tasks.
    pub fn run(&self, budget: usize) {
        for _ in 0..budget {
            let Some(id) = self.ready.borrow_mut().pop_front() else { return };
            self.poll(id);
        }
    }

    fn poll(&self, id: TaskId) {
        let Some(mut task) = self.take(id) else { return };
        self.current.set(Some(id));
        let done = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        self.current.set(None);
        if done {
            let entry = self.tasks.borrow_mut().remove(id);
            // Dropped without the borrow: what the future owned may wake other tasks.
            drop((entry, task));
        } else if let Some(entry) = self.tasks.borrow_mut().get_mut(id) {
            entry.task = Some(task);
        }
    }

    fn take(&self, id: TaskId) -> Option<Task> {
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.get_mut(id)?;
        entry.queued = false;
        entry.task.take()
    }
}
