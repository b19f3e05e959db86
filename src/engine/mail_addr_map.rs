//! What a table makes of an address: other addresses, in canonical form.
//!
//! A value is a list of addresses, or `@other.example`, which stands for the same user there.
//! Results are qualified like any address, and get the extension that their key did not have, where
//! that is wanted.
//!
//! **Diagnostics**: a table that cannot answer, or a value without an address, is an error; why.
//! **Standards**: canonical(5), virtual(5), postconf(5) `propagate_unmatched_extensions`.

use crate::lookup::Maps;
use crate::mail_addr_find::{Finder, Forms, Found};
use crate::trivial_rewrite::Resolver;
use mail::Address;
use mail::tok822::AddressList;
use std::cell::RefCell;

/// Tokens of a value that are looked at.
const TOKENS_MAX: usize = 1 << 20;

/// A step that somebody watches: the parameter, the address, the key and what was found for it,
/// what became of it.
pub type Watch<'a> = &'a dyn Fn(&str, &Address, &[u8], &Found<'_>, &[Address]);

/// What it takes to map addresses.
#[derive(Clone, Copy)]
pub struct Mapper<'a> {
    /// Searches tables.
    pub finder: &'a Finder,
    /// Qualifies what they say.
    pub resolver: &'a Resolver,
    /// Who is told of each step.
    pub watch: Option<Watch<'a>>,
    /// Shared by all addresses of a message.
    pub buffers: &'a Buffers,
}

/// What look-ups need and leave empty.
#[derive(Debug, Default)]
pub struct Buffers {
    /// A key.
    pub key: RefCell<Vec<u8>>,
    /// The results of one step.
    pub found: RefCell<Vec<Address>>,
}

impl Mapper<'_> {
    /// Puts the addresses that the tables of a parameter have for `address` into `results`, which
    /// is empty; whether they have any.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn map(
        &self,
        parameter: &str,
        maps: &Maps,
        address: &Address,
        propagates: bool,
        results: &mut Vec<Address>,
    ) -> Result<bool, String> {
        let mut key = self.buffers.key.borrow_mut();
        let Some(found) = self.search(maps, address, &mut key)? else {
            return Ok(false);
        };
        let extension = if propagates { found.extension(address) } else { &[] };
        if found.value.starts_with(b"@") {
            // The rest of the value is the domain, whatever it is: a list is not looked for.
            let local = address.local_part();
            let kept = &local[..local.len() - found.unmatched];
            let whole = Address::from_internal(&[kept, &found.value].concat());
            results.push(self.extended(self.resolver.canonical_form(whole), extension));
        } else if is_plain(&found.value) {
            let address = Address::from_internal(&found.value);
            results.push(self.extended(self.resolver.canonical_form(address), extension));
        } else {
            let list = AddressList::parse_header(&found.value, TOKENS_MAX);
            let canonical = |(address, operators)| {
                self.extended(self.resolver.canonical_written(address, operators), extension)
            };
            results.extend(list.written().map(canonical));
        }
        if results.is_empty() {
            let value = String::from_utf8_lossy(&found.value);
            let what = format!("{parameter} lookup of {address}");
            return Err(format!("{what} returns non-address result \"{value}\""));
        }
        if let Some(watch) = self.watch {
            watch(parameter, address, &key, &found, results);
        }
        Ok(true)
    }

    fn search<'m>(
        &self,
        maps: &'m Maps,
        address: &Address,
        key: &mut Vec<u8>,
    ) -> Result<Option<Found<'m>>, String> {
        self.finder.find_as(Forms::External, self.resolver, (maps, address), key)
    }

    fn extended(&self, address: Address, extension: &[u8]) -> Address {
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

/// Whether a value is one address that is written as it is stored: words, dots, one `@`.
fn is_plain(value: &[u8]) -> bool {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let Some(at) = value.iter().position(|byte| *byte == b'@') else { return false };
    at > 0 && value[..at].iter().all(plain) && value[at + 1..].iter().all(plain)
}
