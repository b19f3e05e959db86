//! transport_maps: other ways for addresses and domains.
//!
//! Keys, each asked of every table before the next: the address, the address without its extension,
//! the domain, its parents (`.parent`; `parent` where transport_maps is in
//! parent_domain_matches_subdomains), `*`. Tables of patterns see whole addresses only, and `*`.
//!
//! | value | what it changes |
//! | --- | --- |
//! | `transport:nexthop` | both |
//! | `:nexthop` | the next hop |
//! | `transport:`, `transport` | the transport; the next hop is the recipient's domain again |
//! | `:`, nothing | nothing |
//!
//! **Standards**: transport(5).

use crate::lookup::{Maps, Opener, Part};
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::extension::Splitting;
use tables::Lookup;
use tables::catalog::Opened;

/// The parameter.
#[derive(Debug, Default)]
pub struct TransportMaps {
    maps: Maps,
    plain_parents: bool,
    splitting: Splitting,
}

/// What a table has for an address or a domain.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The value.
    pub value: String,
    /// The key it has.
    pub key: Vec<u8>,
    /// The table.
    pub table: Option<&'a Opened>,
}

/// The key of whatever has no other.
const WILDCARD: &[u8] = b"*";

impl TransportMaps {
    /// Reads the parameters and opens the tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener, splitting: Splitting) -> Result<Self, BadValue> {
        let plain = params.list("parent_domain_matches_subdomains")?;
        Ok(TransportMaps {
            maps: opener.verbatim_maps(params, "transport_maps")?,
            plain_parents: plain.iter().any(|word| word == "transport_maps"),
            splitting,
        })
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// The entry for an address.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn find(&self, address: &Address) -> Result<Option<Entry<'_>>, String> {
        let (local, domain) = (address.local_part(), address.domain().unwrap_or_default());
        if let Some(found) = self.ask_both(address, Part::Whole)? {
            return Ok(Some(found));
        }
        if let Some(at) = self.splitting.at(local) {
            let short = Address::from_internal(&[&local[..at], b"@", domain].concat());
            if let Some(found) = self.ask_both(&short, Part::Partial)? {
                return Ok(Some(found));
            }
        }
        for key in self.domains(domain) {
            if let Some(found) = self.ask(key, Part::Partial)? {
                return Ok(Some(found));
            }
        }
        self.ask(WILDCARD, Part::Whole)
    }

    /// A domain and its parents.
    fn domains<'a>(&self, domain: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let plain = self.plain_parents;
        let literal = domain.starts_with(b"[");
        let dots = domain.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'.');
        let parents =
            dots.map(move |(dot, _)| if plain { &domain[dot + 1..] } else { &domain[dot..] });
        std::iter::once(domain).chain(parents.filter(move |_| !literal))
    }

    /// In quotes where it needs them; where no table has that, without.
    fn ask_both(&self, address: &Address, part: Part) -> Result<Option<Entry<'_>>, String> {
        let found = self.ask(&address.external(), part)?;
        if found.is_some() || !mail::address::needs_quotes(address.local_part()) {
            return Ok(found);
        }
        self.ask(address.as_bytes(), part)
    }

    fn ask(&self, key: &[u8], part: Part) -> Result<Option<Entry<'_>>, String> {
        match self.maps.find_in(key, part) {
            (Lookup::Found(value), table) => {
                let value = String::from_utf8_lossy(&value).trim().to_string();
                Ok(Some(Entry { value, key: key.to_vec(), table }))
            }
            (Lookup::NotFound, _) => Ok(None),
            (Lookup::Retry(why), _) => {
                // Postfix asks for the wildcard first, to know whether it has to later.
                let wildcard = self.maps.complaints(WILDCARD).join("\n");
                let failure = self.maps.failure(key, &why);
                Err(format!("{wildcard}\n{failure}\ntransport_maps lookup failure"))
            }
        }
    }
}

/// What a value makes of a route: the transport, and the next hop.
pub fn apply(value: &str, domain: &str, transport: &mut String, nexthop: &mut String) {
    let (name, host) = value.split_once(':').unwrap_or((value, ""));
    let host = host.trim_start();
    if !name.is_empty() {
        *transport = name.to_string();
        *nexthop = match (name, host) {
            ("error" | "retry", "") => "Address is undeliverable".to_string(),
            (_, "") => domain.to_string(),
            _ => host.to_string(),
        };
    } else if !host.is_empty() {
        *nexthop = host.to_string();
    }
}
