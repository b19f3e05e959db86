//! Names and addresses for one core: a bounded cache in front of the side thread's resolver.
//!
//! Called by smtp(8) for MX hosts and by smtpd(8) for client names. Questions in flight are not
//! coalesced here; the resolver behind does that for all cores.
//!
//! Diagnostics: [`DnsError`] says it in Postfix's words.
//!
//! Limits: `cache::ENTRIES_MAX` answers per core, kept for their TTL and at most
//! `cache::TTL_MAX`; [`ANSWER_DEADLINE`] for any question.
//!
//! Standards: RFC 1035, RFC 7505; dns_lookup as smtp(8) and smtpd(8) use it.

mod cache;
pub(crate) mod dns;
mod error;
mod fuzz;
mod peer;
mod script;
#[cfg(test)]
mod tests;

use crate::side;
use cache::Cache;
use protocol::mx::{self, Mx};
use remote::Client;
use runtime::{Instant, Rt};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use error::{Cause, DnsError, Kind};
pub use fuzz::fuzz_dns_answer;
pub use peer::{NameProblem, PeerName};
pub use script::Script;

/// The longest wait for an answer, whatever the resolver does.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Which address families are in use (`inet_protocols`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// Where addresses of hosts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// DNS alone.
    Dns,
    /// The system's own: /etc/hosts and whatever nsswitch.conf names.
    Native,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The mail exchangers of a domain.
    Mx(String),
    /// The addresses of a host in one family.
    Address(String, Kind, Service),
    /// The names of an address, in the system's own way.
    Names(IpAddr),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Mail exchangers, in no order.
    Mx(Vec<Mx>),
    /// Addresses, in the order of the answer.
    Addresses(Vec<IpAddr>),
    /// Names.
    Names(Vec<String>),
}

/// An answer and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was found, or why nothing was.
    pub result: Result<Found, Cause>,
    /// How long it may be kept.
    pub ttl: Duration,
}

/// Who answers.
pub enum Source {
    /// The side thread.
    Side(side::Port),
    /// A script, for tests under the simulator.
    Script(Script),
    /// Names that come and go, for the simulation.
    Zones(Rc<dyn Zones>),
}

/// Who answers in a simulation.
pub trait Zones {
    /// The answer at `now`, and how long it takes.
    fn answer(&self, question: &Question, now: Instant) -> (Answer, Duration);
}

/// One core's resolver.
pub struct Resolver {
    rt: Rt,
    source: Source,
    cache: RefCell<Cache>,
}

impl Resolver {
    /// A resolver that asks `source`.
    pub fn new(rt: &Rt, source: Source) -> Resolver {
        Resolver { rt: rt.clone(), source, cache: RefCell::default() }
    }

    /// Hands answers of the side thread to the tasks that wait for them; once per turn.
    pub fn pump(&self) {
        if let Source::Side(port) = &self.source {
            port.pump();
        }
    }

    /// Whether answers wait.
    pub fn has_mail(&self) -> bool {
        matches!(&self.source, Source::Side(port) if port.has_mail())
    }

    /// The mail exchangers of `domain`; not empty.
    ///
    /// # Errors
    /// [`Cause::NoData`] or [`Cause::NotFound`] when there are none, [`Cause::NullMx`] when the
    /// domain says that it takes no mail.
    pub async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        let error = |cause| DnsError { name: domain.into(), kind: Kind::Mx, cause };
        if !mail::address::is_valid_hostname(domain.as_bytes()) {
            return Err(error(Cause::InvalidName));
        }
        match self.ask(Question::Mx(domain.to_ascii_lowercase())).await.map_err(error)? {
            Found::Mx(records) if mx::is_null(&records) => Err(error(Cause::NullMx)),
            Found::Mx(records) if !records.is_empty() => Ok(records),
            _ => Err(error(Cause::NoData)),
        }
    }

    /// The addresses of `host` in the given families, IPv4 first; not empty.
    ///
    /// # Errors
    /// When there are none in any family: a temporary cause is reported before a permanent one.
    pub async fn addresses(
        &self,
        host: &str,
        families: Families,
        service: Service,
    ) -> Result<Vec<IpAddr>, DnsError> {
        let error = |kind, cause| DnsError { name: host.into(), kind, cause };
        if !mail::address::is_valid_hostname(host.as_bytes()) {
            return Err(error(Kind::A, Cause::InvalidName));
        }
        let kinds = [(families.ipv4, Kind::A), (families.ipv6, Kind::Aaaa)];
        let mut found = Vec::new();
        let mut failed: Option<DnsError> = None;
        for kind in kinds.into_iter().filter(|(wanted, _)| *wanted).map(|(_, kind)| kind) {
            let question = Question::Address(host.to_ascii_lowercase(), kind, service);
            match self.ask(question).await {
                Ok(Found::Addresses(addresses)) => found.extend(addresses),
                Ok(_) => failed = Some(error(kind, Cause::NoData)),
                Err(cause) => match &failed {
                    Some(earlier) if earlier.is_temporary() => {}
                    _ => failed = Some(error(kind, cause)),
                },
            }
        }
        match failed {
            Some(failed) if found.is_empty() => Err(failed),
            None if found.is_empty() => Err(error(Kind::A, Cause::NoData)),
            _ => Ok(found),
        }
    }

    /// The name of a client, checked forward (smtpd(8), `reverse_client_hostname`).
    pub async fn reverse(&self, address: IpAddr) -> PeerName {
        let names = match self.ask(Question::Names(address)).await {
            Ok(Found::Names(names)) => names,
            Ok(_) => Vec::new(),
            Err(cause) => return PeerName::unnamed(cause),
        };
        let Some(name) = names.into_iter().next() else {
            return PeerName::unnamed(Cause::NotFound);
        };
        if !mail::address::is_valid_hostname(name.as_bytes()) {
            return PeerName::unnamed(Cause::InvalidName);
        }
        let (ipv4, ipv6) = (address.is_ipv4(), address.is_ipv6());
        let families = Families { ipv4, ipv6 };
        let forward = self.addresses(&name, families, Service::Native).await;
        PeerName::checked(name, address, forward)
    }

    /// What a server says of a key of its table; none when nobody can ask it now.
    pub async fn look_up(&self, client: &Arc<Client>, key: &[u8]) -> Option<remote::Answer> {
        match &self.source {
            Source::Side(port) => {
                port.look_up(&self.rt, client, key, self.rt.now() + ANSWER_DEADLINE).await
            }
            Source::Script(_) | Source::Zones(_) => None,
        }
    }

    async fn ask(&self, question: Question) -> Result<Found, Cause> {
        if let Some(known) = self.cache.borrow_mut().get(&question, self.rt.now()) {
            return known;
        }
        let answer = match &self.source {
            Source::Script(script) => script.answer(&self.rt, &question).await,
            Source::Side(port) => {
                let deadline: Instant = self.rt.now() + ANSWER_DEADLINE;
                port.ask(&self.rt, question.clone(), deadline).await
            }
            Source::Zones(zones) => self.ask_zones(&**zones, &question).await,
        };
        self.cache.borrow_mut().put(question, answer.clone(), self.rt.now());
        answer.result
    }

    async fn ask_zones(&self, zones: &dyn Zones, question: &Question) -> Answer {
        let (answer, takes) = zones.answer(question, self.rt.now());
        self.rt.sleep_until(self.rt.now() + takes.min(ANSWER_DEADLINE)).await;
        match takes > ANSWER_DEADLINE {
            true => Answer { result: Err(Cause::TryAgain), ttl: Duration::ZERO },
            false => answer,
        }
    }
}
