//! Match lists: mynetworks, mydestination, relay_domains and their like.
//!
//! Items are tried in order and the first that matches decides; `!` in front of one turns a match
//! into a refusal. `/file` stands for the items in that file, `type:table` for the keys of that
//! table. Lists are made by [`crate::lookup::Opener`], which says what of them cannot be used: from
//! there on a look-up says [`Match::Unknown`], and callers fail closed.
//!
//! **Limits**: `FILE_DEPTH_MAX`.
//! **Standards**: postconf(5) `mynetworks`, `mydestination`, `relay_domains`,
//! `parent_domain_matches_subdomains`.

use std::net::IpAddr;
use std::sync::Arc;
use tables::catalog::Opened;
use tables::cidr::masked;
use tables::source::LogicalLines;
use tables::{Lookup, Table};

/// Files that name files, at most so deep.
const FILE_DEPTH_MAX: usize = 10;

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

/// What a list is read with; each function says why an item cannot be used.
pub struct Reader<'a> {
    /// Opens a table by its name.
    pub table: &'a dyn Fn(&str) -> Result<Arc<Opened>, String>,
    /// Reads a file.
    pub file: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// Takes an item that cannot be used, and why.
    pub complain: &'a dyn Fn(&str, &str),
}

#[derive(Debug)]
struct List<P> {
    items: Vec<Item<P>>,
}

#[derive(Debug)]
struct Item<P> {
    refuses: bool,
    pattern: Pattern<P>,
}

#[derive(Debug)]
enum Pattern<P> {
    Plain(P),
    Table(Arc<Opened>),
    /// As it is written.
    Unusable {
        name: String,
        why: String,
    },
}

impl<P> List<P> {
    fn read(
        words: &[String],
        reader: &Reader<'_>,
        plain: &dyn Fn(&str) -> Result<P, String>,
    ) -> Self {
        let mut list = List { items: Vec::new() };
        list.add(words, false, reader, plain, 0);
        list
    }

    fn add(
        &mut self,
        words: &[String],
        refuse: bool,
        reader: &Reader<'_>,
        plain: &dyn Fn(&str) -> Result<P, String>,
        depth: usize,
    ) {
        for word in words {
            let (negated, text) = negation(word);
            let refuses = negated != refuse;
            let pattern = if text.starts_with('/') {
                match file_words(text, reader, depth) {
                    Ok(words) => {
                        self.add(&words, refuses, reader, plain, depth + 1);
                        continue;
                    }
                    Err(why) => Err(why),
                }
            } else if is_table(text) {
                (reader.table)(text).map(Pattern::Table)
            } else {
                plain(text).map(Pattern::Plain)
            };
            let pattern = pattern.unwrap_or_else(|why| {
                (reader.complain)(word, &why);
                Pattern::Unusable { name: text.to_string(), why }
            });
            self.items.push(Item { refuses, pattern });
        }
    }

    /// The first item for which one of the functions says yes, or cannot say.
    fn find(&self, plain: impl Fn(&P) -> bool, table: impl Fn(&dyn Table) -> Match) -> Match {
        for item in &self.items {
            let found = match &item.pattern {
                Pattern::Plain(pattern) if plain(pattern) => Match::Yes,
                Pattern::Plain(_) => Match::No,
                Pattern::Table(opened) => table(opened.table()),
                Pattern::Unusable { .. } => Match::Unknown,
            };
            match found {
                Match::Yes if item.refuses => return Match::No,
                Match::No => {}
                decided => return decided,
            }
        }
        Match::No
    }
}

/// What a plain name in a list of domains stands for besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subdomains {
    /// Nothing, and `.parent` is no more than a name: lists of exact names.
    Never,
    /// Nothing; what is below has `.parent`.
    Dotted,
    /// Everything below it (`parent_domain_matches_subdomains`).
    Plain,
}

fn negation(word: &str) -> (bool, &str) {
    let text = word.trim_start_matches('!');
    ((word.len() - text.len()) % 2 == 1, text)
}

/// The items of a file: its logical lines, split as main.cf splits them.
fn file_words(path: &str, reader: &Reader<'_>, depth: usize) -> Result<Vec<String>, String> {
    if depth >= FILE_DEPTH_MAX {
        return Err("files are nested too deeply".into());
    }
    let text = (reader.file)(path).map_err(|why| format!("open file {path}: {why}"))?;
    let lines = LogicalLines::new(&text);
    Ok(lines.flat_map(|line| config::params::split(&String::from_utf8_lossy(&line.text))).collect())
}

/// `type:name`, which is not an IPv6 address or network.
pub fn is_table(text: &str) -> bool {
    text.contains(':') && !text.starts_with('[') && !is_ipv6(text)
}

fn is_ipv6(text: &str) -> bool {
    text.split('/').next().is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether the table has one of the keys.
fn has_key<'a>(table: &dyn Table, keys: impl Iterator<Item = &'a str>) -> Match {
    for key in keys {
        match table.lookup(key.as_bytes()) {
            Lookup::Found(_) => return Match::Yes,
            Lookup::NotFound => {}
            Lookup::Retry(_) => return Match::Unknown,
        }
    }
    Match::No
}

#[derive(Debug)]
enum Network {
    Block { base: IpAddr, prefix: u8 },
    Host(DomainPattern),
}

/// A list of networks, which may also name hosts.
#[derive(Debug)]
pub struct Networks {
    list: List<Network>,
    subdomains: bool,
}

impl Networks {
    /// Reads the words of a list. `subdomains`: whether a host name stands for those below it too.
    pub fn read(words: &[String], subdomains: bool, reader: &Reader<'_>) -> Networks {
        let plain = |text: &str| match is_host_name(text) {
            true => Ok(Network::Host(parse_domain(text, subdomains))),
            false => parse_network(text),
        };
        Networks { list: List::read(words, reader, &plain), subdomains }
    }

    /// Whether the client is in one of the networks: by its address, or by its verified name.
    pub fn contains(&self, address: IpAddr, name: &str) -> Match {
        let address = address.to_canonical();
        let plain = |network: &Network| match network {
            Network::Block { base, prefix } => in_block(address, *base, *prefix),
            Network::Host(pattern) => pattern.matches(name),
        };
        self.list.find(plain, |table| match has_key(table, keys_of(name, self.subdomains)) {
            Match::No => has_key(table, std::iter::once(address.to_string().as_str())),
            found => found,
        })
    }
}

#[derive(Debug)]
enum DomainPattern {
    /// The name itself; with `subdomains` also everything below it.
    Name { name: String, subdomains: bool },
    /// Everything below it.
    Below(String),
}

impl DomainPattern {
    fn matches(&self, domain: &str) -> bool {
        match self {
            DomainPattern::Name { name, subdomains } => {
                domain.eq_ignore_ascii_case(name) || *subdomains && is_below(domain, name)
            }
            DomainPattern::Below(parent) => is_below(domain, parent),
        }
    }
}

/// A list of domain names.
#[derive(Debug)]
pub struct Domains {
    list: List<DomainPattern>,
    subdomains: Subdomains,
}

impl Domains {
    /// Reads the words of a list.
    pub fn read(words: &[String], subdomains: Subdomains, reader: &Reader<'_>) -> Domains {
        let plain = |text: &str| {
            Ok(match subdomains {
                Subdomains::Never => DomainPattern::Name { name: text.into(), subdomains: false },
                other => parse_domain(text, other == Subdomains::Plain),
            })
        };
        Domains { list: List::read(words, reader, &plain), subdomains }
    }

    /// Whether the domain is in the list, in any letter case.
    pub fn contains(&self, domain: &str) -> Match {
        let plain = |pattern: &DomainPattern| pattern.matches(domain);
        self.list.find(plain, |table| self.in_table(table, domain))
    }

    fn in_table(&self, table: &dyn Table, domain: &str) -> Match {
        match self.subdomains {
            Subdomains::Never => has_key(table, std::iter::once(domain)),
            other => has_key(table, keys_of(domain, other == Subdomains::Plain)),
        }
    }

    /// Postfix's lines about a look-up that ended with [`Match::Unknown`]; `title` is the list.
    pub fn trouble(&self, title: &str, domain: &str) -> String {
        let failing = self.list.items.iter().find_map(|item| match &item.pattern {
            Pattern::Unusable { name, why } if is_table(name) => {
                Some((format!("{name} is unavailable. {why}\n"), name.clone()))
            }
            Pattern::Unusable { name, .. } => Some((String::new(), name.clone())),
            Pattern::Table(opened) => (self.in_table(opened.table(), domain) == Match::Unknown)
                .then(|| (String::new(), opened.name.to_string())),
            Pattern::Plain(_) => None,
        });
        let (before, name) = failing.unwrap_or_else(|| (String::new(), domain.to_string()));
        format!("{before}{title}: {name}: table lookup problem")
    }
}

/// The name and what stands for it in a table: its parents, as `.parent` unless a plain name stands
/// for its subdomains.
fn keys_of(name: &str, subdomains: bool) -> impl Iterator<Item = &str> {
    let parents = name.match_indices('.').map(move |(dot, _)| match subdomains {
        true => &name[dot + 1..],
        false => &name[dot..],
    });
    std::iter::once(name).chain(parents)
}

fn parse_domain(text: &str, subdomains: bool) -> DomainPattern {
    match text.strip_prefix('.') {
        Some(parent) if !subdomains => DomainPattern::Below(parent.into()),
        _ => DomainPattern::Name { name: text.into(), subdomains },
    }
}

fn is_below(domain: &str, parent: &str) -> bool {
    let Some(front) = domain.len().checked_sub(parent.len()) else { return false };
    let (Some(front), Some(end)) = (domain.get(..front), domain.get(front..)) else { return false };
    front.ends_with('.') && end.eq_ignore_ascii_case(parent)
}

/// Anything with a character no address has.
fn is_host_name(text: &str) -> bool {
    let of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '[' | ']');
    let of_ipv4 = |c: char| c.is_ascii_digit() || matches!(c, '.' | '/');
    !text.chars().all(if text.contains(':') { of_address } else { of_ipv4 })
        && !text.starts_with('[')
}

fn parse_network(text: &str) -> Result<Network, String> {
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

fn in_block(address: IpAddr, base: IpAddr, prefix: u8) -> bool {
    address.is_ipv4() == base.is_ipv4() && masked(address, prefix) == base
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tables::catalog::{Catalog, Name, System};
    use tables::fold::Folding;

    fn words(text: &str) -> Vec<String> {
        config::params::split(text)
    }

    /// Makes a list of `text`; what was complained about comes with it.
    fn with<T>(text: &str, make: impl Fn(&[String], &Reader<'_>) -> T) -> (T, Vec<String>) {
        let bad = RefCell::new(Vec::new());
        let system = System {
            read: |_| Err("none".into()),
            stamp: |_| None,
            variable: |_| None,
            random: || 0,
            remote: tables::catalog::no_remote,
        };
        let catalog = Catalog {
            system,
            folding: Folding::Ascii,
            utf8: false,
            default_type: "hash",
            proxied: &[],
            sensitive: false,
            verbatim: false,
            parameters: &|_| None,
            warn: &|_| {},
            reads: &|_| {},
        };
        let open = |word: &str| {
            let name = Name::of_table(word, "hash").map_err(|bad| bad.0)?;
            catalog.open(name).map(Arc::new).map_err(|bad| bad.0)
        };
        let file = |path: &str| match path {
            "/nets" => Ok(b"# ours\n10.0.0.0/8\n192.0.2.1, !/others\n".to_vec()),
            "/others" => Ok(b"192.0.2.0/24\n".to_vec()),
            "/loop" => Ok(b"/loop\n".to_vec()),
            _ => Err("No such file or directory".to_string()),
        };
        let complain = |_: &str, why: &str| bad.borrow_mut().push(why.to_string());
        let reader = Reader { table: &open, file: &file, complain: &complain };
        let made = make(&words(text), &reader);
        (made, bad.into_inner())
    }

    fn networks(text: &str) -> (Networks, Vec<String>) {
        with(text, |words, reader| Networks::read(words, true, reader))
    }

    fn find(list: &str, address: &str) -> Match {
        networks(list).0.contains(address.parse().unwrap(), "unknown")
    }

    #[test]
    fn networks_in_all_forms() {
        let list = "!192.0.2.7 192.0.2.0/24 [2001:db8::]/32 [::1]/128 10.0.0.1 2001:db9::/32";
        for (address, expected) in [
            ("192.0.2.1", Match::Yes),
            ("192.0.2.7", Match::No),
            ("2001:db8::9", Match::Yes),
            ("2001:db9::9", Match::Yes),
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
    fn files_and_tables_stand_for_what_is_in_them() {
        assert_eq!(find("/nets", "10.9.9.9"), Match::Yes);
        assert_eq!(find("/nets 0.0.0.0/0", "192.0.2.9"), Match::No);
        assert_eq!(find("/nets", "192.0.2.1"), Match::Yes);
        assert_eq!(find("inline:{192.0.2.1=x}", "192.0.2.1"), Match::Yes);
        assert_eq!(find("fail:x", "192.0.2.1"), Match::Unknown);
        assert_eq!(find("/none", "192.0.2.1"), Match::Unknown);
        let (_, bad) = networks("/loop");
        assert_eq!(bad, ["files are nested too deeply"]);
    }

    #[test]
    fn clients_are_known_by_name_too() {
        let is = |list: &str, name: &str| {
            networks(list).0.contains("203.0.113.1".parse().unwrap(), name)
        };
        assert_eq!(is("example.test", "A.Example.Test"), Match::Yes);
        assert_eq!(is("example.test", "unknown"), Match::No);
        assert_eq!(is("inline:{example.test=x}", "a.b.example.test"), Match::Yes);
        assert_eq!(is("inline:{example.test=x}", "unknown"), Match::No);
        assert_eq!(is("a.b", "a.b"), Match::Yes);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_fails_closed_from_there_on() {
        let (list, bad) = networks("10.0.0.0/8 127.0.0.1/8 192.0.2.0/24");
        assert_eq!(bad, ["non-null host address bits in \"127.0.0.1/8\""]);
        assert_eq!(list.contains("10.1.1.1".parse().unwrap(), "unknown"), Match::Yes);
        assert_eq!(list.contains("192.0.2.1".parse().unwrap(), "unknown"), Match::Unknown);
    }

    #[test]
    fn domains_and_their_subdomains() {
        let has = |text: &str, subdomains: bool, domain: &str| {
            let subdomains = if subdomains { Subdomains::Plain } else { Subdomains::Dotted };
            with(text, |words, reader| Domains::read(words, subdomains, reader)).0.contains(domain)
        };
        assert_eq!(has("example.test", true, "A.Example.TEST"), Match::Yes);
        assert_eq!(has("example.test", false, "a.example.test"), Match::No);
        assert_eq!(has(".example.test", false, "a.example.test"), Match::Yes);
        assert_eq!(has("!a.b b", true, "a.b"), Match::No);
        assert_eq!(has("hash:/x", true, "a.b"), Match::Unknown);
        assert_eq!(has("b.test", true, "ab.test"), Match::No);
        assert_eq!(has("inline:{a.b=x, .c.d=y}", false, "A.B"), Match::Yes);
        assert_eq!(has("inline:{a.b=x, .c.d=y}", false, "x.a.b"), Match::No);
        assert_eq!(has("inline:{a.b=x, .c.d=y}", false, "x.y.c.d"), Match::Yes);
        assert_eq!(has("inline:{a.b=x}", true, "x.y.a.b"), Match::Yes);
    }
}
