//! The administrator's view of the queue, and hand on it.

use crate::support::client::submit;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;

/// The value of a string in a line of `postqueue -j`.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\": \"");
    let at = line.find(&start).unwrap_or_else(|| panic!("no {name} in {line}")) + start.len();
    line[at..].split('"').next().unwrap()
}

fn deferred() -> (System, String) {
    let system = System::started("minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n");
    submit(system.port, "a@source.example", "user@sink.example", "operated upon");
    system.wait_until_deferred(1);
    let id = field(&system.listing()[0], "queue_id").to_string();
    (system, id)
}

/// Waits until the only message is in that queue.
fn wait_for_queue(system: &System, name: &str) {
    wait(name, || system.listing().iter().all(|line| field(line, "queue_name") == name));
    assert_eq!(system.listing().len(), 1);
}

#[test]
fn a_deferred_message_is_listed_with_its_reason() {
    let (system, id) = deferred();
    let line = system.listing().remove(0);
    assert_eq!(field(&line, "sender"), "a@source.example");
    assert_eq!(field(&line, "address"), "user@sink.example");
    let reason = format!("connect to 127.0.0.1[127.0.0.1]:{}: Connection refused", system.sink);
    assert_eq!(field(&line, "delay_reason"), reason);
    let text = system.tell("postqueue", &["-p"]);
    assert!(text.starts_with("----Queue ID----- --Size-- "), "{text}");
    assert!(text.contains(&format!("\n{id} ")), "{text}");
    assert!(text.contains(&format!("({reason})\n")), "{text}");
    assert!(text.contains("user@sink.example\n"), "{text}");
    assert!(text.ends_with(" in 1 Request.\n"), "{text}");
}

#[test]
fn held_mail_is_not_delivered_until_it_is_released() {
    let (system, id) = deferred();
    system.tell("postsuper", &["-h", &id]);
    wait_for_queue(&system, "hold");
    assert!(system.tell("postqueue", &["-p"]).contains(&format!("\n{id}! ")));
    let sink = Keeper::start(system.sink);
    system.tell("postqueue", &["-f"]);
    // A later message overtakes it: the flush has been worked on by then.
    submit(system.port, "a@source.example", "other@sink.example", "overtakes");
    wait("the other message", || sink.count() == 1);
    assert_eq!(sink.mail_for("user@sink.example"), []);
    system.tell("postsuper", &["-H", &id]);
    system.tell("postqueue", &["-f"]);
    wait("the released message", || sink.mail_for("user@sink.example").len() == 1);
    system.wait_until_empty();
    assert_eq!(system.logged(": placed on hold"), 1);
    assert_eq!(sink.count(), 2);
}

#[test]
fn deleted_mail_is_gone_and_an_unknown_id_is_said_to_be() {
    let (system, id) = deferred();
    let done = system.run("postsuper", &["-d", &id]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains(&format!("{id}: removed")), "{said}");
    assert!(said.contains("Deleted: 1 message"), "{said}");
    system.wait_until_empty();
    let again = system.run("postsuper", &["-d", &id]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!said.contains("Deleted: 1 message"), "{said}");
    let sink = Keeper::start(system.sink);
    system.tell("postfix", &["stop"]);
    system.start();
    submit(system.port, "a@source.example", "other@sink.example", "after");
    wait("later mail", || sink.count() == 1);
    assert_eq!(sink.mail_for("user@sink.example"), [], "also not after a restart");
}

#[test]
fn all_messages_are_deleted_at_once() {
    let (system, _) = deferred();
    for number in 0..3 {
        submit(system.port, "a@source.example", &format!("u{number}@sink.example"), "many");
    }
    system.wait_until_deferred(4);
    let done = system.run("postsuper", &["-d", "ALL"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("Deleted: 4 messages"), "{said}");
    system.wait_until_empty();
}

#[test]
fn an_expired_message_comes_back_at_once_with_its_last_reason() {
    let (system, id) = deferred();
    let sink = Keeper::start(system.sink);
    // A queue that it is not in protects it.
    system.tell("postsuper", &["-e", &id, "hold"]);
    assert_eq!(field(&system.listing()[0], "queue_name"), "deferred");
    system.tell("postsuper", &["-e", &id]);
    system.wait_until_empty();
    let notice = &sink.mail_for("a@source.example")[0];
    assert_eq!(notice.header("Subject"), Some("Undelivered Mail Returned to Sender"));
    assert!(notice.content.contains(": Connection refused\r\n"), "{}", notice.content);
    assert_eq!(sink.mail_for("user@sink.example"), [], "no other attempt");
    assert_eq!(system.logged("status=force-expired, returned to sender"), 1);
}
