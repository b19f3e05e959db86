//! Part F: limits of what is received, and rewriting.

use super::{mail, rcpt, relayed};
use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn s84_smtpd_recipient_limit() {
    let system = System::started("smtpd_recipient_limit = 1000\n");
    let mut client = mail(&system, "a@source.example");
    for number in 0..1000 {
        let reply = client.ask(&format!("RCPT TO:<u{number}@sink.example>")).unwrap();
        assert!(reply.starts_with("250 "), "{number}: {reply}");
    }
    let reply = client.ask("RCPT TO:<one.more@sink.example>").unwrap();
    assert_eq!(reply, "452 4.5.3 Error: too many recipients");
}

#[test]
fn s85_message_size_limit() {
    let system = System::started("message_size_limit = 20000\n");
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().contains("250-SIZE 20000\n"));
    let reply = client.ask("MAIL FROM:<a@source.example> SIZE=20001").unwrap();
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");
    let content = "a line of a message\r\n".repeat(1000);
    let reply = client.send("a@source.example", "u@sink.example", &content).unwrap();
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");
}

#[test]
fn s86_smtpd_error_sleep_time_delays_every_reply() {
    let limits = "smtpd_error_sleep_time = 1s\nsmtpd_soft_error_limit = 1\n";
    let system = System::started(&format!("{limits}smtpd_hard_error_limit = 100\n"));
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("NOSUCH").unwrap().starts_with("500 5.5.2 "));
    let began = Instant::now();
    assert!(client.ask("NOOP").unwrap().starts_with("250 "));
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    let system = System::started("smtpd_error_sleep_time = 0\nsmtpd_soft_error_limit = 1\n");
    let mut client = Client::connect(system.port).unwrap();
    for _ in 0..5 {
        assert!(client.ask("NOSUCH").unwrap().starts_with("500 5.5.2 "));
    }
}

#[test]
fn s87_smtpd_soft_error_limit() {
    let limits = "smtpd_error_sleep_time = 30s\nsmtpd_soft_error_limit = 10\n";
    let system = System::started(limits);
    let mut client = Client::connect(system.port).unwrap();
    let began = Instant::now();
    for _ in 0..9 {
        assert!(client.ask("NOSUCH").unwrap().starts_with("500 5.5.2 "));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "none of these is delayed");
}

#[test]
fn s88_smtpd_hard_error_limit() {
    let system = System::started("smtpd_hard_error_limit = 3\nsmtpd_error_sleep_time = 0\n");
    let mut client = Client::connect(system.port).unwrap();
    for _ in 0..2 {
        assert!(client.ask("NOSUCH").unwrap().starts_with("500 5.5.2 "));
    }
    let mut last = client.ask("NOSUCH").unwrap();
    if last.starts_with("500 5.5.2 ") {
        last = client.reply().unwrap();
    }
    assert_eq!(last, "421 4.7.0 mx.example.test Error: too many errors");
}

#[test]
fn s89_append_at_myorigin() {
    let system = System::started("append_at_myorigin = yes\nmyorigin = origin.example\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("user", "b@sink.example"), "user");
    assert_eq!(mail.sender, "user@origin.example");
    assert_eq!(mail.header("From"), Some("user@origin.example"));
}

#[test]
fn s90_append_dot_mydomain() {
    let system = System::started("append_dot_mydomain = yes\nmydomain = dom.example\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("user@host", "b@sink.example"), "user@host");
    assert_eq!(mail.sender, "user@host.dom.example");
    assert_eq!(mail.header("From"), Some("user@host.dom.example"));
}

#[test]
fn s91_masquerade_domains() {
    let system = System::started("masquerade_domains = cs.example\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("u@nabsd.cs.example", "b@sink.example"), "u@x.cs.example");
    assert_eq!(mail.sender, "u@cs.example");
    assert_eq!(mail.header("From"), Some("u@cs.example"));
}

#[test]
fn s92_masquerade_exclusion() {
    let system = System::started("masquerade_domains = !chairman.cs.example cs.example\n");
    let sink = Keeper::start(system.sink);
    for (sender, hidden) in [
        ("u@pc.chairman.cs.example", "u@pc.chairman.cs.example"),
        ("u@nabsd.cs.example", "u@cs.example"),
    ] {
        assert_eq!(relayed(&system, &sink, (sender, "b@sink.example"), sender).sender, hidden);
    }
}

#[test]
fn s93_masquerade_exceptions() {
    let system =
        System::started("masquerade_domains = cs.example\nmasquerade_exceptions = admin, root\n");
    let sink = Keeper::start(system.sink);
    for (sender, hidden) in
        [("root@nabsd.cs.example", "root@nabsd.cs.example"), ("u@nabsd.cs.example", "u@cs.example")]
    {
        assert_eq!(relayed(&system, &sink, (sender, "b@sink.example"), sender).sender, hidden);
    }
}

#[test]
fn s94_masquerade_classes_and_its_misspelt_name() {
    let classes = "masquerade_domains = cs.example\nmasquerade_classes = header_sender\n";
    let system = System::started(&format!("{classes}masquerade_class = envelope_sender\n"));
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("u@h.cs.example", "b@sink.example"), "u@h.cs.example");
    assert_eq!(mail.sender, "u@h.cs.example");
    assert_eq!(mail.header("From"), Some("u@cs.example"));
    let output = system.run("postconf", &["-n"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("unused parameter: masquerade_class=envelope_sender"), "{said}");
}

#[test]
fn s95_envelope_recipients_are_not_masqueraded() {
    let system = System::started("masquerade_domains = cs.example\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("a@b.example", "u@host.cs.example"), "a@b.example");
    assert_eq!(mail.recipients, ["u@host.cs.example"]);
}

/// A system with a `hash:` table of its own for each of these parameters.
fn with_tables(tables: &[(&str, &str)], more: &str) -> System {
    let system = System::new(more);
    for (parameter, text) in tables {
        let file = system.path("conf").join(parameter);
        fs::write(&file, text).unwrap();
        let table = format!("hash:{}", file.display());
        system.tell("postmap", &[&table]);
        system.configure(&format!("{parameter} = {table}\n"));
    }
    system.start();
    system
}

#[test]
fn s96_canonical_maps_change_header_and_envelope_until_nothing_changes() {
    let table = "a@x.example b@x.example\nb@x.example c@x.example\n";
    let system = with_tables(&[("canonical_maps", table)], "");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("a@x.example", "a@x.example"), "a@x.example");
    assert_eq!((mail.sender.as_str(), mail.recipients[0].as_str()), ("c@x.example", "c@x.example"));
    assert_eq!(mail.header("From"), Some("c@x.example"));
}

#[test]
fn s97_canonical_classes() {
    let table = [("canonical_maps", "a@x.example b@x.example\n")];
    let system = with_tables(&table, "canonical_classes = envelope_recipient, header_sender\n");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("a@x.example", "a@x.example"), "a@x.example");
    assert_eq!((mail.sender.as_str(), mail.recipients[0].as_str()), ("a@x.example", "b@x.example"));
    assert_eq!(mail.header("From"), Some("b@x.example"));
}

#[test]
fn s98_of_two_canonical_entries_the_first_counts() {
    let system = System::new("");
    let file = system.path("conf/canonical");
    let entries = "chwong@cs.example chwong.NETADM@cs.example\nchwong@cs.example x@y.example\n";
    fs::write(&file, entries).unwrap();
    let table = format!("hash:{}", file.display());
    let output = system.run("postmap", &[&table]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("canonical.db: duplicate entry: \"chwong@cs.example\""), "{said}");
    system.configure(&format!("canonical_maps = {table}\n"));
    system.start();
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("chwong@cs.example", "b@sink.example"), "b@x.example");
    assert_eq!(mail.sender, "chwong.NETADM@cs.example");
}

#[test]
fn s99_sender_and_recipient_canonical_maps_come_before_canonical_maps() {
    let tables = [
        ("sender_canonical_maps", "a@x.example s@x.example\n"),
        ("recipient_canonical_maps", "a@x.example r@x.example\n"),
        ("canonical_maps", "a@x.example never@x.example\ns@x.example s2@x.example\n"),
    ];
    let system = with_tables(&tables, "");
    let sink = Keeper::start(system.sink);
    let mail = relayed(&system, &sink, ("a@x.example", "a@x.example"), "a@x.example");
    assert_eq!(
        (mail.sender.as_str(), mail.recipients[0].as_str()),
        ("s2@x.example", "r@x.example")
    );
    assert_eq!(mail.header("From"), Some("s2@x.example"));
}

#[test]
fn s100_relocated_maps() {
    let system = with_tables(&[("relocated_maps", "andy@x.example andyliu@abc.example\n")], "");
    assert_eq!(
        rcpt(&system, "andy@x.example"),
        "550 5.1.6 <andy@x.example>: Recipient address rejected: User has moved to \
         andyliu@abc.example"
    );
}

#[test]
fn s101_a_relocated_address_comes_before_its_domain() {
    let table = "@nabsd.example chbsd.example\nandy@nabsd.example andyliu@abc.example\n";
    let system = with_tables(&[("relocated_maps", table)], "");
    assert!(rcpt(&system, "andy@nabsd.example").ends_with("User has moved to andyliu@abc.example"));
    assert!(rcpt(&system, "else@nabsd.example").ends_with("User has moved to chbsd.example"));
}

#[test]
fn s102_unknown_users_are_refused() {
    let table = [("local_recipient_maps", "known x\n")];
    let system = with_tables(&table, "mydestination = here.example\n");
    assert!(rcpt(&system, "known@here.example").starts_with("250 "));
    assert_eq!(
        rcpt(&system, "nobody.here@here.example"),
        "550 5.1.1 <nobody.here@here.example>: Recipient address rejected: User unknown in local \
         recipient table"
    );
}
