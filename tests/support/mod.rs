//! What the whole-system tests share: an installed system, a client, a sink that keeps what it
//! gets.

pub mod client;
pub mod keeper;
pub mod process;
pub mod programs;
pub mod system;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Whether `condition` holds within `time`.
pub fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// With `what` after [`PATIENCE`].
#[track_caller]
pub fn wait(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(PATIENCE, condition), "not in time: {what}");
}

/// Says why a test, or a part of it, does not run here.
pub fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}

/// Tells other threads to stop, also when a test fails: a scope would never end otherwise.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
