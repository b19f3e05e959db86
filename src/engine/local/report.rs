//! What a delivery to mailboxes has to say: a log line and a result for every recipient.

use super::Ending;
use crate::bounce::Action;
use crate::core::Core;
use crate::delivery::{DeliverRequest, Disposition, Outcome, Receipt, RecipientResult};
use crate::maillog::{Daemon, Delays, Event};
use mail::Dsn;
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

    /// A recipient's delivery, which began at `started`, is over.
    pub fn settle(&mut self, index: u32, started: Instant, ending: Ending) {
        let Ending { mut dsn, out_of_service } = ending;
        let (disposition, status) = Disposition::of(&mut dsn, self.soft_bounce);
        let message = &self.request.message;
        let recipient = &message.envelope.recipients[index as usize];
        let transmission = self.core.rt.now().since(started);
        self.core.log.log(&Event::Delivery {
            daemon: &self.daemon,
            id: message.id,
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
        let relay = self.request.transport.to_string();
        let delivered = || Receipt { relay, action: Action::Delivered };
        let receipt = (disposition == Disposition::Sent).then(delivered);
        self.results.push(RecipientResult {
            index,
            disposition,
            dsn,
            dsn_passed_on: false,
            receipt,
        });
    }

    /// The outcome.
    pub fn finish(self) -> Outcome {
        self.request.outcome(self.results, self.site_failure)
    }
}
