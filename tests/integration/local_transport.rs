//! Other transports in the place of mailboxes, and where there is none.

use super::local::{installed, mailbox, send, user};
use crate::support::keeper::Keeper;
use crate::support::wait;

#[test]
fn another_transport_takes_users_mail_once() {
    let system = installed("");
    let (user, _) = user();
    let to = format!("smtp:[127.0.0.1]:{}", system.sink);
    system.configure(&format!("mailbox_transport_maps = inline:{{ {{{user}={to}}} }}\n"));
    let sink = Keeper::start(system.sink);
    system.start();
    send(&system, &user, "taken");
    wait("the message", || sink.count() == 1);
    system.wait_until_empty();
    let address = format!("{user}@example.test");
    assert_eq!(sink.mail_for(&address).len(), 1);
    assert_eq!(sink.count(), 1, "once");
    assert_eq!(mailbox(&system, &user), "");
    assert_eq!(system.logged(&format!("passing <{address}> to transport=smtp")), 1);
    let line = format!("to=<{address}>, relay=127.0.0.1[127.0.0.1]:{}, ", system.sink);
    assert_eq!(system.logged(&line), 1, "{}", system.log());
    assert_eq!(system.logged("postfix/local["), 1, "the agent has said it: {}", system.log());
}

#[test]
fn a_transport_that_is_not_there_yet_is_waited_for() {
    let system = installed("mailbox_transport = later:\n");
    system.start();
    let (user, _) = user();
    send(&system, &user, "waits");
    let text = "dsn=4.3.0, status=deferred (mail transport unavailable)";
    wait("the deferral", || system.logged(text) >= 1);
    assert_eq!(mailbox(&system, &user), "");
    system.configure("mailbox_transport =\n");
    system.reload();
    wait("the delivery", || system.logged("status=sent (delivered to mailbox)") == 1);
    system.wait_until_empty();
}

#[test]
fn who_is_nobody_goes_to_another_transport_or_address() {
    let system = installed("luser_relay = lost+$user@there.example\n");
    system.configure("fallback_transport_maps = inline:{ {first=error:5.1.6 gone} }\n");
    let sink = Keeper::start(system.sink);
    system.start();
    send(&system, "first", "x");
    wait("the refusal", || system.logged("dsn=5.1.6, status=bounced (gone)") == 1);
    send(&system, "second", "to somebody else");
    wait("the message", || sink.mail_for("lost+second@there.example").len() == 1);
    let relayed = sink.mail_for("lost+second@there.example").swap_remove(0);
    assert_eq!(relayed.header("Delivered-To"), Some("second@example.test"));
    system.wait_until_empty();
}
