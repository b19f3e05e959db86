//! Access tables: which keys they are asked for, most of it first.
//!
//! | about | keys |
//! | --- | --- |
//! | a client | its name and parent domains, then its address and networks |
//! | HELO | the name and parent domains |
//! | an address | `user+ext@domain`, `user@domain`, the domain and those above it, `user@` |
//!
//! Tables of patterns are asked for the whole of it only. A parent domain is `.domain`, or `domain`
//! where `parent_domain_matches_subdomains` has `smtpd_access_maps`; a network is an address
//! without its last parts. The null address is `smtpd_null_access_lookup_key`.
//!
//! **Diagnostics**: a table that cannot answer is an [`Unanswered`] with Postfix's warnings.
//! **Standards**: access(5).

pub mod action;

use crate::lookup::{Maps, Opener, Part};
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::extension::Splitting;
use std::borrow::Cow;
use tables::Lookup;

/// How keys are made.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Whether a parent domain is asked for without a dot in front.
    plain_parents: bool,
    splitting: Splitting,
    null: String,
}

/// One table.
#[derive(Debug)]
pub struct Access {
    /// As it is configured.
    pub name: String,
    maps: Maps,
}

/// A table cannot answer: what the log should say.
#[derive(Debug, PartialEq, Eq)]
pub struct Unanswered(pub Vec<String>);

/// What a table says.
pub type Answer<'a> = Result<Option<Cow<'a, [u8]>>, Unanswered>;

impl Keys {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params) -> Result<Keys, BadValue> {
        let parents = params.list("parent_domain_matches_subdomains")?;
        Ok(Keys {
            plain_parents: parents.iter().any(|word| word == "smtpd_access_maps"),
            splitting: Splitting {
                delimiters: params.text("recipient_delimiter")?,
                owner_request_special: params.flag("owner_request_special")?,
            },
            null: params.text("smtpd_null_access_lookup_key")?,
        })
    }
}

impl Access {
    /// Opens the table that a word of `parameter` names.
    pub fn open(parameter: &str, name: &str, opener: &Opener) -> Access {
        let maps = opener.maps_of(parameter, &[name.to_owned()]).titled(name);
        Access { name: name.into(), maps }
    }

    /// What it says of a client.
    ///
    /// # Errors
    /// It cannot answer.
    pub fn client(&self, keys: &Keys, name: &str, address: &str) -> Answer<'_> {
        match self.domain(keys, name.as_bytes(), Part::Whole)? {
            Some(found) => Ok(Some(found)),
            None => self.address(address),
        }
    }

    /// What it says of a name and the domains above it.
    ///
    /// # Errors
    /// It cannot answer.
    pub fn domain(&self, keys: &Keys, name: &[u8], part: Part) -> Answer<'_> {
        let (mut key, mut part) = (name, part);
        while !key.is_empty() {
            if let Some(found) = self.ask(key, part)? {
                return Ok(Some(found));
            }
            let Some(dot) = key[1..].iter().position(|byte| *byte == b'.') else { break };
            key = &key[dot + 1 + usize::from(keys.plain_parents)..];
            part = Part::Partial;
        }
        Ok(None)
    }

    /// What it says of an address and the networks it is in.
    fn address(&self, address: &str) -> Answer<'_> {
        let separator = if address.contains(':') { ':' } else { '.' };
        let (mut key, mut part) = (address, Part::Whole);
        loop {
            if let Some(found) = self.ask(key.as_bytes(), part)? {
                return Ok(Some(found));
            }
            match key.rsplit_once(separator) {
                Some((network, _)) => (key, part) = (network, Part::Partial),
                None => return Ok(None),
            }
        }
    }

    /// What it says of a mail address in canonical form.
    ///
    /// # Errors
    /// It cannot answer.
    pub fn mail(&self, keys: &Keys, address: &Address) -> Answer<'_> {
        if address.is_null() {
            return self.ask(keys.null.as_bytes(), Part::Whole);
        }
        let (local, domain) = (address.local_part(), address.domain().unwrap_or_default());
        let short = keys.splitting.at(local).map(|at| &local[..at]);
        let users = [Some(local), short];
        let at_domain = |user: &[u8]| Address::from_internal(&[user, b"@", domain].concat());
        for (user, part) in users.into_iter().flatten().zip([Part::Whole, Part::Partial]) {
            if let Some(found) = self.ask(&at_domain(user).external(), part)? {
                return Ok(Some(found));
            }
        }
        if let Some(found) = self.domain(keys, domain, Part::Partial)? {
            return Ok(Some(found));
        }
        for user in users.into_iter().flatten() {
            let mut key = Address::from_internal(user).external();
            key.push(b'@');
            if let Some(found) = self.ask(&key, Part::Partial)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn ask(&self, key: &[u8], part: Part) -> Answer<'_> {
        match self.maps.find(key, part) {
            Lookup::Found(value) => Ok(Some(value)),
            Lookup::NotFound => Ok(None),
            Lookup::Retry(_) => Err(Unanswered(self.maps.complaints(key))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::opened::Tables;
    use config::{Host, MainCf};

    fn table(entries: &str, main_cf: &str) -> (Access, Keys) {
        let main = MainCf::parse("main.cf", main_cf.as_bytes()).unwrap();
        let params = Params::new(main, Host::default());
        let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
        let access = Access::open("p", &format!("inline:{{{entries}}}"), &opener);
        (access, Keys::new(&params).unwrap())
    }

    fn text(answer: Answer<'_>) -> String {
        let found = answer.unwrap().unwrap_or(Cow::Borrowed(b"-"));
        String::from_utf8(found.into_owned()).unwrap()
    }

    #[test]
    fn a_client_is_its_name_its_domains_its_address_and_its_networks() {
        let entries = "dom.example=domain, .dot.example=dotted, 192.0.2.50=address, \
                       198.51.100=network, 198.51=wide, 2001:db8=six";
        let (access, keys) = table(entries, "");
        let client = |name, address| text(access.client(&keys, name, address));
        assert_eq!(client("a.b.dom.example", "192.0.2.50"), "domain");
        assert_eq!(client("DOM.example", "192.0.2.1"), "domain");
        assert_eq!(client("a.dot.example", "192.0.2.50"), "address");
        assert_eq!(client("unknown", "198.51.100.9"), "network");
        assert_eq!(client("unknown", "198.51.7.9"), "wide");
        assert_eq!(client("unknown", "2001:db8::50"), "six");
        assert_eq!(client("unknown", "192.0.2.51"), "-");
    }

    #[test]
    fn parent_domains_may_need_a_dot() {
        let entries = "exact.example=undotted, .exact.example=dotted";
        let (access, keys) = table(entries, "parent_domain_matches_subdomains =\n");
        let domain = |name: &[u8]| text(access.domain(&keys, name, Part::Whole));
        assert_eq!(domain(b"other.exact.example"), "dotted");
        assert_eq!(domain(b"exact.example"), "undotted");
    }

    #[test]
    fn an_address_is_itself_without_extension_its_domain_and_its_user() {
        let entries = "plus@d.example=base, d.example=domain, sub.example=above, user@=anywhere, \
                       {<>=null}";
        let (access, keys) = table(entries, "recipient_delimiter = +\n");
        let mail =
            |address: &str| text(access.mail(&keys, &Address::from_internal(address.as_bytes())));
        assert_eq!(mail("plus@d.example"), "base");
        assert_eq!(mail("plus+ext@d.example"), "base");
        assert_eq!(mail("x@d.example"), "domain");
        assert_eq!(mail("x@a.sub.example"), "above");
        assert_eq!(mail("user+ext@other.example"), "anywhere");
        assert_eq!(mail(""), "null");
        assert_eq!(mail("x@other.example"), "-");
    }

    #[test]
    fn patterns_see_the_whole_of_it_only() {
        let main = MainCf::parse("main.cf", b"recipient_delimiter = +\n").unwrap();
        let params = Params::new(main, Host::default());
        let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("re");
        std::fs::write(&path, "/^(d\\.example|user@d\\.example|192\\.0\\.2)$/ hit\n").unwrap();
        let access = Access::open("p", &format!("regexp:{}", path.display()), &opener);
        let keys = Keys::new(&params).unwrap();
        assert_eq!(text(access.client(&keys, "a.d.example", "192.0.2.1")), "-");
        assert_eq!(text(access.client(&keys, "d.example", "192.0.2.1")), "hit");
        let long = Address::from_internal(b"user+x@d.example");
        assert_eq!(text(access.mail(&keys, &long)), "-");
    }

    #[test]
    fn a_table_that_fails_says_so() {
        let params = Params::new(MainCf::parse("main.cf", b"").unwrap(), Host::default());
        let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
        let access = Access::open("p", "fail:x", &opener);
        let keys = Keys::new(&params).unwrap();
        let Unanswered(said) = access.client(&keys, "unknown", "192.0.2.1").unwrap_err();
        assert_eq!(said, ["fail:x lookup error for \"unknown\""]);
    }
}
