//! trivial-rewrite(8): which class an address is in, and which transport takes it where.
//!
//! Called by smtpd for access decisions and by qmgr for routing. Where a table that decides cannot
//! answer, that is [`Resolved::Unknown`], never a guess.
//!
//! The way of an address: that of its class; for relay and default, where the sender's tables and
//! relayhost send it; over all of that transport_maps, and over these relocated_maps. Addresses of
//! the virtual alias class have no way, and transport_maps give them none.
//!
//! Standards: trivial-rewrite(8), address rewriting and resolving as in postconf(5).

use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::{Finder, Found};
use crate::match_list::{Domains, Match};
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::tok822::Operators;
use std::net::IpAddr;
use tables::{Lookup, Table};

pub mod transport;

use transport::{Entry, TransportMaps};

/// Passes over one address before it is given up; bounded by its length in any case.
const RESOLVE_PASSES_EXTRA: usize = 100;

/// Address classes (ADDRESS_CLASS_README).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// mydestination and own address literals.
    Local,
    /// virtual_alias_domains.
    VirtualAlias,
    /// virtual_mailbox_domains.
    VirtualMailbox,
    /// relay_domains.
    Relay,
    /// Everything else.
    Default,
}

/// Where an address goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its class.
    pub class: Class,
    /// The master.cf service.
    pub transport: String,
    /// Where to, in the transport's syntax.
    pub nexthop: String,
    /// The address after local domains were resolved away.
    pub recipient: Address,
    /// More routing operators are left in the local part, and `allow_untrusted_routing` does not
    /// say that this is nobody's business.
    pub routed: bool,
}

/// What resolving an address gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A route.
    Route(Route),
    /// The domain is not one: 5.1.3 bad address syntax.
    BadSyntax,
    /// A table that cannot answer decides: 4.3.0; which, and why.
    Unknown(String),
}

/// Everything resolving needs of the configuration.
#[derive(Debug)]
pub struct Resolver {
    myhostname: String,
    myorigin: String,
    mydomain: Option<String>,
    own_addresses: Vec<IpAddr>,
    mydestination: Domains,
    virtual_alias_domains: Domains,
    virtual_mailbox_domains: Domains,
    relay_domains: Domains,
    local_transport: (String, String),
    virtual_transport: (String, String),
    relay_transport: (String, String),
    default_transport: (String, String),
    relayhost: String,
    swap_bangpath: bool,
    allow_percent_hack: bool,
    append_at_myorigin: bool,
    dequotes: bool,
    takes_null_domain: bool,
    takes_numeric_domain: bool,
    empty_address_recipient: String,
    allow_min_user: bool,
    trusts_routing: bool,
    shows_table: bool,
    finder: Finder,
    transport_maps: TransportMaps,
    relocated: Maps,
    sender_relayhost: SenderMaps,
    sender_default_transport: SenderMaps,
}

/// Tables that are asked for the sender.
#[derive(Debug)]
struct SenderMaps {
    name: &'static str,
    maps: Maps,
    /// What stands for the sender without an address.
    null_key: String,
}

impl Resolver {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A parameter whose value is not valid.
    pub fn new(
        params: &Params,
        own_addresses: Vec<IpAddr>,
        opener: &Opener,
    ) -> Result<Resolver, BadValue> {
        let domains = |name: &str| opener.domains(params, name);
        let finder = Finder::new(params)?;
        let append_dot = params.flag("append_dot_mydomain")?;
        Ok(Resolver {
            mydestination: domains("mydestination")?,
            virtual_alias_domains: domains("virtual_alias_domains")?,
            virtual_mailbox_domains: domains("virtual_mailbox_domains")?,
            relay_domains: domains("relay_domains")?,
            myhostname: params.text("myhostname")?,
            myorigin: params.text("myorigin")?,
            mydomain: if append_dot { Some(params.text("mydomain")?) } else { None },
            own_addresses,
            local_transport: transport(&params.text("local_transport")?),
            virtual_transport: transport(&params.text("virtual_transport")?),
            relay_transport: transport(&params.text("relay_transport")?),
            default_transport: transport(&params.text("default_transport")?),
            relayhost: params.text("relayhost")?,
            swap_bangpath: params.flag("swap_bangpath")?,
            allow_percent_hack: params.flag("allow_percent_hack")?,
            append_at_myorigin: params.flag("append_at_myorigin")?,
            dequotes: params.flag("resolve_dequoted_address")?,
            takes_null_domain: params.flag("resolve_null_domain")?,
            takes_numeric_domain: params.flag("resolve_numeric_domain")?,
            empty_address_recipient: params.text("empty_address_recipient")?,
            trusts_routing: params.flag("allow_untrusted_routing")?,
            allow_min_user: params.flag("allow_min_user")?,
            shows_table: params.flag("show_user_unknown_table_name")?,
            transport_maps: TransportMaps::new(params, opener, finder.splitting.clone())?,
            finder,
            relocated: opener.maps(params, "relocated_maps")?,
            sender_relayhost: SenderMaps {
                name: "sender_dependent_relayhost_maps",
                maps: opener.verbatim_maps(params, "sender_dependent_relayhost_maps")?,
                null_key: params.text("empty_address_relayhost_maps_lookup_key")?,
            },
            sender_default_transport: SenderMaps {
                name: "sender_dependent_default_transport_maps",
                maps: opener.verbatim_maps(params, "sender_dependent_default_transport_maps")?,
                null_key: params.text("empty_address_default_transport_maps_lookup_key")?,
            },
        })
    }

    /// `myorigin`.
    pub fn myorigin(&self) -> &str {
        &self.myorigin
    }

    /// The canonical form of an envelope address: qualified with the local domains.
    pub fn canonical(&self, address: &Address) -> Address {
        self.canonical_written(address, Operators::of(address))
    }

    /// The canonical form of a recipient: for nobody stands `empty_address_recipient`.
    pub fn canonical_recipient(&self, address: &Address) -> Address {
        match address.is_null() {
            true => {
                self.canonical(&Address::from_internal(self.empty_address_recipient.as_bytes()))
            }
            false => self.canonical(address),
        }
    }

    /// The same of an address that is written in another way than its external form.
    pub fn canonical_written(&self, address: &Address, operators: Operators) -> Address {
        self.qualified((address, operators), &self.myorigin, self.mydomain.as_deref())
    }

    /// The canonical form of an address that nobody else needs.
    pub fn canonical_form(&self, address: Address) -> Address {
        if self.is_canonical(address.as_bytes()) { address } else { self.canonical(&address) }
    }

    /// Whether an address is in canonical form already: no route, a domain with a dot inside.
    fn is_canonical(&self, address: &[u8]) -> bool {
        let Some(at) = rightmost(address, b'@') else { return false };
        let domain = &address[at + 1..];
        let dot = domain.iter().position(|byte| *byte == b'.');
        let whole = dot.is_some_and(|dot| dot > 0) && !domain.ends_with(b".");
        whole && !address.starts_with(b"@")
    }

    /// The canonical form of an address in a header of remote mail, where `domain` stands for the
    /// local ones.
    pub fn canonical_at(&self, address: &Address, operators: Operators, domain: &str) -> Address {
        let parent = self.mydomain.is_some().then_some(domain);
        self.qualified((address, operators), domain, parent)
    }

    fn qualified(
        &self,
        (address, operators): (&Address, Operators),
        origin: &str,
        parent: Option<&str>,
    ) -> Address {
        let Operators { route_end, has_at, has_dot, .. } = operators;
        let has_route = route_end > 0;
        if address.is_null() || !has_route && has_dot && self.is_canonical(address.as_bytes()) {
            return address.clone();
        }
        let rest = &address.as_bytes()[route_end..];
        if matches!(rest, b"" | b"@") && (has_at || has_route) {
            return Address::null();
        }
        let mut bytes = match has_at {
            true => rest.to_vec(),
            false => self.qualify(rest, operators, origin),
        };
        if let (Some(parent), Some(at)) = (parent, rightmost(&bytes, b'@')) {
            let domain = &bytes[at + 1..];
            let has_dot = if has_at { has_dot } else { domain.contains(&b'.') };
            if !domain.is_empty() && !has_dot && domain[0] != b'[' {
                bytes.push(b'.');
                bytes.extend_from_slice(parent.as_bytes());
            }
        }
        if let [front @ .., last, b'.'] = bytes.as_slice()
            && !matches!(last, b'.' | b'@')
        {
            bytes = [front, &[*last]].concat();
        }
        Address::from_internal(&bytes)
    }

    /// What relocated_maps has for a recipient, and under which key.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn moved(&self, recipient: &Address) -> Result<Option<(Found<'_>, Vec<u8>)>, String> {
        let mut key = Vec::new();
        let found = self.finder.find(self, &self.relocated, recipient, &mut key);
        let found = found.map_err(|why| format!("{why}\nrelocated_maps lookup failure"))?;
        Ok(found.map(|found| (found, key)))
    }

    /// What transport_maps has for a recipient.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn transport_entry(&self, recipient: &Address) -> Result<Option<Entry<'_>>, String> {
        self.transport_maps.find(recipient)
    }

    /// What sends a sender's mail its own way: the parameter, and the entry.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn sender_entry(&self, sender: &Address) -> Result<Vec<(&'static str, String)>, String> {
        let tables = [
            ("sender_dependent_default_transport_maps", &self.sender_default_transport),
            ("sender_dependent_relayhost_maps", &self.sender_relayhost),
        ];
        let mut out = Vec::new();
        for (name, tables) in tables {
            out.extend(self.for_sender(tables, sender)?.map(|value| (name, value)));
        }
        Ok(out)
    }

    /// An address in canonical form without its local routing operators, as it is queued.
    pub fn localized(&self, address: Address) -> Address {
        let domain = String::from_utf8_lossy(address.domain().unwrap_or_default());
        if !domain.is_empty() && self.is_local(&domain) == Match::No {
            return self.bracketed(&address).unwrap_or(address);
        }
        let deliverable = |address: &Address| {
            let domain = String::from_utf8_lossy(address.domain().unwrap_or_default());
            is_deliverable_domain(&domain)
        };
        let found = self.localize(&address).filter(deliverable);
        found.unwrap_or(address)
    }

    /// A recipient as it is queued: what resolving has made of it, routing operators gone.
    pub fn queued(&self, address: &Address, resolved: Resolved) -> Address {
        match resolved {
            Resolved::Route(route) => route.recipient,
            Resolved::BadSyntax | Resolved::Unknown(_) => self.canonical(address),
        }
    }

    /// A bare local part becomes an address: bang paths, the percent hack, then `@origin`. What has
    /// to be quoted is a name and no path.
    fn qualify(&self, bytes: &[u8], operators: Operators, origin: &str) -> Vec<u8> {
        if let Some(bang) = operators.first_bang.filter(|_| self.swap_bangpath) {
            return [&bytes[bang + 1..], b"@", &bytes[..bang]].concat();
        }
        if let Some(percent) = operators.last_percent.filter(|_| self.allow_percent_hack) {
            return [&bytes[..percent], b"@", &bytes[percent + 1..]].concat();
        }
        match self.append_at_myorigin {
            true => [bytes, b"@", origin.as_bytes()].concat(),
            false => bytes.to_vec(),
        }
    }

    /// Whether an address has a domain that could be one, in the end; where a table cannot tell, it
    /// has.
    pub fn is_well_formed(&self, address: &Address) -> bool {
        // Most addresses have nothing that resolving could take off.
        let plain = !address.local_part().iter().any(|byte| matches!(byte, b'@' | b'!' | b'%'));
        if plain && self.is_deliverable(address, address) && address.domain().is_some() {
            return true;
        }
        let localized = || self.localize(&self.canonical(address));
        address.is_null() || localized().is_none_or(|found| self.is_deliverable(&found, address))
    }

    /// Whether a localized address can be delivered to, which was written as `written`.
    fn is_deliverable(&self, address: &Address, written: &Address) -> bool {
        let domain = String::from_utf8_lossy(address.domain().unwrap_or_default());
        let option = !self.allow_min_user && address.as_bytes().starts_with(b"-");
        // What `bracketed` has made may lack the prefix that a literal from outside must have.
        let numeric = domain.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let bare = !written.as_bytes().contains(&b'[');
        let bracketed = domain.starts_with('[') && numeric && bare && self.takes_numeric_domain;
        !option && (bracketed || is_deliverable_domain(&domain))
    }

    /// Where an address from outside goes that `sender` sends to.
    pub fn resolve(&self, sender: &Address, address: &Address) -> Resolved {
        self.resolve_queued(sender, &self.canonical(address))
    }

    /// Where an address goes that is in canonical form already: made so again, `user@localhost.`
    /// would become another host's.
    pub fn resolve_queued(&self, sender: &Address, address: &Address) -> Resolved {
        let Some(recipient) = self.localize(address) else {
            return Resolved::Unknown(self.local_trouble(address.domain().unwrap_or_default()));
        };
        if !self.is_deliverable(&recipient, address) {
            return Resolved::BadSyntax;
        }
        let domain = String::from_utf8_lossy(recipient.domain().unwrap_or_default()).into_owned();
        let class = match self.class(&domain) {
            Ok(class) => class,
            Err(why) => return Resolved::Unknown(why),
        };
        let operator = |byte: &u8| matches!(byte, b'@' | b'!' | b'%');
        let routed = !self.trusts_routing && recipient.local_part().iter().any(operator);
        match self.route(sender, &recipient, class, &domain) {
            Ok((transport, nexthop)) => {
                Resolved::Route(Route { class, transport, nexthop, recipient, routed })
            }
            Err(why) => Resolved::Unknown(why),
        }
    }

    /// Takes local domains off until something else or a plain local part is left; `None` when a
    /// table would have to tell whether a domain is local.
    fn localize(&self, address: &Address) -> Option<Address> {
        let mut current = address.clone();
        let mut taken: Option<Vec<u8>> = None;
        // All of a local part that says no more of where to go, `@` included.
        let mut left: Option<Vec<u8>> = None;
        for _ in 0..address.as_bytes().len() + RESOLVE_PASSES_EXTRA {
            let Some(domain) = current.domain() else { break };
            let local = current.local_part();
            if domain.is_empty() && (self.takes_null_domain || self.has_operators(local)) {
                // Nothing stands for this host.
                let inner = Address::from_internal(local);
                current = if self.has_operators(local) { self.opened(inner) } else { inner };
                continue;
            }
            match self.is_local(&String::from_utf8_lossy(domain)) {
                Match::Yes => {}
                Match::No => match self.bracketed(&current) {
                    Some(literal) if self.is_local(&literal_of(&literal)) == Match::Yes => {
                        taken = literal.domain().map(<[u8]>::to_vec);
                        left = Some(literal.local_part().to_vec());
                        break;
                    }
                    literal => return Some(literal.unwrap_or(current)),
                },
                Match::Unknown => return None,
            }
            let domain = domain.to_vec();
            let local = current.local_part().to_vec();
            taken = Some(domain);
            if !self.has_operators(&local) {
                left = Some(local);
                break;
            }
            current = self.opened(Address::from_internal(&local));
        }
        let local = match left.as_deref().unwrap_or(current.local_part()) {
            [] => self.empty_address_recipient.as_bytes().to_vec(),
            local => local.to_vec(),
        };
        let domain = taken.unwrap_or_else(|| self.myhostname.clone().into_bytes());
        Some(Address::from_internal(&[&local, b"@".as_slice(), &domain].concat()))
    }

    /// Whether a local part says where to go on. In quotes it does when
    /// `resolve_dequoted_address` has it so.
    fn has_operators(&self, local: &[u8]) -> bool {
        let operators = local.contains(&b'@')
            || local.contains(&b'!') && self.swap_bangpath
            || local.contains(&b'%') && self.allow_percent_hack;
        operators && (self.dequotes || !mail::address::needs_quotes(local))
    }

    /// What a local part with operators says: the address in it. In quotes the percent hack comes
    /// first.
    fn opened(&self, local: Address) -> Address {
        let bytes = local.as_bytes();
        if bytes.contains(&b'@') || !mail::address::needs_quotes(bytes) {
            return self.canonical(&local);
        }
        let percent = rightmost(bytes, b'%').filter(|_| self.allow_percent_hack);
        let bang = || bytes.iter().position(|byte| *byte == b'!');
        match (percent, percent.map_or_else(bang, |_| None)) {
            (Some(at), _) => self.canonical(&joined(&bytes[..at], &bytes[at + 1..])),
            (None, Some(at)) => self.canonical(&joined(&bytes[at + 1..], &bytes[..at])),
            (None, None) => self.canonical(&local),
        }
    }

    /// `user@1.2.3.4` as `user@[1.2.3.4]`, where `resolve_numeric_domain` has it so.
    fn bracketed(&self, address: &Address) -> Option<Address> {
        let domain = address.domain().filter(|_| self.takes_numeric_domain)?;
        let ip: IpAddr = str::from_utf8(domain).ok()?.parse().ok()?;
        Some(address.with_domain(format!("[{ip}]").as_bytes()))
    }

    /// Whether a domain is delivered here: mydestination, or a literal of an own address.
    pub fn is_local(&self, domain: &str) -> Match {
        if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = mail::address::parse_literal(literal.as_bytes());
            let own = address.is_some_and(|address| self.own_addresses.contains(&address));
            return if own { Match::Yes } else { Match::No };
        }
        self.mydestination.contains(domain)
    }

    /// What the log says when mydestination cannot tell.
    pub fn local_trouble(&self, domain: &[u8]) -> String {
        let domain = String::from_utf8_lossy(domain);
        self.mydestination.trouble("mydestination", &domain)
    }

    /// What the log says of a domain that is listed for more than one class.
    pub fn doubly_listed(&self, route: &Route) -> Option<String> {
        let domain = String::from_utf8_lossy(route.recipient.domain()?);
        let alias = ("virtual_alias_domains", &self.virtual_alias_domains);
        let mailbox = ("virtual_mailbox_domains", &self.virtual_mailbox_domains);
        let relay = ("relay_domains", &self.relay_domains);
        let (chosen, others) = match route.class {
            Class::Local => ("mydestination", [alias, mailbox]),
            Class::VirtualAlias => ("virtual_alias_domains", [mailbox, relay]),
            Class::VirtualMailbox => ("virtual_mailbox_domains", [relay, relay]),
            Class::Relay | Class::Default => return None,
        };
        let (other, _) = others.iter().find(|(_, list)| list.contains(&domain).is_yes())?;
        Some(format!("do not list domain {domain} in BOTH {chosen} and {other}"))
    }

    /// The class of a domain, or what the log says of the list that cannot tell.
    fn class(&self, domain: &str) -> Result<Class, String> {
        let lists = [
            ("virtual_alias_domains", Class::VirtualAlias, &self.virtual_alias_domains),
            ("virtual_mailbox_domains", Class::VirtualMailbox, &self.virtual_mailbox_domains),
            ("relay_domains", Class::Relay, &self.relay_domains),
        ];
        match self.is_local(domain) {
            Match::Yes => return Ok(Class::Local),
            Match::Unknown => return Err(self.local_trouble(domain.as_bytes())),
            Match::No => {}
        }
        for (name, class, list) in lists {
            match list.contains(domain) {
                Match::Yes => return Ok(class),
                Match::Unknown => {
                    return Err(format!("{}\n{name} lookup failure", list.trouble(name, domain)));
                }
                Match::No => {}
            }
        }
        Ok(Class::Default)
    }

    /// Transport and next hop.
    fn route(
        &self,
        sender: &Address,
        recipient: &Address,
        class: Class,
        domain: &str,
    ) -> Result<(String, String), String> {
        let (mut transport, mut nexthop) = match class {
            Class::VirtualAlias => {
                ("error".into(), format!("5.1.1 User unknown{}", self.in_alias_table()))
            }
            class => self.class_route(sender, class, domain)?,
        };
        if class != Class::VirtualAlias
            && !self.transport_maps.is_empty()
            && let Some(entry) = self.transport_maps.find(recipient)?
        {
            transport::apply(&entry.value, domain, &mut transport, &mut nexthop);
        }
        if let Some((moved, _)) = self.moved(recipient)? {
            let to = String::from_utf8_lossy(&moved.value).into_owned();
            return Ok(("error".into(), format!("5.1.6 User has moved to {to}")));
        }
        Ok((transport, nexthop))
    }

    fn in_alias_table(&self) -> &'static str {
        if self.shows_table { " in virtual alias table" } else { "" }
    }

    /// What the class says, before any table of addresses.
    fn class_route(
        &self,
        sender: &Address,
        class: Class,
        domain: &str,
    ) -> Result<(String, String), String> {
        let (configured, relayed) = match class {
            Class::Local => (self.local_transport.clone(), false),
            Class::VirtualMailbox => (self.virtual_transport.clone(), false),
            Class::Relay => (self.relay_transport.clone(), true),
            Class::Default | Class::VirtualAlias => {
                let found = self.for_sender(&self.sender_default_transport, sender)?;
                let chosen = found.map(|value| transport(&value));
                (chosen.unwrap_or_else(|| self.default_transport.clone()), true)
            }
        };
        let (transport, nexthop) = configured;
        if !nexthop.is_empty() {
            return Ok((transport, nexthop));
        }
        let relayhost = match relayed {
            true => self.for_sender(&self.sender_relayhost, sender)?,
            false => None,
        };
        let nexthop = match relayhost {
            Some(relayhost) => relayhost,
            None if relayed && !self.relayhost.is_empty() => self.relayhost.clone(),
            None => domain.to_string(),
        };
        Ok((transport, nexthop))
    }

    /// What a table has for the sender; `DUNNO` is nothing.
    fn for_sender(&self, tables: &SenderMaps, sender: &Address) -> Result<Option<String>, String> {
        if tables.maps.is_empty() {
            return Ok(None);
        }
        let found = match sender.is_null() {
            true => match tables.maps.lookup(tables.null_key.as_bytes()) {
                Lookup::Found(value) => Ok(Some(value)),
                Lookup::NotFound => Ok(None),
                Lookup::Retry(why) => Err(tables.maps.failure(tables.null_key.as_bytes(), &why)),
            },
            false => {
                let found = self.finder.find(self, &tables.maps, sender, &mut Vec::new());
                found.map(|found| found.map(|found| found.value))
            }
        };
        let found = found.map_err(|why| format!("{why}\n{} lookup failure", tables.name))?;
        let text = found.map(|value| String::from_utf8_lossy(&value).trim().to_string());
        Ok(text.filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("dunno")))
    }
}

fn joined(local: &[u8], domain: &[u8]) -> Address {
    Address::from_internal(&[local, b"@", domain].concat())
}

/// `transport:nexthop`; the nexthop may be missing.
fn transport(text: &str) -> (String, String) {
    let (transport, nexthop) = text.split_once(':').unwrap_or((text, ""));
    (transport.to_string(), nexthop.to_string())
}

fn literal_of(address: &Address) -> String {
    String::from_utf8_lossy(address.domain().unwrap_or_default()).into_owned()
}

fn rightmost(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().rposition(|other| *other == byte)
}

fn is_deliverable_domain(domain: &str) -> bool {
    match domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => mail::address::parse_literal(literal.as_bytes()).is_some(),
        None => mail::address::is_valid_hostname(domain.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
