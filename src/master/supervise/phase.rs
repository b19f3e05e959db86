//! Where the engine is in its life; [`super`] has the table of transitions.

use std::io::PipeReader;
use std::time::Instant;

use rustix::process::Pid;

/// The engine's phase.
pub enum Phase {
    /// Started; `ready` is nothing once the engine closed it without a word.
    Starting { pid: Pid, ready: Option<PipeReader> },
    /// Serves.
    Serving { pid: Pid },
    /// Waits before the next start.
    Throttled { until: Instant },
    /// Ends its sessions; another follows.
    Draining { pid: Pid, until: Instant },
    /// Ends; none follows.
    Stopping { pid: Pid, until: Instant },
    /// Nothing left to do.
    Ended,
}

impl Phase {
    /// The engine's process.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Starting { pid, .. }
            | Self::Serving { pid }
            | Self::Draining { pid, .. }
            | Self::Stopping { pid, .. } => Some(*pid),
            Self::Throttled { .. } | Self::Ended => None,
        }
    }

    /// When something has to be done.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Throttled { until }
            | Self::Draining { until, .. }
            | Self::Stopping { until, .. } => Some(*until),
            Self::Starting { .. } | Self::Serving { .. } | Self::Ended => None,
        }
    }
}
