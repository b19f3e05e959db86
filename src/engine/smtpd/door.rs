//! [`Door`]: how many clients of one service may be inside, counted over all cores.
//!
//! A service whose master.cf line has a process limit serves as many clients at once, as Postfix
//! does with a process for each; any other serves as many as descriptors allow. At the limit the
//! next clients wait in the kernel's backlog, and the log says so. From [`STRESS_SHARE`] of it on
//! new sessions begin with `stress = yes`, at an explicit limit when it is reached.
//!
//! **Limits**: [`SESSION_SHARE`] of the descriptors are for sessions, and never the last
//! [`RESERVED_DESCRIPTORS`]; deliveries and the log have the rest.
//! **Standards**: master(5) `maxproc`, STRESS_README.

use crate::limits::{RESERVED_DESCRIPTORS, SESSION_SHARE, STRESS_SHARE, STRESS_WARNING};
use runtime::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The doors of all services, shared by the cores.
#[derive(Debug)]
pub struct Doors {
    sessions_max: usize,
    doors: Mutex<BTreeMap<String, Arc<Door>>>,
}

/// One service's door.
#[derive(Debug)]
pub struct Door {
    sessions_max: usize,
    inside: AtomicUsize,
    /// When its being full was logged last, in nanoseconds; 0 for never.
    said: AtomicU64,
}

/// A client's right to be inside, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Door>,
    /// Whether this session is to have the settings of a server under stress.
    pub stressed: bool,
}

impl Doors {
    /// Doors of a process that may open so many descriptors.
    pub fn new(descriptors: u64) -> Doors {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let share = (descriptors / 100).saturating_mul(SESSION_SHARE);
        let rest = descriptors.saturating_sub(RESERVED_DESCRIPTORS);
        Doors { sessions_max: share.min(rest).max(1), doors: Mutex::default() }
    }

    /// The door of a service, the same one for every caller.
    pub fn of(&self, service: &str) -> Arc<Door> {
        // A thread that panicked would have ended the process.
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = || Arc::new(Door::new(self.sessions_max));
        doors.entry(service.to_string()).or_insert_with(door).clone()
    }
}

impl Door {
    fn new(sessions_max: usize) -> Door {
        Door { sessions_max, inside: AtomicUsize::new(0), said: AtomicU64::new(0) }
    }

    /// Lets a client in, unless `process_limit` clients are inside, or as many as this process has
    /// descriptors for.
    pub fn enter(self: &Arc<Self>, process_limit: Option<usize>) -> Option<Pass> {
        let max = process_limit.unwrap_or(usize::MAX).min(self.sessions_max);
        let next = |inside: usize| (inside < max).then_some(inside + 1);
        let before = self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()?;
        let calm = match process_limit {
            Some(_) => before + 1 < max,
            None => before * 100 < max.saturating_mul(STRESS_SHARE),
        };
        Some(Pass { door: self.clone(), stressed: !calm })
    }

    /// Whether it is time to say that the door is full.
    pub fn should_warn(&self, now: Instant) -> bool {
        let said = self.said.load(Ordering::Relaxed);
        let due = said == 0 || now.0.saturating_sub(said) >= STRESS_WARNING.as_nanos() as u64;
        // Of several cores one says it.
        due && self
            .said
            .compare_exchange(said, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_all_and_the_last_one_is_under_stress() {
        let doors = Doors::new(1000);
        let (door, same) = (doors.of("smtp"), doors.of("smtp"));
        let first = door.enter(Some(2)).unwrap();
        let second = same.enter(Some(2)).unwrap();
        assert!(!first.stressed && second.stressed);
        assert!(door.enter(Some(2)).is_none());
        assert!(doors.of("submission").enter(Some(2)).is_some());
        drop(first);
        assert!(door.enter(Some(2)).is_some());
    }

    #[test]
    fn without_a_limit_descriptors_are_the_limit() {
        let inside = |descriptors: u64| -> Vec<Pass> {
            let door = Doors::new(descriptors).of("smtp");
            std::iter::from_fn(|| door.enter(None)).collect()
        };
        let many = inside(10_000);
        assert_eq!(many.len(), 100 * SESSION_SHARE);
        assert!(!many[0].stressed && many[many.len() - 1].stressed);
        assert_eq!(inside(200).len(), 200 - RESERVED_DESCRIPTORS);
        assert_eq!(inside(10).len(), 1);
    }

    #[test]
    fn a_full_door_is_mentioned_now_and_then() {
        let door = Doors::new(100).of("smtp");
        let later = Instant(5) + STRESS_WARNING;
        assert!(door.should_warn(Instant(5)));
        assert!(!door.should_warn(Instant(6)));
        assert!(door.should_warn(later));
    }
}
