//! Tables behind servers in a running engine, with a server of the test's own: `socketmap:`.

use crate::support::client::{Client, submit};
use crate::support::keeper::Keeper;
use crate::support::system::{System, free_port};
use crate::support::{skip, wait};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a server says, and how often it was asked.
#[derive(Default)]
struct Book {
    entries: Mutex<BTreeMap<String, String>>,
    asked: AtomicUsize,
}

impl Book {
    fn set(&self, key: &str, value: &str) {
        self.entries.lock().unwrap().insert(key.into(), value.into());
    }

    fn answer(&self, request: &str) -> String {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.entries.lock().unwrap().get(request) {
            Some(value) => format!("OK {value}"),
            None => "NOTFOUND ".into(),
        }
    }
}

/// Serves `name key` requests as netstrings, each after `pause`, until the test ends.
fn serve(port: u16, book: &Arc<Book>, pause: Duration) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let book = book.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let book = book.clone();
            thread::spawn(move || converse(&stream, &book, pause));
        }
    });
}

fn converse(stream: &TcpStream, book: &Book, pause: Duration) {
    let mut input = BufReader::new(stream);
    while let Some(request) = netstring(&mut input) {
        thread::sleep(pause);
        let reply = book.answer(&request);
        let reply = format!("{}:{reply},", reply.len());
        if (&*stream).write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn netstring(input: &mut impl Read) -> Option<String> {
    let mut digits = String::new();
    let mut byte = [0];
    loop {
        input.read_exact(&mut byte).ok()?;
        match byte[0] {
            b':' => break,
            digit => digits.push(digit.into()),
        }
    }
    let mut text = vec![0; digits.parse::<usize>().ok()? + 1];
    input.read_exact(&mut text).ok()?;
    text.pop();
    String::from_utf8(text).ok()
}

/// A system whose `parameters` each have a table of their own on the server at `port`.
fn started(port: u16, parameters: &[&str], more: &str) -> System {
    let mut main_cf = more.to_string();
    for name in parameters {
        main_cf += &format!("{name} = socketmap:inet:127.0.0.1:{port}:{name}\n");
    }
    System::started(&main_cf)
}

fn rcpt(system: &System, address: &str) -> String {
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(client.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    client.ask(&format!("RCPT TO:<{address}>")).unwrap()
}

#[test]
fn every_use_of_a_table_waits_for_the_server_and_not_for_long() {
    let (port, book) = (free_port(), Arc::new(Book::default()));
    serve(port, &book, Duration::from_millis(20));
    let parameters = [
        "virtual_alias_maps",
        "sender_canonical_maps",
        "transport_maps",
        "smtp_generic_maps",
        "relay_recipient_maps",
        "relay_domains",
    ];
    let system = started(port, &parameters, "local_header_rewrite_clients = static:all\n");
    let sink = Keeper::start(system.sink);
    for (key, value) in [
        ("relay_domains relay.example", "yes"),
        ("relay_recipient_maps one@relay.example", "x"),
        ("virtual_alias_maps one@relay.example", "two@relay.example, three@relay.example"),
        ("virtual_alias_maps two@relay.example", "four@relay.example"),
        ("sender_canonical_maps a@source.example", "b@source.example"),
        ("smtp_generic_maps b@source.example", "c@outside.example"),
    ] {
        book.set(key, value);
    }
    book.set("transport_maps relay.example", &format!("smtp:[127.0.0.1]:{}", system.sink));
    assert!(rcpt(&system, "nobody@relay.example").starts_with("550 5.1.1 "), "{}", system.log());
    submit(system.port, "a@source.example", "one@relay.example", "mapped");
    system.wait_until_empty();
    let taken = sink.mail();
    let mut recipients: Vec<&str> =
        taken.iter().flat_map(|mail| &mail.recipients).map(String::as_str).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["four@relay.example", "three@relay.example"], "{}", system.log());
    for mail in &taken {
        assert_eq!(mail.sender, "c@outside.example");
        assert!(mail.content.contains("From: <c@outside.example>"), "{}", mail.content);
    }
}

#[test]
fn a_server_that_is_gone_is_a_temporary_error_until_it_is_back() {
    let (port, book) = (free_port(), Arc::new(Book::default()));
    book.set("relay_recipient_maps one@relay.example", "x");
    let system = started(port, &["relay_recipient_maps"], "relay_domains = relay.example\n");
    let reply = rcpt(&system, "one@relay.example");
    assert!(reply.starts_with("451 4.3.0 "), "{reply}");
    assert!(rcpt(&system, "nobody@relay.example").starts_with("451 4.3.0 "));
    assert!(system.logged("warning: ") > 0, "{}", system.log());
    // Mail for others is not held up by it.
    assert!(rcpt(&system, "user@elsewhere.example").starts_with("250 "));
    serve(port, &book, Duration::ZERO);
    wait("the server", || rcpt(&system, "one@relay.example").starts_with("250 "));
    assert!(rcpt(&system, "nobody@relay.example").starts_with("550 5.1.1 "));
}

#[test]
fn a_slow_server_keeps_nobody_waiting_who_does_not_need_it() {
    let (port, book) = (free_port(), Arc::new(Book::default()));
    serve(port, &book, Duration::from_secs(3));
    let system = started(port, &["relay_recipient_maps"], "relay_domains = relay.example\n");
    let mut slow = Client::connect(system.port).unwrap();
    assert!(slow.ask("EHLO client.example").unwrap().starts_with("250"));
    assert!(slow.ask("MAIL FROM:<a@source.example>").unwrap().starts_with("250"));
    slow.say("RCPT TO:<one@relay.example>\r\n").unwrap();
    // The same core or another: none of them stands still.
    for _ in 0..4 {
        assert!(rcpt(&system, "user@elsewhere.example").starts_with("250 "));
    }
    assert_eq!(book.asked.load(Ordering::Relaxed), 0, "the server has not said a word yet");
}

#[test]
fn a_database_of_sqlite_is_asked_within_the_sandbox() {
    if Command::new("sqlite3").arg("-version").output().is_err() {
        return skip("a table of sqlite", "needs Debian's sqlite3");
    }
    let system = System::new("relay_domains = relay.example\n");
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let database = home.path().join("mail.db");
    let sql = "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('one@relay.example');";
    assert!(Command::new("sqlite3").arg(&database).arg(sql).status().unwrap().success());
    let cf = system.path("conf/users.cf");
    let query = "SELECT name FROM users WHERE name = '%s'";
    fs::write(&cf, format!("dbpath = {}\nquery = {query}\n", database.display())).unwrap();
    system.configure(&format!("relay_recipient_maps = sqlite:{}\n", cf.display()));
    system.start();
    let reply = rcpt(&system, "one@relay.example");
    assert!(reply.starts_with("250 "), "{reply}\n{}", system.log());
    assert!(rcpt(&system, "nobody@relay.example").starts_with("550 5.1.1 "));
}
