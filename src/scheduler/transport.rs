//! A transport (Postfix: `QMGR_TRANSPORT`): its settings, its job list, its recipient slots.
//!
//! Settings are plain numbers that the caller read from main.cf under the transport's name, with
//! the `default_*` parameters already filled in.
//!
//! | state  | waits for                                       | new mail         |
//! |--------|-------------------------------------------------|------------------|
//! | Ready  | a delivery to start                             | queued           |
//! | Locked | the one delivery under way (transport rate)     | queued           |
//! | Paused | the end of the transport rate delay             | queued           |
//! | Dead   | the end of `transport_retry_time`               | deferred at once |
//!
//! Standards: qmgr(8), postconf(5).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::feedback::{Feedback, WindowRules};
use crate::job::OfTransport;
use crate::slab::{DestinationId, JobId, List};

/// What went wrong at a site or with a transport, for the recipients that have to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Enhanced status code, `4.4.1`.
    pub status: Arc<str>,
    /// Text for log and defer record, prefix included.
    pub text: Arc<str>,
}

impl Reason {
    pub(crate) fn new(status: &str, text: &str) -> Self {
        Self { status: Arc::from(status), text: Arc::from(text) }
    }
}

/// The parameters of one transport.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransportSettings {
    /// `*_destination_concurrency_limit`, 20; 0 is no limit. A destination rate delay makes it 1.
    pub destination_concurrency_limit: u32,
    /// `*_initial_destination_concurrency`, 5; never above the limit, at least 1.
    pub initial_destination_concurrency: u32,
    /// `*_destination_concurrency_positive_feedback`, 1.
    pub positive_feedback: Feedback,
    /// `*_destination_concurrency_negative_feedback`, 1.
    pub negative_feedback: Feedback,
    /// `*_destination_concurrency_failed_cohort_limit`, 1; 0 is never dead.
    pub failed_cohort_limit: u32,
    /// `*_destination_recipient_limit`, 50 recipients per delivery; 0 is no limit.
    pub destination_recipient_limit: u32,
    /// `*_recipient_limit`, 20000 recipients of this transport in memory.
    pub recipient_limit: u32,
    /// `*_extra_recipient_limit`, 1000 more for preempting jobs.
    pub extra_recipient_limit: u32,
    /// `*_recipient_refill_limit`, 100 free slots are worth a read.
    pub recipient_refill_limit: u32,
    /// `*_recipient_refill_delay`, 5 seconds after which fewer are.
    pub recipient_refill_delay_s: u32,
    /// `*_delivery_slot_cost`, 5; below 2 there is no preemption.
    pub delivery_slot_cost: u32,
    /// `*_delivery_slot_loan`, 3.
    pub delivery_slot_loan: u32,
    /// `*_delivery_slot_discount`, 50 percent.
    pub delivery_slot_discount: u32,
    /// `*_minimum_delivery_slots`, 3.
    pub minimum_delivery_slots: u32,
    /// `*_destination_rate_delay`, 0 seconds.
    pub destination_rate_delay_s: u32,
    /// `*_transport_rate_delay`, 0 seconds.
    pub transport_rate_delay_s: u32,
    /// master.cf's maxproc, or `default_process_limit`; 0 is no limit.
    pub process_limit: u32,
}

impl Default for TransportSettings {
    /// Postfix 3.7's `default_*` parameters.
    fn default() -> Self {
        Self {
            destination_concurrency_limit: 20,
            initial_destination_concurrency: 5,
            positive_feedback: Feedback::default(),
            negative_feedback: Feedback::default(),
            failed_cohort_limit: 1,
            destination_recipient_limit: 50,
            recipient_limit: 20_000,
            extra_recipient_limit: 1000,
            recipient_refill_limit: 100,
            recipient_refill_delay_s: 5,
            delivery_slot_cost: 5,
            delivery_slot_loan: 3,
            delivery_slot_discount: 50,
            minimum_delivery_slots: 3,
            destination_rate_delay_s: 0,
            transport_rate_delay_s: 0,
            process_limit: 100,
        }
    }
}

impl TransportSettings {
    pub(crate) fn window_rules(&self) -> WindowRules {
        let limit = match self.destination_rate_delay_s {
            0 => self.destination_concurrency_limit,
            _ => 1,
        };
        let initial = self.initial_destination_concurrency.max(1);
        WindowRules {
            limit,
            initial: if limit > 0 { initial.min(limit) } else { initial },
            positive: self.positive_feedback,
            negative: self.negative_feedback,
            failed_cohort_limit: self.failed_cohort_limit,
        }
    }
}

/// Whether deliveries of a transport may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransportState {
    Ready,
    Locked,
    Paused { until_ms: u64 },
    Dead { until_ms: u64, reason: Reason },
}

/// The best job to preempt the current one, as last searched.
#[derive(Clone, Copy)]
pub(crate) struct CandidateCache {
    pub(crate) current: JobId,
    pub(crate) best: Option<JobId>,
    pub(crate) searched_s: u64,
}

/// One transport and its jobs.
pub(crate) struct Transport {
    pub(crate) name: Arc<str>,
    pub(crate) settings: TransportSettings,
    pub(crate) rules: WindowRules,
    pub(crate) state: TransportState,
    /// By queue key; only those that exist.
    pub(crate) destinations: BTreeMap<Arc<str>, DestinationId>,
    /// Jobs with entries to select, by age, each preempting job in front of its parent.
    pub(crate) jobs: List<JobId, OfTransport>,
    /// The first job that may have something to select; `None` when all are blocked.
    pub(crate) current: Option<JobId>,
    /// The present blocker generation; a job or destination with this tag is a blocker.
    pub(crate) blocker_tag: u64,
    pub(crate) candidate: Option<CandidateCache>,
    /// Entries under way.
    pub(crate) busy: u32,
    /// Destinations with a waiting delivery that may start; without one no job is looked at.
    pub(crate) startable: u32,
    /// Recipient slots nobody has; below zero when first reads overdrew them.
    pub(crate) slots_unused: i64,
    /// Extra recipient slots for the next preempting job; below zero when a reload took some away
    /// that are lent.
    pub(crate) extra_slots: i64,
    /// Jobs of messages with recipients on disk, oldest first.
    pub(crate) unread_jobs: Vec<JobId>,
}

impl Transport {
    pub(crate) fn new(name: &str, settings: TransportSettings) -> Self {
        Self {
            name: Arc::from(name),
            settings,
            rules: settings.window_rules(),
            state: TransportState::Ready,
            destinations: BTreeMap::new(),
            jobs: List::EMPTY,
            current: None,
            blocker_tag: 1,
            candidate: None,
            busy: 0,
            startable: 0,
            slots_unused: settings.recipient_limit.into(),
            extra_slots: settings.extra_recipient_limit.into(),
            unread_jobs: Vec::new(),
        }
    }

    /// New numbers; slots that are in use stay in use.
    pub(crate) fn adopt(&mut self, settings: TransportSettings) {
        let more = |new: u32, old: u32| i64::from(new) - i64::from(old);
        let old = self.settings;
        self.slots_unused += more(settings.recipient_limit, old.recipient_limit);
        self.extra_slots += more(settings.extra_recipient_limit, old.extra_recipient_limit);
        self.settings = settings;
        self.rules = settings.window_rules();
        self.unblock();
    }

    /// Whether a delivery may start, as far as the transport is concerned.
    pub(crate) fn has_room(&self) -> bool {
        let limit = self.settings.process_limit;
        self.state == TransportState::Ready && (limit == 0 || self.busy < limit)
    }

    pub(crate) const fn dead_reason(&self) -> Option<&Reason> {
        match &self.state {
            TransportState::Dead { reason, .. } => Some(reason),
            TransportState::Ready | TransportState::Locked | TransportState::Paused { .. } => None,
        }
    }

    /// How many recipients of one destination go in one delivery.
    pub(crate) const fn entry_recipients_max(&self) -> u32 {
        match self.settings.destination_recipient_limit {
            0 => u32::MAX,
            limit => limit,
        }
    }

    /// Blockers may be blockers no more: look at the jobs from the first one on.
    pub(crate) fn unblock(&mut self) {
        self.blocker_tag += 1;
        self.current = self.jobs.head;
        self.candidate = None;
    }

    /// The transport's timer; answers whether the state changed.
    pub(crate) fn timer_due(&mut self, now_ms: u64) -> bool {
        let due = match self.state {
            TransportState::Paused { until_ms } | TransportState::Dead { until_ms, .. } => {
                until_ms <= now_ms
            }
            TransportState::Ready | TransportState::Locked => false,
        };
        if due {
            self.state = TransportState::Ready;
        }
        due
    }

    /// Forgets that it is dead.
    pub(crate) fn forgive(&mut self) {
        if matches!(self.state, TransportState::Dead { .. }) {
            self.state = TransportState::Ready;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_delay_means_one_at_a_time() {
        let settings =
            TransportSettings { destination_rate_delay_s: 3, ..TransportSettings::default() };
        let rules = settings.window_rules();
        assert_eq!((rules.limit, rules.initial), (1, 1));
    }

    #[test]
    fn the_initial_window_is_clamped_to_the_limit() {
        let settings =
            TransportSettings { destination_concurrency_limit: 2, ..TransportSettings::default() };
        assert_eq!(settings.window_rules().initial, 2);
        let unlimited =
            TransportSettings { destination_concurrency_limit: 0, ..TransportSettings::default() };
        assert_eq!(unlimited.window_rules().initial, 5);
    }

    #[test]
    fn a_timer_of_an_earlier_death_is_ignored() {
        let mut transport = Transport::new("smtp", TransportSettings::default());
        let reason = Reason::new("4.3.0", "mail transport unavailable");
        transport.state = TransportState::Dead { until_ms: 60_000, reason };
        assert!(!transport.timer_due(59_999));
        assert!(transport.timer_due(60_000));
        assert!(!transport.timer_due(60_001));
    }
}
