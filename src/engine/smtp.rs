//! smtp(8): delivers mail to other hosts by SMTP.
//!
//! One [`Client`] per core. The queue manager hands a request to [`Client::deliver`] within a task
//! and gets an outcome with one result for each recipient; the client writes the recipients' log
//! lines. Connections may be kept for the next delivery to the same destination.
//!
//! | step | good | bad |
//! | --- | --- | --- |
//! | what an earlier engine left under way | its recipients are settled | next hop |
//! | next hop | look up hosts | next of the list, then `smtp_fallback_relay` |
//! | host | connect | next host |
//! | handshake | transaction | next host, or all recipients fail |
//! | transaction | recipients settled one by one | temporary: next host; others are final |
//!
//! Diagnostics: what fails for the mail's sake is in the outcome; what an administrator should act
//! on is a warning in the log. Nothing here panics on account of a server.
//!
//! Limits: `smtp_mx_address_limit`, `smtp_mx_session_limit`, the time limits of each stage,
//! [`idle::IDLE_MAX`], [`content::SEND_BYTES_MAX`].
//!
//! Standards: smtp(8) of Postfix 3.7; RFC 5321, RFC 3461.

mod connection;
pub mod content;
mod delivery;
mod downgrade;
mod end_of_data;
pub mod filter;
mod fold;
pub mod generic;
pub(crate) mod hosts;
pub mod idle;
pub mod nexthop;
mod report;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::custody::Custody;
use crate::delivery::{DeliverRequest, Outcome};
use crate::maillog::{Daemon, Maillog};
use crate::resolver::Resolver;
use delivery::Delivery;
use idle::Idle;
use report::Report;
use runtime::Rt;
use runtime::sim::Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub use settings::Settings;

/// The SMTP client of one core.
pub struct Client {
    rt: Rt,
    log: Rc<Maillog>,
    resolver: Rc<Resolver>,
    custody: Rc<Custody>,
    services: BTreeMap<String, Arc<Settings>>,
    idle: Rc<Idle>,
    random: RefCell<Rng>,
}

impl Client {
    /// A client for the services named, which shuffles hosts as `seed` says.
    pub fn new(
        rt: &Rt,
        log: Rc<Maillog>,
        resolver: Rc<Resolver>,
        custody: Rc<Custody>,
        services: impl IntoIterator<Item = (String, Arc<Settings>)>,
        seed: u64,
    ) -> Rc<Client> {
        let services = services.into_iter().collect();
        let (idle, random) = (Idle::new(rt), RefCell::new(Rng::new(seed)));
        Rc::new(Client { rt: rt.clone(), log, resolver, custody, services, idle, random })
    }

    /// Delivers; every recipient of the request gets one result and one log line. A request for a
    /// service that does not exist is deferred.
    pub async fn deliver(self: &Rc<Self>, request: DeliverRequest) -> Outcome {
        let report = Report::new(&self.rt, &self.log, &request);
        match self.services.get(&*request.transport) {
            Some(settings) => Delivery::new(self, settings, &request, report).run().await,
            None => {
                let transport = &request.transport;
                let text = format!("mail transport {transport} is not an smtp service");
                self.log.warn(Daemon::Smtp, &text);
                report.unavailable()
            }
        }
    }

    /// Connections that wait for another delivery.
    pub fn idle_connections(&self) -> usize {
        self.idle.len()
    }
}
