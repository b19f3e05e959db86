//! What a delivery has to say: results for the queue manager, lines for the log.
//!
//! Every recipient is settled exactly once; [`Report::finish`] checks it.

use super::connection::Host;
use super::settings::Settings;
use crate::bounce::Action;
use crate::delivery::{DeliverRequest, Disposition, Outcome, Receipt, RecipientResult};
use crate::maillog::{Daemon, Delays, Event, Maillog};
use mail::{Dsn, Status};
use runtime::{Instant, Rt};

/// Whether a failure counts against the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The destination cannot be reached or does not talk to us.
    Site,
    /// It does not want this mail.
    Mail,
}

/// Which server the lines are about: `relay=`, `conn_use=`.
#[derive(Clone, Copy)]
pub struct Relay<'a> {
    /// The server.
    pub host: &'a Host,
    /// How many deliveries its connection has been used for.
    pub uses: u32,
}

/// Results and lines of one delivery.
pub struct Report<'a> {
    rt: &'a Rt,
    log: &'a Maillog,
    request: &'a DeliverRequest,
    left: Vec<u32>,
    results: Vec<RecipientResult>,
    site_failure: Option<Dsn>,
    started: Instant,
    ready: Option<Instant>,
}

impl<'a> Report<'a> {
    /// Nothing to say yet.
    pub fn new(rt: &'a Rt, log: &'a Maillog, request: &'a DeliverRequest) -> Report<'a> {
        Report {
            rt,
            log,
            request,
            left: request.recipients.clone(),
            results: Vec::with_capacity(request.recipients.len()),
            site_failure: None,
            started: rt.now(),
            ready: None,
        }
    }

    /// The recipients that are not settled.
    pub fn left(&self) -> &[u32] {
        &self.left
    }

    /// The connection is set up: what follows is transmission.
    pub fn ready(&mut self) {
        self.ready = Some(self.rt.now());
    }

    /// Nobody could be reached because the service does not exist.
    pub fn unavailable(mut self) -> Outcome {
        let why = Dsn::local(Status::new(4, 3, 0), crate::delivery::TRANSPORT_UNAVAILABLE);
        for index in self.left.clone() {
            self.settle(&Daemon::Smtp, index, None, "deferred", &why);
            self.result(index, Disposition::Deferred, why.clone());
        }
        self.site_failure = Some(why);
        self.finish()
    }

    /// Says that another server will be tried, and why.
    pub fn skipped(&self, settings: &Settings, why: &Dsn) {
        let (daemon, id) = (&settings.daemon, self.request.message.id);
        self.log.log(&Event::HostSaid { daemon, id, text: &why.reason });
    }

    /// A server could not be connected to.
    pub fn not_connected(&self, settings: &Settings, why: &Dsn) {
        self.log.log(&Event::Connecting { daemon: &settings.daemon, text: &why.reason });
    }

    /// Something an administrator should know.
    pub fn warn(&self, settings: &Settings, text: &str) {
        self.log.warn(settings.daemon.clone(), text);
    }

    /// A recipient's message was accepted.
    pub fn sent(
        &mut self,
        settings: &Settings,
        index: u32,
        relay: Relay<'_>,
        dsn: Dsn,
        on: PassedOn,
    ) {
        let relay = self.settle(&settings.daemon, index, Some(relay), "sent", &dsn);
        let receipt = relay.map(|relay| Receipt { relay, action: Action::Relayed, told: None });
        let dsn_passed_on = on == PassedOn::Yes;
        self.results.push(RecipientResult {
            index,
            disposition: Disposition::Sent,
            dsn,
            dsn_passed_on,
            receipt,
            failures: Vec::new(),
        });
    }

    /// A recipient is deferred or bounced, as the status says.
    pub fn failed(
        &mut self,
        settings: &Settings,
        index: u32,
        relay: Option<Relay<'_>>,
        why: &Dsn,
        blame: Blame,
    ) {
        let mut why = why.clone();
        let (disposition, status) = Disposition::of(&mut why, settings.soft_bounce);
        self.settle(&settings.daemon, index, relay, status, &why);
        self.result(index, disposition, why.clone());
        if blame == Blame::Site && disposition == Disposition::Deferred {
            self.site_failure.get_or_insert(why);
        }
    }

    /// The outcome.
    pub fn finish(self) -> Outcome {
        assert!(self.left.is_empty(), "every recipient is settled");
        self.request.outcome(self.results, self.site_failure)
    }

    fn result(&mut self, index: u32, disposition: Disposition, dsn: Dsn) {
        self.results.push(RecipientResult {
            index,
            disposition,
            dsn,
            dsn_passed_on: false,
            receipt: None,
            failures: Vec::new(),
        });
    }

    /// Crosses a recipient off and writes its line.
    fn settle(
        &mut self,
        daemon: &Daemon,
        index: u32,
        relay: Option<Relay<'_>>,
        status: &str,
        dsn: &Dsn,
    ) -> Option<String> {
        let at = self.left.iter().position(|left| *left == index);
        self.left.remove(at.expect("a recipient is settled once"));
        let message = &self.request.message;
        let recipient = &message.envelope.recipients[index as usize];
        let name = relay.map(|relay| relay.host.to_string());
        self.log.log(&Event::Delivery {
            daemon,
            id: message.id,
            recipient: &recipient.address,
            original: &recipient.original,
            relay: name.as_deref().unwrap_or("none"),
            conn_use: relay.map_or(1, |relay| relay.uses),
            delays: self.delays(),
            dsn: dsn.status,
            status,
            text: &dsn.reason,
        });
        name
    }

    fn delays(&self) -> Delays {
        let now = self.rt.now();
        let ready = self.ready.unwrap_or(now);
        Delays {
            setup: ready.since(self.started),
            transmission: now.since(ready),
            ..self.request.delays(self.started)
        }
    }
}

/// Whether the server has taken over the duty to report success (RFC 3461).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// It offers DSN.
    Yes,
    /// It does not.
    No,
}
