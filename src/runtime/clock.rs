//! The only clocks: a monotonic [`Instant`] for timers and a [`UnixMicros`] for what mail records.
//!
//! Both are plain numbers, handed out by [`crate::io::Io`], so that the simulator owns time.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// Wall-clock time in microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub u64);

impl Instant {
    /// A time no timer reaches.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl UnixMicros {
    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The microseconds within the second.
    pub fn subsecond_micros(self) -> u32 {
        (self.0 % 1_000_000) as u32
    }
}

/// The system's monotonic clock.
pub(crate) fn monotonic() -> Instant {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// The system's wall clock.
pub(crate) fn wall() -> UnixMicros {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    UnixMicros(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000)
}
