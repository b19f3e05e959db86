//! Connections that are kept between lookups.
//!
//! At most [`CONNECTIONS_MAX`] lookups of a table are under way; who comes later waits, within the
//! time limit of the lookup. A connection is put back only after a complete answer, so a lookup
//! that was given up leaves none in the middle of one. What is idle for [`IDLE`] is closed when the
//! table is asked next.
//!
//! **Limits**: [`CONNECTIONS_MAX`], [`IDLE`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections of one table to one server.
pub const CONNECTIONS_MAX: usize = 8;
/// How long an idle connection is used again.
pub const IDLE: Duration = Duration::from_secs(60);

/// Who may ask now.
pub(crate) struct Turns(Semaphore);

impl Turns {
    /// All are free.
    pub fn new() -> Self {
        Self(Semaphore::new(CONNECTIONS_MAX))
    }

    /// Waits for one; it is free again when what is returned is dropped.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Fails only for a semaphore that was closed, which this one never is.
        self.0.acquire().await.ok()
    }
}

/// Idle connections.
pub(crate) struct Idle<C>(Mutex<Vec<(Instant, C)>>);

impl<C> Idle<C> {
    /// None.
    pub fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The one that was used last.
    pub fn take(&self) -> Option<C> {
        let mut idle = self.lock();
        idle.retain(|(since, _)| since.elapsed() < IDLE);
        idle.pop().map(|(_, connection)| connection)
    }

    /// Keeps one, unless enough are kept.
    pub fn put(&self, connection: C) {
        let mut idle = self.lock();
        if idle.len() < CONNECTIONS_MAX {
            idle.push((Instant::now(), connection));
        }
    }

    /// Closes all: where one is dead, those before it are.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Whether there is one.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, C)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_comes_back_first_and_few_are_kept() {
        let idle = Idle::new();
        (0..100).for_each(|number| idle.put(number));
        let kept: Vec<usize> = std::iter::from_fn(|| idle.take()).collect();
        assert_eq!(kept, (0..CONNECTIONS_MAX).rev().collect::<Vec<_>>());
        assert!(idle.is_empty());
    }

    #[tokio::test]
    async fn turns_are_bounded() {
        let turns = Turns::new();
        let mut taken = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            taken.push(turns.take().await);
        }
        assert_eq!(turns.0.available_permits(), 0);
        taken.clear();
        assert_eq!(turns.0.available_permits(), CONNECTIONS_MAX);
    }
}
