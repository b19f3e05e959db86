//! The capabilities of the mission's checklist, each in a test named after its row.

mod configuration;
mod controls;
mod forwarding;
mod identity;
mod receiving;
mod virtual_domains;
mod virtual_mailboxes;

use crate::support::client::Client;
use crate::support::keeper::{Keeper, Mail};
use crate::support::system::System;

/// A client that has said EHLO and MAIL.
fn mail(system: &System, sender: &str) -> Client {
    let mut client = Client::connect(system.port).unwrap();
    assert!(client.ask("EHLO client.example").unwrap().starts_with("250"));
    let reply = client.ask(&format!("MAIL FROM:<{sender}>")).unwrap();
    assert!(reply.starts_with("250 2.1.0 "), "{reply}");
    client
}

/// The reply to RCPT.
fn rcpt(system: &System, recipient: &str) -> String {
    mail(system, "a@source.example").ask(&format!("RCPT TO:<{recipient}>")).unwrap()
}

/// What the sink gets when this is sent with that From: header.
fn relayed(system: &System, sink: &Keeper, envelope: (&str, &str), from: &str) -> Mail {
    let before = sink.count();
    let mut client = mail(system, envelope.0);
    assert!(client.ask(&format!("RCPT TO:<{}>", envelope.1)).unwrap().starts_with("250 2.1.5 "));
    assert!(client.ask("DATA").unwrap().starts_with("354 "));
    let reply = client.ask(&format!("From: {from}\r\nSubject: x\r\n\r\nx\r\n.")).unwrap();
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    crate::support::wait("the message", || sink.count() > before);
    sink.mail().swap_remove(before)
}
