//! Whose headers are completed as those of local mail: `local_header_rewrite_clients`.
//!
//! | word | a client is local when |
//! | --- | --- |
//! | `permit_inet_interfaces` | it comes from an address of this host |
//! | `permit_mynetworks` | it is in mynetworks |
//! | `check_address_map type:table`, `type:table` | its address is in the table |
//!
//! The first that says yes decides. Words about logins and certificates, which no client has yet,
//! say no. What cannot be decided is no: such headers are left alone.
//!
//! **Standards**: postconf(5) `local_header_rewrite_clients`.

use super::Service;
use crate::lookup::{Maps, Opener};
use crate::maillog::Client;
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
    pub fn has(
        &self,
        service: &Service,
        snapshot: &Snapshot,
        address: IpAddr,
        name: &Client,
    ) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Interfaces => snapshot.own_addresses.contains(&address.to_canonical()),
            Rule::Mynetworks => service.mynetworks.contains(address, &name.name).is_yes(),
            Rule::Address(maps) => {
                matches!(maps.lookup(name.address.as_bytes()), Lookup::Found(_))
            }
        })
    }
}
