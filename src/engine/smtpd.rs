//! smtpd(8): the SMTP server.
//!
//! [`Service`] is one line of master.cf with its parameters; `session` serves one client.
//! Sessions are tasks of the core that accepted the connection.
//!
//! Standards: smtpd(8), postconf(5); RFC 5321.

use crate::cleanup::receive::Receive;
use crate::core::Core;
use crate::limits::{ACCEPT_PAUSE, COMMAND_LINE_MAX};
use crate::lookup::{Maps, Opener};
use crate::maillog::Daemon;
use crate::match_list::Networks;
use config::Params;
use config::params::BadValue;
use protocol::smtp::data::BareNewline;
use protocol::smtp::ehlo::Keywords;
use protocol::smtp::{path, server};
use runtime::Sock;
use runtime::net::{Listener, Stream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::{Lookup, Table};

mod access;
pub mod door;
mod footer;
mod local_clients;
pub mod rates;
pub mod restrictions;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod transcript;
mod unlisted;

use restrictions::Restrictions;

/// One smtpd service of master.cf.
pub struct Smtpd {
    /// Its name there, by which a reload finds it again.
    pub name: String,
    /// How many clients it may serve at once, when master.cf says so.
    pub process_limit: Option<usize>,
    calm: Arc<Service>,
    stressed: Arc<Service>,
}

impl Smtpd {
    /// Reads the parameters, also as they are under stress.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(
        service: &config::master_cf::Service,
        params: &Params,
        opener: &Opener,
    ) -> Result<Smtpd, BadValue> {
        let params = params.of_service(service);
        let stress = params.with_overrides(&[("stress".into(), "yes".into())]);
        Ok(Smtpd {
            name: service.name.clone(),
            process_limit: service.max_proc.filter(|max| *max > 0).map(|max| max as usize),
            calm: Arc::new(Service::new(&service.name, &params, opener)?),
            stressed: Arc::new(Service::new(&service.name, &stress, opener)?),
        })
    }

    /// The settings for a session.
    fn service(&self, stressed: bool) -> &Arc<Service> {
        if stressed { &self.stressed } else { &self.calm }
    }
}

/// What sessions of one service need of the configuration.
pub struct Service {
    /// What the dialogue needs.
    pub protocol: server::Settings,
    /// The greeting, without code and host name checks: `smtpd_banner`.
    pub banner: String,
    /// `smtpd_timeout`.
    pub timeout: Duration,
    /// `smtpd_min_data_rate` in bytes per second, when `smtpd_per_request_deadline` is set: the
    /// timeout is for a whole request then.
    pub min_data_rate: Option<u64>,
    /// `smtpd_error_sleep_time`.
    pub error_sleep: Duration,
    /// `smtpd_soft_error_limit`.
    pub soft_errors: u32,
    /// `smtpd_forbid_bare_newline`.
    pub bare_newline: BareNewline,
    /// `smtpd_forbid_bare_newline_exclusions`.
    pub bare_newline_exclusions: Networks,
    /// `smtpd_forbid_bare_newline_reject_code`.
    pub bare_newline_code: u16,
    /// Who may send where.
    pub restrictions: Restrictions,
    /// What is left out (`receive_override_options`).
    pub receive: Receive,
    /// `content_filter`, when there is one.
    pub content_filter: Option<String>,
    /// Who has a mailbox.
    pub recipients: unlisted::Recipients,
    /// What refusals end with.
    footer: Option<footer::Footer>,
    /// How much one client may do.
    pub rates: rates::Limits,
    /// `mynetworks`.
    pub mynetworks: Networks,
    /// Whose headers are completed.
    local_clients: local_clients::LocalClients,
    /// Who reads what clients have said.
    transcripts: transcript::Settings,
    /// `smtpd_peername_lookup`.
    pub peername_lookup: bool,
    /// `smtpd_discard_ehlo_keywords`.
    discarded: Keywords,
    /// `smtpd_discard_ehlo_keyword_address_maps`.
    discarded_for: Maps,
}

impl Service {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(name: &str, params: &Params, opener: &Opener) -> Result<Service, BadValue> {
        let networks = |parameter: &str| opener.networks(params, parameter);
        Ok(Service {
            protocol: protocol_settings(params, opener)?,
            banner: params.text("smtpd_banner")?,
            timeout: Duration::from_secs(params.seconds("smtpd_timeout")?),
            min_data_rate: min_data_rate(params)?,
            error_sleep: Duration::from_secs(params.seconds("smtpd_error_sleep_time")?),
            soft_errors: params.int("smtpd_soft_error_limit")? as u32,
            bare_newline: bare_newline(params)?,
            bare_newline_exclusions: networks("smtpd_forbid_bare_newline_exclusions")?,
            bare_newline_code: params.int("smtpd_forbid_bare_newline_reject_code")? as u16,
            receive: Receive::new(params)?,
            content_filter: Some(params.text("content_filter")?).filter(|it| !it.is_empty()),
            recipients: unlisted::Recipients::new(params, opener)?,
            footer: footer::Footer::new(params, opener)?,
            rates: rates::Limits::new(name, params, opener)?,
            mynetworks: networks("mynetworks")?,
            restrictions: Restrictions::new(params, opener)?,
            local_clients: local_clients::LocalClients::new(params, opener)?,
            transcripts: transcript::Settings::new(params)?,
            peername_lookup: params.flag("smtpd_peername_lookup")?,
            discarded: named(&params.list("smtpd_discard_ehlo_keywords")?),
            discarded_for: opener.maps(params, "smtpd_discard_ehlo_keyword_address_maps")?,
        })
    }
}

fn min_data_rate(params: &Params) -> Result<Option<u64>, BadValue> {
    let rate = params.int("smtpd_min_data_rate")?.unsigned_abs().max(1);
    Ok(params.flag("smtpd_per_request_deadline")?.then_some(rate))
}

impl Service {
    /// The keywords this client is not offered: its own list, or everybody's.
    ///
    /// # Errors
    /// A table cannot tell; why.
    fn discarded(&self, address: &str) -> Result<Keywords, String> {
        match self.discarded_for.lookup(address.as_bytes()) {
            Lookup::Found(list) => {
                Ok(named(&config::params::split(&String::from_utf8_lossy(&list))))
            }
            Lookup::NotFound => Ok(self.discarded),
            Lookup::Retry(why) => Err(format!("smtpd_discard_ehlo_keyword_address_maps: {why}")),
        }
    }
}

fn protocol_settings(params: &Params, opener: &Opener) -> Result<server::Settings, BadValue> {
    let upper = |words: Vec<String>| words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let number = |name: &str| params.int(name).map(|value| value as u32);
    Ok(server::Settings {
        hostname: params.text("myhostname")?,
        keywords: offered(params)?,
        limits: server::Limits {
            hard_errors: number("smtpd_hard_error_limit")?,
            junk_commands: number("smtpd_junk_command_limit")?,
            recipients: number("smtpd_recipient_limit")?,
            recipient_overshoot: number("smtpd_recipient_overshoot_limit")?,
            command_line: command_line_limit(params, opener)?,
            message_size: params.int("message_size_limit")?.unsigned_abs(),
        },
        helo_required: params.flag("smtpd_helo_required")?,
        vrfy_disabled: params.flag("disable_vrfy_command")?,
        forbidden: upper(params.list("smtpd_forbidden_commands")?),
        noop: upper(params.list("smtpd_noop_commands")?),
        soft_bounce: params.flag("soft_bounce")?,
        forbid_pipelining: params.flag("smtpd_forbid_unauth_pipelining")?,
        paths: path::Rules::read(|name| params.flag(name))?,
    })
}

/// `line_length_limit`, within what a session looks at.
fn command_line_limit(params: &Params, opener: &Opener) -> Result<usize, BadValue> {
    let limit = params.int("line_length_limit")?.unsigned_abs() as usize;
    if limit > COMMAND_LINE_MAX {
        let text = format!("line_length_limit: {limit} is too much, using {COMMAND_LINE_MAX}");
        opener.warn(text);
    }
    Ok(limit.min(COMMAND_LINE_MAX))
}

fn offered(params: &Params) -> Result<Keywords, BadValue> {
    let mut keywords = Keywords::PIPELINING
        .with(Keywords::SIZE)
        .with(Keywords::ETRN)
        .with(Keywords::ENHANCED)
        .with(Keywords::EIGHT_BIT_MIME)
        .with(Keywords::DSN)
        .with(Keywords::CHUNKING);
    if !params.flag("disable_vrfy_command")? {
        keywords = keywords.with(Keywords::VRFY);
    }
    if params.flag("smtputf8_enable")? {
        keywords = keywords.with(Keywords::SMTPUTF8);
    }
    Ok(keywords)
}

/// The keywords of a list; other words mean nothing.
fn named(words: &[String]) -> Keywords {
    let named = words.iter().filter_map(|word| Keywords::named(word));
    named.fold(Keywords::default(), Keywords::with)
}

/// Set by the administrator, or safe: 3.7's own default lets messages be smuggled.
fn bare_newline(params: &Params) -> Result<BareNewline, BadValue> {
    let value = params.text("smtpd_forbid_bare_newline")?;
    Ok(match value.as_str() {
        "no" if params.is_set("smtpd_forbid_bare_newline") => BareNewline::Accept,
        "reject" => BareNewline::Reject,
        _ => BareNewline::Normalize,
    })
}

/// Accepts clients at `sock` until the core stops. `service` is an index into the snapshot's
/// services.
pub fn listen(core: &Rc<Core>, sock: Sock, service: usize) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let listener = Listener::new(&core.rt, sock);
        while !core.is_stopping() {
            match listener.accept().await {
                Ok(stream) => admit(&core, service, &listener, stream).await,
                Err(error) => {
                    core.log.warn(Daemon::Smtpd, &format!("accept connection: {error}"));
                    core.rt.sleep_until(core.rt.now() + ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

/// Starts a session, once there is room for it.
async fn admit(core: &Rc<Core>, service: usize, listener: &Listener, stream: Stream) {
    loop {
        let snapshot = core.snapshot();
        // A reload may have taken the service away; its listener goes with the next start.
        let Some(smtpd) = snapshot.smtpd.get(service) else { return };
        let door = core.doors.of(&smtpd.name);
        if let Some(pass) = door.enter(smtpd.process_limit) {
            core.sessions.set(core.sessions.get() + 1);
            let service = smtpd.service(pass.stressed).clone();
            core.rt.spawn(session::serve(core.clone(), service, stream, pass));
            return;
        }
        if door.should_warn(core.rt.now()) {
            warn_full(core, smtpd);
        }
        listener.pause();
        core.rt.sleep_until(core.rt.now() + ACCEPT_PAUSE).await;
        if core.is_stopping() {
            return;
        }
    }
}

fn warn_full(core: &Core, smtpd: &Smtpd) {
    let name = &smtpd.name;
    let limit = match smtpd.process_limit {
        Some(limit) => format!("process limit \"{limit}\""),
        None => "share of the open files this process may have".into(),
    };
    let text = format!(
        "service \"{name}\" has reached its {limit}: new clients may experience noticeable delays"
    );
    core.log.warn(Daemon::Master, &text);
    let advice = "to avoid this condition, increase the process count in master.cf or reduce the \
                  service time per client";
    core.log.warn(Daemon::Master, advice);
}
