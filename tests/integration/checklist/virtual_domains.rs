//! Part I: virtual aliases and domains.

use super::{rcpt, relayed};
use crate::support::keeper::Keeper;
use crate::support::system::System;
use std::fs;

/// A system with this virtual alias table.
fn started(kind: &str, table: &str, more: &str) -> System {
    let system = System::new(more);
    let file = system.path("conf/virtual");
    fs::write(&file, table).unwrap();
    let name = format!("{kind}:{}", file.display());
    if kind == "hash" {
        system.tell("postmap", &[&name]);
    }
    system.configure(&format!("virtual_alias_maps = {name}\n"));
    system.start();
    system
}

/// Who gets what is sent to `recipient`.
fn recipients(system: &System, sink: &Keeper, recipient: &str) -> Vec<String> {
    relayed(system, sink, ("a@source.example", recipient), "a@source.example").recipients
}

#[test]
fn s144_virtual_alias_maps_rewrite_any_recipient() {
    let table = "user@remote.example other@elsewhere.example\n";
    let system = started("hash", table, "");
    let sink = Keeper::start(system.sink);
    assert_eq!(recipients(&system, &sink, "user@remote.example"), ["other@elsewhere.example"]);
    assert_eq!(recipients(&system, &sink, "else@remote.example"), ["else@remote.example"]);
}

#[test]
fn s145_a_domain_as_result_keeps_the_user() {
    let system = started("hash", "chwong@csie.example @chbsd.example\n", "");
    let sink = Keeper::start(system.sink);
    assert_eq!(recipients(&system, &sink, "chwong@csie.example"), ["chwong@chbsd.example"]);
}

#[test]
fn s146_a_domain_for_a_domain() {
    let system = started("hash", "@csie.example @cs.example\n", "");
    let sink = Keeper::start(system.sink);
    assert_eq!(recipients(&system, &sink, "anybody@csie.example"), ["anybody@cs.example"]);
}

#[test]
fn s147_a_bare_user_stands_for_our_domains() {
    let ours = "myorigin = origin.example\nmydestination = ours.example\nlocal_recipient_maps =\n";
    let system = started("hash", "chwong ch0nsi@gmai1.example\n", ours);
    let sink = Keeper::start(system.sink);
    for domain in ["origin.example", "ours.example", "[127.0.0.1]"] {
        let recipient = format!("chwong@{domain}");
        assert_eq!(recipients(&system, &sink, &recipient), ["ch0nsi@gmai1.example"], "{domain}");
    }
    assert_eq!(recipients(&system, &sink, "chwong@other.example"), ["chwong@other.example"]);
}

#[test]
fn s148_virtual_aliases_by_pattern() {
    let table = "/chwong@csie\\.example/ @chbsd.example\n/@csie\\.example/ @cs.example\n\
        /(\\S+)\\.(\\S+)@nabsd\\.example/ $1@nabsd.example\n";
    let system = started("pcre", table, "");
    let sink = Keeper::start(system.sink);
    for (recipient, result) in [
        ("chwong@csie.example", "chwong@chbsd.example"),
        ("else@csie.example", "else@cs.example"),
        ("a.b.c@nabsd.example", "a@nabsd.example"),
        ("plain@nabsd.example", "plain@nabsd.example"),
    ] {
        assert_eq!(recipients(&system, &sink, recipient), [result], "{recipient}");
    }
}

#[test]
fn s150_separate_domains_with_aliases_to_accounts() {
    let table = "CEO@abc.example andy@box.example\n@xyz.example jack@box.example\n";
    let system = started("hash", table, "virtual_alias_domains = abc.example, xyz.example\n");
    let sink = Keeper::start(system.sink);
    assert_eq!(recipients(&system, &sink, "CEO@abc.example"), ["andy@box.example"]);
    assert_eq!(recipients(&system, &sink, "anything@xyz.example"), ["jack@box.example"]);
    assert_eq!(
        rcpt(&system, "other@abc.example"),
        "550 5.1.1 <other@abc.example>: Recipient address rejected: User unknown in virtual alias \
         table"
    );
}
