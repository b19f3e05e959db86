//! Mail comes in: through sendmail while the system is down, and from the clients people use.

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::skip;
use crate::support::system::System;
use crate::support::wait;
use std::io::Write;
use std::process::{Command, Stdio};

fn sendmail(system: &System, text: &str) {
    let mut command = system.command("sendmail");
    command.args(["-f", "me@source.example", "you@sink.example"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn in_maildrop(system: &System) -> usize {
    std::fs::read_dir(system.path("queue/maildrop")).unwrap().count()
}

#[test]
fn mail_of_sendmail_waits_in_maildrop_while_the_system_is_down() {
    // Once started, so that the directories are there.
    let system = System::started("");
    system.tell("postfix", &["stop"]);
    sendmail(&system, "Subject: while down\n\nfirst\n.second\n");
    assert_eq!(in_maildrop(&system), 1);
    let sink = Keeper::start(system.sink);
    system.start();
    wait("the message", || sink.count() == 1);
    let mail = &sink.mail()[0];
    assert_eq!(mail.sender, "me@source.example");
    assert_eq!(mail.recipients, ["you@sink.example"]);
    assert_eq!(mail.header("Subject"), Some("while down"));
    assert!(mail.content.ends_with("\r\n\r\nfirst\r\n..second\r\n"), "{}", mail.content);
    wait("the end of the file", || in_maildrop(&system) == 0);
    sendmail(&system, "Subject: while up\n\nx\n");
    wait("the second message", || sink.count() == 2);
    // Larger than one record of the queue log.
    sendmail(&system, &format!("Subject: large\n\n{}", "a line of some length\n".repeat(200_000)));
    wait("the large message", || sink.count() == 3);
    let large = &sink.mail()[2].content;
    assert_eq!(large.matches("\r\na line of some length").count(), 200_000);
    system.wait_until_empty();
    wait("an empty maildrop", || in_maildrop(&system) == 0);
}

#[test]
fn pipelined_commands_are_answered_in_order_and_both_messages_arrive() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().contains("PIPELINING"));
    let envelope = |to: &str| {
        format!("MAIL FROM:<a@source.example>\r\nRCPT TO:<{to}@sink.example>\r\nDATA\r\n")
    };
    client.say(&envelope("one")).unwrap();
    for code in ["250 2.1.0", "250 2.1.5", "354 "] {
        let reply = client.reply().unwrap();
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    // The end of one message and the envelope of the next in one piece, as RFC 2920 allows.
    client.say(&format!("Subject: one\r\n\r\n1\r\n.\r\n{}", envelope("two"))).unwrap();
    for code in ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354 "] {
        let reply = client.reply().unwrap();
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    client.say("Subject: two\r\n\r\n2\r\n.\r\nQUIT\r\n").unwrap();
    assert!(client.reply().unwrap().starts_with("250 2.0.0"));
    assert!(client.reply().unwrap().starts_with("221 2.0.0"));
    system.wait_until_empty();
    for to in ["one", "two"] {
        let mail = sink.mail_for(&format!("{to}@sink.example"));
        assert_eq!(mail.len(), 1);
        assert_eq!(mail[0].header("Subject"), Some(to));
    }
}

/// Runs another program's client; `None` when it is not installed.
fn client(program: &str, arguments: &[&str]) -> Option<std::process::Output> {
    match Command::new(program).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip(program, &error.to_string());
            None
        }
    }
}

const SMTPLIB: &str = "
import smtplib, sys
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=20) as s:
    refused = s.sendmail('a@source.example', ['x@sink.example', 'y@sink.example'],
                         'Subject: smtplib\\n\\n.dot\\n' + 'line\\n' * 20000)
    assert refused == {}, refused
";

#[test]
fn smtplib_of_python_is_served() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    let port = system.port.to_string();
    let Some(output) = client("python3", &["-c", SMTPLIB, &port]) else { return };
    assert!(output.status.success(), "{output:?}");
    wait("the message", || sink.count() == 1);
    let mail = &sink.mail()[0];
    assert_eq!(mail.recipients, ["x@sink.example", "y@sink.example"]);
    assert!(mail.content.contains("\r\n\r\n..dot\r\nline\r\n"), "dots are doubled on the way");
    assert_eq!(mail.content.matches("\r\nline").count(), 20_000);
}

#[test]
fn swaks_is_served() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    let server = format!("127.0.0.1:{}", system.port);
    let words = ["--server", &server, "--from", "a@source.example", "--to", "x@sink.example"];
    let words = [&words[..], &["--pipeline", "--header", "Subject: swaks"]].concat();
    let Some(output) = client("swaks", &words) else { return };
    assert!(output.status.success(), "{output:?}");
    wait("the message", || sink.count() == 1);
    assert_eq!(sink.mail()[0].header("Subject"), Some("swaks"));
}

#[test]
fn submissions_that_cannot_be_mapped_hold_up_nobody() {
    let system = System::new("");
    let table = system.path("conf/canonical");
    std::fs::write(&table, "x y\n").unwrap();
    // Senders of one domain cannot be looked up, others are not asked there.
    let maps = "pipemap:{regexp:{{/@broken\\.example$$/ x}}, fail:broken}";
    system.configure(&format!("sender_canonical_maps = {maps}\n"));
    system.start();
    system.tell("postfix", &["stop"]);
    let submit = |from: &str| {
        let mut command = system.command("sendmail");
        command.args(["-f", from, "you@sink.example"]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"Subject: x\n\nx\n").unwrap();
        assert!(child.wait().unwrap().success());
    };
    // More than are read at a time.
    (0..130).for_each(|number| submit(&format!("{number}@broken.example")));
    submit("me@source.example");
    let sink = Keeper::start(system.sink);
    system.start();
    wait("the one behind them", || sink.count() == 1);
    assert_eq!(sink.mail()[0].sender, "me@source.example");
    assert_eq!(in_maildrop(&system), 130, "nothing is lost");
}
