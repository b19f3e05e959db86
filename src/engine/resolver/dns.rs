//! Answering questions on the side thread: DNS by hickory-resolver, the system's own look-up for
//! the rest.
//!
//! Diagnostics: a resolver that cannot be set up (an unreadable /etc/resolv.conf) is tried again
//! with every question, which is answered with [`Cause::TryAgain`] meanwhile.
//!
//! Limits: [`RECORDS_MAX`].

use super::{Answer, Cause, Found, Kind, Question, Service};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use protocol::mx::Mx;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

/// How long an answer of the system's own look-up is kept: it comes without a TTL.
const NATIVE_TTL: Duration = Duration::from_secs(30);
/// How long it is kept that a name does not exist when the zone does not tell.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// How long a temporary failure is kept, so that a dead server is not asked for every message.
const FAILURE_TTL: Duration = Duration::from_secs(5);
/// Records of one answer that are kept. A message has room for thousands, and names in it that are
/// much longer when they are written out; nobody's mail needs them.
pub(super) const RECORDS_MAX: usize = 100;
const HOSTS_FILE: &str = "/etc/hosts";

/// The resolver of the side thread.
pub(crate) struct Dns {
    servers: Servers,
    resolver: OnceCell<TokioResolver>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Servers {
    /// Those of /etc/resolv.conf.
    System,
    /// One, over UDP.
    #[cfg(test)]
    Only(std::net::SocketAddr),
}

impl Dns {
    /// A resolver that is set up with the first question.
    pub(crate) fn new(servers: Servers) -> Dns {
        Dns { servers, resolver: OnceCell::new() }
    }

    /// Answers one question; always, because the resolver's own time limits apply.
    pub(crate) async fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Mx(domain) => self.mx(domain).await,
            Question::Address(host, kind, Service::Dns) => self.addresses(host, *kind).await,
            Question::Address(host, kind, Service::Native) => native(host, *kind).await,
            Question::Names(address) => match hosts_name(*address).await {
                Some(name) => Answer { result: Ok(Found::Names(vec![name])), ttl: NATIVE_TTL },
                None => self.names(*address).await,
            },
        }
    }

    async fn mx(&self, domain: &str) -> Answer {
        answer(self.look_up(domain, RecordType::MX).await, exchangers)
    }

    async fn addresses(&self, host: &str, kind: Kind) -> Answer {
        let record_type = if kind == Kind::Aaaa { RecordType::AAAA } else { RecordType::A };
        answer(self.look_up(host, record_type).await, addresses)
    }

    async fn names(&self, address: IpAddr) -> Answer {
        let Some(resolver) = self.resolver() else { return failure(Cause::TryAgain) };
        answer(resolver.reverse_lookup(address).await.map_err(Missing::from), names)
    }

    async fn look_up(&self, name: &str, kind: RecordType) -> Result<Lookup, Missing> {
        let resolver = self.resolver().ok_or(Missing::ours(Cause::TryAgain))?;
        // Read as UTF-8 a name may have no underscore within a label; hosts have.
        let name = match name.is_ascii() {
            true => Name::from_ascii(name),
            false => Name::from_utf8(name),
        };
        let mut name = name.map_err(|_| Missing::ours(Cause::InvalidName))?;
        // Names in mail are complete: the search list of resolv.conf is not for them.
        name.set_fqdn(true);
        resolver.lookup(name, kind).await.map_err(Missing::from)
    }

    fn resolver(&self) -> Option<&TokioResolver> {
        if let Some(resolver) = self.resolver.get() {
            return Some(resolver);
        }
        let mut builder = match self.servers {
            Servers::System => TokioResolver::builder_tokio().ok()?,
            #[cfg(test)]
            Servers::Only(server) => tests::asking(server),
        };
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().ok()?;
        Some(self.resolver.get_or_init(|| resolver))
    }
}

/// The best of them.
pub(super) fn exchangers(lookup: &Lookup) -> Option<Found> {
    let mx = |data: &RData| match data {
        RData::MX(mx) => Some(Mx { preference: mx.preference, host: host_name(&mx.exchange) }),
        _ => None,
    };
    let mut records: Vec<Mx> = data(lookup).filter_map(mx).collect();
    records.sort_by_key(|record| record.preference);
    records.truncate(RECORDS_MAX);
    (!records.is_empty()).then_some(Found::Mx(records))
}

pub(super) fn addresses(lookup: &Lookup) -> Option<Found> {
    let found: Vec<IpAddr> = data(lookup).filter_map(RData::ip_addr).take(RECORDS_MAX).collect();
    (!found.is_empty()).then_some(Found::Addresses(found))
}

pub(super) fn names(lookup: &Lookup) -> Option<Found> {
    let name = |data: &RData| match data {
        RData::PTR(name) => Some(host_name(&name.0)),
        _ => None,
    };
    let names: Vec<String> = data(lookup).filter_map(name).take(RECORDS_MAX).collect();
    (!names.is_empty()).then_some(Found::Names(names))
}

fn data(lookup: &Lookup) -> impl Iterator<Item = &RData> {
    lookup.answers().iter().map(|record| &record.data)
}

/// A name without its final dot.
fn host_name(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Why there is no answer, and for how long.
pub(super) struct Missing {
    cause: Cause,
    ttl: Duration,
}

impl Missing {
    fn ours(cause: Cause) -> Missing {
        Missing { cause, ttl: FAILURE_TTL }
    }
}

impl From<NetError> for Missing {
    fn from(error: NetError) -> Missing {
        let (code, ttl) = match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                (none.response_code, none.negative_ttl)
            }
            NetError::Dns(DnsError::ResponseCode(code)) => (code, None),
            _ => return Missing::ours(Cause::TryAgain),
        };
        let ttl = ttl.map_or(NEGATIVE_TTL, |ttl| Duration::from_secs(ttl.into()));
        match code {
            ResponseCode::NXDomain => Missing { cause: Cause::NotFound, ttl },
            ResponseCode::NoError => Missing { cause: Cause::NoData, ttl },
            ResponseCode::ServFail => Missing::ours(Cause::TryAgain),
            _ => Missing::ours(Cause::Refused),
        }
    }
}

pub(super) fn answer(
    found: Result<Lookup, Missing>,
    read: impl FnOnce(&Lookup) -> Option<Found>,
) -> Answer {
    match found {
        Ok(lookup) => {
            Answer { result: read(&lookup).ok_or(Cause::NoData), ttl: remaining(&lookup) }
        }
        Err(Missing { cause, ttl }) => Answer { result: Err(cause), ttl },
    }
}

#[expect(clippy::disallowed_methods, reason = "the side thread lives in real time")]
fn remaining(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(std::time::Instant::now())
}

fn failure(cause: Cause) -> Answer {
    Answer { result: Err(cause), ttl: FAILURE_TTL }
}

/// getaddrinfo(3), on the runtime's blocking pool.
async fn native(host: &str, kind: Kind) -> Answer {
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => {
            let wanted = |address: &IpAddr| address.is_ipv4() == (kind == Kind::A);
            let mut addresses: Vec<IpAddr> = found.map(|to| to.ip()).filter(wanted).collect();
            addresses.dedup();
            let result = match addresses.is_empty() {
                true => Err(Cause::UnknownHost),
                false => Ok(Found::Addresses(addresses)),
            };
            Answer { result, ttl: NATIVE_TTL }
        }
        // The library gives no code, only its text.
        Err(error) if error.to_string().contains("Temporary") => failure(Cause::UnknownHostForNow),
        Err(_) => Answer { result: Err(Cause::UnknownHost), ttl: NATIVE_TTL },
    }
}

/// The name /etc/hosts gives an address: the first one on the first line with it.
async fn hosts_name(address: IpAddr) -> Option<String> {
    let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(HOSTS_FILE));
    name_in_hosts(&read.await.ok()?.ok()?, address)
}

fn name_in_hosts(text: &str, address: IpAddr) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let found = words.next()?.parse() == Ok(address);
        words.next().filter(|_| found).map(str::to_string)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hickory_resolver::ResolverBuilder;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;

    /// A resolver that asks one server.
    pub fn asking(server: std::net::SocketAddr) -> ResolverBuilder<TokioRuntimeProvider> {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = Duration::from_millis(300);
        builder.options_mut().attempts = 1;
        builder
    }

    #[test]
    fn the_first_name_in_the_hosts_file_counts() {
        let text = "# x\n192.0.2.1\n127.0.0.1 localhost lo # c\n::1 ip6\n127.0.0.1 other\n";
        assert_eq!(name_in_hosts(text, "127.0.0.1".parse().unwrap()).as_deref(), Some("localhost"));
        assert_eq!(name_in_hosts(text, "::1".parse().unwrap()).as_deref(), Some("ip6"));
        assert_eq!(name_in_hosts(text, "192.0.2.1".parse().unwrap()), None);
    }
}
