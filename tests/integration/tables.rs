//! Tables that change on disk: what they say now holds without a reload.

use crate::support::client::Client;
use crate::support::system::System;
use crate::support::wait;
use std::fs;

/// The reply to RCPT for `address`.
fn rcpt(system: &System, address: &str) -> String {
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    client.ask(&format!("RCPT TO:<{address}>")).unwrap()
}

fn knows(system: &System, address: &str) -> bool {
    rcpt(system, address).starts_with("250")
}

/// A system that relays for the recipients of `table`, of which there is one, `one`.
fn started(table: &str) -> System {
    let system = System::new("");
    fs::write(system.path("conf/recipients"), "one@relay.example x\n").unwrap();
    let path = system.path("conf/recipients").display().to_string();
    if table != "texthash" {
        system.tell("postmap", &[&format!("{table}:{path}")]);
    }
    system.configure(&format!(
        "relay_domains = relay.example\nrelay_recipient_maps = {table}:{path}\n"
    ));
    system.start();
    assert!(knows(&system, "one@relay.example"), "{}", system.log());
    assert!(rcpt(&system, "two@relay.example").starts_with("550 5.1.1 "));
    system
}

#[test]
fn a_table_that_was_built_anew_is_used_without_a_reload() {
    for table in ["hash", "lmdb"] {
        let system = started(table);
        let engine = system.engine();
        fs::write(system.path("conf/recipients"), "two@relay.example x\n").unwrap();
        let path = system.path("conf/recipients");
        let name = format!("{table}:{}", path.display());
        system.tell("postmap", &[&name]);
        wait("the new recipient", || knows(&system, "two@relay.example"));
        assert!(rcpt(&system, "one@relay.example").starts_with("550 5.1.1 "));
        assert_eq!(system.engine(), engine);
        assert_eq!(system.logged(&format!("table {name} has changed")), 1, "{}", system.log());
    }
}

#[test]
fn a_text_written_in_place_is_never_seen_half_written() {
    let system = started("texthash");
    let path = system.path("conf/recipients");
    // Emptied and left so for a moment, as editors do.
    let file = fs::File::create(&path).unwrap();
    fs::write(system.path("conf/another"), "wakes the watcher").unwrap();
    assert!(knows(&system, "one@relay.example"), "an empty table would say no");
    std::io::Write::write_all(&mut &file, b"one@relay.example x\ntwo@relay.example x\n").unwrap();
    drop(file);
    wait("the new recipient", || knows(&system, "two@relay.example"));
    assert!(knows(&system, "one@relay.example"));
}

#[test]
fn a_table_that_is_gone_or_damaged_is_a_temporary_error_until_it_is_back() {
    let system = started("hash");
    let path = system.path("conf/recipients.db");
    let good = fs::read(&path).unwrap();
    let fails = || rcpt(&system, "one@relay.example").starts_with("451 4.3.0 ");
    fs::remove_file(&path).unwrap();
    wait("a temporary error", fails);
    assert!(rcpt(&system, "nobody@relay.example").starts_with("451 4.3.0 "));
    wait("the reason in the log", || system.logged("No such file or directory") > 0);
    fs::write(&path, &good).unwrap();
    wait("the table", || knows(&system, "one@relay.example"));
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    wait("a temporary error", fails);
    wait("the reason in the log", || system.logged("truncated database file") > 0);
    fs::write(&path, &good).unwrap();
    wait("the table", || knows(&system, "one@relay.example"));
}

#[test]
fn a_table_that_somebody_writes_with_a_lock_is_read_when_the_lock_is_gone() {
    let system = started("hash");
    let (path, new) = (system.path("conf/recipients.db"), system.path("conf/new.db"));
    fs::write(system.path("conf/new"), "two@relay.example x\n").unwrap();
    system.tell("postmap", &[&format!("hash:{}", system.path("conf/new").display())]);
    let bytes = fs::read(new).unwrap();
    // As Postfix's postmap: the same file, emptied and filled under a lock.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    file.set_len(0).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert!(knows(&system, "one@relay.example"), "{}", system.log());
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    drop(file);
    wait("the new recipient", || knows(&system, "two@relay.example"));
    assert_eq!(system.logged("database file"), 0, "{}", system.log());
}

#[test]
fn bad_tables_are_named_with_file_and_line_and_nothing_is_guessed() {
    let system = System::new("mynetworks = 192.0.2.0/24\n");
    let rules = system.path("conf/rules");
    fs::write(&rules, "/good@relay.example/ x\n/(open/ x\nno rule\n/last@relay.example/ x\n")
        .unwrap();
    let rules = rules.display();
    system.configure(&format!(
        "relay_domains = relay.example\nrelay_recipient_maps = pcre:{rules}\n\
         virtual_alias_domains = nosuch:/x\n"
    ));
    system.start();
    // Whether the domain is one of virtual aliases cannot be told.
    assert!(rcpt(&system, "u@other.example").starts_with("451 4.3.0 "), "{}", system.log());
    let said = |text: &str| assert!(system.logged(text) > 0, "{text}:\n{}", system.log());
    said("error: unsupported dictionary type: nosuch");
    said("warning: nosuch:/x is unavailable. unsupported dictionary type: nosuch");
    said("warning: virtual_alias_domains: nosuch:/x: table lookup problem");
    said(&format!("pcre map {rules}, line 2: error in regex at offset "));
    said(&format!("pcre map {rules}, line 3: ignoring unrecognized request"));
    system.configure("virtual_alias_domains =\n");
    system.tell("postfix", &["reload"]);
    wait("the rules that are good", || knows(&system, "last@relay.example"));
    assert!(knows(&system, "good@relay.example"));
    assert!(rcpt(&system, "open@relay.example").starts_with("550 5.1.1 "));
}

#[test]
fn a_hundred_thousand_aliases_of_one_are_refused_and_hold_up_nobody() {
    let system = System::new("relay_domains = relay.example\n");
    let many: Vec<String> = (0..100_000).map(|at| format!("a{at}@relay.example")).collect();
    let (file, around) = (system.path("conf/virtual"), "around@relay.example");
    let table =
        format!("many@relay.example {}\n{around} {around}x\n{around}x {around}\n", many.join(","));
    fs::write(&file, table).unwrap();
    let name = format!("hash:{}", file.display());
    system.tell("postmap", &[&name]);
    system.configure(&format!("virtual_alias_maps = {name}\n"));
    system.start();
    let send = |to: &str| {
        let mut client = Client::connect(system.port).unwrap();
        assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
        client.send("a@source.example", to, "Subject: x\r\n\r\nx").unwrap()
    };
    assert_eq!(send("many@relay.example"), "451 4.6.0 Alias expansion error");
    assert!(system.logged("unreasonable virtual_alias_maps map expansion size for many@") > 0);
    assert_eq!(send(around), "451 4.6.0 Alias expansion error");
    assert!(system.logged("unreasonable virtual_alias_maps map nesting for around@") > 0);
    assert!(send("one@relay.example").starts_with("250 2.0.0 Ok: queued as "));
}
