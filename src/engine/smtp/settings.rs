//! What smtp(8) reads from the configuration, once per service.
//!
//! Limits: `smtp_connect_timeout = 0` means the system's own limit, taken as [`CONNECT_TIME_MAX`].

use super::generic::Generic;
use crate::lookup::Opener;
use crate::maillog::Daemon;
use crate::match_list::Domains;
use crate::resolver::{Families, Service};
use config::Params;
use config::params::BadValue;
use protocol::mx::FamilyPreference;
use protocol::smtp::client::commands::Quoting;
use protocol::smtp::client::{EhloUse, Hello, Stage};
use protocol::smtp::ehlo::Keywords;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection attempt may take when the configuration does not limit it.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(600);

/// Time limits of the stages of a dialogue.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `smtp_connect_timeout`
    pub connect: Duration,
    helo: Duration,
    mail: Duration,
    rcpt: Duration,
    data_init: Duration,
    data_xfer: Duration,
    data_done: Duration,
    rset: Duration,
    quit: Duration,
}

impl Timeouts {
    /// The limit for one reply, or for one piece of the content.
    pub fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting | Stage::Ehlo | Stage::Helo => self.helo,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_init,
            Stage::Body => self.data_xfer,
            Stage::End => self.data_done,
            Stage::Rset => self.rset,
            Stage::Quit => self.quit,
        }
    }
}

/// When connections are kept for another delivery.
pub struct Reuse {
    /// `smtp_connection_cache_on_demand`
    pub on_demand: bool,
    /// `smtp_connection_cache_destinations`
    pub destinations: Domains,
    /// `smtp_connection_cache_time_limit`: how long one may wait.
    pub idle: Duration,
    /// `smtp_connection_reuse_time_limit`: how old one may get.
    pub age: Duration,
    /// `smtp_connection_reuse_count_limit`: how often one may be used; 0 for any number.
    pub count: u32,
}

/// Everything one service needs to know.
pub struct Settings {
    /// Whose lines these are.
    pub daemon: Daemon,
    /// How to introduce ourselves on port 25.
    pub hello: Arc<Hello>,
    /// The same on other ports, where a server may have our name.
    pub hello_elsewhere: Arc<Hello>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// `smtp_mx_address_limit`; 0 for none.
    pub address_limit: usize,
    /// `smtp_mx_session_limit`; 0 for none.
    pub session_limit: usize,
    /// `smtp_generic_maps`, if there are any.
    pub generic: Option<Generic>,
    /// `smtp_randomize_addresses`
    pub randomize: bool,
    /// `smtp_address_preference`
    pub family: FamilyPreference,
    /// `smtp_balance_inet_protocols`
    pub balance: bool,
    /// `inet_protocols`
    pub families: Families,
    /// `smtp_fallback_relay`
    pub fallback_relay: String,
    /// `relayhost`
    pub relayhost: String,
    /// `smtp_skip_5xx_greeting`
    pub skip_5xx_greeting: bool,
    /// `smtp_quote_rfc821_envelope`
    pub quoting: Quoting,
    /// `smtp_line_length_limit`; 0 for none.
    pub line_length_limit: usize,
    /// `disable_mime_output_conversion`
    pub disable_conversion: bool,
    /// `smtp_tcp_port`
    pub port: String,
    /// `ignore_mx_lookup_error`
    pub ignore_mx_lookup_error: bool,
    /// `smtp_defer_if_no_mx_address_found`
    pub defer_if_no_mx_address: bool,
    /// Whether MX records are looked up.
    pub use_mx: bool,
    /// `smtp_host_lookup`, in order.
    pub host_lookup: Vec<Service>,
    /// `soft_bounce`
    pub soft_bounce: bool,
    /// Keeping connections.
    pub reuse: Reuse,
    /// This host's addresses, and those of proxies for it.
    pub own: Vec<IpAddr>,
    /// `smtp_bind_address_enforce`
    pub bind_enforce: bool,
    bind: [Option<IpAddr>; 2],
}

impl Settings {
    /// Reads the parameters of one service, its master.cf overrides included. `own` are the
    /// addresses of `inet_interfaces`.
    ///
    /// # Errors
    /// A parameter whose value is not valid.
    pub fn read(params: &Params, own: Vec<IpAddr>, opener: &Opener) -> Result<Settings, BadValue> {
        let number = |name| params.int(name).map(|n| usize::try_from(n).unwrap_or(0));
        let (ipv4, ipv6) = params.protocols()?;
        let dns = uses_dns(params)?;
        let hello = read_hello(params)?;
        let elsewhere = Hello { detect_loops: false, ..hello.clone() };
        Ok(Settings {
            daemon: Daemon::Named(format!("{}/smtp", params.text("syslog_name")?)),
            hello: Arc::new(hello),
            hello_elsewhere: Arc::new(elsewhere),
            timeouts: read_timeouts(params)?,
            address_limit: number("smtp_mx_address_limit")?,
            session_limit: number("smtp_mx_session_limit")?,
            generic: None,
            randomize: params.flag("smtp_randomize_addresses")?,
            family: match params.text("smtp_address_preference")?.as_str() {
                "ipv4" => FamilyPreference::Ipv4,
                "ipv6" => FamilyPreference::Ipv6,
                _ => FamilyPreference::Any,
            },
            balance: params.flag("smtp_balance_inet_protocols")?,
            families: Families { ipv4, ipv6 },
            fallback_relay: params.text("smtp_fallback_relay")?,
            relayhost: params.text("relayhost")?,
            skip_5xx_greeting: params.flag("smtp_skip_5xx_greeting")?,
            quoting: match params.flag("smtp_quote_rfc821_envelope")? {
                true => Quoting::Rfc5321,
                false => Quoting::None,
            },
            line_length_limit: number("smtp_line_length_limit")?,
            disable_conversion: params.flag("disable_mime_output_conversion")?,
            port: params.text("smtp_tcp_port")?,
            ignore_mx_lookup_error: params.flag("ignore_mx_lookup_error")?,
            defer_if_no_mx_address: params.flag("smtp_defer_if_no_mx_address_found")?,
            use_mx: dns,
            host_lookup: read_host_lookup(params, dns)?,
            soft_bounce: params.flag("soft_bounce")?,
            reuse: read_reuse(params, opener)?,
            bind_enforce: params.flag("smtp_bind_address_enforce")?,
            bind: read_bind(params, &own)?,
            own: with_proxies(params, own)?,
        })
    }

    /// The address to connect from: `smtp_bind_address`, `smtp_bind_address6`, or the only address
    /// this host listens on.
    pub fn bind(&self, to: IpAddr) -> Option<SocketAddr> {
        self.bind[usize::from(to.is_ipv6())].map(|address| SocketAddr::new(address, 0))
    }
}

fn read_hello(params: &Params) -> Result<Hello, BadValue> {
    let keywords = params.list("smtp_discard_ehlo_keywords")?;
    let discard = keywords.iter().filter_map(|word| Keywords::named(word));
    let never = params.flag("smtp_never_send_ehlo")?;
    let always = params.flag("smtp_always_send_ehlo")?;
    Ok(Hello {
        name: params.text("smtp_helo_name")?,
        myhostname: params.text("myhostname")?,
        ehlo: match (never, always) {
            (true, _) => EhloUse::Never,
            (_, true) => EhloUse::Always,
            _ => EhloUse::WhenGreeted,
        },
        discard: discard.fold(Keywords::default(), Keywords::with),
        detect_loops: true,
        wait_for_quit: !params.flag("smtp_skip_quit_response")?,
    })
}

fn read_timeouts(params: &Params) -> Result<Timeouts, BadValue> {
    let time = |name| params.seconds(name).map(Duration::from_secs);
    let connect = time("smtp_connect_timeout")?;
    Ok(Timeouts {
        connect: if connect.is_zero() { CONNECT_TIME_MAX } else { connect },
        helo: time("smtp_helo_timeout")?,
        mail: time("smtp_mail_timeout")?,
        rcpt: time("smtp_rcpt_timeout")?,
        data_init: time("smtp_data_init_timeout")?,
        data_xfer: time("smtp_data_xfer_timeout")?,
        data_done: time("smtp_data_done_timeout")?,
        rset: time("smtp_rset_timeout")?,
        quit: time("smtp_quit_timeout")?,
    })
}

fn read_reuse(params: &Params, opener: &Opener) -> Result<Reuse, BadValue> {
    let time = |name| params.seconds(name).map(Duration::from_secs);
    Ok(Reuse {
        on_demand: params.flag("smtp_connection_cache_on_demand")?,
        destinations: opener.domains(params, "smtp_connection_cache_destinations")?,
        idle: time("smtp_connection_cache_time_limit")?,
        age: time("smtp_connection_reuse_time_limit")?,
        count: u32::try_from(params.int("smtp_connection_reuse_count_limit")?).unwrap_or(0),
    })
}

/// `smtp_dns_support_level`, or the older `disable_dns_lookups` when it is empty.
fn uses_dns(params: &Params) -> Result<bool, BadValue> {
    match params.text("smtp_dns_support_level")?.as_str() {
        "" => Ok(!params.flag("disable_dns_lookups")?),
        level => Ok(level != "disabled"),
    }
}

fn read_host_lookup(params: &Params, dns: bool) -> Result<Vec<Service>, BadValue> {
    let words = params.list("smtp_host_lookup")?;
    let has = |name: &str| words.iter().any(|word| word == name);
    if !dns {
        return Ok(vec![Service::Native]);
    }
    // DNS goes first whatever the order of the words.
    let services = [("dns", Service::Dns), ("native", Service::Native)];
    Ok(services.into_iter().filter(|(name, _)| has(name)).map(|(_, service)| service).collect())
}

/// The addresses to connect from, for IPv4 and for IPv6.
fn read_bind(params: &Params, own: &[IpAddr]) -> Result<[Option<IpAddr>; 2], BadValue> {
    let only = |ipv6: bool| {
        let mut family = own.iter().filter(|address| address.is_ipv6() == ipv6);
        let first = family.next().filter(|address| !address.is_loopback());
        first.filter(|_| family.next().is_none()).copied()
    };
    let literal = |text: String| text.trim_matches(['[', ']']).parse().ok();
    let ipv4 = literal(params.text("smtp_bind_address")?).or_else(|| only(false));
    let ipv6 = literal(params.text("smtp_bind_address6")?).or_else(|| only(true));
    Ok([ipv4, ipv6])
}

fn with_proxies(params: &Params, mut own: Vec<IpAddr>) -> Result<Vec<IpAddr>, BadValue> {
    let proxies = params.list("proxy_interfaces")?;
    own.extend(proxies.iter().filter_map(|word| word.parse::<IpAddr>().ok()));
    Ok(own)
}
