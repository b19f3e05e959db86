//! [`Snapshot`]: the configuration as the engine uses it, read once and replaced whole on reload.
//!
//! Sessions keep the snapshot they began with; a reload drops none of them.

use crate::cleanup::{self, checks::Checks, mapping::Mapping, receive::Receive};
use crate::lookup::opened::Tables;
use crate::lookup::remarks::Remark;
use crate::lookup::{Maps, Opener};
use crate::maillog::Daemon;
use crate::smtp::generic::Generic;
use crate::smtpd::Smtpd;
use crate::trivial_rewrite::Resolver;
use crate::{bounce, local, qmgr, smtp, vmailbox};
use config::check::{self, Finding};
use config::params::BadValue;
use config::{MasterCf, Params};
use mail::Address;
use protocol::smtp::client::Stage;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tables::catalog::System;

/// anvil's two times.
#[derive(Clone, Copy, Debug)]
pub struct AnvilTimes {
    /// `anvil_rate_time_unit`.
    pub unit: Duration,
    /// `anvil_status_update_time`.
    pub status_update: Duration,
}

/// Everything read from main.cf and master.cf.
pub struct Snapshot {
    /// main.cf.
    pub params: Params,
    /// `myhostname`.
    pub myhostname: String,
    /// `mail_name`.
    pub mail_name: String,
    /// `enable_long_queue_ids`.
    pub long_ids: bool,
    /// The smtpd services, in master.cf's order.
    pub smtpd: Vec<Smtpd>,
    /// Address classes and routes.
    pub resolver: Arc<Resolver>,
    /// What cleanup needs.
    pub cleanup: cleanup::Settings,
    /// `remote_header_rewrite_domain`.
    pub remote_rewrite_domain: String,
    /// Address mappings.
    pub mapping: Mapping,
    /// header_checks, body_checks and their like.
    pub checks: Checks,
    /// Whether notices are checked too (`internal_mail_filter_classes`).
    pub checks_notices: CheckedNotices,
    /// What is left out of local submissions (pickup's `receive_override_options`).
    pub pickup: Receive,
    /// Its `content_filter`, empty for none.
    pub pickup_filter: String,
    /// What the queue manager needs.
    pub qmgr: qmgr::Settings,
    /// `alias_maps`.
    pub alias_maps: Maps,
    /// What the notices need.
    pub bounce: bounce::Settings,
    /// Own addresses: clients among them are local (`permit_inet_interfaces`).
    pub own_addresses: Vec<IpAddr>,
    /// `always_add_missing_headers`.
    pub always_add_missing: bool,
    /// When anvil counts anew, and when it tells.
    pub anvil: AnvilTimes,
    /// Local submissions that need SMTPUTF8 get it.
    pub detects_smtputf8: bool,
    /// `delay_warning_time` in seconds, zero for never.
    pub delay_warning: u64,
    /// `queue_minfree`, bytes.
    pub queue_minfree: u64,
    /// Which transports master.cf has, with the program behind each.
    pub transports: Vec<(String, String)>,
    /// Every smtp and lmtp service with its own parameters.
    pub smtp: Vec<(String, Arc<smtp::Settings>)>,
    /// Every local service.
    pub local: Vec<(String, Arc<local::Settings>)>,
    /// Every virtual service.
    pub virtuals: Vec<(String, Arc<vmailbox::Settings>)>,
    /// A parameter that would restrict who may send is set and not acted upon: nobody may send.
    pub closed: bool,
    /// What should be said about the configuration at start.
    pub remarks: Vec<Remark>,
    /// All tables.
    pub tables: Tables,
}

impl Snapshot {
    /// Reads the configuration and opens its tables.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(params: Params, master: &MasterCf, system: System) -> Result<Snapshot, BadValue> {
        Self::with(params, master, system, Tables::default())
    }

    /// The same configuration with the tables as they are now, and what should be said of them;
    /// tables whose files have not changed are taken over.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn refreshed(
        &self,
        master: &MasterCf,
        system: System,
    ) -> Result<(Snapshot, Vec<Remark>), BadValue> {
        let new = Self::with(self.params.clone(), master, system, self.tables.clone())?;
        let news = new.remarks.iter().filter(|remark| !self.remarks.contains(remark));
        let news = news.cloned().collect();
        Ok((new, news))
    }

    fn with(
        params: Params,
        master: &MasterCf,
        system: System,
        before: Tables,
    ) -> Result<Snapshot, BadValue> {
        let opener = Opener::new(&params, system, before)?;
        // Whoever delivers nothing locally need not have these tables.
        opener.speak_as(Daemon::Local);
        let delivers = master.services().iter().any(|service| service.command == "local");
        let alias_maps = match delivers {
            true => opener.sensitive_maps(&params, "alias_maps")?,
            false => Maps::default(),
        };
        let own_addresses = own_addresses(&params)?;
        opener.speak_as(Daemon::TrivialRewrite);
        let resolver = Arc::new(Resolver::new(&params, own_addresses.clone(), &opener)?);
        opener.speak_as(Daemon::Smtpd);
        let mut smtpd = Vec::new();
        for service in master.services().iter().filter(|service| service.command == "smtpd") {
            smtpd.push(Smtpd::new(service, &params, &opener)?);
        }
        let smtp = smtp_services(&params, master, &own_addresses, &opener, &resolver)?;
        opener.speak_as(Daemon::Local);
        let local = local_services(&params, master, &opener)?;
        opener.speak_as(Daemon::Virtual);
        let virtuals = virtual_services(&params, master, &opener)?;
        opener.speak_as(Daemon::Cleanup);
        let mapping = Mapping::new(&params, &opener)?;
        let checks = Checks::new(&params, &opener)?;
        opener.insist()?;
        let (mut remarks, tables) = opener.finish();
        let mut warnings = Vec::new();
        let qmgr = qmgr::Settings::new(&params, master, &mut warnings)?;
        let bounce = bounce::Settings::new(&params, &mut warnings)?;
        warnings.sort();
        warnings.dedup();
        let closed = findings(&params, master, &mut warnings);
        let warning = |text| Remark::warning(Daemon::Smtpd, text);
        remarks.extend(warnings.into_iter().map(warning));
        let transports = transports(master);
        Ok(Snapshot {
            myhostname: params.text("myhostname")?,
            mail_name: params.text("mail_name")?,
            long_ids: params.flag("enable_long_queue_ids")?,
            smtpd,
            resolver,
            cleanup: cleanup_settings(&params)?,
            mapping,
            checks,
            checks_notices: checks_notices(&params)?,
            pickup: pickup(&params, master, Receive::new)?,
            pickup_filter: pickup(&params, master, |params| params.text("content_filter"))?,
            remote_rewrite_domain: params.text("remote_header_rewrite_domain")?,
            qmgr,
            bounce,
            alias_maps,
            own_addresses,
            always_add_missing: params.flag("always_add_missing_headers")?,
            anvil: AnvilTimes {
                unit: Duration::from_secs(params.seconds("anvil_rate_time_unit")?),
                status_update: Duration::from_secs(params.seconds("anvil_status_update_time")?),
            },
            detects_smtputf8: detects_smtputf8(&params)?,
            delay_warning: params.seconds("delay_warning_time")?,
            queue_minfree: params.int("queue_minfree")?.unsigned_abs(),
            transports,
            smtp,
            local,
            virtuals,
            closed,
            remarks,
            tables,
            params,
        })
    }

    /// The longest that any smtp service waits for the reply to the end of data.
    pub fn longest_reply(&self) -> Duration {
        let limits = self.smtp.iter().map(|(_, settings)| settings.timeouts.of(Stage::End));
        limits.max().unwrap_or_default()
    }

    /// What a recipient was, where messages are to show it (`enable_original_recipient`).
    pub fn shown_original<'a>(&self, original: &'a Address) -> Option<&'a Address> {
        self.cleanup.keeps_original.then_some(original)
    }

    /// The program behind a master.cf transport.
    pub fn program(&self, transport: &str) -> Option<&str> {
        let found = self.transports.iter().find(|(name, _)| name == transport)?;
        Some(&found.1)
    }
}

/// `internal_mail_filter_classes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedNotices {
    /// What is about a message.
    pub bounce: bool,
    /// What tells a postmaster of errors.
    pub notify: bool,
}

/// Which notices go through header_checks and body_checks.
fn checks_notices(params: &Params) -> Result<CheckedNotices, BadValue> {
    const NAME: &str = "internal_mail_filter_classes";
    let words = params.list(NAME)?;
    match words.iter().find(|word| !matches!(word.as_str(), "bounce" | "notify")) {
        Some(word) => Err(params.unknown_word(NAME, NAME, word)),
        None => {
            let has = |class: &str| words.iter().any(|word| word == class);
            Ok(CheckedNotices { bounce: has("bounce"), notify: has("notify") })
        }
    }
}

/// Whether `smtputf8_autodetect_classes` has local submissions, and SMTPUTF8 is in use.
fn detects_smtputf8(params: &Params) -> Result<bool, BadValue> {
    let classes = params.list("smtputf8_autodetect_classes")?;
    let listed = classes.iter().any(|class| class == "sendmail" || class == "all");
    Ok(listed && params.flag("smtputf8_enable")?)
}

/// Names what is set and not acted upon. True when that would let mail pass that should be stopped.
fn findings(params: &Params, master: &MasterCf, warnings: &mut Vec<String>) -> bool {
    let mut closed = false;
    for finding in check::findings(params, master, &check::acted_upon) {
        warnings.push(finding.to_string());
        if let Finding::NotActedUpon { place, restricts_senders: true } = &finding {
            closed |= closes(params, &place.name, &place.value);
        }
    }
    closed
}

/// Whether a restriction that is not acted upon is in force: not switched off, not as it is by
/// default. Rates and counts bound how much a client may send, not which clients may; postscreen is
/// not there to be asked; TLS that clients may use keeps nobody out.
fn closes(params: &Params, name: &str, value: &str) -> bool {
    let Ok(expanded) = params.expand(value) else { return true };
    let off = matches!(expanded.trim(), "" | "no" | "0" | "none" | "may");
    let default = params.default_of(name).is_some_and(|default| default == value);
    let harmless = name.ends_with("_limit") || name.starts_with("postscreen_");
    !off && !default && !harmless
}

fn transports(master: &MasterCf) -> Vec<(String, String)> {
    let local = |service: &&config::master_cf::Service| service.endpoint.is_none();
    let services = master.services().iter().filter(local);
    services.map(|service| (service.name.clone(), service.command.clone())).collect()
}

/// The smtp and lmtp services.
fn smtp_services(
    params: &Params,
    master: &MasterCf,
    own: &[IpAddr],
    opener: &Opener,
    resolver: &Arc<Resolver>,
) -> Result<Vec<(String, Arc<smtp::Settings>)>, BadValue> {
    let mut services = Vec::new();
    for service in master.services() {
        if service.endpoint.is_none() && matches!(service.command.as_str(), "smtp" | "lmtp") {
            let params = params.of_service(service);
            opener.speak_as(if service.command == "lmtp" { Daemon::Lmtp } else { Daemon::Smtp });
            let mut settings = smtp::Settings::read(&params, own.to_vec(), opener)?;
            settings.generic = Generic::read(&params, opener, resolver, &service.command)?;
            services.push((service.name.clone(), Arc::new(settings)));
        }
    }
    Ok(services)
}

/// What `read` makes of the parameters as the pickup service has them.
fn pickup<T>(
    params: &Params,
    master: &MasterCf,
    read: impl FnOnce(&Params) -> Result<T, BadValue>,
) -> Result<T, BadValue> {
    let service = master.services().iter().find(|service| service.command == "pickup");
    match service {
        Some(service) => read(&params.of_service(service)),
        None => read(params),
    }
}

fn local_services(
    params: &Params,
    master: &MasterCf,
    opener: &Opener,
) -> Result<Vec<(String, Arc<local::Settings>)>, BadValue> {
    let services = master.services().iter();
    let local = services.filter(|service| service.endpoint.is_none() && service.command == "local");
    let read = |service: &config::master_cf::Service| {
        let params = params.of_service(service);
        let mut settings = local::Settings::read(&service.name, &params)?;
        settings.transports = local::Transports::open(&params, opener)?;
        Ok((service.name.clone(), Arc::new(settings)))
    };
    local.map(read).collect()
}

fn virtual_services(
    params: &Params,
    master: &MasterCf,
    opener: &Opener,
) -> Result<Vec<(String, Arc<vmailbox::Settings>)>, BadValue> {
    let services = master.services().iter();
    let own = services.filter(|service| service.endpoint.is_none() && service.command == "virtual");
    let read = |service: &config::master_cf::Service| {
        let params = params.of_service(service);
        let settings = vmailbox::Settings::read(&service.name, &params, opener)?;
        Ok((service.name.clone(), Arc::new(settings)))
    };
    own.map(read).collect()
}

/// The addresses mail is received at: the interfaces, as `inet_interfaces` selects them, and
/// `proxy_interfaces`.
fn own_addresses(params: &Params) -> Result<Vec<IpAddr>, BadValue> {
    let words = params.list("inet_interfaces")?;
    let interfaces = params.host().interfaces.iter().map(|(address, _)| *address);
    let mut own: Vec<IpAddr> = Vec::new();
    for word in &words {
        let plain = word.trim_matches(['[', ']']);
        match word.as_str() {
            "all" => own.extend(interfaces.clone()),
            "loopback-only" => own.extend(interfaces.clone().filter(IpAddr::is_loopback)),
            name => match plain.parse() {
                Ok(address) => own.push(address),
                Err(_) => own.extend(params.host().resolved.get(name).into_iter().flatten()),
            },
        }
    }
    let proxies = params.list("proxy_interfaces")?;
    own.extend(
        proxies.iter().filter_map(|word| word.trim_matches(['[', ']']).parse::<IpAddr>().ok()),
    );
    Ok(own)
}

fn cleanup_settings(params: &Params) -> Result<cleanup::Settings, BadValue> {
    Ok(cleanup::Settings {
        myhostname: params.text("myhostname")?,
        hopcount_limit: params.int("hopcount_limit")? as u32,
        header_size_limit: params.int("header_size_limit")? as usize,
        address_token_limit: params.int("header_address_token_limit")? as usize,
        drop: params.list("message_drop_headers")?,
        obsolete_from: params.text("header_from_format")? == "obsolete",
        keeps_original: params.flag("enable_original_recipient")?,
        duplicate_filter_limit: params.int("duplicate_filter_limit")?.unsigned_abs() as usize,
        undisclosed_recipients: params.text("undisclosed_recipients_header")?,
        long_ids: params.flag("enable_long_queue_ids")?,
    })
}
