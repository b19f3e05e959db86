//! Running out: of descriptors and of memory. Deliveries go on, and service returns by itself. A
//! full disk is in `full_disk`, everything else that is bounded beside its bound.

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

/// Memory the engine may have, and content a client gives it to keep.
const MEMORY: u64 = 64 << 20;
const KEPT_BYTES: usize = 120_000;

/// A client in the middle of a message that the engine has to keep in memory.
fn half_a_message(port: u16) -> std::io::Result<Client> {
    let mut client = Client::connect(port)?;
    for line in ["EHLO x.example", "MAIL FROM:<a@b.example>", "RCPT TO:<c@sink.example>", "DATA"] {
        client.ask(line)?;
    }
    let line = format!("{}\r\n", "x".repeat(98));
    client.say(&line.repeat(KEPT_BYTES / line.len()))?;
    Ok(client)
}

#[test]
fn mail_is_refused_while_memory_is_scarce_and_taken_when_it_is_not() {
    let system = System::new("smtpd_client_connection_count_limit = 0\n");
    let start =
        system.command("postfix").arg("start").env("RINGPOST_MEMORY", MEMORY.to_string()).status();
    assert!(start.unwrap().success());
    let sink = Keeper::start(system.sink);
    let mut held = Vec::new();
    while system.logged("no new mail") == 0 {
        held.push(half_a_message(system.port).unwrap());
        assert!(held.len() < 2000, "{}", system.log());
    }
    let mut client = Client::connect(system.port).unwrap();
    let refused =
        client.send("a@source.example", "user@sink.example", "Subject: no\r\n\r\nx").unwrap();
    assert_eq!(refused, "452 4.3.1 Insufficient system storage");
    // Who is in the middle of a message may end it.
    let reply = held[0].ask("\r\n.").unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued"), "{reply}");
    wait("the delivery", || sink.mail().len() == 1);
    drop(held);
    wait("memory", || system.logged("mail again") > 0);
    let taken = client.send("a@source.example", "user@sink.example", "Subject: yes\r\n\r\nx");
    assert!(taken.unwrap().starts_with("250 2.0.0 Ok: queued"), "{}", system.log());
    assert_eq!(system.logged("killed by signal"), 0);
}
