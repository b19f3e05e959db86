//! From a port as master.cf writes it to its number.
//!
//! Looked up in `known_tcp_ports`, then in services(5).

use config::Params;

/// Where services(5) is.
const SERVICES: &str = "/etc/services";

/// The number of `port`: digits, or a name.
pub fn number(params: &Params, port: &str) -> Option<u16> {
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return port.parse().ok();
    }
    let known = params.list("known_tcp_ports").unwrap_or_default().join(" ");
    of_known(&known, port).or_else(|| {
        let services = std::fs::read_to_string(SERVICES).unwrap_or_default();
        of_services(&services, port)
    })
}

/// `lmtp=24 submission=msa=587`: names, then the number.
fn of_known(known: &str, port: &str) -> Option<u16> {
    known.split_whitespace().find_map(|group| {
        let (names, number) = group.rsplit_once('=')?;
        names.split('=').find(|name| *name == port)?;
        number.parse().ok()
    })
}

/// `name number/tcp alias... # comment`.
fn of_services(services: &str, port: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let number = words.next()?.strip_suffix("/tcp")?;
        if name != port && !words.any(|alias| alias == port) {
            return None;
        }
        number.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names() {
        let known = "lmtp=24 smtp=25 smtps=submissions=465";
        assert_eq!(of_known(known, "submissions"), Some(465));
        assert_eq!(of_known(known, "smtp"), Some(25));
        assert_eq!(of_known(known, "465"), None);
        let services = "smtp 25/tcp mail # comment\nntp 123/udp\n";
        assert_eq!(of_services(services, "mail"), Some(25));
        assert_eq!(of_services(services, "ntp"), None);
        assert_eq!(of_services(services, "comment"), None);
    }
}
