//! What excuses an early attempt or a second copy: the engine's end, the clock, the operator.

use super::Oracle;
use runtime::Instant;
use std::time::Duration;

/// The longest attempt.
const ATTEMPT: Duration = Duration::from_secs(2 * 3600);
/// A command may take effect some time after it was given.
const EFFECT: Duration = Duration::from_secs(700);

impl Oracle<'_> {
    /// Whether the engine ended between two moments.
    pub(super) fn ended_between(&self, from: Instant, to: Instant) -> bool {
        self.ledger.excuses.ends.iter().any(|(down, up)| *down <= to && *up >= from)
    }

    /// Whether the engine ended before a delivery at `from` can have been written down: marks are
    /// made at the end of an attempt, when other recipients have had theirs, and not while the disk
    /// takes nothing.
    pub(super) fn ended_soon_after(&self, from: Instant, to: Instant) -> bool {
        let excuses = &self.ledger.excuses;
        excuses.ends.iter().any(|(down, up)| {
            let between = *down <= to && *up >= from;
            let full = excuses.full.iter().any(|(since, until)| *since <= *down && *until >= from);
            between && (full || down.since(from) <= ATTEMPT)
        })
    }

    /// Whether the wall clock jumped.
    pub(super) fn jumped_between(&self, from: Instant, to: Instant) -> bool {
        self.ledger.excuses.jumps.iter().any(|at| (from..=to).contains(at))
    }

    /// Whether an operator made this message be tried.
    pub(super) fn hurried_between(&self, queue_id: &str, from: Instant, to: Instant) -> bool {
        // A flush asked for before the deferral may have been under way.
        let within = |at: &Instant| *at + EFFECT >= from && *at <= to;
        let own = self.queued(queue_id).is_some_and(|it| it.hurried.iter().any(within));
        own || self.ledger.excuses.flushes.iter().any(within)
    }
}
