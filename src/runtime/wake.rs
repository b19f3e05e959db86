//! Waking a sleeping core from another thread.
//!
//! A core announces that it is about to sleep, looks at its lanes once more, and only then enters
//! the kernel; whoever fills a lane afterwards sees the announcement and writes to the eventfd.
//! While the core is awake a wake-up costs one atomic load.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

struct Bell {
    eventfd: OwnedFd,
    asleep: AtomicBool,
}

/// Wakes one core; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// A new wake-up for a core that is awake.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> io::Result<Waker> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker(Arc::new(Bell { eventfd, asleep: AtomicBool::new(false) })))
    }

    /// Makes the core run another turn. What the caller published before is visible to it.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.0.asleep.load(Ordering::Relaxed) && self.0.asleep.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Called by the core before its last look at its lanes.
    pub(crate) fn going_to_sleep(&self) {
        self.0.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Called by the core when it runs again.
    pub(crate) fn woke_up(&self) {
        self.0.asleep.store(false, Ordering::Relaxed);
    }

    /// Empties the eventfd.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // EAGAIN means that nothing was written, which is as good.
        rustix::io::read(&self.0.eventfd, &mut count).ok();
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.eventfd.as_fd()
    }

    fn ring(&self) {
        // A full counter means that the core will wake up anyway.
        rustix::io::write(&self.0.eventfd, &1u64.to_ne_bytes()).ok();
    }
}
