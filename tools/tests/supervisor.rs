//! postfix(1) and the supervisor with an engine that is a script.

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpStream;

use support::{System, err};

fn installed() -> System {
    let system = System::new("service_throttle_time = 1s\n");
    system.install(&[("postfix", env!("CARGO_BIN_EXE_postfix"))]);
    system.install_master();
    system
}

fn code(system: &System, words: &[&str]) -> Option<i32> {
    let output = system.run("postfix", words);
    assert_eq!(err(&output), "", "postfix is silent when nobody watches: {words:?}");
    output.status.code()
}

fn starts(system: &System) -> usize {
    system.events().iter().filter(|event| event.starts_with("start ")).count()
}

fn engine_pid(system: &System) -> String {
    let events = system.events();
    let last = events.iter().rfind(|event| event.starts_with("start ")).unwrap();
    last.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_system_starts_once_and_stops() {
    let system = installed();
    assert_eq!(code(&system, &["status"]), Some(1));
    assert_eq!(code(&system, &["stop"]), Some(1));
    assert_eq!(code(&system, &["start"]), Some(0));
    assert_eq!(code(&system, &["status"]), Some(0));
    assert_eq!(code(&system, &["start"]), Some(1));
    assert_eq!(starts(&system), 1);
    let start = &system.events()[0];
    let named = format!("127.0.0.1:{}/inet=", system.port);
    assert!(start.contains(&named) && start.contains(" pickup/unix="), "{start}");
    assert!(start.contains("showq/unix=") && start.contains("control/unix="), "{start}");
    let master = system.run("master", &["-d"]);
    let reason = "unable to set exclusive lock: Resource temporarily unavailable";
    let refused = format!("master: fatal: open lock file pid/master.pid: {reason}\n");
    assert_eq!((err(&master), master.status.code()), (refused, Some(1)));
    assert_eq!(code(&system, &["stop"]), Some(0));
    assert_eq!(code(&system, &["status"]), Some(1));
    assert_eq!(system.events().last().map(String::as_str), Some("term"));
    let log = system.log();
    let directory = system.path("conf").display().to_string();
    for line in [
        "postfix-script[PID]: the Postfix mail system is not running".to_owned(),
        "postfix-script[PID]: fatal: the Postfix mail system is not running".to_owned(),
        "postfix-script[PID]: starting the Postfix mail system".to_owned(),
        format!("master[PID]: daemon started -- version 3.7.11, configuration {directory}"),
        "postfix-script[PID]: fatal: the Postfix mail system is already running".to_owned(),
        "postfix-script[PID]: stopping the Postfix mail system".to_owned(),
        "master[PID]: terminating on signal 15".to_owned(),
    ] {
        assert!(without_pids(&log).contains(&format!(" mx postfix/{line}\n")), "{line} in {log}");
    }
}

/// The log with every process id as `PID`.
fn without_pids(log: &str) -> String {
    let mut out = String::new();
    for line in log.lines() {
        let (head, tail) = line.split_once(']').unwrap();
        let (head, _) = head.rsplit_once('[').unwrap();
        out.push_str(&format!("{head}[PID]{tail}\n"));
    }
    out
}

#[test]
fn an_engine_that_dies_is_started_again_and_no_connection_is_refused_meanwhile() {
    let system = installed();
    assert_eq!(code(&system, &["start"]), Some(0));
    let victim = engine_pid(&system);
    let killed = support::run(std::process::Command::new("kill").args(["-9", &victim]));
    assert!(killed.status.success());
    let waiting = TcpStream::connect(("127.0.0.1", system.port));
    assert!(waiting.is_ok(), "the supervisor holds the listening socket");
    system.wait("a second engine", || starts(&system) == 2);
    assert_ne!(engine_pid(&system), victim);
    let line = format!("bin/engine pid {victim} killed by signal 9\n");
    assert!(system.log().contains(&line), "{}", system.log());
}

#[test]
fn a_reload_signals_the_engine_and_replaces_it_only_when_the_addresses_change() {
    let system = installed();
    assert_eq!(code(&system, &["start"]), Some(0));
    assert_eq!(code(&system, &["reload"]), Some(0));
    system.wait("SIGHUP", || system.events().iter().any(|event| event == "hup"));
    assert_eq!(starts(&system), 1);
    let master_cf = system.path("conf/master.cf");
    let (old, port) = (fs::read_to_string(&master_cf).unwrap(), support::free_port());
    fs::write(&master_cf, format!("{old}127.0.0.1:{port} inet n - n - - smtpd\n")).unwrap();
    assert_eq!(code(&system, &["reload"]), Some(0));
    system.wait("a second engine", || starts(&system) == 2);
    let events = system.events();
    let term = events.iter().position(|event| event == "term").unwrap();
    let second = events.iter().rposition(|event| event.starts_with("start")).unwrap();
    assert!(term < second, "the old engine ends first: {events:?}");
    assert!(events[second].contains(&format!(":{port}/inet=")), "{events:?}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(system.log().contains("reload -- version 3.7.11"));
}

#[test]
fn a_broken_configuration_is_logged_and_the_old_one_stays() {
    let system = installed();
    assert_eq!(code(&system, &["start"]), Some(0));
    fs::write(system.path("conf/master.cf"), "foo bar\n").unwrap();
    assert_eq!(code(&system, &["reload"]), Some(0));
    system.wait("the error", || system.log().contains("master.cf: line 1: "));
    assert!(TcpStream::connect(("127.0.0.1", system.port)).is_ok());
    assert_eq!((starts(&system), code(&system, &["status"])), (1, Some(0)));
}

#[test]
fn an_address_in_use_or_an_engine_that_fails_makes_the_start_fail() {
    let system = installed();
    let taken = std::net::TcpListener::bind(("127.0.0.1", system.port)).unwrap();
    let output = system.run("postfix", &["start"]);
    let bind = format!("bind 127.0.0.1 port {}: Address already in use", system.port);
    assert_eq!(err(&output), format!("master: fatal: {bind}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert!(system.log().contains(&bind));
    drop(taken);
    fs::write(system.path("queue/events/fail"), "").unwrap();
    let output = system.run("postfix", &["start"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(system.log().contains("exit status 3\n"));
    assert!(system.log().ends_with("fatal: mail system startup failed\n"));
}

#[test]
fn in_the_foreground_the_command_becomes_the_supervisor() {
    let system = installed();
    let mut command = std::process::Command::new(system.path("bin/postfix"));
    command.arg("-c").arg(system.path("conf")).arg("start-fg");
    let mut child = support::spawn(command.stderr(std::process::Stdio::piped()));
    system.wait("the engine", || starts(&system) == 1);
    let pid = fs::read_to_string(system.path("queue/pid/master.pid")).unwrap();
    assert_eq!(pid.trim(), child.id().to_string());
    let interrupt = support::run(std::process::Command::new("kill").args(["-INT", pid.trim()]));
    assert!(interrupt.status.success());
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert!(system.log().contains("terminating on signal 2\n"));
}

#[test]
fn unknown_words_and_bad_files_are_errors_in_postfix_words() {
    let system = installed();
    assert_eq!(code(&system, &["check"]), Some(0));
    assert_eq!(code(&system, &["nosuch"]), Some(1));
    assert!(system.log().contains("fatal: unknown command: 'nosuch'. Usage: postfix start (or "));
    let main_cf = system.path("conf/main.cf");
    let old = fs::read_to_string(&main_cf).unwrap();
    fs::write(&main_cf, format!("{old}smtpd_timeout = abc\nrelay_clientcerts = x\n")).unwrap();
    assert_eq!(code(&system, &["check"]), Some(0), "as Postfix: no daemon has read it yet");
    assert!(system.log().contains("warning: "), "but it is said");
    assert!(system.log().contains("parameter not acted upon: relay_clientcerts=x"));
    fs::write(system.path("conf/master.cf"), "smtp inet\n").unwrap();
    assert_eq!(code(&system, &["check"]), Some(1));
}
