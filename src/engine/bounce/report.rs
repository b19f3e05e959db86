//! The text of a notice: multipart/report with words, fields, and the original.
//!
//! Written without dots doubled and without what cleanup adds (Received:, Date:, Message-Id:).

use super::{Entry, Occasion, Reader, Scene, original, template, wants};
use crate::parcel::Notice;
use mail::Status;
use mail::address::{Address, Printable};
use mail::date::HeaderDate;
use mail::dsn::Diagnostic;
use mail::envelope::{Encoding, Ret};
use protocol::smtp::command::unxtext;
use std::fmt::Write as _;

/// Columns of the notice's text.
const WRAP_COLUMN: usize = 79;

/// Writes the notice for `recipient`.
pub fn write(scene: Scene<'_>, notice: &Notice, recipient: &Address) -> Vec<u8> {
    Writer::new(scene, notice).write(recipient)
}

struct Writer<'a> {
    scene: Scene<'a>,
    notice: &'a Notice,
    boundary: String,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(scene: Scene<'a>, notice: &'a Notice) -> Self {
        Writer { scene, notice, boundary: String::new(), out: String::new() }
    }

    fn write(mut self, recipient: &Address) -> Vec<u8> {
        let entries = self.entries();
        let mut original = Vec::new();
        self.original(&mut original);
        self.boundary = self.boundary(&original);
        self.headers(recipient);
        self.notification(&entries);
        self.report(&entries);
        self.original_top();
        let mut out = std::mem::take(&mut self.out).into_bytes();
        out.append(&mut original);
        out.extend_from_slice(format!("\r\n--{}--\r\n", self.boundary).as_bytes());
        out
    }

    /// A boundary that the original does not have: whoever guesses the queue id and the time of the
    /// notice could end its part otherwise, and begin one that looks like ours.
    fn boundary(&self, original: &[u8]) -> String {
        let host = &self.scene.snapshot.myhostname;
        let (id, unix) = (self.notice.about.id, self.scene.unix);
        let has = |boundary: &String| {
            original.windows(boundary.len()).any(|window| window == boundary.as_bytes())
        };
        let plain = format!("{id}.{unix}/{host}");
        let mut others = (1u64..).map(|n| format!("{id}.{unix}.{n}/{host}"));
        match has(&plain) {
            true => others.find(|boundary| !has(boundary)).expect("numbers do not end"),
            false => plain,
        }
    }

    /// The sender reads of recipients it wants to know about, a postmaster of all.
    fn entries(&self) -> Vec<Entry> {
        let Notice { about, occasion, reader, entries, .. } = self.notice;
        let reads = |entry: &&Entry| *reader != Reader::Sender || wants(about, entry, *occasion);
        entries.iter().filter(reads).cloned().collect()
    }

    fn line(&mut self, args: std::fmt::Arguments<'_>) {
        self.out.write_fmt(args).expect("writing to a string does not fail");
        self.out.push_str("\r\n");
    }

    fn headers(&mut self, recipient: &Address) {
        let origin = self.scene.snapshot.resolver.myorigin().to_string();
        let Notice { occasion, reader, .. } = *self.notice;
        if self.scene.snapshot.bounce.obsolete_from {
            self.line(format_args!("From: MAILER-DAEMON@{origin} (Mail Delivery System)"));
        } else {
            self.line(format_args!("From: Mail Delivery System <MAILER-DAEMON@{origin}>"));
        }
        self.line(format_args!("Subject: {}", template::subject(occasion, reader)));
        self.line(format_args!("To: {recipient}"));
        self.thread();
        let submitted = match reader {
            Reader::Sender => "auto-replied",
            Reader::Postmaster | Reader::Copy => "auto-generated",
        };
        let boundary = self.boundary.clone();
        self.line(format_args!("Auto-Submitted: {submitted}"));
        self.line(format_args!("MIME-Version: 1.0"));
        self.line(format_args!("Content-Type: multipart/report; report-type=delivery-status;"));
        self.line(format_args!("\tboundary=\"{boundary}\""));
        self.encoding();
        self.line(format_args!("\r\nThis is a MIME-encapsulated message.\r\n"));
    }

    fn thread(&mut self) {
        if !self.scene.snapshot.bounce.threaded {
            return;
        }
        if let Some(id) = original::message_id(&self.notice.content) {
            self.line(format_args!("References: {id}"));
            self.line(format_args!("In-Reply-To: {id}"));
        }
    }

    fn declared(&self) -> Option<Encoding> {
        self.scene.snapshot.bounce.encoding(self.notice.about.envelope.encoding)
    }

    fn encoding(&mut self) {
        match self.declared() {
            Some(Encoding::EightBit) => {
                self.line(format_args!("Content-Transfer-Encoding: 8bit"));
            }
            Some(Encoding::SevenBit) => {
                self.line(format_args!("Content-Transfer-Encoding: 7bit"));
            }
            None => {}
        }
    }

    fn notification(&mut self, entries: &[Entry]) {
        let is_8bit = self.declared() == Some(Encoding::EightBit);
        let charset = if is_8bit { "utf-8" } else { "us-ascii" };
        let boundary = self.boundary.clone();
        self.line(format_args!("--{boundary}"));
        self.line(format_args!("Content-Description: Notification"));
        self.line(format_args!("Content-Type: text/plain; charset={charset}"));
        self.encoding();
        self.line(format_args!(""));
        self.words();
        for entry in entries {
            let recipient = entry.recipient(&self.notice.about);
            let original = &recipient.original;
            // An owner is told of it even where it is the same, as in Postfix.
            let same = recipient.address.same_as(original) && self.notice.owner.is_none();
            let expanded = match same || original.is_null() {
                true => String::new(),
                false => format!(" (expanded from <{}>)", recipient.original),
            };
            let text = format!("<{}>{expanded}: {}", recipient.address, entry.dsn.reason);
            self.out.push_str("\r\n");
            wrap(&text, &mut self.out);
        }
        self.out.push_str("\r\n");
    }

    fn words(&mut self) {
        let Notice { occasion, reader, .. } = *self.notice;
        if reader != Reader::Sender && occasion != Occasion::Success {
            return;
        }
        let settings = &self.scene.snapshot.bounce;
        let hours = settings.delay_warning / 3600;
        let days = settings.lifetime / 86_400;
        let text = template::text(occasion, &self.scene.snapshot.myhostname, hours, days);
        for line in text.lines() {
            self.line(format_args!("{line}"));
        }
    }

    /// `mail_name` as a part of field names.
    fn name(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+');
        self.scene.snapshot.mail_name.chars().map(|c| if plain(c) { c } else { '-' }).collect()
    }

    fn report(&mut self, entries: &[Entry]) {
        let (boundary, host) = (self.boundary.clone(), self.scene.snapshot.myhostname.clone());
        let about = &self.notice.about;
        let envelope = &about.envelope;
        let name = self.name();
        let global = if envelope.smtputf8 { "global-" } else { "" };
        self.line(format_args!("--{boundary}"));
        self.line(format_args!("Content-Description: Delivery report"));
        self.line(format_args!("Content-Type: message/{global}delivery-status"));
        if envelope.smtputf8 {
            self.line(format_args!("Content-Transfer-Encoding: 8bit"));
        }
        self.line(format_args!(""));
        self.line(format_args!("Reporting-MTA: dns; {host}"));
        if let Some(envid) = &envelope.envid {
            let envid = unxtext(envid).unwrap_or_else(|| envid.clone());
            self.line(format_args!("Original-Envelope-Id: {}", Printable(&envid)));
        }
        self.line(format_args!("X-{name}-Queue-ID: {}", about.id));
        let (kind, sender) = (self.kind(&envelope.sender), self.sender());
        self.line(format_args!("X-{name}-Sender: {kind}; {sender}"));
        self.date("Arrival-Date", envelope.arrival_micros / 1_000_000);
        for entry in entries {
            self.out.push_str("\r\n");
            self.fields(entry);
        }
    }

    /// The sender as reports name it, the null sender too.
    fn sender(&self) -> String {
        let sender = &self.notice.about.envelope.sender;
        match sender.is_null() {
            true => format!("MAILER-DAEMON@{}", self.scene.snapshot.myhostname),
            false => sender.to_string(),
        }
    }

    fn date(&mut self, field: &str, unix: u64) {
        let zone = self.scene.local.at(unix);
        self.line(format_args!("{field}: {}", HeaderDate { unix, zone: &zone }));
    }

    /// The address type of RFC 3464, or of RFC 6533.
    fn kind(&self, address: &Address) -> &'static str {
        let utf8 = self.notice.about.envelope.smtputf8 && address.is_8bit();
        if utf8 { "utf-8" } else { "rfc822" }
    }

    fn fields(&mut self, entry: &Entry) {
        let (recipient, dsn) = (entry.recipient(&self.notice.about), &entry.dsn);
        let kind = self.kind(&recipient.address);
        self.line(format_args!("Final-Recipient: {kind}; {}", recipient.address));
        match &recipient.dsn_orcpt {
            Some(orcpt) => self.line(format_args!("Original-Recipient: {}", Printable(orcpt))),
            // The members of a list with an owner have no past.
            None if recipient.original.is_null() => {}
            // As the client has named it.
            None => {
                let original = &recipient.original;
                let kind = self.kind(original);
                self.line(format_args!("Original-Recipient: {kind};{original}"));
            }
        }
        self.line(format_args!("Action: {}", entry.action.name()));
        self.line(format_args!("Status: {}", status(self.notice.occasion, dsn.status)));
        if let Some(remote) = &dsn.remote_mta {
            self.line(format_args!("Remote-MTA: dns; {}", Printable(remote.as_bytes())));
        }
        let kind = match dsn.diagnostic {
            Diagnostic::Smtp => "smtp".to_string(),
            Diagnostic::Unix => "x-unix".to_string(),
            Diagnostic::Local => format!("X-{}", self.name()),
        };
        let text = dsn.diagnostic_text.as_ref().unwrap_or(&dsn.reason);
        wrap(&format!("Diagnostic-Code: {kind}; {text}"), &mut self.out);
        if self.notice.occasion == Occasion::Delay {
            let arrival = self.notice.about.envelope.arrival_micros / 1_000_000;
            self.date("Will-Retry-Until", arrival + self.scene.snapshot.bounce.lifetime);
        }
    }

    fn is_whole(&self) -> bool {
        let Notice { about, occasion, reader, .. } = self.notice;
        let asked = match reader {
            Reader::Sender => about.envelope.ret != Some(Ret::Headers),
            Reader::Postmaster => true,
            Reader::Copy => false,
        };
        let small = about.envelope.size <= self.scene.snapshot.bounce.size_limit;
        *occasion == Occasion::Failure && asked && small
    }

    fn original_top(&mut self) {
        let undelivered = match self.notice.occasion {
            Occasion::Success => "",
            Occasion::Failure | Occasion::Delay => "Undelivered ",
        };
        let (headers, kind) = match (self.is_whole(), self.notice.about.envelope.smtputf8) {
            (true, false) => ("", "message/rfc822"),
            (true, true) => ("", "message/global"),
            (false, false) => (" Headers", "text/rfc822-headers"),
            (false, true) => (" Headers", "message/global-headers"),
        };
        let boundary = self.boundary.clone();
        self.line(format_args!("\r\n--{boundary}"));
        self.line(format_args!("Content-Description: {undelivered}Message{headers}"));
        self.line(format_args!("Content-Type: {kind}"));
        self.encoding();
        self.line(format_args!(""));
    }

    /// The original, with its return path in front.
    fn original(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("Return-Path: <{}>\r\n", self.sender()).as_bytes());
        match self.is_whole() {
            true => original::copy_whole(&self.notice.content, out),
            false => original::copy_header(&self.notice.content, out),
        }
    }
}

/// What failed has a permanent code; what expired keeps the temporary one it had.
fn status(occasion: Occasion, status: Status) -> Status {
    match occasion {
        Occasion::Failure if !status.is_transient() => Status { class: 5, ..status },
        _ => status,
    }
}

/// Breaks a line at blanks before column 79; continuation lines begin with four blanks.
fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        if column > 0 && column + 1 + word.chars().count() > WRAP_COLUMN {
            out.push_str("\r\n    ");
            column = 4;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        let shown = |c: char| if c.is_control() { '?' } else { c };
        out.extend(word.chars().map(shown));
        column += word.chars().count();
    }
    out.push_str("\r\n");
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

    #[test]
    fn a_reason_cannot_start_a_line_of_its_own() {
        let mut out = String::new();
        wrap("said:\r\nAction: delivered\u{1b}[0m", &mut out);
        assert_eq!(out, "said: Action: delivered?[0m\r\n");
    }
}
