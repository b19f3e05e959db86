//! Whose headers are completed as those of local mail: `local_header_rewrite_clients`.
//!
//! | word | a client is local when |
//! | --- | --- |
//! | `permit_inet_interfaces` | it comes from an address of this host |
//! | `permit_mynetworks` | it is in mynetworks |
//! | `check_address_map type:table`, `type:table` | its address is in the table |
//!
//! The first that says yes decides. Words about logins and certificates, which no client has yet,
//! say no. What cannot be decided is an error: the message is not taken now.
//!
//! **Standards**: postconf(5) `local_header_rewrite_clients`.

use super::Service;
use crate::lookup::{Maps, Opener};
use crate::maillog::Client;
use crate::match_list::Match;
use crate::snapshot::Snapshot;
use config::Params;
use config::params::BadValue;
use std::net::IpAddr;
use tables::{Lookup, Table};

const PARAMETER: &str = "local_header_rewrite_clients";
/// What is known and cannot be true yet.
const LATER: [&str; 3] =
    ["permit_sasl_authenticated", "permit_tls_all_clientcerts", "permit_tls_clientcerts"];

/// The parameter.
#[derive(Debug, Default)]
pub struct LocalClients {
    rules: Vec<Rule>,
}

#[derive(Debug)]
enum Rule {
    Interfaces,
    Mynetworks,
    Address(Maps),
}

impl LocalClients {
    /// Reads the parameter and opens its tables.
    ///
    /// # Errors
    /// Its value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<LocalClients, BadValue> {
        let words = params.list(PARAMETER)?;
        let rules = words.iter().filter_map(|word| match word.as_str() {
            "permit_inet_interfaces" => Some(Rule::Interfaces),
            "permit_mynetworks" => Some(Rule::Mynetworks),
            // Its table is the next word.
            "check_address_map" => None,
            table if table.contains(':') => {
                Some(Rule::Address(opener.maps_of(PARAMETER, &[table.to_string()])))
            }
            word => {
                if !LATER.contains(&word) {
                    opener.warn(format!("{PARAMETER}: unknown: {word}"));
                }
                None
            }
        });
        Ok(LocalClients { rules: rules.collect() })
    }

    /// Whether mail from a client is local.
    ///
    /// # Errors
    /// A table cannot answer; Postfix's warning.
    pub fn has(
        &self,
        service: &Service,
        snapshot: &Snapshot,
        address: IpAddr,
        name: &Client,
    ) -> Result<bool, String> {
        for rule in &self.rules {
            let found = match rule {
                Rule::Interfaces => snapshot.own_addresses.contains(&address.to_canonical()),
                Rule::Mynetworks => match service.mynetworks.contains(address, &name.name) {
                    Match::Unknown => return Err(format!("{PARAMETER}: mynetworks: lookup error")),
                    found => found.is_yes(),
                },
                Rule::Address(maps) => match maps.lookup(name.address.as_bytes()) {
                    Lookup::Retry(why) => return Err(format!("{PARAMETER}: {why}")),
                    found => found != Lookup::NotFound,
                },
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
