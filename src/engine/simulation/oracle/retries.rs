//! When a message is tried again, and when it is given up.

use super::Oracle;
use crate::simulation::ledger::{Kind, Mail, Rcpt};
use std::time::Duration;

/// Whole seconds here and there.
const SLACK: Duration = Duration::from_secs(3);
/// The longest attempt, and waiting for one's turn.
const ATTEMPT: Duration = Duration::from_secs(3 * 3600);

impl Oracle<'_> {
    /// No attempt comes earlier than its backoff.
    pub(super) fn retries(&mut self, id: u32, rcpt: &Rcpt) {
        for (at, earlier) in rcpt.lines.iter().enumerate() {
            let mut later = rcpt.lines[at + 1..].iter();
            let Some(next) = later.find(|line| line.queue_id == earlier.queue_id) else { continue };
            let name = &earlier.queue_id;
            let excused = self.ended_between(earlier.at, next.at)
                || self.jumped_between(earlier.at, next.at)
                || self.hurried_between(name, earlier.at, next.at);
            if earlier.status == "deferred" && !excused {
                let waited = next.at.since(earlier.at) + SLACK;
                let due = self.backoff(name, earlier.at);
                if waited < due {
                    let to = &rcpt.address;
                    let text = format!("{name} to {to}: tried again after {waited:?}, not {due:?}");
                    self.accuse(id, text);
                }
            }
        }
    }

    /// How long a message waits after a deferral at this time.
    fn backoff(&self, queue_id: &str, at: runtime::Instant) -> Duration {
        let least = Duration::from_secs(self.plan.minimal_backoff);
        let Some(first) = self.queued(queue_id).and_then(|it| it.first) else { return least };
        // Its age is not known when the clock has jumped.
        let age = if self.jumped_between(first, at) { Duration::ZERO } else { at.since(first) };
        age.min(Duration::from_secs(self.plan.maximal_backoff)).max(least)
    }

    /// Old mail is given up at its lifetime, not before and not much later.
    pub(super) fn lifetimes(&mut self, id: u32, mail: &Mail) {
        let Some((_, name)) = mail.taken() else { return };
        let Some(queued) = self.queued(name) else { return };
        let (Some(first), Some((expired, false))) = (queued.first, queued.expired) else { return };
        if self.jumped_between(first, expired) {
            return;
        }
        let lifetime = Duration::from_secs(self.plan.lifetime);
        if expired.since(first) + SLACK < lifetime {
            let text = format!("{name}: given up after {:?}", expired.since(first));
            self.accuse(id, text);
        }
        let retry = Duration::from_secs(self.plan.maximal_backoff + self.plan.run_delay);
        let bound = lifetime + retry + ATTEMPT;
        let meddled = self.queued(name).is_some_and(|it| it.held);
        let always = mail.rcpts.iter().any(|rcpt| rcpt.kind == Kind::Later);
        if always && !meddled && self.serving(first, expired) > bound {
            let text = format!("{name}: given up only after {:?}", expired.since(first));
            self.accuse(id, text);
        }
    }
}
