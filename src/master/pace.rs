//! How often a child may end before its restart is put off.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A child that served may end this often within a minute before its restart is put off.
pub const RESTARTS_PER_MINUTE: usize = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// When a child ended, within the last minute.
#[derive(Debug, Default)]
pub struct Pace(VecDeque<Instant>);

impl Pace {
    /// Counts an end at `now`; whether there were too many.
    pub fn is_too_fast(&mut self, now: Instant) -> bool {
        self.0.retain(|end| now.duration_since(*end) < MINUTE);
        self.0.push_back(now);
        self.0.len() > RESTARTS_PER_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_end_within_a_minute_is_too_fast() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!((0..RESTARTS_PER_MINUTE).all(|_| !pace.is_too_fast(now)));
        assert!(pace.is_too_fast(now));
        assert!(!pace.is_too_fast(now + MINUTE));
    }
}
