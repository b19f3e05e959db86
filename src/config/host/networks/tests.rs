//! The default of mynetworks, as postconf -d prints it for the same interfaces.

use std::string::ToString;

use super::*;

fn host() -> Host {
    let interfaces =
        [("127.0.0.1", 8), ("192.0.2.10", 24), ("192.0.2.11", 24), ("::1", 128), ("fd00::5", 64)];
    let interfaces = interfaces.map(|(a, p)| (a.parse().expect("an address"), p)).to_vec();
    Host { interfaces, ..Host::default() }
}

fn run(style: Style, interfaces: &[&str], ipv6: bool) -> Result<String, String> {
    let words: Vec<String> = interfaces.iter().map(ToString::to_string).collect();
    networks(&host(), style, &Selection { interfaces: &words, ipv4: true, ipv6 })
}

#[test]
fn subnets_are_listed_once() {
    let all = run(Style::Subnet, &["all"], true);
    assert_eq!(all.as_deref(), Ok("127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64"));
    assert_eq!(run(Style::Subnet, &["all"], false).as_deref(), Ok("127.0.0.0/8 192.0.2.0/24"));
}

#[test]
fn hosts_and_classes_follow_the_style() {
    let host = run(Style::Host, &["127.0.0.1", "[::1]"], true);
    assert_eq!(host.as_deref(), Ok("127.0.0.1/32 [::1]/128"));
    assert_eq!(run(Style::Class, &["192.0.2.10"], true).as_deref(), Ok("192.0.2.0/24"));
    let loopback = run(Style::Host, &["loopback-only"], true);
    assert_eq!(loopback.as_deref(), Ok("127.0.0.1/32 [::1]/128"));
}

#[test]
fn names_need_an_address() {
    assert_eq!(run(Style::Host, &["mx.invalid"], true), Err("mx.invalid".to_string()));
}
