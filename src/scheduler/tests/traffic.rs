//! Random traffic; the oracle is a map of recipients and a map of deliveries under way.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{Done, Feedback, MessageId, Reason, SiteResult};

const SITES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Debug)]
enum Step {
    /// Recipients as (transport, site, alone), and how many are on disk.
    Admit(Vec<(usize, usize, bool)>, u32),
    Select(usize),
    Done(usize, u8),
    Wait(u64),
    Refill,
    FlushDead,
    Unthrottle(usize, usize),
    Withdraw(usize),
    Reload([u8; 3]),
}

fn step() -> impl Strategy<Value = Step> {
    let recipient = (0usize..3, 0usize..5, proptest::bool::weighted(0.1));
    let recipients = proptest::collection::vec(recipient, 1..40);
    let unread = prop_oneof![3 => Just(0u32), 1 => 1u32..60];
    prop_oneof![
        4 => (recipients, unread).prop_map(|(recipients, unread)| Step::Admit(recipients, unread)),
        4 => (1usize..12).prop_map(Step::Select),
        8 => (any::<usize>(), 0u8..20).prop_map(|(which, how)| Step::Done(which, how)),
        2 => (0u64..20_000).prop_map(Step::Wait),
        1 => (0u64..400_000).prop_map(Step::Wait),
        3 => Just(Step::Refill),
        1 => Just(Step::FlushDead),
        1 => (0usize..3, 0usize..5).prop_map(|(transport, site)| Step::Unthrottle(transport, site)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        1 => [0u8..6, 0u8..6, 0u8..6].prop_map(Step::Reload),
    ]
}

fn settings(number: u8) -> TransportSettings {
    let base = TransportSettings {
        destination_recipient_limit: 3,
        recipient_limit: 25,
        extra_recipient_limit: 7,
        recipient_refill_limit: 8,
        minimum_delivery_slots: 1,
        delivery_slot_cost: 3,
        ..TransportSettings::default()
    };
    match number {
        0 => TransportSettings { destination_concurrency_limit: 3, process_limit: 7, ..base },
        1 => TransportSettings { negative_feedback: Feedback::PerConcurrency(1.0), ..base },
        2 => TransportSettings { destination_rate_delay_s: 2, ..base },
        3 => TransportSettings { transport_rate_delay_s: 1, failed_cohort_limit: 0, ..base },
        4 => TransportSettings {
            destination_concurrency_limit: 1,
            recipient_limit: 5,
            extra_recipient_limit: 1,
            ..base
        },
        _ => TransportSettings { delivery_slot_cost: 0, failed_cohort_limit: 3, ..base },
    }
}

struct Oracle {
    scheduler: Scheduler,
    transports: Vec<TransportId>,
    now_ms: u64,
    /// Recipients of each message in memory and not settled.
    open: BTreeMap<u64, BTreeSet<u32>>,
    /// Recipients on disk, and the number of the next one.
    unread: BTreeMap<u64, (u32, u32)>,
    busy: Vec<Selected>,
    next_key: u64,
    messages: BTreeMap<u64, MessageId>,
    /// What was under way before a reload may be more than the new limits allow.
    reloaded: bool,
}

impl Oracle {
    fn new(kinds: [u8; 3]) -> Self {
        let limits = Limits {
            message_active_limit: 10,
            message_recipient_limit: 30,
            message_recipient_minimum: 4,
            ..Limits::default()
        };
        let mut scheduler = Scheduler::new(limits);
        let transports = ["smtp", "local", "relay"]
            .into_iter()
            .zip(kinds)
            .map(|(name, kind)| scheduler.transport(name, || settings(kind)))
            .collect();
        let (open, unread, busy) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let messages = BTreeMap::new();
        let (now_ms, next_key, reloaded) = (0, 0, false);
        Self { scheduler, transports, now_ms, open, unread, busy, next_key, messages, reloaded }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Admit(recipients, unread) => self.admit(&recipients, unread),
            Step::Select(count) => self.select(count),
            Step::Done(which, how) if !self.busy.is_empty() => {
                self.done(which % self.busy.len(), how);
            }
            Step::Done(..) => {}
            Step::Wait(wait_ms) => {
                self.now_ms += wait_ms;
                self.scheduler.tick(self.now_ms);
            }
            Step::Refill => self.refill(),
            Step::FlushDead => self.scheduler.flush_dead(),
            Step::Unthrottle(transport, site) => {
                self.scheduler.unthrottle(self.transports[transport], SITES[site]);
            }
            Step::Withdraw(which) if !self.messages.is_empty() => {
                let which = which % self.messages.len();
                let (&key, _) = self.messages.iter().nth(which).expect("there are more");
                self.withdraw(key);
            }
            Step::Withdraw(_) => {}
            Step::Reload(kinds) => self.reload(kinds),
        }
        assert_consistent(&self.scheduler);
    }

    fn routes(
        &self,
        first: u32,
        recipients: &[(usize, usize, bool)],
    ) -> Vec<RoutedRecipient<'static>> {
        (first..)
            .zip(recipients)
            .map(|(index, &(transport, site, alone))| RoutedRecipient {
                index,
                transport: self.transports[transport],
                destination: SITES[site],
                nexthop: SITES[site],
                alone,
            })
            .collect()
    }

    fn admit(&mut self, recipients: &[(usize, usize, bool)], unread: u32) {
        if !self.scheduler.room_for_message() {
            return;
        }
        let key = self.next_key;
        self.next_key += 1;
        let readable = self.scheduler.recipients_to_read().min(recipients.len());
        let routes = self.routes(0, &recipients[..readable]);
        let read = u32::try_from(readable).expect("few");
        self.open.insert(key, (0..read).collect());
        self.unread.insert(key, (unread, read));
        let admitted = self.scheduler.admit(key, &routes, unread, self.now_ms);
        self.messages.insert(key, admitted.message);
        self.entered(key, admitted);
    }

    fn refill(&mut self) {
        let Some(wanted) = self.scheduler.wants_refill(self.now_ms) else { return };
        let (unread, next) = self.unread[&wanted.key];
        assert!(wanted.recipients_max > 0 && wanted.recipients_max <= unread);
        let sites: Vec<_> =
            (0..wanted.recipients_max as usize).map(|n| (n % 3, n * 7 % 5, false)).collect();
        let routes = self.routes(next, &sites);
        let read = wanted.recipients_max;
        self.open.get_mut(&wanted.key).expect("it is open").extend(next..next + read);
        self.unread.insert(wanted.key, (unread - read, next + read));
        let message = wanted.message;
        let added = self.scheduler.add_recipients(message, &routes, unread - read, self.now_ms);
        self.entered(wanted.key, added);
    }

    fn entered(&mut self, key: u64, admitted: crate::Admitted) {
        for deferred in &admitted.deferred_at_once {
            self.settle(key, &deferred.recipients);
        }
        self.finish(key, admitted.message, admitted.message_finished);
    }

    /// Each recipient is settled exactly once.
    fn settle(&mut self, key: u64, recipients: &[u32]) {
        let open = self.open.get_mut(&key).expect("a message is open until it is finished");
        for recipient in recipients {
            assert!(open.remove(recipient), "{recipient} of {key} is settled twice");
        }
    }

    fn finish(&mut self, key: u64, message: MessageId, finished: bool) {
        assert_eq!(finished, self.open[&key].is_empty() && self.unread[&key].0 == 0);
        if finished {
            self.scheduler.finish(message);
            self.open.remove(&key);
            self.messages.remove(&key);
        }
    }

    /// What waits comes back; what is under way ends later.
    fn withdraw(&mut self, key: u64) {
        let message = self.messages[&key];
        let taken = self.scheduler.withdraw(message);
        self.settle(key, &taken);
        self.unread.insert(key, (0, 0));
        let busy = self.busy.iter().filter(|busy| busy.key == key);
        let under_way: usize = busy.map(|busy| busy.recipients.len()).sum();
        assert_eq!(self.open[&key].len(), under_way);
        self.finish(key, message, under_way == 0);
    }

    fn reload(&mut self, kinds: [u8; 3]) {
        let limits = self.scheduler.limits;
        self.scheduler.reconfigure(limits, |name| match name {
            "smtp" => settings(kinds[0]),
            "local" => settings(kinds[1]),
            _ => settings(kinds[2]),
        });
        self.reloaded = true;
    }

    fn select(&mut self, count: usize) {
        for _ in 0..count {
            let Some(selected) = self.scheduler.select(self.now_ms) else {
                assert_nothing_startable(&self.scheduler);
                return;
            };
            let open = &self.open[&selected.key];
            assert!(selected.recipients.iter().all(|recipient| open.contains(recipient)));
            assert!(selected.recipients.len() <= 3);
            let transport = selected.transport;
            self.busy.push(selected);
            self.assert_limits(transport);
        }
    }

    fn assert_limits(&self, transport: TransportId) {
        if self.reloaded {
            return;
        }
        let settings = &self.scheduler.transports[transport].settings;
        let mine = || self.busy.iter().filter(|busy| busy.transport == transport);
        assert!(mine().count() <= settings.process_limit as usize);
        assert!(settings.transport_rate_delay_s == 0 || mine().count() == 1);
        let limit = self.scheduler.transports[transport].rules.limit as usize;
        for site in SITES {
            assert!(mine().filter(|busy| &*busy.destination == site).count() <= limit);
        }
    }

    fn done(&mut self, which: usize, how: u8) {
        let Selected { entry, key, recipients, transport, destination, .. } =
            self.busy.swap_remove(which);
        let result = match how {
            0..=3 => SiteResult::Failed { status: "4.4.1", reason: "refused" },
            4 => SiteResult::AgentCrashed,
            5 => SiteResult::TransportUnavailable,
            _ => SiteResult::Ok,
        };
        let done = self.scheduler.done(entry, result, self.now_ms);
        assert_eq!(done.key, key);
        self.settle(key, &recipients);
        self.assert_flushed(&done, transport, &destination);
        for flushed in &done.flushed {
            self.settle(flushed.key, &flushed.recipients);
            if flushed.message_finished {
                self.finish(flushed.key, flushed.message, true);
            }
        }
        self.finish(key, done.message, done.message_finished);
    }

    fn assert_flushed(&self, done: &Done, transport: TransportId, site: &str) {
        let Some(dead) = &done.newly_dead else {
            return assert!(done.flushed.is_empty(), "only death flushes");
        };
        assert!(done.flushed.iter().all(|flushed| flushed.reason == dead.reason));
        for (_, other) in self.scheduler.destinations.iter() {
            let hit = dead.destination.is_none() || &*other.name == site;
            assert!(other.transport != transport || !hit || other.waiting == 0);
        }
    }

    fn is_idle(&self) -> bool {
        self.scheduler.refills.is_empty() && self.scheduler.counts().entries_waiting == 0
    }

    /// Everything that is left is delivered once nothing fails any more.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            while !self.busy.is_empty() {
                self.done(0, u8::MAX);
            }
            self.select(1000);
            self.refill();
            assert_consistent(&self.scheduler);
            if self.busy.is_empty() {
                match self.scheduler.next_event() {
                    Some(due_ms) => self.now_ms = self.now_ms.max(due_ms),
                    None if self.is_idle() => break,
                    None => {}
                }
                self.scheduler.tick(self.now_ms);
            }
        }
        assert!(self.open.is_empty(), "left over: {:?}", self.open);
        assert_empty(&self.scheduler);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_recipient_is_settled_once_and_no_limit_is_exceeded(
        kinds in [0u8..5, 0u8..5, 0u8..5],
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut oracle = Oracle::new(kinds);
        for step in steps {
            oracle.step(step);
        }
        oracle.drain();
    }
}

#[test]
fn reasons_are_shared_not_copied() {
    let reason = Reason::new("4.4.1", "refused");
    assert!(Arc::ptr_eq(&reason.text, &reason.clone().text));
}
