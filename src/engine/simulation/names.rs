//! The DNS of the simulation: every site has its exchangers; for a while a domain's answers may be
//! slow, fail, or say that there is no such domain.

use super::plan::SitePlan;
use crate::resolver::{Answer, Cause, Found, Kind, Question, Zones};
use protocol::mx::Mx;
use runtime::Instant;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How the servers of a domain do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// They answer.
    #[default]
    Well,
    /// They are slow.
    Slow,
    /// Nobody answers.
    Silent,
    /// SERVFAIL.
    Failing,
    /// They say that there is no such domain.
    Absent,
}

/// All names.
pub struct Names {
    mx: BTreeMap<String, Vec<Mx>>,
    hosts: BTreeMap<String, Ipv4Addr>,
    health: RefCell<BTreeMap<String, Health>>,
    /// How many questions were asked.
    pub asked: Cell<u64>,
}

impl Names {
    /// The names of these sites.
    pub fn new(sites: &[SitePlan]) -> Names {
        let (mut mx, mut hosts) = (BTreeMap::new(), BTreeMap::new());
        for site in sites {
            let mut records = Vec::new();
            for (at, address) in site.hosts.iter().enumerate() {
                let host = format!("mx{at}.{}", site.domain);
                // The first two share their preference: they are tried in any order.
                records.push(Mx { preference: at as u16 / 2, host: host.clone() });
                hosts.insert(host, *address);
            }
            mx.insert(site.domain.clone(), records);
        }
        Names { mx, hosts, health: RefCell::default(), asked: Cell::new(0) }
    }

    /// From now on a domain's servers do so.
    pub fn set(&self, domain: &str, health: Health) {
        self.health.borrow_mut().insert(domain.to_string(), health);
    }

    fn look_up(&self, question: &Question) -> Result<Found, Cause> {
        match question {
            Question::Mx(domain) => {
                self.mx.get(domain).cloned().map(Found::Mx).ok_or(Cause::NotFound)
            }
            Question::Address(host, Kind::A, _) => {
                let address = self.hosts.get(host).ok_or(Cause::NotFound)?;
                Ok(Found::Addresses(vec![IpAddr::V4(*address)]))
            }
            Question::Address(host, ..) if self.hosts.contains_key(host) => Err(Cause::NoData),
            _ => Err(Cause::NotFound),
        }
    }
}

impl Zones for Names {
    fn answer(&self, question: &Question, _now: Instant) -> (Answer, Duration) {
        self.asked.set(self.asked.get() + 1);
        let name = match question {
            Question::Mx(domain) => domain.as_str(),
            Question::Address(host, ..) => host.split_once('.').map_or("", |(_, domain)| domain),
            Question::Names(_) => "",
        };
        let health = self.health.borrow().get(name).copied().unwrap_or_default();
        let (result, takes) = match health {
            Health::Well => (self.look_up(question), 20),
            Health::Slow => (self.look_up(question), 9000),
            Health::Silent => (Err(Cause::TryAgain), 90_000),
            Health::Failing => (Err(Cause::TryAgain), 50),
            Health::Absent => (Err(Cause::NotFound), 20),
        };
        let ttl = Duration::from_secs(if result.is_ok() { 120 } else { 10 });
        (Answer { result, ttl }, Duration::from_millis(takes))
    }
}
