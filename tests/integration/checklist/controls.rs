//! Part J: access tables and content checks; and rows of part C that need them.

use super::{mail, rcpt, relayed};
use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;
use std::fs;
use std::net::Ipv4Addr;

/// A system with a table `access` in its directory, which `lists` name as `TABLE`.
fn with_access(entries: &str, lists: &str) -> System {
    let system = System::new("");
    let file = system.path("conf/access");
    fs::write(&file, entries).unwrap();
    let table = format!("hash:{}", file.display());
    system.tell("postmap", &[&table]);
    system.configure(&lists.replace("TABLE", &table));
    system.start();
    system
}

/// What a client at this address hears at RCPT.
fn rcpt_from(system: &System, source: Ipv4Addr) -> String {
    let mut client = Client::connect_from(source, system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    client.ask("RCPT TO:<u@sink.example>").unwrap()
}

#[test]
fn s46_s163_check_client_access_asks_a_table() {
    let entries = "127.0.0.2 REJECT\n127.0.0.1 OK\n127.0.0.3 554 5.7.9 not you\n";
    let lists = "smtpd_client_restrictions = check_client_access TABLE\n\
                 smtpd_peername_lookup = no\n";
    let system = with_access(entries, lists);
    assert_eq!(rcpt_from(&system, Ipv4Addr::new(127, 0, 0, 1)), "250 2.1.5 Ok");
    assert_eq!(
        rcpt_from(&system, Ipv4Addr::new(127, 0, 0, 2)),
        "554 5.7.1 <unknown[127.0.0.2]>: Client host rejected: Access denied"
    );
    assert_eq!(
        rcpt_from(&system, Ipv4Addr::new(127, 0, 0, 3)),
        "554 5.7.9 <unknown[127.0.0.3]>: Client host rejected: not you"
    );
}

#[test]
fn s162_ok_ends_its_list_only() {
    let entries = "a@source.example OK\n";
    let lists = "smtpd_sender_restrictions = check_sender_access TABLE, reject\n\
                 smtpd_recipient_restrictions = permit_mynetworks, reject\n";
    let system = with_access(entries, lists);
    assert_eq!(rcpt(&system, "u@sink.example"), "250 2.1.5 Ok");
    let reply = mail(&system, "b@source.example").ask("RCPT TO:<u@sink.example>").unwrap();
    let expected = "554 5.7.1 <b@source.example>: Sender address rejected: Access denied";
    assert_eq!(reply, expected);
}

#[test]
fn s164_check_helo_access() {
    let entries = "greatdeals.example.com REJECT\nclient.example OK\n";
    let system =
        with_access(entries, "smtpd_helo_restrictions = check_helo_access TABLE, permit\n");
    assert_eq!(rcpt(&system, "u@sink.example"), "250 2.1.5 Ok");
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO mx.greatdeals.example.com").unwrap().starts_with("250"));
    assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    assert_eq!(
        client.ask("RCPT TO:<u@sink.example>").unwrap(),
        "554 5.7.1 <mx.greatdeals.example.com>: Helo command rejected: Access denied"
    );
    // As the slide has it, nothing passes, and the log says why.
    let system = with_access(entries, "smtpd_helo_restrictions = check_helo access TABLE\n");
    assert_eq!(rcpt(&system, "u@sink.example"), "451 4.3.5 Server configuration error");
    assert_eq!(system.logged("smtpd restriction \"check_helo\""), 1, "{}", system.log());
}

#[test]
fn s165_check_sender_access() {
    let entries = "viagra.com 553 Please contact +886-3-5712121-54707.\n\
                   aaa@ 553 Invalid MAIL FROM\n";
    let system = with_access(entries, "smtpd_sender_restrictions = check_sender_access TABLE\n");
    for (sender, text) in [
        ("x@viagra.com", "Please contact +886-3-5712121-54707."),
        ("x@sub.viagra.com", "Please contact +886-3-5712121-54707."),
        ("aaa@source.example", "Invalid MAIL FROM"),
    ] {
        let reply = mail(&system, sender).ask("RCPT TO:<u@sink.example>").unwrap();
        assert_eq!(reply, format!("553 5.7.1 <{sender}>: Sender address rejected: {text}"));
    }
}

#[test]
fn s166_check_recipient_access() {
    let entries = "bin@cs.nctu.edu.tw 553 Invalid RCPT TO command\nftp@ 553 no\n";
    let lists = "smtpd_recipient_restrictions = check_recipient_access TABLE, permit\n";
    let system = with_access(entries, lists);
    let expected =
        "553 5.7.1 <bin@cs.nctu.edu.tw>: Recipient address rejected: Invalid RCPT TO command";
    assert_eq!(rcpt(&system, "bin@cs.nctu.edu.tw"), expected);
    let expected = "553 5.7.1 <ftp@sink.example>: Recipient address rejected: no";
    assert_eq!(rcpt(&system, "ftp@sink.example"), expected);
    assert_eq!(rcpt(&system, "u@sink.example"), "250 2.1.5 Ok");
}

#[test]
fn s167_actions_on_whole_messages() {
    let entries = "hold@sink.example HOLD\ndiscard@sink.example DISCARD\n\
                   filter@sink.example FILTER discard:filtered\n";
    let lists = "smtpd_recipient_restrictions = check_recipient_access TABLE, permit\n";
    let system = with_access(entries, lists);
    let send = |recipient: &str| {
        let mut client = mail(&system, "a@source.example");
        assert!(client.ask(&format!("RCPT TO:<{recipient}>")).unwrap().starts_with("250"));
        assert!(client.ask("DATA").unwrap().starts_with("354"));
        let reply = client.ask("Subject: x\r\n\r\nx\r\n.").unwrap();
        let id = reply.strip_prefix("250 2.0.0 Ok: queued as ").unwrap_or_else(|| {
            panic!("{recipient}: {reply}");
        });
        id.to_string()
    };
    let held = send("hold@sink.example");
    let is_held = || {
        let named = |line: &String| line.contains(&held) && line.contains("\"hold\"");
        system.listing().iter().any(named)
    };
    wait("it to be held", is_held);
    let discarded = send("discard@sink.example");
    send("filter@sink.example");
    wait("the filter", || system.logged("status=sent (filtered)") == 1);
    let text = format!("{discarded}: from=");
    assert_eq!(system.logged(&text), 0, "{}", system.log());
    // It survives a restart, and is delivered when it is released.
    system.tell("postfix", &["stop"]);
    system.start();
    wait("it to be held still", is_held);
    let sink = Keeper::start(system.sink);
    system.tell("postsuper", &["-H", &held]);
    wait("the message", || sink.count() == 1);
}

#[test]
fn s171_s172_s173_names_and_addresses_that_are_none() {
    let lists = "smtpd_helo_restrictions = reject_invalid_hostname, reject_non_fqdn_hostname\n\
                 smtpd_sender_restrictions = reject_non_fqdn_sender\n\
                 smtpd_recipient_restrictions = reject_non_fqdn_recipient, permit\n";
    let system = System::started(lists);
    let helo = |name: &str| {
        let mut client = Client::connect(system.port).unwrap();
        assert!(client.ask(&format!("EHLO {name}")).unwrap().starts_with("250"));
        assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
        client.ask("RCPT TO:<u@sink.example>").unwrap()
    };
    assert_eq!(helo("-bad"), "501 5.5.2 <-bad>: Helo command rejected: Invalid name");
    let expected = "504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname";
    assert_eq!(helo("host"), expected);
    let reply = mail(&system, "a@host").ask("RCPT TO:<u@sink.example>").unwrap();
    let expected = "504 5.5.2 <a@host>: Sender address rejected: need fully-qualified address";
    assert_eq!(reply, expected);
    let expected = "504 5.5.2 <u@host>: Recipient address rejected: need fully-qualified address";
    assert_eq!(rcpt(&system, "u@host"), expected);
}

#[test]
fn s180_a_table_alone_is_asked_about_what_its_list_is_about() {
    let lists = "smtpd_client_restrictions = TABLE\nsmtpd_peername_lookup = no\n";
    let system = with_access("127.0.0.1 REJECT\n", lists);
    let expected = "554 5.7.1 <unknown[127.0.0.1]>: Client host rejected: Access denied";
    assert_eq!(rcpt(&system, "u@sink.example"), expected);
}

/// A system with these rules for headers (`regexp:`) and for the body (`pcre:`).
fn with_checks(headers: &str, body: &str) -> System {
    let system = System::new("");
    for (parameter, kind, rules) in
        [("header_checks", "regexp", headers), ("body_checks", "pcre", body)]
    {
        let file = system.path("conf").join(parameter);
        fs::write(&file, rules).unwrap();
        system.configure(&format!("{parameter} = {kind}:{}\n", file.display()));
    }
    system.start();
    system
}

/// The reply to a message with this content.
fn sent(system: &System, content: &str) -> String {
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    client.send("a@source.example", "u@sink.example", content).unwrap()
}

#[test]
fn s50_s184_to_s188_headers_and_bodies_are_checked() {
    let headers = "/^Subject:.*take advantage now/ REJECT\n/repair your credit/ REJECT no\n\
                   /^X-Spam-Flag: YES/ PREPEND X-Label: spam\n/^X-Secret:/ IGNORE\n";
    let system = with_checks(headers, "/lowest rates.*\\!/ REJECT\n");
    let refused = "550 5.7.1 message content rejected";
    assert_eq!(sent(&system, "Subject: Take Advantage Now or never\r\n\r\nx"), refused);
    assert_eq!(sent(&system, "X: a\r\nSubject: REPAIR your credit\r\n\r\nx"), "550 5.7.1 no");
    // The line end between the words is no blank.
    let folded = sent(&system, "Subject: repair\r\n your credit\r\n\r\nx");
    assert!(folded.starts_with("250 2.0.0 Ok: queued as "), "{folded}");
    assert_eq!(sent(&system, "Subject: x\r\n\r\nthe LOWEST rates of all!"), refused);
    let sink = Keeper::start(system.sink);
    let from = "a@b.example\r\nX-Spam-Flag: YES\r\nX-Secret: s";
    let got = relayed(&system, &sink, ("a@source.example", "u@sink.example"), from);
    assert_eq!((got.header("X-Label"), got.header("X-Spam-Flag")), (Some("spam"), Some("YES")));
    assert_eq!(got.header("X-Secret"), None);
}

#[test]
fn s189_a_class_outside_of_brackets_is_a_set_of_characters() {
    let rule = "/[:alpha:]<!--.*-->[:alpha:]/ REJECT\n";
    let system = with_checks("", "");
    let file = system.path("conf/body_checks");
    fs::write(&file, rule).unwrap();
    system.configure(&format!("body_checks = regexp:{}\n", file.display()));
    system.reload();
    assert_eq!(sent(&system, "Subject: x\r\n\r\na<!--x-->h"), "550 5.7.1 message content rejected");
    assert!(sent(&system, "Subject: x\r\n\r\nb<!--x-->b").starts_with("250 2.0.0 "));
}
