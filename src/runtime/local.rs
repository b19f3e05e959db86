//! Waiting for another task of the same core: no atomics, no locks.

use crate::executor::TaskId;
use crate::reactor::Rt;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// A value that one task will set and another waits for.
pub struct Promise<T>(Rc<Slot<T>>);

/// The waiting end of a [`Promise`].
pub struct Pledge<T>(Rc<Slot<T>>);

struct Slot<T> {
    rt: Rt,
    value: RefCell<Option<T>>,
    broken: Cell<bool>,
    waiting: Cell<Option<TaskId>>,
}

/// Both ends of a value yet to come.
pub fn promise<T>(rt: &Rt) -> (Promise<T>, Pledge<T>) {
    let slot = Rc::new(Slot {
        rt: rt.clone(),
        value: RefCell::new(None),
        broken: Cell::new(false),
        waiting: Cell::new(None),
    });
    (Promise(slot.clone()), Pledge(slot))
}

impl<T> Promise<T> {
    /// Sets the value and wakes the waiting task.
    pub fn keep(self, value: T) {
        *self.0.value.borrow_mut() = Some(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.broken.set(true);
        if let Some(task) = self.0.waiting.take() {
            self.0.rt.wake(task);
        }
    }
}

impl<T> Pledge<T> {
    /// Waits for the value; `None` when the promise was dropped without one.
    pub async fn wait(self) -> Option<T> {
        poll_fn(|_| {
            if let Some(value) = self.0.value.borrow_mut().take() {
                return Poll::Ready(Some(value));
            }
            if self.0.broken.get() {
                return Poll::Ready(None);
            }
            self.0.waiting.set(Some(self.0.rt.current()));
            Poll::Pending
        })
        .await
    }
}

/// Tasks waiting for their turn, first come, first served.
pub struct Queue<T> {
    rt: Rt,
    items: RefCell<VecDeque<T>>,
    waiting: Cell<Option<TaskId>>,
}

impl<T> Queue<T> {
    /// An empty queue with one consumer. Its bound is the producers' business.
    pub fn new(rt: &Rt) -> Rc<Queue<T>> {
        Rc::new(Queue {
            rt: rt.clone(),
            items: RefCell::new(VecDeque::new()),
            waiting: Cell::new(None),
        })
    }

    /// Adds an item.
    pub fn push(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        if let Some(task) = self.waiting.take() {
            self.rt.wake(task);
        }
    }

    /// Waits for the next item.
    pub async fn pop(&self) -> T {
        poll_fn(|_| {
            if let Some(item) = self.items.borrow_mut().pop_front() {
                return Poll::Ready(item);
            }
            self.waiting.set(Some(self.rt.current()));
            Poll::Pending
        })
        .await
    }
}
