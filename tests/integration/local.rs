//! Mail for users of this machine: in their mailboxes, theirs, once; and never lost when the
//! helper that writes them dies.
//!
//! As root the recipient is a system account; as anybody else it is the caller.

use crate::support::client::{Client, submit};
use crate::support::process::{children, runs, signal};
use crate::support::system::{System, is_root};
use crate::support::{skip, wait};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;

const MAIN_CF: &str = "mydestination = example.test\nlocal_recipient_maps =\n\
    minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
    deliver_lock_delay = 1s\ntransport_retry_time = 1s\n";

/// A system with a local service and a spool directory of its own, not started yet.
pub(super) fn installed(extra: &str) -> System {
    let system = System::new(MAIN_CF);
    let spool = system.path("spool");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, Permissions::from_mode(0o1777)).unwrap();
    system.configure(&format!("mail_spool_directory = {}\n{extra}", spool.display()));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}local unix - n n - - local\n")).unwrap();
    system
}

fn started(extra: &str) -> System {
    let system = installed(extra);
    system.start();
    system
}

/// A user whose mailbox can be written here, and its id.
pub(super) fn user() -> (String, u32) {
    let name = if is_root() { "daemon".to_string() } else { id(&["-un"]) };
    let uid = id(&["-u", &name]).parse().unwrap();
    (name, uid)
}

fn id(arguments: &[&str]) -> String {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// The process that runs `program` for this system, once there is one.
pub(super) fn process(system: &System, program: &str) -> u32 {
    let path = system.path("bin").join(program);
    let of = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == path);
    let mut found = None;
    wait(program, || {
        found = children(system.master()).into_iter().find(of);
        found.is_some()
    });
    found.unwrap()
}

pub(super) fn mailbox(system: &System, user: &str) -> String {
    fs::read_to_string(system.path("spool").join(user)).unwrap_or_default()
}

/// Waits for that many deliveries; the queue is looked at only then, because a message just taken
/// is not in its listing yet.
fn wait_for(system: &System, count: usize) {
    wait("deliveries in the log", || system.logged("status=sent (delivered to ") >= count);
    system.wait_until_empty();
}

pub(super) fn send(system: &System, user: &str, subject: &str) {
    submit(system.port, "sender@source.example", &format!("{user}@example.test"), subject);
}

#[test]
fn mail_is_in_the_mailbox_of_its_user() {
    let system = started("");
    let (user, uid) = user();
    send(&system, &user, "first");
    send(&system, &user, "second");
    wait_for(&system, 2);
    let text = mailbox(&system, &user);
    assert_eq!(text.matches("From sender@source.example  ").count(), 2, "{text}");
    let header = format!(
        "\nReturn-Path: <sender@source.example>\nX-Original-To: {user}@example.test\n\
         Delivered-To: {user}@example.test\nReceived: from "
    );
    assert_eq!(text.matches(&header).count(), 2, "{text}");
    assert!(text.ends_with("\n\nText\n\n") && !text.contains('\r'), "{text}");
    let data = fs::metadata(system.path("spool").join(&user)).unwrap();
    assert_eq!((data.uid(), data.mode() & 0o7777), (uid, 0o600));
    assert_eq!(fs::read_dir(system.path("spool")).unwrap().count(), 1, "no lock is left");
    assert_eq!(system.logged("relay=local, delay="), 2);
    assert_eq!(system.logged("status=sent (delivered to mailbox)"), 2);
}

#[test]
fn a_spool_directory_with_a_slash_holds_maildirs() {
    let system = installed("");
    let spool = system.path("spool");
    system.configure(&format!("mail_spool_directory = {}/\n", spool.display()));
    system.start();
    let (user, uid) = user();
    send(&system, &user, "one");
    wait_for(&system, 1);
    let new = spool.join(&user).join("new");
    let files: Vec<_> = fs::read_dir(new).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1);
    let data = files[0].metadata().unwrap();
    assert_eq!((data.uid(), data.mode() & 0o7777), (uid, 0o600));
    assert!(fs::read_to_string(files[0].path()).unwrap().starts_with("Return-Path: <sender@"));
    assert_eq!(system.logged("status=sent (delivered to maildir)"), 1);
}

#[test]
fn where_only_root_may_make_files_the_mailbox_is_given_to_its_user() {
    if !is_root() {
        return skip("a spool directory of root", "needs root");
    }
    let system = installed("");
    fs::set_permissions(system.path("spool"), Permissions::from_mode(0o755)).unwrap();
    system.start();
    let (user, uid) = user();
    send(&system, &user, "one");
    send(&system, &user, "two");
    wait_for(&system, 2);
    let data = fs::metadata(system.path("spool").join(&user)).unwrap();
    assert_eq!((data.uid(), data.mode() & 0o7777), (uid, 0o600));
    assert_eq!(mailbox(&system, &user).matches("\nSubject: ").count(), 2);
    assert_eq!(fs::read_dir(system.path("spool")).unwrap().count(), 1, "no lock is left");
}

#[test]
fn a_user_that_does_not_exist_is_a_bounce() {
    let system = started("");
    send(&system, "No-Such-User", "x");
    let text = "dsn=5.1.1, status=bounced (unknown user: \"no-such-user\")";
    wait("the bounce in the log", || system.logged(text) == 1);
}

#[test]
fn a_helper_that_is_killed_again_and_again_loses_nothing() {
    const MESSAGES: usize = 40;
    let system = started("");
    let (user, _) = user();
    for number in 0..MESSAGES {
        send(&system, &user, &format!("message {number}."));
        if number % 8 == 0 {
            signal(process(&system, "deliver"), Signal::KILL);
        }
    }
    wait_for(&system, MESSAGES);
    let text = mailbox(&system, &user);
    for number in 0..MESSAGES {
        assert!(text.contains(&format!("\nSubject: message {number}.\n")), "{number}\n{text}");
    }
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
    assert!(system.logged("bin/deliver pid ") >= 1, "its ends are in the log");
}

#[test]
fn a_delivery_that_is_killed_in_its_middle_is_deferred_and_made_again() {
    // Nobody is asked for a file first: the one process there is is the one that waits.
    let system = started("forward_path =\n");
    let (user, _) = user();
    // It waits for this lock.
    let lock = system.path("spool").join(format!("{user}.lock"));
    fs::write(&lock, "").unwrap();
    let helper = process(&system, "deliver");
    send(&system, &user, "once");
    wait("a delivery at work", || !children(helper).is_empty());
    signal(children(helper)[0], Signal::KILL);
    let text = "dsn=4.3.0, status=deferred (unknown mail transport error)";
    wait("the deferral in the log", || system.logged(text) == 1);
    fs::remove_file(&lock).unwrap();
    wait_for(&system, 1);
    assert_eq!(mailbox(&system, &user).matches("\nSubject: once\n").count(), 1);
    assert_eq!(process(&system, "deliver"), helper, "only the delivery died");
}

#[test]
fn without_the_helper_mail_waits_for_it() {
    let system = installed("");
    let deliver = system.path("bin/deliver");
    let away = system.path("bin/away");
    fs::rename(&deliver, &away).unwrap();
    system.configure("service_throttle_time = 1s\n");
    system.start();
    let (user, _) = user();
    send(&system, &user, "waits");
    wait("the attempts in the log", || system.logged("bad command startup -- throttling") >= 2);
    assert_eq!((system.listing().len(), mailbox(&system, &user).len()), (1, 0));
    fs::rename(&away, &deliver).unwrap();
    wait_for(&system, 1);
    assert_eq!(mailbox(&system, &user).matches("\nSubject: waits\n").count(), 1);
}

#[test]
fn garbage_is_answered_with_a_refusal_and_an_empty_request_with_nothing() {
    let system = started("");
    let helper = process(&system, "deliver");
    let connect = || UnixStream::connect(system.path("queue/private/deliver")).unwrap();
    let mut stream = connect();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"RPr1"), "{answer:?}");
    assert!(answer.ends_with(b"mail system configuration error\0"), "{answer:?}");
    drop(connect());
    let (user, _) = user();
    send(&system, &user, "still there");
    wait_for(&system, 1);
    assert_eq!(process(&system, "deliver"), helper);
}

#[test]
fn a_reload_brings_new_rules_and_a_stop_ends_the_helper() {
    let system = started("");
    let (first, engine) = (process(&system, "deliver"), process(&system, "engine"));
    let (user, _) = user();
    let spool = system.path("spool");
    system.configure(&format!("mail_spool_directory = {}/\n", spool.display()));
    system.tell("postfix", &["reload"]);
    wait("the old helper's end", || !runs(first));
    let second = process(&system, "deliver");
    assert_eq!(process(&system, "engine"), engine, "the engine goes on");
    send(&system, &user, "new rules");
    wait_for(&system, 1);
    assert!(spool.join(&user).join("new").is_dir());
    system.tell("postfix", &["stop"]);
    wait("the helper's end", || !runs(second));
    assert_eq!(system.logged("warning: process "), 0, "{}", system.log());
}

#[test]
fn a_large_message_is_in_the_mailbox_whole() {
    const LINES: usize = 60_000;
    let system = started("");
    let (user, _) = user();
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    let line = format!("{}\r\n", "0123456789".repeat(7));
    let content = format!("Subject: large\r\n\r\n{}From here\r\n..", line.repeat(LINES));
    let reply = client.send("a@source.example", &format!("{user}@example.test"), &content).unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    wait_for(&system, 1);
    let text = mailbox(&system, &user);
    assert_eq!(text.matches("0123456789\n").count(), LINES);
    assert!(text.ends_with("\n>From here\n.\n\n"), "{}", text.len());
}
