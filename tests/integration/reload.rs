//! `postfix reload`: new sessions see the new configuration, open ones go on.

use crate::support::client::{Client, submit};
use crate::support::system::{System, free_port};
use crate::support::wait;

fn greets(system: &System, banner: &str) -> bool {
    Client::connect(system.port).is_ok_and(|client| client.greeting == banner)
}

#[test]
fn a_reload_drops_no_session_and_new_sessions_see_the_new_banner() {
    let system = System::started("smtpd_banner = first\n");
    let engine = system.engine();
    let mut open = Client::connect(system.port).unwrap();
    assert_eq!(open.greeting, "220 first");
    assert!(open.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(open.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    system.configure("smtpd_banner = second\n");
    system.tell("postfix", &["reload"]);
    wait("the new banner", || greets(&system, "220 second"));
    assert!(open.ask("RCPT TO:<user@sink.example>").unwrap().starts_with("250"));
    assert!(open.ask("DATA").unwrap().starts_with("354"));
    let reply = open.ask("Subject: x\r\n\r\nx\r\n.").unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    assert!(open.ask("QUIT").unwrap().starts_with("221"));
    assert_eq!(system.engine(), engine);
    assert_eq!(system.logged("reload -- version "), 1);
}

#[test]
fn a_bad_value_in_main_cf_keeps_the_old_configuration_and_is_logged() {
    let system = System::started("smtpd_banner = first\n");
    let engine = system.engine();
    system.configure("smtpd_banner = second\nsmtpd_timeout = abc\n");
    system.tell("postfix", &["reload"]);
    wait("the reason in the log", || system.logged("smtpd_timeout") > 0);
    assert!(greets(&system, "220 first"), "{}", system.log());
    assert_eq!(system.engine(), engine);
    system.configure("smtpd_timeout = 300s\n");
    system.tell("postfix", &["reload"]);
    wait("the new banner once it is mended", || greets(&system, "220 second"));
}

#[test]
fn a_value_that_no_command_looks_at_is_named_when_the_engine_does_not_start() {
    let system = System::new("sender_canonical_maps = regexp:{{/x$/ y}}\n");
    assert!(!system.run("postfix", &["start"]).status.success());
    assert!(system.logged("fatal: ") > 1, "{}", system.log());
    let why = "fatal: empty macro name: \"regexp:{{/x$/ y}}\"; dictionary mail_dict: macro";
    assert!(system.logged(why) > 0, "{}", system.log());
}

#[test]
fn a_missing_main_cf_keeps_the_old_configuration_and_is_logged() {
    let system = System::started("smtpd_banner = first\n");
    let master = system.master();
    let main_cf = system.path("conf/main.cf");
    std::fs::rename(&main_cf, system.path("conf/away")).unwrap();
    // The command cannot read it either: the signal is what it would send.
    crate::support::process::signal(master, rustix::process::Signal::HUP);
    wait("the reason in the log", || system.logged("main.cf") > 0);
    assert!(greets(&system, "220 first"), "{}", system.log());
    std::fs::rename(system.path("conf/away"), main_cf).unwrap();
    assert_eq!(system.run("postfix", &["status"]).status.code(), Some(0));
}

#[test]
fn a_new_address_is_served_after_a_reload_and_queued_mail_stays() {
    let system = System::started("minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n");
    submit(system.port, "a@source.example", "user@sink.example", "stays");
    system.wait_until_deferred(1);
    let (engine, port) = (system.engine(), free_port());
    let master_cf = system.path("conf/master.cf");
    let old = std::fs::read_to_string(&master_cf).unwrap();
    let new = format!("{old}127.0.0.1:{port} inet n - n - - smtpd\n");
    std::fs::write(&master_cf, new).unwrap();
    system.tell("postfix", &["reload"]);
    wait("service at the new address", || Client::connect(port).is_ok());
    assert_ne!(system.engine(), engine, "what listens is a new engine");
    system.wait_until_deferred(1);
    submit(system.port, "a@source.example", "user@sink.example", "the old address");
    submit(port, "a@source.example", "user@sink.example", "the new address");
    system.wait_until_deferred(3);
}
