//! Bounded lock-free lanes between cores, and the mesh of all of them.
//!
//! One lane per ordered pair of cores. A full lane hands the parcel back: the sender keeps it in an
//! outbox bounded by back-pressure, so nothing is dropped, nothing blocks and nothing spins.
//! Wake-ups are rung once per turn, not once per parcel.

use crate::wake::Waker;
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Parcels one lane holds before its sender must wait.
pub const LANE_CAPACITY: usize = 4096;

struct Lane<T>(CachePadded<ArrayQueue<T>>);

/// One core's end of the mesh: it sends to every core, itself excepted, and receives from them.
pub struct Port<T> {
    core: usize,
    incoming: Vec<Arc<Lane<T>>>,
    outgoing: Vec<Arc<Lane<T>>>,
    wakers: Vec<Waker>,
    outboxes: RefCell<Vec<VecDeque<T>>>,
    to_wake: RefCell<Vec<bool>>,
}

/// Ports for as many cores as there are wakers; port `i` belongs to the core `wakers[i]` wakes.
pub fn mesh<T>(wakers: &[Waker]) -> Vec<Port<T>> {
    let cores = wakers.len();
    let lane = || Arc::new(Lane(CachePadded::new(ArrayQueue::new(LANE_CAPACITY))));
    let lanes: Vec<Vec<Arc<Lane<T>>>> =
        (0..cores).map(|_| (0..cores).map(|_| lane()).collect()).collect();
    (0..cores).map(|core| port(core, &lanes, wakers)).collect()
}

fn port<T>(core: usize, lanes: &[Vec<Arc<Lane<T>>>], wakers: &[Waker]) -> Port<T> {
    Port {
        core,
        incoming: lanes.iter().map(|row| row[core].clone()).collect(),
        outgoing: lanes[core].clone(),
        wakers: wakers.to_vec(),
        outboxes: RefCell::new((0..lanes.len()).map(|_| VecDeque::new()).collect()),
        to_wake: RefCell::new(vec![false; lanes.len()]),
    }
}

impl<T> Port<T> {
    /// Which core this port belongs to.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends a parcel; it waits in the outbox while the lane is full. Order per lane is kept.
    pub fn send(&self, to: usize, parcel: T) {
        let outbox = &mut self.outboxes.borrow_mut()[to];
        if outbox.is_empty() {
            if let Err(parcel) = self.outgoing[to].0.push(parcel) {
                outbox.push_back(parcel);
            }
        } else {
            outbox.push_back(parcel);
        }
        self.to_wake.borrow_mut()[to] = true;
    }

    /// Parcels that wait for room in a lane: above its high-water mark a core stops taking new
    /// work.
    pub fn backlog(&self) -> usize {
        self.outboxes.borrow().iter().map(VecDeque::len).sum()
    }

    /// Moves the outboxes on and wakes every core that was sent something; once per turn.
    pub fn flush(&self) {
        for (to, outbox) in self.outboxes.borrow_mut().iter_mut().enumerate() {
            while let Some(parcel) = outbox.pop_front() {
                if let Err(parcel) = self.outgoing[to].0.push(parcel) {
                    outbox.push_front(parcel);
                    break;
                }
            }
        }
        for (to, wake) in self.to_wake.borrow_mut().iter_mut().enumerate() {
            if std::mem::take(wake) {
                self.wakers[to].wake();
            }
        }
    }

    /// The next parcel from any core, lane by lane from `first`; `None` when all lanes are empty.
    pub fn receive(&self) -> Option<T> {
        self.incoming.iter().find_map(|lane| lane.0.pop())
    }

    /// Whether a parcel waits.
    pub fn has_mail(&self) -> bool {
        self.incoming.iter().any(|lane| !lane.0.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> (Port<u32>, Port<u32>) {
        let wakers = [Waker::new().unwrap(), Waker::new().unwrap()];
        let mut ports = mesh(&wakers);
        let b = ports.pop().unwrap();
        (ports.pop().unwrap(), b)
    }

    #[test]
    fn a_full_lane_delays_but_loses_nothing() {
        let (a, b) = pair();
        let count = LANE_CAPACITY as u32 + 100;
        (0..count).for_each(|n| a.send(1, n));
        assert_eq!(a.backlog(), 100);
        for expected in 0..count {
            let got = b.receive().or_else(|| {
                a.flush();
                b.receive()
            });
            assert_eq!(got, Some(expected));
        }
        assert_eq!(b.receive(), None);
    }

    proptest! {
        #[test]
        fn a_lane_is_a_queue(steps in proptest::collection::vec(any::<bool>(), 0..300)) {
            let (a, b) = pair();
            let mut model = VecDeque::new();
            for (n, send) in steps.into_iter().enumerate() {
                if send {
                    a.send(1, n as u32);
                    model.push_back(n as u32);
                } else {
                    prop_assert_eq!(b.receive(), model.pop_front());
                }
            }
        }
    }

    #[test]
    fn parcels_cross_threads_in_order() {
        let (a, b) = pair();
        let sender = std::thread::spawn(move || {
            for n in 0..50_000 {
                a.send(1, n);
                a.flush();
            }
            while a.backlog() > 0 {
                a.flush();
                std::thread::yield_now();
            }
        });
        for expected in 0..50_000 {
            let got = loop {
                match b.receive() {
                    Some(got) => break got,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(got, expected);
        }
        sender.join().unwrap();
    }
}
