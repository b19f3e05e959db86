//! Part C: configuration tools and tables, as far as it takes a running system. What the commands
//! do is tested with them, in `tools/tests`.

use super::rcpt;
use crate::support::client::Client;
use crate::support::system::System;
use crate::support::wait;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn s39_postfix_reload() {
    let system = System::started("smtpd_banner = first\n");
    let mut open = Client::connect(system.port).unwrap();
    system.configure("smtpd_banner = second\n");
    system.tell("postfix", &["reload"]);
    let renewed = || Client::connect(system.port).is_ok_and(|it| it.greeting == "220 second");
    wait("the new banner", renewed);
    assert!(open.ask("NOOP").unwrap().starts_with("250 "), "the old session goes on");
    assert!(system.logged("refreshing the Postfix mail system") > 0);
    assert!(system.logged("reload -- version ") > 0);
}

/// The wrapper of init scripts.
fn rc(system: &System, word: &str) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/rc/postfix");
    let mut command = Command::new(script);
    command.arg(word).env("POSTFIX", system.path("bin/postfix"));
    command.env("MAIL_CONFIG", system.path("conf")).stderr(Stdio::null());
    command.status().unwrap().code()
}

#[test]
fn s40_the_rc_script_calls_the_postfix_command() {
    let system = System::new("smtpd_banner = first\n");
    assert_eq!(rc(&system, "nonsense"), Some(2));
    assert_ne!(rc(&system, "status"), Some(0));
    assert_eq!(rc(&system, "start"), Some(0));
    assert_eq!(rc(&system, "status"), Some(0));
    system.configure("smtpd_banner = second\n");
    assert_eq!(rc(&system, "reload"), Some(0));
    let renewed = || Client::connect(system.port).is_ok_and(|it| it.greeting == "220 second");
    wait("the new banner", renewed);
    assert_eq!(rc(&system, "restart"), Some(0));
    assert!(renewed());
    assert_eq!(rc(&system, "stop"), Some(0));
    assert_ne!(rc(&system, "status"), Some(0));
}

#[test]
fn s41_lists_in_files_and_tables() {
    let system = System::new("mynetworks = 192.0.2.0/24\n");
    let (file, table) = (system.path("conf/domains"), system.path("conf/table"));
    fs::write(&file, "one.example two.example\n# three.example\n").unwrap();
    fs::write(&table, "four.example x\n").unwrap();
    let name = format!("hash:{}", table.display());
    system.tell("postmap", &[&name]);
    system.configure(&format!("relay_domains = {}, {name}\n", file.display()));
    system.start();
    for (domain, code) in
        [("one", "250 "), ("two", "250 "), ("three", "454 "), ("four", "250 "), ("five", "454 ")]
    {
        let reply = rcpt(&system, &format!("u@{domain}.example"));
        assert!(reply.starts_with(code), "{domain}: {reply}");
    }
}

#[test]
fn s52_alias_maps_with_nis() {
    let system = System::new("mydestination = here.example\n");
    let aliases = system.path("conf/aliases");
    fs::write(&aliases, "root: someone@sink.example\n").unwrap();
    let name = format!("hash:{}", aliases.display());
    system.tell("postalias", &[&name]);
    system.configure(&format!("alias_maps = {name}, nis:mail.aliases\n"));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}local unix - n n - - local\n")).unwrap();
    system.start();
    assert_eq!(system.logged("NIS domain name not set - NIS lookups disabled"), 1);
    assert!(rcpt(&system, "nobody.at.all@here.example").starts_with("550 5.1.1 "));
    assert!(rcpt(&system, "root@here.example").starts_with("250 "));
}
