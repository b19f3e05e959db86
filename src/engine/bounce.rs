//! bounce(8), first part: the notice to the sender when recipients have failed for good.
//!
//! The notice carries the reasons and the original's header; templates, size-dependent layout and
//! the other kinds of notice have their own issue. A message from the null sender that fails makes
//! a double bounce to `2bounce_notice_recipient`; one from the double-bounce address is dropped
//! with a warning, so nothing ever loops.
//!
//! The queue manager asks for a notice and removes the original only when the notice is durable.
//!
//! Standards: bounce(8), RFC 3464, RFC 3834 (Auto-Submitted).

use crate::cleanup::{Message, Origin};
use crate::core::Core;
use crate::defer::Deferral;
use crate::delivery::MessageInfo;
use crate::maillog::{Daemon, Event};
use crate::parcel::{Incoming, Notice, Parcel};
use crate::snapshot::Snapshot;
use mail::address::Address;
use mail::date::HeaderDate;
use mail::dsn::Diagnostic;
use mail::envelope::{Envelope, notify};
use mail::{Recipient, header};
use queue::Content;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

/// Columns of the notice's text.
const WRAP_COLUMN: usize = 79;
/// Bytes of the original's header that come back at most (`header_size_limit` and more headers).
const HEADER_BYTES_MAX: usize = 256 * 1024;

/// Who is told what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The sender.
    Sender,
    /// The postmaster, about a notice that could not be delivered.
    DoubleBounce,
}

/// Whether and to whom a notice goes.
pub fn kind(snapshot: &Snapshot, message: &MessageInfo) -> Option<Kind> {
    let sender = &message.envelope.sender;
    if sender.is_null() {
        return Some(Kind::DoubleBounce);
    }
    let double = &snapshot.qmgr.double_bounce;
    let is_double = sender.local_part().eq_ignore_ascii_case(double.as_bytes())
        && sender.domain().is_none_or(|domain| {
            domain.eq_ignore_ascii_case(snapshot.myhostname.as_bytes())
                || domain.eq_ignore_ascii_case(snapshot.resolver.myorigin().as_bytes())
        });
    if is_double { None } else { Some(Kind::Sender) }
}

/// Makes the notice about failed recipients; `None` when nobody wants one.
pub fn notice(
    core: &Core,
    kind: Kind,
    message: &Arc<MessageInfo>,
    content: Option<&Content>,
    failures: &[Deferral],
) -> Option<Notice> {
    let snapshot = core.snapshot();
    let wanted: Vec<&Deferral> = failures
        .iter()
        .filter(|failure| kind == Kind::DoubleBounce || wants(message, failure))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let (sender, recipient) = parties(&snapshot, kind, message);
    let text = Writer::new(core, &snapshot, kind, message).write(&recipient, content, &wanted);
    let mut to = Recipient::new(snapshot.resolver.canonical(&recipient));
    to.original = recipient;
    let envelope = Envelope { sender, recipients: vec![to], ..Envelope::default() };
    let kind = match kind {
        Kind::Sender => "sender non-delivery",
        Kind::DoubleBounce => "postmaster non-delivery",
    };
    Some(Notice { about: message.clone(), envelope, content: text, kind })
}

/// RFC 3461: NOTIFY absent or with FAILURE.
fn wants(message: &MessageInfo, failure: &Deferral) -> bool {
    let bits = message.envelope.recipients[failure.index as usize].notify;
    bits == 0 || bits & notify::FAILURE != 0
}

fn parties(snapshot: &Snapshot, kind: Kind, message: &MessageInfo) -> (Address, Address) {
    match kind {
        Kind::Sender => (Address::null(), message.envelope.sender.clone()),
        Kind::DoubleBounce => {
            let local = Address::from_internal(snapshot.qmgr.double_bounce.as_bytes());
            let sender = local.with_domain(snapshot.myhostname.as_bytes());
            (sender, Address::from_internal(snapshot.qmgr.double_bounce_notice.as_bytes()))
        }
    }
}

struct Writer<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    kind: Kind,
    message: &'a MessageInfo,
    boundary: String,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(core: &'a Core, snapshot: &'a Snapshot, kind: Kind, message: &'a MessageInfo) -> Self {
        let unix = core.rt.unix_time().seconds();
        let boundary = format!("{}.{unix}/{}", message.id, snapshot.myhostname);
        Writer { core, snapshot, kind, message, boundary, out: String::new() }
    }

    fn line(&mut self, args: std::fmt::Arguments<'_>) {
        self.out.write_fmt(args).expect("writing to a string does not fail");
        self.out.push_str("\r\n");
    }

    fn write(
        mut self,
        recipient: &Address,
        content: Option<&Content>,
        failures: &[&Deferral],
    ) -> Vec<u8> {
        self.headers(recipient);
        self.notification(failures);
        self.report(failures);
        let mut out = std::mem::take(&mut self.out).into_bytes();
        self.original(content, &mut out);
        out.extend_from_slice(format!("\r\n--{}--\r\n", self.boundary).as_bytes());
        out
    }

    fn headers(&mut self, recipient: &Address) {
        let origin = self.snapshot.resolver.myorigin();
        let subject = match self.kind {
            Kind::Sender => "Undelivered Mail Returned to Sender",
            Kind::DoubleBounce => "Postmaster Copy: Undelivered Mail",
        };
        let submitted = match self.kind {
            Kind::Sender => "auto-replied",
            Kind::DoubleBounce => "auto-generated",
        };
        let boundary = self.boundary.clone();
        self.line(format_args!("From: Mail Delivery System <MAILER-DAEMON@{origin}>"));
        self.line(format_args!("Subject: {subject}"));
        self.line(format_args!("To: {recipient}"));
        self.line(format_args!("Auto-Submitted: {submitted}"));
        self.line(format_args!("MIME-Version: 1.0"));
        self.line(format_args!("Content-Type: multipart/report; report-type=delivery-status;"));
        self.line(format_args!("\tboundary=\"{boundary}\""));
        self.line(format_args!("Content-Transfer-Encoding: 8bit"));
        self.line(format_args!("\r\nThis is a MIME-encapsulated message.\r\n"));
    }

    fn notification(&mut self, failures: &[&Deferral]) {
        let (boundary, host) = (self.boundary.clone(), &self.snapshot.myhostname);
        self.line(format_args!("--{boundary}"));
        self.line(format_args!("Content-Description: Notification"));
        self.line(format_args!("Content-Type: text/plain; charset=us-ascii\r\n"));
        if self.kind == Kind::Sender {
            self.line(format_args!("This is the mail system at host {host}.\r\n"));
            self.line(format_args!("I'm sorry to have to inform you that your message could not"));
            self.line(format_args!(
                "be delivered to one or more recipients. It's attached below.\r\n"
            ));
            self.line(format_args!("For further assistance, please send mail to postmaster.\r\n"));
            self.line(format_args!("If you do so, please include this problem report. You can"));
            self.line(format_args!("delete your own text from the attached returned message.\r\n"));
            self.line(format_args!("                   The mail system"));
        }
        for failure in failures {
            let recipient = &self.message.envelope.recipients[failure.index as usize];
            let expanded = if recipient.address.same_as(&recipient.original) {
                String::new()
            } else {
                format!(" (expanded from <{}>)", recipient.original)
            };
            let text = format!("<{}>{expanded}: {}", recipient.address, failure.dsn.reason);
            self.out.push_str("\r\n");
            wrap(&text, &mut self.out);
        }
        self.out.push_str("\r\n");
    }

    fn report(&mut self, failures: &[&Deferral]) {
        let (boundary, host) = (self.boundary.clone(), &self.snapshot.myhostname);
        let name = self.snapshot.mail_name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let envelope = &self.message.envelope;
        self.line(format_args!("--{boundary}"));
        self.line(format_args!("Content-Description: Delivery report"));
        self.line(format_args!("Content-Type: message/delivery-status\r\n"));
        self.line(format_args!("Reporting-MTA: dns; {host}"));
        if let Some(envid) = &envelope.envid {
            self.line(format_args!("Original-Envelope-Id: {}", mail::address::Printable(envid)));
        }
        self.line(format_args!("X-{name}-Queue-ID: {}", self.message.id));
        let sender = match envelope.sender.is_null() {
            true => format!("MAILER-DAEMON@{host}"),
            false => envelope.sender.to_string(),
        };
        self.line(format_args!("X-{name}-Sender: rfc822; {sender}"));
        let unix = envelope.arrival_micros / 1_000_000;
        let zone = self.core.local.at(unix);
        self.line(format_args!("Arrival-Date: {}", HeaderDate { unix, zone: &zone }));
        for failure in failures {
            self.out.push_str("\r\n");
            self.report_recipient(failure);
        }
    }

    fn report_recipient(&mut self, failure: &Deferral) {
        let recipient = &self.message.envelope.recipients[failure.index as usize];
        self.line(format_args!("Final-Recipient: rfc822; {}", recipient.address));
        match &recipient.dsn_orcpt {
            Some(orcpt) => {
                self.line(format_args!("Original-Recipient: {}", mail::address::Printable(orcpt)));
            }
            None => self.line(format_args!("Original-Recipient: rfc822;{}", recipient.original)),
        }
        let status = mail::Status { class: 5, ..failure.dsn.status };
        self.line(format_args!("Action: failed"));
        self.line(format_args!("Status: {}", shown_status(failure, status)));
        if let Some(remote) = &failure.dsn.remote_mta {
            self.line(format_args!("Remote-MTA: dns; {remote}"));
        }
        let name = self.snapshot.mail_name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let kind = match failure.dsn.diagnostic {
            Diagnostic::Smtp => "smtp".to_string(),
            Diagnostic::Unix => "x-unix".to_string(),
            Diagnostic::Local => format!("X-{name}"),
        };
        let text = failure.dsn.diagnostic_text.as_ref().unwrap_or(&failure.dsn.reason);
        wrap(&format!("Diagnostic-Code: {kind}; {text}"), &mut self.out);
    }

    /// The original's header, with its return path in front.
    fn original(&self, content: Option<&Content>, out: &mut Vec<u8>) {
        let (what, kind) = match self.kind {
            Kind::Sender | Kind::DoubleBounce => {
                ("Undelivered Message Headers", "text/rfc822-headers")
            }
        };
        let sender = &self.message.envelope.sender;
        let top = format!(
            "\r\n--{}\r\nContent-Description: {what}\r\nContent-Type: {kind}\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n",
            self.boundary
        );
        out.extend_from_slice(top.as_bytes());
        match content {
            Some(content) => {
                out.extend_from_slice(format!("Return-Path: <{sender}>\r\n").as_bytes());
                copy_header(content, out);
            }
            None => out.extend_from_slice(b"\t--- Undelivered message unavailable ---\r\n"),
        }
    }
}

/// What expired keeps the temporary code it had, as Postfix reports it.
fn shown_status(failure: &Deferral, failed: mail::Status) -> mail::Status {
    if failure.dsn.status.is_transient() { failure.dsn.status } else { failed }
}

/// Copies header lines up to the blank line, or the first that is not a header.
fn copy_header(content: &Content, out: &mut Vec<u8>) {
    let mut head = Vec::new();
    for piece in content.pieces() {
        head.extend_from_slice(&piece[..piece.len().min(HEADER_BYTES_MAX - head.len())]);
        if head.len() == HEADER_BYTES_MAX || find_blank(&head).is_some() {
            break;
        }
    }
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if header::name(line).is_none() && !header::is_continuation(line) {
            return;
        }
        out.extend_from_slice(line);
    }
}

fn find_blank(head: &[u8]) -> Option<usize> {
    head.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Breaks a line at blanks before column 79; continuation lines begin with four blanks.
fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if column > 0 && column + 1 + word.chars().count() > WRAP_COLUMN {
            out.push_str("\r\n    ");
            column = 4;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out.push_str("\r\n");
}

/// Queues a notice on this core and tells the queue manager when it is durable.
pub fn post(core: &Rc<Core>, notice: Box<Notice>) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let about = notice.about.number;
        let made = append(&core, *notice).await;
        core.port.send(crate::qmgr::CORE, Parcel::Noticed { about, made });
    });
}

async fn append(core: &Rc<Core>, notice: Notice) -> bool {
    let Notice { about, mut envelope, content, kind } = notice;
    let number = core.queue.borrow_mut().reserve_number();
    let micros = core.rt.unix_time().0;
    let id = core.queue_id(micros, number);
    let content = finish_content(core, id, &envelope, &content);
    envelope.arrival_micros = micros;
    envelope.size = content.len() as u64;
    envelope.longest_line = longest_line(&content);
    envelope.has_8bit = !content.is_ascii();
    let mut encoded = Vec::new();
    envelope.encode(&mut encoded);
    let placed = core.queue.borrow_mut().append(number, micros, 0, &encoded, &[&content]);
    let placed = match placed {
        Ok(placed) => placed,
        Err(full) => {
            core.log.warn(Daemon::Bounce, &format!("{}: notice not queued: {full}", about.id));
            return false;
        }
    };
    core.log.log(&Event::Notification { id: about.id, kind, notice: id });
    let message = Arc::new(MessageInfo { number, id, envelope });
    let incoming = Box::new(Incoming { message, location: placed.location });
    core.committed(placed.lsn, incoming).wait().await.is_some()
}

/// Our Received: on top, Date and Message-Id where cleanup puts them, lines stuffed.
fn finish_content(
    core: &Core,
    id: mail::queue_id::QueueId,
    envelope: &Envelope,
    content: &[u8],
) -> Vec<u8> {
    let snapshot = core.snapshot();
    let unix = core.rt.unix_time().seconds();
    let zone = core.local.at(unix);
    let date = HeaderDate { unix, zone: &zone };
    let (host, name) = (&snapshot.myhostname, &snapshot.mail_name);
    let received =
        format_args!("Received: by {host} ({name})\r\n\tid {id}; {date}\r\nDate: {date}\r\n");
    let mut message = Message::new(Vec::new(), received);
    message.note_own_date();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            message.content.push(b'.');
        }
        message.content.extend_from_slice(line);
    }
    let sender = &envelope.sender;
    let origin = Origin { id, sender, full_name: None, unix, zone: &zone, add_missing: true };
    // Our own header is never refused: it has one Received:.
    message.finish(&snapshot.cleanup, &origin).ok();
    core.log.log(&Event::MessageId { id, message_id: message.message_id() });
    message.content
}

fn longest_line(content: &[u8]) -> u32 {
    let lengths = content.split(|byte| *byte == b'\n').map(<[u8]>::len);
    lengths.max().unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_reasons_are_wrapped() {
        let mut out = String::new();
        wrap(&"word ".repeat(30), &mut out);
        assert!(out.lines().all(|line| line.len() <= WRAP_COLUMN));
        assert!(out.lines().nth(1).unwrap().starts_with("    word"));
    }
}
