//! Looking up an address in tables: the whole of it first, then less and less.
//!
//! | key | asked of | what is left over |
//! | --- | --- | --- |
//! | `user+ext@domain` | every table | - |
//! | `user@domain` | tables of fixed keys | `+ext` |
//! | `user+ext`, where the domain is ours | tables of fixed keys | - |
//! | `user`, where the domain is ours | tables of fixed keys | `+ext` |
//! | `@domain` | tables of fixed keys | - |
//!
//! Each key is asked of all tables before the next key, in external form (quoted) and, where that
//! differs, in internal form. Ours is `$myorigin` and whatever is delivered locally.
//!
//! **Diagnostics**: a table that cannot answer is an error, with what the log is to say of it line
//! by line; nothing after it is asked.
//! **Standards**: canonical(5), virtual(5), generic(5), relocated(5): table search order.

use crate::lookup::{Maps, Part};
use crate::match_list::Match;
use crate::trivial_rewrite::Resolver;
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::address::{needs_quotes, write_local_part};
use mail::extension::Splitting;
use std::borrow::Cow;
use tables::Lookup;
use tables::catalog::Opened;

/// What a table says of an address.
#[derive(Debug)]
pub struct Found<'a> {
    /// The table.
    pub table: Option<&'a Opened>,
    /// The value.
    pub value: Cow<'a, [u8]>,
    /// How much of the end of the local part the key did not have: the extension with its
    /// delimiter.
    pub unmatched: usize,
}

impl Found<'_> {
    /// The extension of `address`, which was looked up, that the key did not have.
    pub fn extension<'b>(&self, address: &'b Address) -> &'b [u8] {
        let local = address.local_part();
        &local[local.len() - self.unmatched..]
    }
}

/// How addresses are taken apart for tables.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// Extensions.
    pub splitting: Splitting,
}

/// One search.
struct Search<'a, 'm> {
    maps: &'m Maps,
    key: &'a mut Vec<u8>,
    splitting: &'a Splitting,
    forms: Forms,
}

/// How a key is spelled that has to be quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// In quotes: what maps one address to another.
    External,
    /// In quotes; where no table has it, without.
    Both,
}

impl Finder {
    /// Reads `recipient_delimiter` and its like.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(params: &Params) -> Result<Finder, BadValue> {
        let splitting = Splitting {
            delimiters: params.text("recipient_delimiter")?,
            owner_request_special: params.flag("owner_request_special")?,
        };
        Ok(Finder { splitting })
    }

    /// What the tables say of `address`, which is in canonical form; the key that they have is in
    /// `key` then, which is the buffer of all keys.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn find<'m>(
        &self,
        resolver: &Resolver,
        maps: &'m Maps,
        address: &Address,
        key: &mut Vec<u8>,
    ) -> Result<Option<Found<'m>>, String> {
        self.find_as(Forms::Both, resolver, (maps, address), key)
    }

    /// The same with keys in certain forms.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn find_as<'m>(
        &self,
        forms: Forms,
        resolver: &Resolver,
        (maps, address): (&'m Maps, &Address),
        key: &mut Vec<u8>,
    ) -> Result<Option<Found<'m>>, String> {
        if maps.is_empty() || address.is_null() && forms == Forms::Both {
            return Ok(None);
        }
        let mut search = Search { maps, key, splitting: &self.splitting, forms };
        if address.is_null() {
            return search.nobody();
        }
        let (local, domain) = (address.local_part(), address.domain());
        if let Some(found) = search.with_and_without(local, domain, Part::Whole)? {
            return Ok(Some(found));
        }
        let Some(domain) = domain else { return Ok(None) };
        if is_ours(resolver, domain)?
            && let Some(found) = search.with_and_without(local, None, Part::Partial)?
        {
            return Ok(Some(found));
        }
        search.find(b"", Some(domain), Part::Partial)
    }
}

impl<'m> Search<'_, 'm> {
    /// Nobody, a null sender say, as `""`: a pattern for everybody has that too.
    fn nobody(&mut self) -> Result<Option<Found<'m>>, String> {
        self.key.clear();
        self.key.extend_from_slice(b"\"\"");
        self.ask(Part::Whole)
    }

    /// A local part as it is, then without its extension.
    fn with_and_without(
        &mut self,
        local: &[u8],
        domain: Option<&[u8]>,
        part: Part,
    ) -> Result<Option<Found<'m>>, String> {
        if let Some(found) = self.find(local, domain, part)? {
            return Ok(Some(found));
        }
        let Some(at) = self.splitting.at(local) else { return Ok(None) };
        let found = self.find(&local[..at], domain, Part::Partial)?;
        Ok(found.map(|found| Found { unmatched: local.len() - at, ..found }))
    }

    /// One key in both forms.
    fn find(
        &mut self,
        local: &[u8],
        domain: Option<&[u8]>,
        part: Part,
    ) -> Result<Option<Found<'m>>, String> {
        if !local.is_empty() && needs_quotes(local) {
            self.key.clear();
            write_local_part(local, self.key);
            self.at(domain);
            let found = self.ask(part)?;
            if found.is_some() || self.forms == Forms::External {
                return Ok(found);
            }
        }
        self.key.clear();
        self.key.extend_from_slice(local);
        self.at(domain);
        self.ask(part)
    }

    /// Completes the key.
    fn at(&mut self, domain: Option<&[u8]>) {
        if let Some(domain) = domain {
            self.key.push(b'@');
            self.key.extend_from_slice(domain);
        }
    }

    fn ask(&self, part: Part) -> Result<Option<Found<'m>>, String> {
        match self.maps.find_in(self.key, part) {
            (Lookup::Found(value), table) => Ok(Some(Found { table, value, unmatched: 0 })),
            (Lookup::NotFound, _) => Ok(None),
            (Lookup::Retry(why), _) => Err(self.maps.failure(self.key, &why)),
        }
    }
}

fn is_ours(resolver: &Resolver, domain: &[u8]) -> Result<bool, String> {
    let Ok(domain) = std::str::from_utf8(domain) else { return Ok(false) };
    if domain.eq_ignore_ascii_case(resolver.myorigin()) {
        return Ok(true);
    }
    match resolver.is_local(domain) {
        Match::Yes => Ok(true),
        Match::No => Ok(false),
        Match::Unknown => Err(resolver.local_trouble(domain.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// What a table has for an address, and the extension that is left.
    fn find(maps: &str, address: &str) -> Result<Option<(String, String)>, String> {
        let text = format!(
            "recipient_delimiter = +\nmyorigin = origin.example\nmydestination = ours.example\n\
             canonical_maps = {maps}\n"
        );
        let snapshot = testing::snapshot(&text);
        let (finder, maps) = (&snapshot.mapping.finder, &snapshot.mapping.canonical.maps);
        let address = Address::from_internal(address.as_bytes());
        let found = finder.find(&snapshot.resolver, maps, &address, &mut Vec::new());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(found?.map(|found| (text(&found.value), text(found.extension(&address)))))
    }

    #[test]
    fn less_and_less_of_an_address_is_asked_for() {
        for (key, address, left) in [
            ("user+ext@ours.example", "user+ext@ours.example", ""),
            ("user@ours.example", "user+ext@ours.example", "+ext"),
            ("user+ext", "User+Ext@Ours.Example", ""),
            ("user", "user+ext@origin.example", "+ext"),
            ("@ours.example", "user+ext@ours.example", ""),
            ("\"a..b\"@x.example", "a..b@x.example", ""),
        ] {
            let found = find(&format!("inline:{{{{{key}=v}}}}"), address).unwrap();
            assert_eq!(found, Some(("v".into(), left.into())), "{key}");
        }
        for (key, address) in [("user", "user@other.example"), ("user", "+user@ours.example")] {
            assert_eq!(find(&format!("inline:{{{key}=v}}"), address), Ok(None), "{key}");
        }
    }

    /// As Postfix 3.7.11 maps addresses: `"a."@x` is in quotes or not found; nobody is `""`.
    #[test]
    fn what_maps_addresses_is_asked_in_quotes_only() {
        let find = |maps: &str, address: &str| {
            let snapshot = testing::snapshot(&format!("canonical_maps = {maps}\n"));
            let (finder, maps) = (&snapshot.mapping.finder, &snapshot.mapping.canonical.maps);
            let address = Address::from_internal(address.as_bytes());
            let (mut key, resolver) = (Vec::new(), &snapshot.resolver);
            let found = finder.find_as(Forms::External, resolver, (maps, &address), &mut key);
            let has = found.unwrap().is_some();
            let both = finder.find(resolver, maps, &address, &mut Vec::new()).unwrap().is_some();
            (has, both)
        };
        assert_eq!(find("inline:{a.@x.example=v}", "a.@x.example"), (false, true));
        assert_eq!(find("inline:{{\"a.\"@x.example=v}}", "a.@x.example"), (true, true));
        assert_eq!(find("inline:{{\"\"=v}}", ""), (true, false));
    }

    #[test]
    fn each_key_is_asked_of_every_table_before_the_next_one() {
        let maps = "inline:{user@x.example=first} inline:{{user+ext@x.example=second}}";
        let found = find(maps, "user+ext@x.example").unwrap();
        assert_eq!(found, Some(("second".into(), String::new())));
    }

    #[test]
    fn a_table_that_fails_ends_the_search() {
        assert!(find("fail:x inline:{a@b=1}", "a@b").is_err());
        assert_eq!(
            find("inline:{a@b=1} fail:x", "a@b").unwrap(),
            Some(("1".into(), String::new()))
        );
    }
}
