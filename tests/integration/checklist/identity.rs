//! Part D: identity and relay control.

use super::{mail, rcpt, relayed};
use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;
use std::fs;

#[test]
fn s58_myhostname_in_banner_and_received() {
    let system = System::started("myhostname = nabsd.cs.example\n");
    let sink = Keeper::start(system.sink);
    let client = Client::connect(system.port).unwrap();
    assert!(client.greeting.starts_with("220 nabsd.cs.example ESMTP"), "{}", client.greeting);
    let mail = relayed(&system, &sink, ("a@source.example", "b@sink.example"), "a@source.example");
    assert!(mail.content.contains("\tby nabsd.cs.example (Postfix) with "), "{}", mail.content);
}

#[test]
fn s59_mydomain_is_myhostname_without_its_first_label() {
    let system = System::new("myhostname = nabsd.cs.example\n");
    assert_eq!(system.tell("postconf", &["mydomain"]), "mydomain = cs.example\n");
}

#[test]
fn s60_a_bare_sender_gets_myorigin() {
    let system = System::started("myhostname = h.cs.example\nmyorigin = $mydomain\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("user", "b@sink.example"), "user");
    assert_eq!(mail.sender, "user@cs.example");
    assert_eq!(mail.header("From"), Some("user@cs.example"));
}

const OURS: &str = "myhostname = nabsd.cs.example\nmydomain = cs.example\n\
    mynetworks = 192.0.2.0/24\nlocal_recipient_maps =\n";

#[test]
fn s61_all_of_mydestination_is_local() {
    let names = "mydestination = $myhostname, localhost.$mydomain $mydomain\n";
    let system = System::started(&format!("{OURS}{names}"));
    for domain in ["nabsd.cs.example", "localhost.cs.example", "cs.example"] {
        assert!(rcpt(&system, &format!("u@{domain}")).starts_with("250 "), "{domain}");
    }
    assert!(rcpt(&system, "u@other.example").starts_with("454 4.7.1 "));
}

#[test]
fn s62_mydomain_is_not_local_by_itself() {
    let names = "mydestination = $myhostname, localhost.$mydomain\n";
    let system = System::started(&format!("{OURS}{names}"));
    assert!(rcpt(&system, "u@nabsd.cs.example").starts_with("250 "));
    assert!(rcpt(&system, "u@cs.example").starts_with("454 4.7.1 "));
}

#[test]
fn s63_not_an_open_relay() {
    let system = System::started("mynetworks = 192.0.2.0/24\n");
    let reply = rcpt(&system, "u@other.example");
    assert_eq!(reply, "454 4.7.1 <u@other.example>: Relay access denied");
}

#[test]
fn s64_relay_for_trusted_clients_and_relay_domains() {
    let system = System::started("mynetworks = 192.0.2.0/24\nrelay_domains = r.example\n");
    assert!(rcpt(&system, "u@r.example").starts_with("250 "));
    assert!(rcpt(&system, "u@sub.r.example").starts_with("250 "));
    assert!(rcpt(&system, "u@other.example").starts_with("454 "));
    let trusted = System::started("mynetworks = 127.0.0.0/8\n");
    assert!(rcpt(&trusted, "u@other.example").starts_with("250 "));
}

/// The reply to a client that comes from `source`.
fn from(source: &str, style: &str) -> String {
    let system = System::new("");
    let main_cf = system.path("conf/main.cf");
    let text = fs::read_to_string(&main_cf).unwrap().replace("mynetworks = 127.0.0.0/8\n", "");
    fs::write(&main_cf, format!("{text}mynetworks_style = {style}\n")).unwrap();
    system.start();
    let mut client = Client::connect_from(source.parse().unwrap(), system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    client.ask("RCPT TO:<u@other.example>").unwrap()
}

#[test]
fn s65_mynetworks_style_subnet_trusts_the_networks_of_the_interfaces() {
    assert!(from("127.0.0.1", "subnet").starts_with("250 "));
    assert!(from("127.9.9.9", "subnet").starts_with("250 "));
}

#[test]
fn s66_mynetworks_style_host_trusts_the_own_addresses_only() {
    assert!(from("127.0.0.1", "host").starts_with("250 "));
    assert!(from("127.9.9.9", "host").starts_with("454 4.7.1 "));
}

#[test]
fn s67_mynetworks_style_class_trusts_whole_classes() {
    assert!(from("127.9.9.9", "class").starts_with("250 "));
}

#[test]
fn s68_mynetworks_from_a_file() {
    let system = System::new("");
    let file = system.path("conf/mynetworks");
    fs::write(&file, "# ours\n127.0.0.0/8 140.113.0.0/16\n10.113.0.0/16\n").unwrap();
    system.configure(&format!("mynetworks = {}\n", file.display()));
    system.start();
    assert!(rcpt(&system, "u@other.example").starts_with("250 "));
    // Bits of a host: nobody can say who is meant.
    fs::write(&file, "127.0.0.1/8\n").unwrap();
    system.tell("postfix", &["reload"]);
    let refused = || {
        let reply = mail(&system, "a@source.example").ask("RCPT TO:<u@other.example>").unwrap();
        reply.starts_with("451 4.3.0 ")
    };
    wait("a temporary error", refused);
    assert!(system.logged("non-null host address bits in \"127.0.0.1/8\"") > 0);
}
