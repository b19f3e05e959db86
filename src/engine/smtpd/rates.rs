//! What smtpd asks of anvil(8): limits per client, and their refusals.
//!
//! Called by `session`. A client of `smtpd_client_event_limit_exceptions` is not counted at all.
//!
//! **Standards**: smtpd(8), postconf(5); replies and log lines as Postfix words them.

use crate::anvil::{Now, Rate, Visit};
use crate::core::Core;
use crate::lookup::Opener;
use crate::maillog::{Client, Daemon, Event};
use crate::match_list::Networks;
use config::Params;
use config::params::BadValue;
use mail::date::LogDate;
use protocol::smtp::reply::Reply;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Limits of one service; 0 for none.
#[derive(Debug)]
pub struct Limits {
    /// The service's name in master.cf.
    pub service: Arc<str>,
    /// `smtpd_client_connection_count_limit`.
    connection_count: u32,
    /// `smtpd_client_connection_rate_limit`.
    connection_rate: u32,
    /// `smtpd_client_message_rate_limit`.
    message_rate: u32,
    /// `smtpd_client_recipient_rate_limit`.
    recipient_rate: u32,
    /// `smtpd_client_event_limit_exceptions`.
    exceptions: Networks,
    /// `anvil_rate_time_unit`.
    unit: Duration,
}

impl Limits {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(service: &str, params: &Params, opener: &Opener) -> Result<Limits, BadValue> {
        let limit = |name: &str| params.int(name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Ok(Limits {
            service: service.into(),
            connection_count: limit("smtpd_client_connection_count_limit")?,
            connection_rate: limit("smtpd_client_connection_rate_limit")?,
            message_rate: limit("smtpd_client_message_rate_limit")?,
            recipient_rate: limit("smtpd_client_recipient_rate_limit")?,
            exceptions: opener.networks(params, "smtpd_client_event_limit_exceptions")?,
            unit: Duration::from_secs(params.seconds("anvil_rate_time_unit")?),
        })
    }

    /// Whether a client is not counted. A list that cannot tell exempts nobody.
    pub fn is_exempt(&self, address: IpAddr, client: &Client) -> bool {
        self.exceptions.contains(address, &client.name).is_yes()
    }

    /// Counts a client that has come; nothing for one that is exempt.
    pub fn enter(&self, core: &Core, address: IpAddr, client: &Client) -> Option<Visit> {
        if self.is_exempt(address, client) {
            return None;
        }
        core.anvil.connect(&self.service, address, self.unit, now(core))
    }

    /// Why the client may not stay, if it may not.
    ///
    /// # Errors
    /// The reply instead of a greeting.
    pub fn connection(
        &self,
        core: &Core,
        visit: &Visit,
        client: &Client,
        hostname: &str,
    ) -> Result<(), Reply> {
        let (count, limit) = (visit.connections, self.connection_count);
        let what = match () {
            () if is_over(count, limit) => {
                format!("Connection concurrency limit exceeded: {count}")
            }
            () if is_over(visit.rate, self.connection_rate) => {
                format!("Connection rate limit exceeded: {}", visit.rate)
            }
            () => return Ok(()),
        };
        self.warn(core, &what, client);
        let address = &client.address;
        let text = format!("421 4.7.0 {hostname} Error: too many connections from {address}");
        Err(Reply::from(text))
    }

    /// Whether the client may send another message.
    ///
    /// # Errors
    /// The refusal.
    pub fn message(&self, core: &Core, visit: &Visit, client: &Client) -> Result<(), Reply> {
        let what = "Message delivery request rate limit exceeded";
        let reply = "450 4.7.1 Error: too much mail";
        self.event(core, (visit, client), Rate::Message, self.message_rate, (what, reply))
    }

    /// Whether it may name another recipient.
    ///
    /// # Errors
    /// The refusal.
    pub fn recipient(&self, core: &Core, visit: &Visit, client: &Client) -> Result<(), Reply> {
        let what = "Recipient address rate limit exceeded";
        let reply = "450 4.7.1 Error: too many recipients";
        self.event(core, (visit, client), Rate::Recipient, self.recipient_rate, (what, reply))
    }

    fn event(
        &self,
        core: &Core,
        (visit, client): (&Visit, &Client),
        rate: Rate,
        limit: u32,
        (what, reply): (&str, &str),
    ) -> Result<(), Reply> {
        if limit == 0 {
            return Ok(());
        }
        let count = visit.count(rate, self.unit, now(core));
        if !is_over(count, limit) {
            return Ok(());
        }
        self.warn(core, &format!("{what}: {count}"), client);
        Err(Reply::from(format!("{reply} from {}", client.address)))
    }

    fn warn(&self, core: &Core, what: &str, client: &Client) {
        let text = format!("{what} from {client} for service {}", self.service);
        core.log.warn(Daemon::Smtpd, &text);
    }
}

fn is_over(count: u32, limit: u32) -> bool {
    limit > 0 && count > limit
}

fn now(core: &Core) -> Now {
    Now { instant: core.rt.now(), unix: core.rt.unix_time().seconds() }
}

/// Tells the log about the busiest clients now and then, and forgets who is gone. On one core.
pub fn keep_statistics(core: &Rc<Core>) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let mut next_report = core.rt.now() + core.snapshot().anvil.status_update;
        while !core.is_stopping() {
            let settings = core.snapshot().anvil;
            let next_look = core.rt.now() + settings.unit;
            core.rt.sleep_until(next_look.min(next_report)).await;
            core.anvil.forget(settings.unit, core.rt.now());
            if core.rt.now() >= next_report {
                report(&core, settings.unit);
                next_report = core.rt.now() + settings.status_update;
            }
        }
        report(&core, core.snapshot().anvil.unit);
    });
}

fn report(core: &Core, unit: Duration) {
    let time = |unix| {
        let offset = core.local.at(unix).offset;
        LogDate { unix, offset, zero: true }.to_string()
    };
    for text in core.anvil.statistics(unit, time) {
        core.log.log(&Event::Info { daemon: Daemon::Anvil, text: &text });
    }
}
