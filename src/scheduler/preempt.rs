//! The preemptive job scheduler: order of jobs, the stack of preempting jobs, delivery slots.
//!
//! Every delivery of a job earns a slot; a smaller job may take the place of a larger one when
//! the larger one has earned enough: `delivery_slot_cost` slots for each delivery of the smaller.
//! Thus a large message is slowed by 1/cost at most, and a small one waits little.
//!
//! Standards: Postfix's SCHEDULER_README, qmgr(8).

use crate::job::{Arena, Place};
use crate::scheduler::Scheduler;
use crate::slab::{JobId, List, TransportId};
use crate::transport::CandidateCache;

/// Below this slot cost there is no preemption.
const SLOT_COST_MIN: u32 = 2;

/// How much a job deserves to go first.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Score(f64);

impl Scheduler {
    /// Puts a job with new entries where it can be selected.
    pub(crate) fn offer(&mut self, job: JobId) {
        if self.arena.jobs[job].place == Place::Retired {
            return self.enter_line(job);
        }
        let owner = &mut self.transports[self.arena.jobs[job].transport];
        let was_blocker = self.arena.jobs[job].blocker_tag == owner.blocker_tag;
        // Its new entries may be for a destination that has room.
        self.arena.jobs[job].blocker_tag = 0;
        if was_blocker || owner.current.is_none() {
            owner.current = owner.jobs.head;
        }
    }

    /// Puts a job on the list by age; preempting jobs stay in front of the job they preempted.
    fn enter_line(&mut self, job: JobId) {
        let Arena { messages, jobs, .. } = &mut self.arena;
        let owner = &mut self.transports[jobs[job].transport];
        let sequence = messages[jobs[job].message].sequence;
        let mut before_current = owner.current.is_none();
        let mut prev = owner.jobs.tail;
        while let Some(other) = prev {
            let older = messages[jobs[other].message].sequence <= sequence;
            if jobs[other].place.parent().is_none() && older {
                break;
            }
            before_current |= owner.current == Some(other);
            prev = jobs[other].of_transport.prev;
        }
        owner.jobs.insert_after(jobs, prev, job);
        (jobs[job].place, jobs[job].blocker_tag, jobs[job].slots_used) = (Place::InLine, 0, 0);
        if before_current {
            owner.current = Some(job);
        }
        self.nominate(job);
    }

    /// Takes a job without waiting entries off the list.
    pub(crate) fn retire(&mut self, job: JobId) {
        self.give_up_children(job);
        self.leave_stack(job);
        let jobs = &mut self.arena.jobs;
        let owner = &mut self.transports[jobs[job].transport];
        if owner.current == Some(job) {
            owner.current = jobs[job].of_transport.next;
        }
        let names = |cache: &CandidateCache| cache.current == job || cache.best == Some(job);
        if owner.candidate.as_ref().is_some_and(names) {
            owner.candidate = None;
        }
        owner.jobs.unlink(jobs, job);
        jobs[job].place = Place::Retired;
    }

    /// The parent of a job takes over the jobs that preempted it.
    fn give_up_children(&mut self, job: JobId) {
        let jobs = &mut self.arena.jobs;
        let parent = jobs[job].place.parent();
        let mut children = core::mem::replace(&mut jobs[job].children, List::EMPTY);
        while let Some(child) = children.head {
            children.unlink(jobs, child);
            jobs[child].place = Place::Adopted { parent, level: jobs[child].place.level() };
            if let Some(parent) = parent {
                let mut list = core::mem::replace(&mut jobs[parent].children, List::EMPTY);
                list.push_back(jobs, child);
                jobs[parent].children = list;
            }
        }
    }

    /// Settles with the preempted job: it gets back what was paid for and not used.
    fn leave_stack(&mut self, job: JobId) {
        self.return_extra_slots(job);
        let jobs = &mut self.arena.jobs;
        let place = jobs[job].place;
        let Some(parent) = place.parent() else { return };
        let mut list = core::mem::replace(&mut jobs[parent].children, List::EMPTY);
        list.unlink(jobs, job);
        jobs[parent].children = list;
        if matches!(place, Place::Preempting { .. }) {
            let cost = self.transports[jobs[job].transport].settings.delivery_slot_cost;
            jobs[parent].slots_available -= jobs[job].slots_used * i64::from(cost);
        }
    }

    /// The job to select from: the current one, or one that preempts it now.
    pub(crate) fn preempt(&mut self, transport: TransportId, now_ms: u64) -> Option<JobId> {
        let current = self.transports[transport].current?;
        if self.transports[transport].settings.delivery_slot_cost < SLOT_COST_MIN {
            return Some(current);
        }
        let candidate = self.candidate(transport, current, now_ms);
        let Some(candidate) = candidate.filter(|&job| self.may_go_ahead(current, job)) else {
            return Some(current);
        };
        self.push(current, candidate);
        Some(candidate)
    }

    /// The best job that the current one could let go first.
    fn candidate(&mut self, transport: TransportId, current: JobId, now_ms: u64) -> Option<JobId> {
        let owner = &self.transports[transport];
        let job = &self.arena.jobs[current];
        let settings = &owner.settings;
        let worth = i64::from(settings.minimum_delivery_slots)
            .saturating_mul(settings.delivery_slot_cost.into());
        if job.slots_available <= 0 || job.entries_max(self.arena.unread_of(current)) < worth {
            return None;
        }
        let now_s = now_ms / 1000;
        let usable = |cache: &CandidateCache| {
            let blocked = |best: JobId| self.arena.jobs[best].blocker_tag == owner.blocker_tag;
            cache.current == current
                && cache.searched_s == now_s
                && !cache.best.is_some_and(blocked)
        };
        if let Some(cache) = owner.candidate.filter(usable) {
            return cache.best;
        }
        let best = self.search(current, now_ms);
        let found = CandidateCache { current, best, searched_s: now_s };
        self.transports[transport].candidate = Some(found);
        best
    }

    /// Looks through the jobs behind the current one.
    fn search(&self, current: JobId, now_ms: u64) -> Option<JobId> {
        let jobs = &self.arena.jobs;
        let mut best: Option<(JobId, Score)> = None;
        let mut next = jobs[current].of_transport.next;
        while let Some(job) = next {
            if let Some((_, Score(bound))) = best {
                // Whoever is younger and in line cannot score more, even with one entry.
                if jobs[job].place.level() == 0 && self.age_s(job, now_ms) <= bound {
                    break;
                }
            }
            if let Some(score) = self.score(current, job, now_ms)
                && best.is_none_or(|(_, bound)| score > bound)
            {
                best = Some((job, score));
            }
            next = jobs[job].of_transport.next;
        }
        best.map(|(job, _)| job)
    }

    /// A job just got in line: the cached answer need not be searched for anew.
    fn nominate(&mut self, job: JobId) {
        let owner = &self.transports[self.arena.jobs[job].transport];
        let Some(cache) = owner.candidate else { return };
        let now_ms = cache.searched_s.saturating_mul(1000);
        let score = |job| self.score(cache.current, job, now_ms);
        let Some(new) = score(job) else { return };
        if cache.best.and_then(score).is_none_or(|bound| new > bound) {
            let transport = self.arena.jobs[job].transport;
            self.transports[transport].candidate =
                Some(CandidateCache { best: Some(job), ..cache });
        }
    }

    /// `None` when the job cannot preempt the current one.
    fn score(&self, current: JobId, job: JobId, now_ms: u64) -> Option<Score> {
        let (parent, child) = (&self.arena.jobs[current], &self.arena.jobs[job]);
        let owner = &self.transports[child.transport];
        let left = i64::from(parent.entries_read - parent.selected) + parent.slots_available;
        let bound = left / i64::from(owner.settings.delivery_slot_cost);
        let needed = self.needed(job);
        let blocked = child.blocker_tag == owner.blocker_tag || child.children.head.is_some();
        if blocked || current == job || needed <= 0 || needed > bound {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "entries of one message fit 2^52")]
        let entries = child.entries_max(self.arena.unread_of(job)) as f64;
        Some(Score((self.age_s(job, now_ms) + 1.0) / entries))
    }

    /// Entries a job still has to select, each unread recipient taken for one.
    fn needed(&self, job: JobId) -> i64 {
        let unread = self.arena.unread_of(job);
        let job = &self.arena.jobs[job];
        job.entries_max(unread) - i64::from(job.selected)
    }

    /// Whole seconds since the job's message came in.
    fn age_s(&self, job: JobId, now_ms: u64) -> f64 {
        let admitted_ms = self.arena.messages[self.arena.jobs[job].message].admitted_ms;
        #[expect(clippy::cast_precision_loss, reason = "seconds in memory fit 2^52")]
        let age_s = (now_ms.saturating_sub(admitted_ms) / 1000) as f64;
        age_s
    }

    /// Whether the current job has earned enough, with loan and discount.
    fn may_go_ahead(&self, current: JobId, candidate: JobId) -> bool {
        let job = &self.arena.jobs[current];
        let settings = &self.transports[job.transport].settings;
        let earned = job.slots_available / i64::from(settings.delivery_slot_cost)
            + i64::from(settings.delivery_slot_loan);
        let percent = 100 - i64::from(settings.delivery_slot_discount.min(100));
        earned * 100 >= self.needed(candidate) * percent
    }

    /// The candidate goes in front of the current job and becomes the current one.
    fn push(&mut self, current: JobId, candidate: JobId) {
        self.leave_stack(candidate);
        let needed = self.needed(candidate);
        let jobs = &mut self.arena.jobs;
        let owner = &mut self.transports[jobs[current].transport];
        owner.jobs.unlink(jobs, candidate);
        owner.jobs.insert_after(jobs, jobs[current].of_transport.prev, candidate);
        owner.current = Some(candidate);
        owner.candidate = None;
        let level = jobs[current].place.level() + 1;
        jobs[current].slots_available -= needed * i64::from(owner.settings.delivery_slot_cost);
        jobs[candidate].slots_used = -needed;
        jobs[candidate].place = Place::Preempting { parent: current, level };
        let mut list = core::mem::replace(&mut jobs[current].children, List::EMPTY);
        list.push_back(jobs, candidate);
        jobs[current].children = list;
        self.lend_extra_slots(candidate);
    }
}
