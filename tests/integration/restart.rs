//! What was taken outlives the processes.

use crate::support::client::{Client, submit};
use crate::support::process::{runs, signal};
use crate::support::system::System;
use crate::support::{wait, within};
use bench::load::sink::Sink;
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Nothing is tried again unless it is asked for.
const PATIENT: &str = "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n";

#[test]
fn deferred_mail_survives_a_stop_and_a_killed_engine_and_a_flush_delivers_it() {
    let system = System::started(PATIENT);
    for number in 0..5 {
        submit(system.port, "a@source.example", &format!("user{number}@sink.example"), "kept");
    }
    system.wait_until_deferred(5);
    let listing = system.tell("postqueue", &["-p"]);
    assert_eq!(listing.matches("Connection refused").count(), 5, "{listing}");
    system.tell("postfix", &["stop"]);
    system.start();
    system.wait_until_deferred(5);
    signal(system.engine(), Signal::KILL);
    // Served again, by another engine: the listing waits in the backlog.
    wait("all of it once more", || system.listing().len() == 5);
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, system.sink))).unwrap();
    system.tell("postqueue", &["-f"]);
    system.wait_until_empty();
    assert_eq!(sink.counts.messages.load(Ordering::Relaxed), 5);
    wait("all removals in the log", || system.logged(": removed") == 5);
    sink.stop().unwrap();
}

#[test]
fn a_client_that_connects_while_there_is_no_engine_is_served_by_the_next_one() {
    let system = System::started("");
    let (master, victim) = (system.master(), system.engine());
    // The supervisor sleeps, so that there is no engine for as long as the test wants.
    signal(master, Signal::STOP);
    signal(victim, Signal::KILL);
    wait("the end of the engine", || !runs(victim));
    // The kernel takes a dead process's ring down in its own time; an accept that is still armed
    // on it
    // takes a connection with it. The backlog is what is tested here.
    wait("the end of its ring", || stays_open(system.port));
    let clients: Vec<_> = (0..4).map(|_| Client::silent(system.port)).collect();
    signal(master, Signal::CONT);
    for client in clients {
        let greeting = client.expect("the supervisor listens").reply().unwrap();
        assert!(greeting.starts_with("220 mx.example.test ESMTP"), "{greeting}");
    }
    assert_ne!(system.engine(), victim);
    let line = format!("pid {victim} killed by signal 9");
    assert!(within(Duration::from_secs(5), || system.logged(&line) == 1), "{}", system.log());
}

/// Whether a new connection waits in the backlog instead of being taken and closed.
fn stays_open(port: u16) -> bool {
    use std::io::Read;
    let address = (std::net::Ipv4Addr::LOCALHOST, port);
    let mut stream = std::net::TcpStream::connect(address).expect("the supervisor listens");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    match stream.read(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}
