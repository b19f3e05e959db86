//! Default of `mynetworks`: the networks this machine's own addresses are in.
//!
//! Called by [`crate::Params`] when main.cf sets no `mynetworks`.
//!
//! **Standards**: postconf(5), mynetworks, mynetworks_style, inet_interfaces, inet_protocols.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Host;
use crate::params::Reason;

/// How wide "mine" is: `mynetworks_style`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The class A, B or C network; for IPv6 the subnet.
    Class,
    /// The subnet of the interface.
    Subnet,
    /// The address alone.
    Host,
}

/// Which own addresses count: `inet_interfaces` and `inet_protocols`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection<'a> {
    /// Words of `inet_interfaces`.
    pub interfaces: &'a [String],
    /// `inet_protocols` names IPv4.
    pub ipv4: bool,
    /// `inet_protocols` names IPv6.
    pub ipv6: bool,
}

impl Style {
    /// Reads a value of `mynetworks_style`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "class" => Some(Self::Class),
            "subnet" => Some(Self::Subnet),
            "host" => Some(Self::Host),
            _ => None,
        }
    }

    fn prefix(self, address: IpAddr, interface_prefix: u8) -> u8 {
        match (self, address) {
            (Self::Host, IpAddr::V4(_)) => 32,
            (Self::Host, IpAddr::V6(_)) => 128,
            (Self::Class, IpAddr::V4(v4)) => match v4.octets()[0] {
                0..=127 => 8,
                128..=191 => 16,
                192..=223 => 24,
                224..=255 => 32,
            },
            _ => interface_prefix,
        }
    }
}

/// The networks as `mynetworks` would list them, separated by a blank, or the name of
/// `inet_interfaces` that has no address.
pub(crate) fn networks(
    host: &Host,
    style: Style,
    selection: &Selection<'_>,
) -> Result<String, String> {
    let mut out: Vec<String> = Vec::new();
    for (address, prefix) in own_addresses(host, selection)? {
        let wanted = if address.is_ipv4() { selection.ipv4 } else { selection.ipv6 };
        let text = network(address, style.prefix(address, prefix));
        if wanted && !out.contains(&text) {
            out.push(text);
        }
    }
    Ok(out.join(" "))
}

/// Whether each word of `inet_interfaces` is an address of this host; `all` and `loopback-only`
/// stand alone.
pub(crate) fn check_interfaces(host: &Host, selection: &Selection<'_>) -> Result<(), Reason> {
    if matches!(selection.interfaces, [word] if word == "all" || word == "loopback-only") {
        return Ok(());
    }
    let either = selection.ipv4 == selection.ipv6;
    for word in selection.interfaces {
        let listed = addresses_of(host, word).map_err(Reason::HostNotFound)?;
        let wanted = |address: &IpAddr| either || address.is_ipv4() == selection.ipv4;
        let listed: Vec<IpAddr> = listed.into_iter().filter(wanted).collect();
        if listed.is_empty() {
            return Err(Reason::HostNotFound(word.clone()));
        }
        let own = |address: &IpAddr| host.interfaces.iter().any(|(own, _)| own == address);
        if let Some(foreign) = listed.iter().find(|address| !own(address)) {
            return Err(Reason::NoInterface(format!("{foreign}")));
        }
    }
    Ok(())
}

/// The interfaces that `inet_interfaces` selects.
fn own_addresses(host: &Host, selection: &Selection<'_>) -> Result<Vec<(IpAddr, u8)>, String> {
    let mut out = Vec::new();
    for word in selection.interfaces {
        match word.as_str() {
            "all" => out.extend(&host.interfaces),
            "loopback-only" => {
                out.extend(host.interfaces.iter().filter(|(address, _)| address.is_loopback()));
            }
            name => {
                let listed = addresses_of(host, name)?;
                out.extend(host.interfaces.iter().filter(|(own, _)| listed.contains(own)));
            }
        }
    }
    Ok(out)
}

fn addresses_of(host: &Host, name: &str) -> Result<Vec<IpAddr>, String> {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse() {
        return Ok([address].into());
    }
    host.resolved.get(name).cloned().ok_or_else(|| name.into())
}

fn network(address: IpAddr, prefix: u8) -> String {
    let bits = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            format!("[{}]/{prefix}", Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}
