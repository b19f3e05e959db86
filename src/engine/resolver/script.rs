//! Answers from a script, for tests under the simulator: no network, no thread, virtual time.

use super::{Answer, Cause, Found, Kind, Question};
use protocol::mx::Mx;
use runtime::Rt;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What names stand for.
#[derive(Default)]
pub struct Script {
    mx: BTreeMap<String, Result<Vec<Mx>, Cause>>,
    addresses: BTreeMap<String, Result<Vec<IpAddr>, Cause>>,
    names: BTreeMap<IpAddr, String>,
    delay: Duration,
    ttl: Duration,
    asked: Cell<usize>,
}

impl Script {
    /// Knows no name.
    pub fn new() -> Script {
        Script::default()
    }

    /// Gives `domain` its exchangers.
    #[must_use]
    pub fn with_mx(mut self, domain: &str, records: &[(u16, &str)]) -> Script {
        let mx = |(preference, host): &(u16, &str)| Mx {
            preference: *preference,
            host: (*host).to_string(),
        };
        self.mx.insert(domain.into(), Ok(records.iter().map(mx).collect()));
        self
    }

    /// Makes the look-up of exchangers fail.
    #[must_use]
    pub fn with_mx_failure(mut self, domain: &str, cause: Cause) -> Script {
        self.mx.insert(domain.into(), Err(cause));
        self
    }

    /// Gives `host` an address, and the address its name.
    #[must_use]
    pub fn with_host(mut self, host: &str, address: IpAddr) -> Script {
        match self.addresses.entry(host.into()).or_insert_with(|| Ok(Vec::new())) {
            Ok(known) => known.push(address),
            Err(_) => unreachable!("a host either fails or has addresses"),
        }
        self.names.insert(address, host.into());
        self
    }

    /// Makes the look-up of addresses fail.
    #[must_use]
    pub fn with_host_failure(mut self, host: &str, cause: Cause) -> Script {
        self.addresses.insert(host.into(), Err(cause));
        self
    }

    /// How long answers take and how long they hold.
    #[must_use]
    pub fn with_times(mut self, delay: Duration, ttl: Duration) -> Script {
        self.delay = delay;
        self.ttl = ttl;
        self
    }

    /// How many questions were asked.
    pub fn asked(&self) -> usize {
        self.asked.get()
    }

    pub(super) async fn answer(&self, rt: &Rt, question: &Question) -> Answer {
        self.asked.set(self.asked.get() + 1);
        if !self.delay.is_zero() {
            rt.sleep_until(rt.now() + self.delay).await;
        }
        Answer { result: self.look_up(question), ttl: self.ttl }
    }

    fn look_up(&self, question: &Question) -> Result<Found, Cause> {
        match question {
            Question::Mx(domain) => {
                let absent = || self.absent(domain);
                self.mx.get(domain).cloned().unwrap_or_else(absent).map(Found::Mx)
            }
            Question::Address(host, kind, _) => {
                let all = self.addresses.get(host).cloned().unwrap_or_else(|| self.absent(host))?;
                let wanted: Vec<IpAddr> =
                    all.into_iter().filter(|ip| ip.is_ipv4() == (*kind == Kind::A)).collect();
                if wanted.is_empty() { Err(Cause::NoData) } else { Ok(Found::Addresses(wanted)) }
            }
            Question::Names(address) => match self.names.get(address) {
                Some(name) => Ok(Found::Names(vec![name.clone()])),
                None => Err(Cause::NotFound),
            },
        }
    }

    fn absent<T>(&self, name: &str) -> Result<T, Cause> {
        let known = self.mx.contains_key(name) || self.addresses.contains_key(name);
        Err(if known { Cause::NoData } else { Cause::NotFound })
    }
}
