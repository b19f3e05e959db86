//! Running out: of descriptors. Clients wait in the backlog, deliveries go on, and service returns
//! by itself. A full disk is in `full_disk`, everything else that is bounded beside its bound.

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;
use std::net::TcpStream;
use std::process::Command;

/// Descriptors the engine may have, and how many of them are for sessions.
const DESCRIPTORS: usize = 200;
const SESSIONS: usize = DESCRIPTORS - 96;

/// Starts a system whose processes may open few files.
fn poor(system: &System) {
    let start = format!(
        "ulimit -n {DESCRIPTORS}; exec {} -c {} start",
        system.path("bin/postfix").display(),
        system.path("conf").display()
    );
    assert!(Command::new("sh").args(["-c", &start]).status().unwrap().success());
}

#[test]
fn clients_beyond_the_descriptors_wait_and_are_served_when_others_go() {
    let system = System::new("smtpd_client_connection_count_limit = 0\n");
    poor(&system);
    let sink = Keeper::start(system.sink);
    let dial = |_| TcpStream::connect(("127.0.0.1", system.port)).unwrap();
    let mut inside: Vec<Client> =
        (0..SESSIONS).map(|_| Client::connect(system.port).unwrap()).collect();
    let waiting: Vec<TcpStream> = (0..20).map(dial).collect();
    wait("a word about it", || system.logged("has reached its share of the open files") > 0);
    // Who is inside is served, deliveries included.
    let first = &mut inside[0];
    assert!(first.ask("EHLO in.example").unwrap().starts_with("250"));
    let reply = first.send("a@source.example", "user@sink.example", "Subject: in\r\n\r\nx");
    assert!(reply.unwrap().starts_with("250 2.0.0 Ok: queued"));
    wait("the delivery", || sink.mail().len() == 1);
    for stream in &waiting {
        stream.set_nonblocking(true).unwrap();
        assert!(stream.peek(&mut [0]).is_err(), "nobody beyond the limit is greeted");
    }
    inside.truncate(SESSIONS / 2);
    let greeted = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|count| count > 0);
    wait("greetings for those that waited", || waiting.iter().all(greeted));
    assert_eq!(system.logged("Too many open files"), 0, "{}", system.log());
}
