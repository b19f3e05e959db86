//! The oracle: what must be true of the books.
//!
//! | of each | must be true |
//! | --- | --- |
//! | acknowledged recipient | taken by its site, or a notice came, or deleted, or nobody to tell |
//! | copy | somebody may have been told yes, or nobody was told anything |
//! | second copy | of another submission, or the first one's reply was lost, or the engine ended |
//! | deferral | the next attempt comes no earlier than its backoff |
//! | expiry | at the lifetime, and soon after it |
//! | mail to the site that is well | arrives in time, whatever the others do |
//!
//! Notices about limits, hops and content come from the sites themselves.

mod excuses;
mod retries;

use super::ledger::{Copy, Fate, Kind, Ledger, Mail, Rcpt};
use super::plan::{Plan, WELL};
use super::sites::has_no_mailbox;
use runtime::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long mail to the site that is well may take, while the engine serves.
const WELL_BOUND: Duration = Duration::from_secs(3 * 3600);

/// What was counted on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Copies at sites.
    pub deliveries: u64,
    /// Attempts that were put off.
    pub deferrals: u64,
    /// Notices of failure.
    pub bounces: u64,
    /// Copies beyond the first, and explained.
    pub duplicates: u64,
    /// Recipients an operator has deleted.
    pub deleted: u64,
    /// The longest that the site that is well was kept waiting, the engine's absence not counted.
    pub well_wait: Duration,
}

/// Looks at everything; the run is over, and the queue is empty.
pub struct Oracle<'a> {
    plan: &'a Plan,
    ledger: &'a Ledger,
    counts: Counts,
    found: Vec<(Option<u32>, String)>,
}

impl Oracle<'_> {
    /// What is wrong, and what was counted.
    pub fn judge(plan: &Plan, ledger: &Ledger) -> (Vec<(Option<u32>, String)>, Counts) {
        let found = ledger.violations.clone();
        let mut oracle = Oracle { plan, ledger, counts: Counts::default(), found };
        for (id, mail) in &ledger.mail {
            oracle.mail(*id, mail);
        }
        (oracle.found, oracle.counts)
    }

    fn accuse(&mut self, id: u32, text: String) {
        self.found.push((Some(id), text));
    }

    fn mail(&mut self, id: u32, mail: &Mail) {
        self.counts.messages += u64::from(mail.taken().is_some());
        for (at, rcpt) in mail.rcpts.iter().enumerate() {
            self.promised(id, mail, at, rcpt);
            self.wanted(id, mail, at, rcpt);
            self.duplicates(id, rcpt);
            self.retries(id, rcpt);
            self.notices(id, mail, rcpt);
            self.in_time(id, mail, rcpt);
            self.counts.deliveries += rcpt.copies.len() as u64;
            self.counts.bounces += rcpt.notices as u64;
            let deferred = rcpt.lines.iter().filter(|line| line.status == "deferred");
            self.counts.deferrals += deferred.count() as u64;
        }
        self.lifetimes(id, mail);
    }

    /// What was acknowledged is not lost.
    fn promised(&mut self, id: u32, mail: &Mail, at: usize, rcpt: &Rcpt) {
        let Some((taken, queue_id)) = mail.taken() else { return };
        if !taken.accepted.contains(&at) {
            return;
        }
        self.counts.recipients += 1;
        let delivered = rcpt.copies.iter().any(|copy| copy.queue_id == queue_id);
        if delivered || rcpt.notices > 0 {
            return;
        }
        let deleted = self.queued(queue_id).is_some_and(|it| it.deleted.is_some());
        self.counts.deleted += u64::from(deleted);
        // Nobody reads notices about it: the log must say that it was given up.
        let nobody = mail.sender.is_none() || has_no_mailbox(id);
        let given_up = rcpt.lines.iter().any(|line| line.status == "bounced")
            || self.queued(queue_id).is_some_and(|it| it.expired.is_some());
        let excused = deleted || nobody && given_up;
        if !excused {
            self.accuse(id, format!("{queue_id} to {}: acknowledged and lost", rcpt.address));
        }
    }

    /// What arrives may have been acknowledged.
    fn wanted(&mut self, id: u32, mail: &Mail, at: usize, rcpt: &Rcpt) {
        let may = |fate: &Fate| matches!(fate, Fate::Taken(_) | Fate::Unanswered);
        let submissions =
            mail.tries.iter().filter(|it| may(&it.fate) && it.accepted.contains(&at)).count();
        let named: BTreeSet<&str> = rcpt.copies.iter().map(|copy| copy.queue_id.as_str()).collect();
        if named.len() > submissions {
            let text =
                format!("to {}: {submissions} submissions, copies of {named:?}", rcpt.address);
            self.accuse(id, text);
        }
    }

    fn duplicates(&mut self, id: u32, rcpt: &Rcpt) {
        for (at, copy) in rcpt.copies.iter().enumerate() {
            let mut earlier = rcpt.copies[..at].iter().rev();
            let Some(first) = earlier.find(|it| it.queue_id == copy.queue_id) else { continue };
            self.counts.duplicates += 1;
            if !self.is_explained(rcpt, first, copy) {
                let text = format!("{} to {}: delivered twice", copy.queue_id, rcpt.address);
                self.accuse(id, text);
            }
        }
        let named: BTreeSet<&str> = rcpt.copies.iter().map(|copy| copy.queue_id.as_str()).collect();
        self.counts.duplicates += named.len().saturating_sub(1) as u64;
    }

    /// The engine had not heard of the first copy, or it ended before that was written down.
    fn is_explained(&self, rcpt: &Rcpt, first: &Copy, second: &Copy) -> bool {
        let heard = rcpt.lines.iter().any(|line| {
            let own = line.queue_id == first.queue_id && line.status == "sent";
            own && (first.at..second.at).contains(&line.at)
        });
        !heard || self.ended_soon_after(first.at, second.at)
    }

    /// A notice has a cause, and comes once.
    fn notices(&mut self, id: u32, mail: &Mail, rcpt: &Rcpt) {
        let submissions = mail.taken().is_some() as usize + mail.unanswered().count();
        let vanished = self.ledger.excuses.vanished.contains(&rcpt.site);
        let names: BTreeSet<&str> = rcpt.lines.iter().map(|line| line.queue_id.as_str()).collect();
        let expired =
            names.iter().any(|name| self.queued(name).is_some_and(|it| it.expired.is_some()));
        if rcpt.notices > 0 && !expired && rcpt.kind != Kind::Never && !vanished {
            self.accuse(id, format!("to {}: came back without a cause", rcpt.address));
        }
        // A notice may be made twice and delivered twice for the reasons any mail may.
        if rcpt.notices > submissions.max(1) && self.ledger.excuses.ends.is_empty() {
            self.accuse(id, format!("to {}: {} notices", rcpt.address, rcpt.notices));
        }
        if rcpt.kind == Kind::Never && !rcpt.copies.is_empty() {
            self.accuse(id, format!("to {}: taken by a site that never does", rcpt.address));
        }
    }

    /// The site that is well is not kept waiting by those that are not.
    fn in_time(&mut self, id: u32, mail: &Mail, rcpt: &Rcpt) {
        let Some((taken, queue_id)) = mail.taken() else { return };
        let meddled = self
            .queued(queue_id)
            .is_none_or(|it| it.held || it.deleted.is_some() || it.expired.is_some());
        if rcpt.site != WELL || rcpt.kind != Kind::Usual || meddled {
            return;
        }
        let own = |copy: &&Copy| copy.queue_id == queue_id;
        let Some(copy) = rcpt.copies.iter().find(own) else { return };
        let waited = self.serving(taken.at, copy.at);
        self.counts.well_wait = self.counts.well_wait.max(waited);
        if waited > WELL_BOUND {
            let text = format!("{queue_id} to {}: waited for {waited:?}", rcpt.address);
            self.accuse(id, text);
        }
    }

    fn queued(&self, id: &str) -> Option<&super::ledger::Queued> {
        self.ledger.queued.get(id)
    }

    /// The time from one moment to another, the engine's absence not counted.
    fn serving(&self, from: Instant, to: Instant) -> Duration {
        let gone = self.ledger.excuses.ends.iter().map(|(down, up)| {
            let (down, up) = ((*down).max(from), (*up).min(to));
            if up > down { up.since(down) } else { Duration::ZERO }
        });
        to.since(from).saturating_sub(gone.sum())
    }
}
