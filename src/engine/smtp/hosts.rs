//! From a destination to the addresses to try, in order; or why there are none.
//!
//! Standards: RFC 5321 section 5.1, RFC 7505; smtp(8).

use super::nexthop::Destination;
use super::settings::Settings;
use crate::resolver::{Cause, DnsError, Resolver};
use mail::{Dsn, Status};
use protocol::mx::{self, Candidate, Mx};
use runtime::sim::Rng;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// The port on which a server with our own address is ourselves.
const SMTP_PORT: u16 = 25;

/// Exchangers of one domain that are looked up; a domain with more has nobody's best in mind.
const MX_HOSTS_MAX: usize = 100;

/// What a look-up needs.
pub struct Lookup<'a> {
    /// Who answers.
    pub resolver: &'a Resolver,
    /// The service's settings.
    pub settings: &'a Settings,
    /// For shuffling.
    pub random: &'a RefCell<Rng>,
}

/// The addresses of a destination.
#[derive(Debug)]
pub struct Hosts {
    /// In the order they are tried.
    pub candidates: Vec<Candidate>,
    /// This host is one of the domain's exchangers: nobody else is asked for the domain.
    pub i_am_mx: bool,
}

/// Why there are none.
#[derive(Debug)]
pub struct NoHosts {
    /// The status and reason.
    pub why: Dsn,
    /// Mail would come back to this host.
    pub loops: bool,
    /// A domain whose exchangers have no address: worth a warning.
    pub no_valid_mx: bool,
}

impl Lookup<'_> {
    /// The addresses of `destination`.
    pub async fn hosts(&self, destination: &Destination) -> Result<Hosts, NoHosts> {
        let detect_loops = destination.port == SMTP_PORT;
        if destination.use_mx && self.settings.use_mx {
            self.domain(&destination.host, detect_loops).await
        } else {
            self.host(&destination.host, detect_loops).await
        }
    }

    async fn domain(&self, domain: &str, detect_loops: bool) -> Result<Hosts, NoHosts> {
        match self.resolver.mx(domain).await {
            Ok(records) => self.exchangers(domain, records, detect_loops).await,
            Err(error) if error.is_absent() => self.host(domain, detect_loops).await,
            Err(error) if error.cause != Cause::NullMx && self.settings.ignore_mx_lookup_error => {
                drop(error);
                self.host(domain, detect_loops).await
            }
            Err(error) => Err(no_hosts(mx_status(&error), error.to_string())),
        }
    }

    async fn exchangers(
        &self,
        domain: &str,
        mut records: Vec<Mx>,
        detect_loops: bool,
    ) -> Result<Hosts, NoHosts> {
        records.sort_by_key(|record| record.preference);
        records.truncate(MX_HOSTS_MAX);
        let best = records[0].preference;
        let mut candidates = Vec::new();
        let mut failed = None;
        for record in &records {
            match self.one(&record.host).await {
                Ok(addresses) => add(&mut candidates, record, &addresses),
                Err(why) => failed = harder(failed, why),
            }
        }
        let Some(first) = candidates.first() else {
            return Err(self.no_mx_address(failed));
        };
        let best_found = first.preference;
        let i_am_mx = detect_loops && mx::truncate_at_self(&mut candidates, &self.settings.own);
        if candidates.is_empty() {
            return Err(if best != best_found {
                let reason = format!("unable to find primary relay for {domain}");
                NoHosts { loops: true, ..no_hosts(Status::new(4, 4, 4), reason) }
            } else {
                loops_back(domain)
            });
        }
        self.order(&mut candidates);
        Ok(Hosts { candidates, i_am_mx })
    }

    fn no_mx_address(&self, failed: Option<Dsn>) -> NoHosts {
        let unknown = || Dsn::local(Status::new(4, 4, 4), "no MX host has an address");
        let mut why = failed.unwrap_or_else(unknown);
        if self.settings.defer_if_no_mx_address {
            why.status.class = 4;
        }
        NoHosts { why, loops: false, no_valid_mx: true }
    }

    /// A host by name or by number, without MX.
    async fn host(&self, host: &str, detect_loops: bool) -> Result<Hosts, NoHosts> {
        let none = |why| NoHosts { why, loops: false, no_valid_mx: false };
        let addresses = self.one(host).await.map_err(none)?;
        let record = Mx { preference: 0, host: host.into() };
        let mut candidates = Vec::new();
        add(&mut candidates, &record, &addresses);
        if detect_loops && addresses.iter().any(|address| self.settings.own.contains(address)) {
            return Err(loops_back(host));
        }
        self.order(&mut candidates);
        Ok(Hosts { candidates, i_am_mx: false })
    }

    async fn one(&self, host: &str) -> Result<Vec<IpAddr>, Dsn> {
        if let Some(address) = self.number(host) {
            return Ok(vec![address]);
        }
        let families = self.settings.families;
        let mut failed = None;
        for service in &self.settings.host_lookup {
            match self.resolver.addresses(host, families, *service).await {
                Ok(addresses) => return Ok(addresses),
                Err(error) => {
                    let absent = error.is_absent();
                    failed = harder(failed, Dsn::local(host_status(&error), error.to_string()));
                    if !absent {
                        break;
                    }
                }
            }
        }
        let nothing = || Dsn::local(Status::new(5, 4, 4), format!("{host}: host not found"));
        Err(failed.unwrap_or_else(nothing))
    }

    fn number(&self, host: &str) -> Option<IpAddr> {
        let families = self.settings.families;
        let address: IpAddr = host.parse().ok()?;
        let usable = if address.is_ipv4() { families.ipv4 } else { families.ipv6 };
        usable.then_some(address)
    }

    fn order(&self, candidates: &mut Vec<Candidate>) {
        let settings = self.settings;
        let mut random = |bound: usize| self.random.borrow_mut().below(bound as u64) as usize;
        let random: Option<&mut dyn FnMut(usize) -> usize> =
            if settings.randomize { Some(&mut random) } else { None };
        mx::order(candidates, settings.family, random);
        if settings.balance {
            mx::balance(candidates, settings.address_limit);
        }
    }
}

fn add(candidates: &mut Vec<Candidate>, record: &Mx, addresses: &[IpAddr]) {
    let name: Rc<str> = record.host.as_str().into();
    let preference = record.preference;
    candidates.extend(addresses.iter().map(|address| Candidate {
        name: name.clone(),
        address: *address,
        preference,
    }));
}

/// The later reason, but a temporary failure makes all that follow temporary.
fn harder(earlier: Option<Dsn>, mut later: Dsn) -> Option<Dsn> {
    if earlier.is_some_and(|earlier| earlier.status.is_transient()) {
        later.status.class = 4;
    }
    Some(later)
}

fn no_hosts(status: Status, reason: String) -> NoHosts {
    NoHosts { why: Dsn::local(status, reason), loops: false, no_valid_mx: false }
}

fn loops_back(domain: &str) -> NoHosts {
    let reason = format!("mail for {domain} loops back to myself");
    NoHosts { loops: true, ..no_hosts(Status::new(5, 4, 6), reason) }
}

fn mx_status(error: &DnsError) -> Status {
    match error.cause {
        Cause::NullMx => Status::new(5, 1, 0),
        Cause::Refused => Status::new(5, 4, 3),
        _ => Status::new(4, 4, 3),
    }
}

fn host_status(error: &DnsError) -> Status {
    match error.cause {
        Cause::TryAgain => Status::new(4, 4, 3),
        Cause::UnknownHostForNow => Status::new(4, 4, 4),
        Cause::Refused => Status::new(5, 4, 3),
        _ => Status::new(5, 4, 4),
    }
}
