//! masquerade_domains: hosts of a domain are hidden behind it.
//!
//! **Standards**: postconf(5) `masquerade_domains`, `masquerade_exceptions`, `masquerade_classes`.

use super::mapping::{Class, Classes, Trouble};
use crate::lookup::Opener;
use crate::match_list::{Domains, Match};
use config::Params;
use config::params::BadValue;
use mail::Address;

/// The parameters.
#[derive(Debug, Default)]
pub struct Masquerade {
    /// Domains in lower case; whether hosts below are left alone.
    domains: Vec<(Vec<u8>, bool)>,
    exceptions: Option<Domains>,
    classes: Classes,
}

impl Masquerade {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Masquerade, BadValue> {
        let domain = |word: &String| {
            let kept = word.len() - word.trim_start_matches('!').len();
            (word[kept..].to_ascii_lowercase().into_bytes(), kept % 2 == 1)
        };
        let exceptions = match params.list("masquerade_exceptions")?.is_empty() {
            true => None,
            false => Some(opener.domains(params, "masquerade_exceptions")?),
        };
        Ok(Masquerade {
            domains: params.list("masquerade_domains")?.iter().map(domain).collect(),
            exceptions,
            classes: Classes::new(params, "masquerade_classes")?,
        })
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Hides the host of an address of a class, in place. The first domain that matches counts.
    ///
    /// # Errors
    /// A table of exceptions cannot answer.
    pub fn apply(&self, class: Class, address: &mut Address) -> Result<(), Trouble> {
        if self.domains.is_empty() || !self.classes.has(class) {
            return Ok(());
        }
        let Some(domain) = address.domain() else { return Ok(()) };
        if self.is_exempt(address)? {
            return Ok(());
        }
        for (parent, kept) in &self.domains {
            if domain.eq_ignore_ascii_case(parent) {
                return Ok(());
            }
            if is_below(domain, parent) {
                if !kept {
                    *address = address.with_domain(parent);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_exempt(&self, address: &Address) -> Result<bool, Trouble> {
        let Some(exceptions) = &self.exceptions else { return Ok(false) };
        let Ok(user) = std::str::from_utf8(address.local_part()) else { return Ok(false) };
        match exceptions.contains(user) {
            Match::Yes => Ok(true),
            Match::No => Ok(false),
            Match::Unknown => {
                let why = exceptions.trouble("masquerade_exceptions", user);
                Err(Trouble::lookup("masquerade_exceptions", address, &why))
            }
        }
    }
}

fn is_below(domain: &[u8], parent: &[u8]) -> bool {
    let Some(front) = domain.len().checked_sub(parent.len()) else { return false };
    let (host, end) = domain.split_at(front);
    host.ends_with(b".") && end.eq_ignore_ascii_case(parent)
}
