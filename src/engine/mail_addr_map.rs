//! What a table makes of an address: other addresses, in canonical form.
//!
//! A value is a list of addresses. `@other.example` as its first one stands for the same user
//! there. Every other result is qualified like any address, and gets the extension that its key
//! did not have, where that is wanted.
//!
//! **Diagnostics**: a table that cannot answer, or a value without an address, is an error; why.
//! **Standards**: canonical(5), virtual(5), postconf(5) `propagate_unmatched_extensions`.

use crate::lookup::Maps;
use crate::mail_addr_find::{Finder, Found};
use crate::trivial_rewrite::Resolver;
use mail::Address;
use mail::tok822::AddressList;

/// Tokens of a value that are looked at.
const TOKENS_MAX: usize = 1 << 20;

/// A step that somebody watches: the parameter, the address, what was found, what became of it.
pub type Watch<'a> = &'a dyn Fn(&str, &Address, &Found<'_>, &[Address]);

/// What it takes to map addresses.
#[derive(Clone, Copy)]
pub struct Mapper<'a> {
    /// Searches tables.
    pub finder: &'a Finder,
    /// Qualifies what they say.
    pub resolver: &'a Resolver,
    /// Who is told of each step.
    pub watch: Option<Watch<'a>>,
}

impl Mapper<'_> {
    /// The addresses that the tables of a parameter have for `address`; none where they have
    /// nothing.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn map(
        &self,
        parameter: &str,
        maps: &Maps,
        address: &Address,
        propagates: bool,
    ) -> Result<Option<Vec<Address>>, String> {
        let Some(found) = self.finder.find(self.resolver, maps, address)? else { return Ok(None) };
        let list = AddressList::parse(&found.value, TOKENS_MAX);
        let extension = if propagates { found.extension.as_slice() } else { &[] };
        let results: Vec<Address> = list
            .addresses()
            .enumerate()
            .map(|(at, result)| match result.as_bytes() {
                [b'@', domain @ ..] if at == 0 => address.with_domain(domain),
                _ => self.extended(result, extension),
            })
            .collect();
        if results.is_empty() {
            let value = String::from_utf8_lossy(&found.value);
            return Err(format!("malformed result for {address}: \"{value}\""));
        }
        if let Some(watch) = self.watch {
            watch(parameter, address, &found, &results);
        }
        Ok(Some(results))
    }

    fn extended(&self, result: &Address, extension: &[u8]) -> Address {
        let address = self.resolver.canonical(result);
        if extension.is_empty() {
            return address;
        }
        let local = [address.local_part(), extension].concat();
        match address.domain() {
            Some(domain) => Address::from_internal(&[&local, b"@".as_slice(), domain].concat()),
            None => Address::from_internal(&local),
        }
    }
}
