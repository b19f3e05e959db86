//! Out of the active queue: starting deliveries, taking their results.

use super::stray::{self, Errand};
use super::{Active, FLAG_WARNED, Qmgr, millis};
use crate::bounce::{Action, Entry};
use crate::core::Core;
use crate::defer::Deferral;
use crate::delivery::{DeliverRequest, Disposition, Outcome, PartFailure, RecipientResult};
use crate::maillog::{Daemon, Delays};
use crate::parcel::{Parcel, Settle};
use mail::envelope::notify;
use mail::{Dsn, Status};
use queue::{Number, ReadError};
use runtime::Instant;
use scheduler::{Done, Selected, SiteResult};
use std::rc::Rc;
use std::sync::Arc;

/// Deliveries started in one turn.
const STARTS_PER_TURN: usize = 4096;

impl Qmgr {
    pub(super) fn deliver_some(&mut self, core: &Rc<Core>) {
        let now = millis(core.rt.now());
        for _ in 0..STARTS_PER_TURN {
            let Some(selected) = self.scheduler.select(now) else { return };
            self.start(core, selected);
        }
    }

    pub(super) fn start(&mut self, core: &Rc<Core>, selected: Selected) {
        let number = Number::from_u64(selected.key).expect("keys are numbers");
        let content = match self.content(core, number) {
            Ok(content) => content,
            Err(error) if stray::is_stray(&error) && self.known.get(number).is_some() => {
                return self.seek(core, number, Errand::Deliver(selected), &error);
            }
            Err(error) => return self.unreadable(core, number, &selected, &error),
        };
        let active = self.active.get_mut(&number).expect("scheduled messages are active");
        active.under_way += 1;
        let request = DeliverRequest {
            entry: selected.entry,
            message: active.info.clone(),
            recipients: selected.recipients.to_vec(),
            transport: self.transport_names[&selected.transport].clone(),
            nexthop: selected.nexthop,
            content,
            activated: active.activated,
            before_queue: active.before_queue,
            keep_connection: selected.keep_connection,
            handovers: 0,
        };
        self.under_way += 1;
        core.port.send(self.home(number), Parcel::Deliver(Box::new(request)));
    }

    /// The bytes cannot be had now: the recipients wait.
    pub(super) fn unreadable(
        &mut self,
        core: &Rc<Core>,
        number: Number,
        selected: &Selected,
        error: &ReadError,
    ) {
        core.log.warn(Daemon::Qmgr, &format!("message {number}: {error}"));
        let dsn = Arc::new(Dsn::local(Status::new(4, 3, 0), "queue file read error"));
        let deferral = |index: &u32| Deferral { index: *index, dsn: dsn.clone() };
        if let Some(active) = self.active.get_mut(&number) {
            active.pending -= selected.recipients.len();
            active.deferred.extend(selected.recipients.iter().map(deferral));
        }
        let done = self.scheduler.done(selected.entry, SiteResult::Ok, millis(core.rt.now()));
        debug_assert!(done.flushed.is_empty());
        self.finish_if_done(core, number);
    }

    pub(super) fn outcome(&mut self, core: &Rc<Core>, outcome: Outcome) {
        let number = outcome.message.number;
        self.under_way -= 1;
        let done = self.end_of_delivery(core, &outcome);
        let sent = sent_recipients(&outcome);
        let cleared = self.is_cleared(number);
        if let Some(active) = self.active.get_mut(&number) {
            active.under_way -= 1;
            outcome.results.into_iter().for_each(|result| active.note(result, cleared));
        }
        let mut touched = vec![number];
        for flushed in done.flushed {
            if let Some(other) = Number::from_u64(flushed.key) {
                self.suspend(core, other, &flushed.recipients, &flushed.reason);
                touched.push(other);
            }
        }
        touched.dedup();
        for number in touched {
            self.finish_if_done(core, number);
        }
        // The message is not over: a stop or a crash before its end must not send again to these.
        if !sent.is_empty() && self.active.contains_key(&number) {
            let mark = Settle::Mark { number, recipients: sent };
            core.port.send(self.home(number), Parcel::Settle(mark));
        }
    }

    /// Tells the scheduler how the site did.
    fn end_of_delivery(&mut self, core: &Core, outcome: &Outcome) -> Done {
        let failure = outcome.site_failure.as_ref();
        let status = failure.map(|dsn| dsn.status.to_string()).unwrap_or_default();
        let site = match failure {
            Some(_) if outcome.is_transport_failure() => SiteResult::TransportUnavailable,
            Some(dsn) => SiteResult::Failed { status: &status, reason: &dsn.reason },
            None => SiteResult::Ok,
        };
        let done = self.scheduler.done(outcome.entry, site, millis(core.rt.now()));
        if let Some(dead) = done.newly_dead.as_ref().filter(|dead| dead.destination.is_none()) {
            let why = match core.snapshot().program(&dead.transport) {
                None => "No such file or directory",
                Some(_) => "Connection refused",
            };
            let text = format!("connect to transport private/{}: {why}", dead.transport);
            core.log.warn(Daemon::Qmgr, &text);
        }
        done
    }

    /// The sender was told of a delay and is to be told of its end.
    fn is_cleared(&self, number: Number) -> bool {
        let warned = |known: &super::Known| known.flags & FLAG_WARNED != 0;
        self.settings.confirm_cleared && self.known.get(number).is_some_and(warned)
    }
}

fn sent_recipients(outcome: &Outcome) -> Vec<u32> {
    let sent = |result: &&RecipientResult| result.disposition == Disposition::Sent;
    outcome.results.iter().filter(sent).map(|result| result.index).collect()
}

impl Active {
    pub(super) fn delays(&self, now: Instant) -> Delays {
        Delays {
            before_queue: self.before_queue,
            in_queue: now.since(self.activated),
            ..Delays::default()
        }
    }

    fn note(&mut self, result: RecipientResult, cleared: bool) {
        self.pending -= 1;
        self.reports.extend(self.report(&result, cleared));
        let RecipientResult { index, disposition, dsn, failures, .. } = result;
        self.parts.extend(failures.into_iter().map(|PartFailure { recipient, dsn }| {
            let (part, dsn) = (Some(Arc::new(recipient)), Arc::new(dsn));
            Entry { index, part, dsn, action: Action::Failed }
        }));
        let dsn = Arc::new(dsn);
        match disposition {
            Disposition::Sent => self.sent.push(index),
            Disposition::Bounced => self.failed.push(Deferral { index, dsn }),
            Disposition::Deferred => self.deferred.push(Deferral { index, dsn }),
        }
    }

    /// A success that somebody wants to hear of.
    fn report(&self, result: &RecipientResult, cleared: bool) -> Option<Entry> {
        let receipt = result.receipt.as_ref()?;
        let bits = self.info.envelope.recipients[result.index as usize].notify;
        let asked = bits & notify::SUCCESS != 0 && !result.dsn_passed_on;
        let warned = cleared && (bits == 0 || bits & notify::DELAY != 0);
        let sent = result.disposition == Disposition::Sent;
        if !(asked || warned && sent) {
            return None;
        }
        let told = receipt.told.as_ref().or(sent.then_some(&result.dsn))?;
        let reason = format!("delivery via {}: {}", receipt.relay, told.reason);
        let dsn = Arc::new(Dsn { reason, ..told.clone() });
        Some(Entry { index: result.index, part: None, dsn, action: receipt.action })
    }
}
