//! What fails for good comes back once, and nothing goes around in circles.

use crate::support::client::submit;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;

#[test]
fn a_refused_recipient_makes_one_notice_to_the_sender_with_the_original() {
    let system = System::started("");
    let sink = Keeper::start(system.sink);
    submit(system.port, "author@source.example", "never1@sink.example", "comes back");
    wait("the notice", || sink.count() == 1);
    system.wait_until_empty();
    let notice = &sink.mail()[0];
    assert_eq!(sink.count(), 1);
    assert_eq!(notice.sender, "");
    assert_eq!(notice.recipients, ["author@source.example"]);
    assert_eq!(notice.header("Subject"), Some("Undelivered Mail Returned to Sender"));
    assert_eq!(notice.header("Auto-Submitted"), Some("auto-replied"));
    assert!(notice.content.contains("\r\nFinal-Recipient: rfc822; never1@sink.example\r\n"));
    assert!(notice.content.contains("\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
    assert!(notice.content.contains("\r\nReturn-Path: <author@source.example>\r\n"));
    assert!(notice.content.contains("\r\nSubject: comes back\r\n"), "{}", notice.content);
    wait("two removals", || system.logged(": removed") == 2);
    assert_eq!(system.logged("sender non-delivery notification: "), 1);
    assert_eq!(system.logged(", status=bounced ("), 1);
}

#[test]
fn a_notice_that_fails_goes_to_the_postmaster_and_stops() {
    let system =
        System::started("2bounce_notice_recipient = pm@sink.example\nnotify_classes = 2bounce\n");
    let sink = Keeper::start(system.sink);
    submit(system.port, "never-author@source.example", "never1@sink.example", "lost");
    wait("the postmaster's notice", || sink.count() == 1);
    system.wait_until_empty();
    let notice = &sink.mail()[0];
    assert_eq!(notice.sender, "double-bounce@mx.example.test");
    assert_eq!(notice.recipients, ["pm@sink.example"]);
    assert_eq!(notice.header("Subject"), Some("Postmaster Copy: Undelivered Mail"));
    wait("three removals", || system.logged(": removed") == 3);
    assert_eq!(system.logged("postmaster non-delivery notification: "), 1);
}

#[test]
fn a_postmaster_who_cannot_be_reached_either_ends_it() {
    let system = System::started(
        "2bounce_notice_recipient = never-pm@sink.example\nnotify_classes = 2bounce\n",
    );
    let sink = Keeper::start(system.sink);
    submit(system.port, "never-author@source.example", "never1@sink.example", "lost");
    wait("three removals", || system.logged(": removed") == 3);
    system.wait_until_empty();
    assert_eq!(sink.count(), 0);
    assert_eq!(system.logged(", status=bounced ("), 3);
    assert_eq!(system.logged("non-delivery notification: "), 2);
    assert!(
        system.logged("undeliverable postmaster notification discarded") == 1,
        "{}",
        system.log()
    );
}
