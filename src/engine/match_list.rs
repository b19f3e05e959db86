//! Match lists: mynetworks, mydestination, relay_domains and their like.
//!
//! Items are tried in order and the first that matches decides; `!` in front of one turns a match
//! into a refusal. A table in a list is not read yet (its issue is open): a look-up that would need
//! it says
//! [`Match::Unknown`], and callers fail closed.
//!
//! Standards: postconf(5) `mynetworks`, `mydestination`, `relay_domains`,
//! `parent_domain_matches_subdomains`.

use std::net::IpAddr;

/// The outcome of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// An item matches.
    Yes,
    /// None does, or one with `!` does.
    No,
    /// It depends on a table or a pattern that cannot be used.
    Unknown,
}

impl Match {
    /// Whether it is [`Match::Yes`].
    pub fn is_yes(self) -> bool {
        self == Match::Yes
    }
}

/// Why a word is not an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadItem {
    /// The word.
    pub item: String,
    /// Postfix's words for what is wrong.
    pub reason: String,
}

struct Item<T> {
    refuses: bool,
    pattern: T,
}

enum Network {
    Block { base: IpAddr, prefix: u8 },
    Unusable,
}

/// A list of networks.
pub struct Networks {
    items: Vec<Item<Network>>,
}

impl Networks {
    /// Reads the words of a list; what cannot be used is in the second half.
    pub fn parse(words: &[String]) -> (Networks, Vec<BadItem>) {
        let mut bad = Vec::new();
        let items = words.iter().map(|word| {
            let (refuses, text) = negation(word);
            let pattern = parse_network(text).unwrap_or_else(|reason| {
                bad.push(BadItem { item: word.clone(), reason });
                Network::Unusable
            });
            Item { refuses, pattern }
        });
        (Networks { items: items.collect() }, bad)
    }

    /// Whether the address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> Match {
        let address = address.to_canonical();
        for item in &self.items {
            match item.pattern {
                Network::Block { base, prefix } if in_block(address, base, prefix) => {
                    return if item.refuses { Match::No } else { Match::Yes };
                }
                Network::Block { .. } => {}
                Network::Unusable => return Match::Unknown,
            }
        }
        Match::No
    }
}

enum DomainPattern {
    /// The name itself; with `subdomains` also everything below it.
    Name {
        name: String,
        subdomains: bool,
    },
    /// Everything below it.
    Below(String),
    Unusable,
}

/// A list of domain names.
pub struct Domains {
    items: Vec<Item<DomainPattern>>,
}

impl Domains {
    /// Reads the words of a list. `subdomains`: whether a plain name stands for its subdomains too.
    pub fn parse(words: &[String], subdomains: bool) -> (Domains, Vec<BadItem>) {
        let mut bad = Vec::new();
        let items = words.iter().map(|word| {
            let (refuses, text) = negation(word);
            let pattern = if is_file_or_table(text) {
                let reason = "lookup tables are not supported yet".into();
                bad.push(BadItem { item: word.clone(), reason });
                DomainPattern::Unusable
            } else {
                parse_domain(text, subdomains)
            };
            Item { refuses, pattern }
        });
        (Domains { items: items.collect() }, bad)
    }

    /// Whether the domain is in the list, in any letter case.
    pub fn contains(&self, domain: &str) -> Match {
        let domain = domain.to_ascii_lowercase();
        for item in &self.items {
            let matches = match &item.pattern {
                DomainPattern::Name { name, subdomains } => {
                    domain == *name || *subdomains && is_below(&domain, name)
                }
                DomainPattern::Below(parent) => is_below(&domain, parent),
                DomainPattern::Unusable => return Match::Unknown,
            };
            if matches {
                return if item.refuses { Match::No } else { Match::Yes };
            }
        }
        Match::No
    }
}

fn negation(word: &str) -> (bool, &str) {
    let text = word.trim_start_matches('!');
    ((word.len() - text.len()) % 2 == 1, text)
}

/// `type:name`, which is not an IPv6 address, or `/file`.
fn is_file_or_table(text: &str) -> bool {
    text.starts_with('/') || !text.starts_with('[') && text.contains(':')
}

fn parse_domain(text: &str, subdomains: bool) -> DomainPattern {
    let text = text.to_ascii_lowercase();
    match text.strip_prefix('.') {
        Some(parent) if !subdomains => DomainPattern::Below(parent.into()),
        _ => DomainPattern::Name { name: text, subdomains },
    }
}

fn is_below(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
}

fn parse_network(text: &str) -> Result<Network, String> {
    if text.starts_with('/') || text.contains(':') && !text.contains('[') && !is_ipv6(text) {
        return Err("lookup tables are not supported yet".into());
    }
    let plain: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
    let (address, prefix) = match plain.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (plain.as_str(), None),
    };
    let bad = || format!("bad net/mask pattern: \"{text}\"");
    let base: IpAddr = address.parse().map_err(|_| bad())?;
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(bad)?,
        None => bits,
    };
    if masked(base, prefix) != base {
        return Err(format!("non-null host address bits in \"{text}\""));
    }
    Ok(Network::Block { base, prefix })
}

fn is_ipv6(text: &str) -> bool {
    text.split('/').next().is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn in_block(address: IpAddr, base: IpAddr, prefix: u8) -> bool {
    address.is_ipv4() == base.is_ipv4() && masked(address, prefix) == base
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    fn find(list: &str, address: &str) -> Match {
        Networks::parse(&words(list)).0.contains(address.parse().unwrap())
    }

    #[test]
    fn networks_in_all_forms() {
        let list = "!192.0.2.7 192.0.2.0/24 [2001:db8::]/32 [::1]/128 10.0.0.1";
        for (address, expected) in [
            ("192.0.2.1", Match::Yes),
            ("192.0.2.7", Match::No),
            ("2001:db8::9", Match::Yes),
            ("::1", Match::Yes),
            ("10.0.0.1", Match::Yes),
            ("10.0.0.2", Match::No),
            ("::ffff:10.0.0.1", Match::Yes),
        ] {
            assert_eq!(find(list, address), expected, "{address}");
        }
        assert_eq!(find("0.0.0.0/0", "203.0.113.9"), Match::Yes);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_fails_closed_from_there_on() {
        let (list, bad) = Networks::parse(&words("10.0.0.0/8 127.0.0.1/8 192.0.2.0/24"));
        assert_eq!(bad[0].reason, "non-null host address bits in \"127.0.0.1/8\"");
        assert_eq!(list.contains("10.1.1.1".parse().unwrap()), Match::Yes);
        assert_eq!(list.contains("192.0.2.1".parse().unwrap()), Match::Unknown);
    }

    #[test]
    fn domains_and_their_subdomains() {
        let list = |text, subdomains| Domains::parse(&words(text), subdomains).0;
        assert_eq!(list("example.test", true).contains("A.Example.TEST"), Match::Yes);
        assert_eq!(list("example.test", false).contains("a.example.test"), Match::No);
        assert_eq!(list(".example.test", false).contains("a.example.test"), Match::Yes);
        assert_eq!(list("!a.b b", true).contains("a.b"), Match::No);
        assert_eq!(list("hash:/x", true).contains("a.b"), Match::Unknown);
        assert_eq!(list("b.test", true).contains("ab.test"), Match::No);
    }
}
