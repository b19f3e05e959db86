//! Delivery agents: the program behind a transport's master.cf entry makes the delivery.
//!
//! A program this engine does not have yet is a transport that is not available: its mail waits.
//! lmtp is one of them: who speaks SMTP where LMTP is meant has mail returned that should wait.

use crate::core::Core;
use crate::custody::Custody;
use crate::delivery::{DeliverRequest, Outcome};
use crate::lookup::servers::Asker;
use crate::maillog::{Daemon, Maillog};
use crate::resolver::Resolver;
use crate::snapshot::Snapshot;
use crate::{error, local, smtp, vmailbox};
use runtime::Rt;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// One core's delivery agents.
pub struct Agents {
    rt: Rt,
    log: Rc<Maillog>,
    resolver: Rc<Resolver>,
    custody: Rc<Custody>,
    smtp: RefCell<Rc<smtp::Client>>,
    /// Shuffles the hosts of equal preference.
    seed: u64,
}

impl Agents {
    /// The agents of a core.
    pub fn new(
        rt: &Rt,
        log: Rc<Maillog>,
        resolver: Rc<Resolver>,
        custody: Rc<Custody>,
        snapshot: &Snapshot,
        seed: u64,
    ) -> Agents {
        let services = snapshot.smtp.iter().cloned();
        let smtp =
            smtp::Client::new(rt, log.clone(), resolver.clone(), custody.clone(), services, seed);
        Agents { rt: rt.clone(), log, resolver, custody, smtp: RefCell::new(smtp), seed }
    }

    /// Takes a new configuration over; deliveries under way end with the old one.
    pub fn reload(&self, snapshot: &Snapshot) {
        let (log, resolver) = (self.log.clone(), self.resolver.clone());
        let (custody, services) = (self.custody.clone(), snapshot.smtp.iter().cloned());
        *self.smtp.borrow_mut() =
            smtp::Client::new(&self.rt, log, resolver, custody, services, self.seed);
    }

    /// Makes a delivery.
    pub async fn deliver(&self, core: &Rc<Core>, request: DeliverRequest) -> Outcome {
        let snapshot = core.snapshot();
        match snapshot.program(&request.transport) {
            Some("smtp") => {
                let client = self.smtp.borrow().clone();
                client.deliver(request).await
            }
            Some("local") => local::deliver(core, request).await,
            Some("virtual") => vmailbox::deliver(core, request).await,
            Some("error") => error::refuse(core, request),
            Some("discard") => error::discard(core, request),
            _ => error::unavailable(core, request),
        }
    }

    /// Answers from the DNS: once per turn.
    pub fn pump(&self) {
        self.resolver.pump();
    }

    /// Whether such an answer waits.
    pub fn has_mail(&self) -> bool {
        self.resolver.has_mail()
    }

    /// What it takes to ask servers, on behalf of `daemon`.
    pub fn asker<'a>(&'a self, daemon: &'a Daemon) -> Asker<'a> {
        Asker { rt: &self.rt, log: &self.log, resolver: &self.resolver, daemon }
    }

    /// The verified name of a client, or `unknown`.
    pub async fn client_name(&self, address: IpAddr) -> String {
        self.resolver.reverse(address).await.verified().to_string()
    }
}
