//! Hostile clients: whatever they do, a good client is served within [`SOON`], memory stays
//! bounded, and nothing half-received is queued.
//!
//! **Environment**: `RINGPOST_IDLE_CLIENTS`, how many connections are held idle (1,000).

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::{StopAtEnd, wait};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a good client's message may take, from connect to delivery.
const SOON: Duration = Duration::from_secs(2);
/// How much the engine may grow over all of an exercise.
const GROWTH_MIB: u64 = 64;

/// Sends one message and waits until it has arrived: how long that took.
fn good_client(system: &System, sink: &Keeper, name: &str) -> Duration {
    let began = Instant::now();
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO good.example").unwrap().starts_with("250"));
    let content = format!("Subject: {name}\r\n\r\ngood");
    let reply = client.send("good@source.example", "user@sink.example", &content).unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued"), "{reply}");
    let arrived = || sink.mail().iter().any(|mail| mail.header("Subject") == Some(name));
    wait("the good client's message", arrived);
    began.elapsed()
}

#[track_caller]
fn served_soon(system: &System, sink: &Keeper, name: &str) {
    let took = good_client(system, sink, name);
    assert!(took <= SOON, "{name}: {took:?}");
}

fn dial(system: &System) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, system.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Says something and goes; whether the server reads it all or hangs up does not matter.
fn say(system: &System, bytes: &[u8]) {
    let mut stream = dial(system);
    let _hung_up = stream.write_all(bytes);
    stream.shutdown(Shutdown::Write).ok();
    let _hung_up = stream.read_to_end(&mut Vec::new());
}

/// Resident memory of a process.
fn memory_mib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn idle_clients() -> usize {
    std::env::var("RINGPOST_IDLE_CLIENTS").map_or(1000, |text| text.parse().expect("a number"))
}

#[test]
fn idle_and_dripping_clients_keep_nobody_waiting() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let system = System::started("smtpd_client_event_limit_exceptions = static:all\n");
    let sink = Keeper::start(system.sink);
    let idle: Vec<TcpStream> = (0..idle_clients()).map(|_| dial(&system)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dripping: Vec<TcpStream> = (0..300).map(|_| dial(&system)).collect();
            while !stop.load(Ordering::Relaxed) {
                for stream in &mut dripping {
                    let _hung_up = stream.write_all(b"x");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let _stop = StopAtEnd(&stop);
        (0..5).for_each(|number| served_soon(&system, &sink, &format!("drip {number}")));
    });
    drop(idle);
}

#[test]
fn nothing_a_client_says_stops_the_others_or_is_queued_by_halves() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    served_soon(&system, &sink, "at first");
    let before = memory_mib(system.engine());
    let envelope = "EHLO x\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<a@sink.example>\r\nDATA\r\n";
    let with = |content: String| format!("{envelope}{content}").into_bytes();
    let nested = |depth| format!("To: {}{}\r\n\r\n", "(".repeat(depth), ")".repeat(depth));
    let exercises: [(&str, Vec<u8>); 13] = [
        ("an endless line", vec![b'A'; 8 << 20]),
        ("endless lines", b"NOOP\r\n".repeat(100_000)),
        ("zero bytes", vec![0; 1 << 20]),
        ("many headers", with("X-H: y\r\n".repeat(200_000))),
        ("many addresses", with(format!("To: {}\r\n", "a@b.example, ".repeat(100_000)))),
        ("many brackets", with(format!("To: {}\r\n", ">".repeat(10_000)).repeat(400))),
        ("many separators", with("From x\r\n".repeat(500_000))),
        ("blanks before colons", with("A :b\r\n".repeat(500_000))),
        ("an endless header", with(format!("A: b\r\n{}", " \r\n".repeat(1_000_000)))),
        ("nested comments", with(nested(50_000))),
        ("an endless content line", with("B".repeat(8 << 20))),
        ("many recipients", envelope.repeat(3).into_bytes()),
        ("half a message", with("Subject: half\r\n\r\nnever ends\r\n".into())),
    ];
    for (name, bytes) in exercises {
        say(&system, &bytes);
        served_soon(&system, &sink, name);
    }
    let grown = memory_mib(system.engine()).saturating_sub(before);
    assert!(grown <= GROWTH_MIB, "{grown} MiB more");
    system.wait_until_empty();
    let good = |mail: &crate::support::keeper::Mail| mail.sender == "good@source.example";
    assert!(sink.mail().iter().all(good), "nothing but the good client's messages was queued");
    assert_eq!(system.logged("panic"), 0, "{}", system.log());
}

#[test]
fn resets_in_every_state_leave_nothing_behind() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    let dialogue = "EHLO x\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<a@sink.example>\r\nDATA\r\n\
                    Subject: x\r\n\r\nbody\r\n.";
    for end in (0..dialogue.len()).step_by(3) {
        let mut stream = dial(&system);
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        stream.write_all(&dialogue.as_bytes()[..end]).unwrap();
        // Dropped with unread input and no time to linger: a reset.
    }
    served_soon(&system, &sink, "after resets");
    system.wait_until_empty();
    assert_eq!(sink.mail().len(), 1);
}

#[test]
fn what_looks_like_an_end_of_data_is_none() {
    // As for strangers: by default, clients in mynetworks may send what they like.
    let system = System::started("smtpd_forbid_bare_newline_exclusions =\n");
    let sink = Keeper::start(system.sink);
    let ends = ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n.\n", "\r\n\0.\r\n", "\r.\r\n"];
    for (number, end) in ends.iter().enumerate() {
        let mut client = Client::connect(system.port).unwrap();
        assert!(client.ask("EHLO good.example").unwrap().starts_with("250"));
        let smuggled = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<b@sink.example>\r\nDATA\r\nsmuggled";
        let content = format!("Subject: end {number}\r\n\r\nfirst{end}{smuggled}");
        let reply = client.send("good@source.example", "user@sink.example", &content).unwrap();
        assert!(reply.starts_with("250 2.0.0 Ok: queued"), "{end:?}: {reply}");
        // One message, one reply: QUIT is answered next.
        assert!(client.ask("QUIT").unwrap().starts_with("221"), "{end:?}");
    }
    system.wait_until_empty();
    let mail = sink.mail();
    assert_eq!(mail.len(), ends.len());
    assert!(mail.iter().all(|mail| mail.sender == "good@source.example"), "{mail:?}");
}
