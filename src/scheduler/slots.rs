//! Recipient slots: how many recipients are in memory, and when more are read.
//!
//! Each transport has a pool of slots. The oldest job with recipients on disk gets all unused
//! ones; a job whose message is read to the end gives its slots back as its recipients finish. A
//! job that preempts another gets half of what is left of a second pool.
//! The slots of a message are those of its jobs and `message_recipient_minimum`.
//!
//! Standards: postconf(5) `default_recipient_limit`, `default_extra_recipient_limit`,
//! `default_recipient_refill_limit`, `default_recipient_refill_delay`.

use core::cmp::Reverse;

use crate::job::{Arena, Refill};
use crate::scheduler::Scheduler;
use crate::slab::{JobId, MessageId, TransportId};
use crate::wake::Wake;

/// However many slots are free, no more recipients than this are read at a time.
const READ_RECIPIENTS_MAX: u32 = 5000;

/// Recipients to read into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Wanted {
    /// The message.
    pub message: MessageId,
    /// The caller's name for the message.
    pub key: u64,
    /// At most this many; at least 1.
    pub recipients_max: u32,
}

impl Scheduler {
    /// How many recipients of a new message may be read before it is admitted.
    #[must_use]
    pub fn recipients_to_read(&self) -> usize {
        let free = (self.limits.message_recipient_limit as usize).saturating_sub(self.recipients);
        let wanted = free.max(self.limits.message_recipient_minimum as usize);
        wanted.min(READ_RECIPIENTS_MAX as usize)
    }

    /// The next message of which more recipients should be read, handed out once: the caller
    /// answers with [`Scheduler::add_recipients`] or [`Scheduler::finish`].
    pub fn wants_refill(&mut self, now_ms: u64) -> Option<Wanted> {
        while let Some(message) = self.refills.pop_front() {
            self.arena.messages[message].refill = Refill::Idle;
            // It may have got more recipients, or lost a job, since it was put here.
            if !self.is_refill_due(message, now_ms) {
                self.review_refill(message, now_ms);
                continue;
            }
            let free = self.free_slots(message).min(READ_RECIPIENTS_MAX.into());
            let owner = &mut self.arena.messages[message];
            owner.refill = Refill::Reading;
            let wanted = free.min(owner.unread.into());
            let recipients_max = u32::try_from(wanted).expect("not above the read limit");
            return Some(Wanted { message, key: owner.key, recipients_max });
        }
        None
    }

    fn is_refill_due(&self, message: MessageId, now_ms: u64) -> bool {
        let free = self.free_slots(message);
        let (worth, due_ms) = self.refill_rules(message);
        free > 0 && (free >= worth || now_ms >= due_ms)
    }

    /// Slots of the message that no recipient in memory has; may be negative.
    fn free_slots(&self, message: MessageId) -> i64 {
        let Arena { messages, jobs, .. } = &self.arena;
        let mut slots = i64::from(self.limits.message_recipient_minimum.max(1));
        let mut next = messages[message].jobs.head;
        while let Some(job) = next {
            slots += jobs[job].recipient_slots + i64::from(jobs[job].extra_slots);
            next = jobs[job].of_message.next;
        }
        slots - i64::from(messages[message].recipients)
    }

    /// Decides whether the message is to be read further now, later, or not yet.
    pub(crate) fn review_refill(&mut self, message: MessageId, now_ms: u64) {
        let owner = &self.arena.messages[message];
        if owner.unread == 0 || matches!(owner.refill, Refill::Due | Refill::Reading) {
            return;
        }
        if self.free_slots(message) <= 0 {
            return;
        }
        let due = self.is_refill_due(message, now_ms);
        let (_, due_ms) = self.refill_rules(message);
        let owner = &mut self.arena.messages[message];
        if due {
            owner.refill = Refill::Due;
            self.refills.push_back(message);
        } else if owner.refill == Refill::Idle {
            owner.refill = Refill::Delayed;
            self.timers.push(Reverse((due_ms, Wake::Refill(message))));
        }
    }

    /// Free slots that are worth a read, and when fewer are: the least of the message's jobs.
    fn refill_rules(&self, message: MessageId) -> (i64, u64) {
        let Arena { messages, jobs, .. } = &self.arena;
        let owner = &messages[message];
        let mut next = owner.jobs.head;
        // Without a job nothing is in memory, and nothing else would start a read.
        let mut rules = if next.is_none() { (1, owner.read_ms) } else { (i64::MAX, u64::MAX) };
        while let Some(job) = next {
            let settings = &self.transports[jobs[job].transport].settings;
            let delay_ms = u64::from(settings.recipient_refill_delay_s) * 1000;
            rules.0 = rules.0.min(settings.recipient_refill_limit.into());
            rules.1 = rules.1.min(owner.read_ms.saturating_add(delay_ms));
            next = jobs[job].of_message.next;
        }
        rules
    }

    /// The timer of a delayed read.
    pub(crate) fn refill_timer_due(&mut self, message: MessageId, now_ms: u64) {
        if self.arena.messages.get(message).is_some_and(|owner| owner.refill == Refill::Delayed) {
            self.arena.messages[message].refill = Refill::Idle;
            self.review_refill(message, now_ms);
        }
    }

    /// The caller has read, or will not.
    pub(crate) fn forget_refill(&mut self, message: MessageId) {
        let owner = &mut self.arena.messages[message];
        if owner.refill == Refill::Due {
            self.refills.retain(|&other| other != message);
        }
        owner.refill = Refill::Idle;
    }

    /// A job of a message with recipients on disk gets in line for unused slots.
    pub(crate) fn enter_unread(&mut self, job: JobId) {
        let Arena { messages, jobs, .. } = &self.arena;
        let sequence = |job: JobId| messages[jobs[job].message].sequence;
        let unread_jobs = &mut self.transports[jobs[job].transport].unread_jobs;
        let index = unread_jobs.partition_point(|&other| sequence(other) <= sequence(job));
        unread_jobs.insert(index, job);
        self.grant(jobs[job].transport);
    }

    /// The first unread job gets what nobody has.
    pub(crate) fn grant(&mut self, transport: TransportId) {
        let owner = &mut self.transports[transport];
        if owner.slots_unused <= 0 {
            return;
        }
        if let Some(&first) = owner.unread_jobs.first() {
            self.arena.jobs[first].recipient_slots += core::mem::take(&mut owner.slots_unused);
            let message = self.arena.jobs[first].message;
            let read_ms = self.arena.messages[message].read_ms;
            self.review_refill(message, read_ms);
        }
    }

    /// A job whose message is read to the end has as many slots as recipients.
    pub(crate) fn settle_slots(&mut self, job: JobId) {
        if self.arena.unread_of(job) > 0 {
            return;
        }
        let settled = &mut self.arena.jobs[job];
        let owner = &mut self.transports[settled.transport];
        let recipients = i64::from(settled.recipients);
        owner.slots_unused += settled.recipient_slots - recipients;
        settled.recipient_slots = recipients;
        owner.extra_slots += i64::from(core::mem::take(&mut settled.extra_slots));
        let transport = settled.transport;
        self.grant(transport);
    }

    /// The last recipients are in memory: its jobs stand in line for slots no more.
    pub(crate) fn read_to_the_end(&mut self, message: MessageId) {
        assert!(self.arena.messages[message].unread == 0, "there is more to read");
        let mut next = self.arena.messages[message].jobs.head;
        while let Some(job) = next {
            next = self.arena.jobs[job].of_message.next;
            let owner = &mut self.transports[self.arena.jobs[job].transport];
            owner.unread_jobs.retain(|&other| other != job);
            self.settle_slots(job);
            self.drop_job_if_empty(job);
        }
    }

    /// A preempting job with recipients on disk gets half of the extra slots, rounded up.
    pub(crate) fn lend_extra_slots(&mut self, job: JobId) {
        let unread = self.arena.unread_of(job);
        let owner = &mut self.transports[self.arena.jobs[job].transport];
        let half = u32::try_from(owner.extra_slots).unwrap_or(0).div_ceil(2);
        let lent = half.min(unread);
        owner.extra_slots -= i64::from(lent);
        self.arena.jobs[job].extra_slots += lent;
    }

    /// The job preempts no more.
    pub(crate) fn return_extra_slots(&mut self, job: JobId) {
        let owner = &mut self.transports[self.arena.jobs[job].transport];
        let lent = core::mem::take(&mut self.arena.jobs[job].extra_slots);
        owner.extra_slots += i64::from(lent);
    }
}
