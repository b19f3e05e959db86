//! What a delivery to mailboxes has to say: log lines, and one result for every recipient.
//!
//! A recipient that became several has a log line for each. It is done when none of them waits: it
//! is [`Disposition::Bounced`] when one of them failed, so that nothing is marked before the notice
//! about that is durable.

use super::Ending;
use super::expand::Expanded;
use crate::bounce::Action;
use crate::core::Core;
use crate::delivery::{
    DeliverRequest, Disposition, Outcome, PartFailure, Receipt, RecipientResult,
};
use crate::maillog::{Daemon, Delays, Event};
use mail::{Dsn, Recipient, Status};
use runtime::Instant;

/// Results of one request.
pub struct Report<'a> {
    core: &'a Core,
    daemon: Daemon,
    soft_bounce: bool,
    request: &'a DeliverRequest,
    results: Vec<RecipientResult>,
    site_failure: Option<Dsn>,
}

/// What has become of one recipient so far.
#[derive(Default)]
pub struct Tally {
    /// The first of them that waits.
    deferred: Option<Dsn>,
    failures: Vec<PartFailure>,
    /// The last that got it.
    sent: Option<Dsn>,
    /// What another transport has said of a success, and whether the next hop reports it.
    handed: Option<(Option<Receipt>, bool)>,
}

impl Tally {
    /// Whether some of it is to be tried again.
    pub fn is_deferred(&self) -> bool {
        self.deferred.is_some()
    }
}

impl<'a> Report<'a> {
    /// Nothing to say yet; `daemon` is who will say it.
    pub fn new(
        core: &'a Core,
        daemon: Daemon,
        soft_bounce: bool,
        request: &'a DeliverRequest,
    ) -> Report<'a> {
        let results = Vec::with_capacity(request.recipients.len());
        Report { core, daemon, soft_bounce, request, results, site_failure: None }
    }

    /// A recipient's delivery, which began at `started`, is over; it is nobody but itself.
    pub fn settle(&mut self, index: u32, started: Instant, ending: Ending) {
        let recipient = &self.request.message.envelope.recipients[index as usize];
        let mut tally = Tally::default();
        let counted = self.log(recipient, started, ending);
        self.count(&mut tally, recipient, counted);
        self.conclude(index, tally, None);
    }

    /// Logs the end of a delivery that began at `started`: what it means, and its status with
    /// `soft_bounce` in mind.
    pub fn log(
        &mut self,
        recipient: &Recipient,
        started: Instant,
        ending: Ending,
    ) -> (Disposition, Dsn) {
        let Ending { mut dsn, out_of_service } = ending;
        let (disposition, status) = Disposition::of(&mut dsn, self.soft_bounce);
        let transmission = self.core.rt.now().since(started);
        self.core.log.log(&Event::Delivery {
            daemon: &self.daemon,
            id: self.request.message.id,
            recipient: &recipient.address,
            original: &recipient.original,
            relay: &self.request.transport,
            conn_use: 1,
            delays: Delays { transmission, ..self.request.delays(started) },
            dsn: dsn.status,
            status,
            text: &dsn.reason,
        });
        if out_of_service {
            self.site_failure.get_or_insert_with(|| dsn.clone());
        }
        (disposition, dsn)
    }

    /// Counts what became of `recipient`, or of a part of it.
    pub fn count(
        &self,
        tally: &mut Tally,
        recipient: &Recipient,
        (disposition, mut dsn): (Disposition, Dsn),
    ) {
        // Where a reason is kept it has no blanks at its end.
        dsn.reason.truncate(dsn.reason.trim_end().len());
        match disposition {
            Disposition::Sent => tally.sent = Some(dsn),
            Disposition::Deferred => drop(tally.deferred.get_or_insert(dsn)),
            Disposition::Bounced => {
                tally.failures.push(PartFailure { recipient: recipient.clone(), dsn });
            }
        }
    }

    /// Counts what another transport has made of `recipient`, or of a part of it; that has logged
    /// it.
    pub fn count_handed(&self, tally: &mut Tally, recipient: &Recipient, result: RecipientResult) {
        let RecipientResult { disposition, dsn, dsn_passed_on, receipt, failures, .. } = result;
        if disposition == Disposition::Sent {
            tally.handed = Some((receipt, dsn_passed_on));
        }
        let told = disposition == Disposition::Bounced && !failures.is_empty();
        tally.failures.extend(failures);
        if !told {
            self.count(tally, recipient, (disposition, dsn));
        }
    }

    /// A recipient's delivery is over.
    pub fn conclude(&mut self, index: u32, tally: Tally, expanded: Option<Expanded>) {
        let Tally { deferred, failures, sent, handed } = tally;
        let failed = failures.first().map(|failure| failure.dsn.clone());
        let (disposition, dsn) = match (deferred, failed) {
            (Some(dsn), _) => (Disposition::Deferred, dsn),
            (None, Some(dsn)) => (Disposition::Bounced, dsn),
            (None, None) => (Disposition::Sent, sent.unwrap_or_else(nothing)),
        };
        let action = match expanded {
            Some(Expanded::Plain) => Action::Expanded,
            Some(Expanded::ByOwner) | None => Action::Delivered,
        };
        let relay = self.request.transport.to_string();
        let (handed, dsn_passed_on) = handed.unwrap_or_default();
        let receipt = match (disposition, expanded) {
            (Disposition::Deferred, _) | (Disposition::Bounced, None) => None,
            (Disposition::Sent, None) => handed.or(Some(Receipt { relay, action, told: None })),
            (_, Some(_)) => {
                let told = Some(Dsn::local(Status::new(2, 0, 0), "alias expanded"));
                Some(Receipt { relay, action, told })
            }
        };
        let dsn_passed_on = dsn_passed_on && expanded.is_none();
        let result = RecipientResult { index, disposition, dsn, dsn_passed_on, receipt, failures };
        self.results.push(result);
    }

    /// The outcome.
    pub fn finish(self) -> Outcome {
        self.request.outcome(self.results, self.site_failure)
    }
}

/// Every part of it was a duplicate.
fn nothing() -> Dsn {
    Dsn::local(Status::new(2, 0, 0), "delivered before")
}
