//! The body of the fuzz target `dsn`: what a sender asks to be told, and what it is told.
//!
//! Called by the fuzz workspace and by the replay of its inputs. Diagnostics: a panic is our bug.

use super::{Action, Entry, Occasion, Reader, Scene, post, report};
use crate::delivery::MessageInfo;
use crate::fuzz;
use crate::parcel::Notice;
use mail::dsn::{Diagnostic, Dsn};
use mail::{Address, Envelope, Recipient, Status};
use protocol::smtp::check_wire_form;
use protocol::smtp::client::commands::{self, Quoting};
use protocol::smtp::command::{Mail, Offered, Rcpt, split, unxtext, xtext};
use protocol::smtp::ehlo::{Keywords, Offer};
use protocol::smtp::path::Rules;
use queue::{Content, Number};
use std::sync::Arc;

/// Parts of the input, with a NUL between them: two command lines, texts, the original.
const PARTS: usize = 7;
/// Stands for the boundary in the original: a fuzzer need not guess it.
const BOUNDARY: u8 = 1;
const OFFERED: Offered = Offered {
    dsn: true,
    smtputf8: true,
    paths: Rules {
        is_strict: false,
        is_strict_utf8: false,
        allows_hyphen: false,
        takes_numeric_domain: false,
        takes_null_domain: false,
    },
};

/// Header fields of a notice.
const HEADER: [&str; 12] = [
    "Received",
    "Date",
    "Message-Id",
    "From",
    "Subject",
    "To",
    "References",
    "In-Reply-To",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// The most bytes that they have, without the recipient's address.
const HEADER_BYTES: usize = 4096;
/// Fields of a report, per message and per recipient.
const FIELDS: [&str; 12] = [
    "Reporting-MTA",
    "Original-Envelope-Id",
    "X-Postfix-Queue-ID",
    "X-Postfix-Sender",
    "Arrival-Date",
    "Final-Recipient",
    "Original-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Will-Retry-Until",
];

/// Reads the parameters of MAIL and RCPT, hands them on as a client, and writes a notice about the
/// message. The first byte chooses configuration and occasion, the second what is reported.
///
/// # Panics
/// When a parameter does not come back, or something from outside adds a field or a part to a
/// notice.
pub fn fuzz_dsn(data: &[u8]) {
    let [choice, kinds, rest @ ..] = data else { return };
    let mut parts = rest.splitn(PARTS, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (mail, rcpt) = (part(), part());
    [mail, rcpt].iter().for_each(|text| check_xtext(text));
    let mut envelope = read(mail, rcpt);
    hand_on(&envelope);
    // What a table or an alias may make of a recipient.
    envelope.recipients[0].address = Address::from_internal(part());
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let reason = text(part());
    let [said, remote] = [part(), part()].map(|part| (!part.is_empty()).then(|| text(part)));
    let dsn = Dsn {
        status: status(*kinds),
        reason,
        diagnostic: [Diagnostic::Local, Diagnostic::Smtp, Diagnostic::Unix]
            [usize::from(kinds >> 2 & 3).min(2)],
        diagnostic_text: said,
        remote_mta: remote,
    };
    notify(*choice, *kinds, envelope, dsn, part());
}

fn status(kinds: u8) -> Status {
    Status::new([2, 4, 5, 5][usize::from(kinds & 3)], 999, 0)
}

fn check_xtext(text: &[u8]) {
    let coded = xtext(text);
    assert_eq!(unxtext(coded.as_bytes()).as_deref(), Some(text), "xtext comes back");
    assert!(coded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'='), "xtext is clean");
    let Some(decoded) = unxtext(text) else { return };
    assert!(decoded.len() <= text.len(), "decoding removes, never adds");
}

/// The envelope of a message that comes with these commands, as far as they are good.
fn read(mail: &[u8], rcpt: &[u8]) -> Envelope {
    let mail = Mail::parse(&split(mail).words, OFFERED).ok();
    let rcpt = Rcpt::parse(&split(rcpt).words, OFFERED, true).ok();
    let mut envelope = Envelope::default();
    if let Some(Mail { sender, size, encoding, smtputf8, ret, envid }) = mail {
        envelope = Envelope { sender, encoding, smtputf8, ret, envid, ..envelope };
        envelope.size = size.unwrap_or_default();
    }
    let mut recipient = Recipient::new(Address::from_internal(b"x@y.example"));
    if let Some(Rcpt { address, notify, orcpt }) = rcpt {
        recipient = Recipient { notify, dsn_orcpt: orcpt, ..Recipient::new(address) };
    }
    envelope.recipients.push(recipient);
    envelope
}

/// The next system reads what we read.
fn hand_on(envelope: &Envelope) {
    let keywords = Keywords::DSN.with(Keywords::SIZE).with(Keywords::SMTPUTF8);
    let offer = Offer { keywords: keywords.with(Keywords::EIGHT_BIT_MIME), size_limit: 0 };
    let (mut mail, mut rcpt) = (Vec::new(), Vec::new());
    commands::mail(&mut mail, envelope, &offer, Quoting::Rfc5321);
    commands::rcpt(&mut rcpt, &envelope.recipients[0], &offer, Quoting::Rfc5321);
    let [mail, rcpt] = [&mail, &rcpt].map(|line| {
        let text = line.strip_suffix(b"\r\n").expect("a command is a line");
        assert!(!text.iter().any(u8::is_ascii_control), "one line");
        text
    });
    let mail = Mail::parse(&split(mail).words, OFFERED).expect("MAIL is read");
    let decoded = |envid: &Option<Vec<u8>>| envid.as_deref().map(unxtext);
    assert_eq!(decoded(&mail.envid), decoded(&envelope.envid), "ENVID");
    assert_eq!(mail.ret, envelope.ret, "RET");
    assert_eq!((mail.encoding, mail.smtputf8), (envelope.encoding, envelope.smtputf8), "the rest");
    let rcpt = Rcpt::parse(&split(rcpt).words, OFFERED, true).expect("RCPT is read");
    assert_eq!(rcpt.notify, envelope.recipients[0].notify, "NOTIFY");
    let orcpt = &envelope.recipients[0].dsn_orcpt;
    assert!(orcpt.is_none() || *orcpt == rcpt.orcpt, "ORCPT");
}

fn notify(choice: u8, kinds: u8, envelope: Envelope, dsn: Dsn, original: &[u8]) {
    let snapshot = fuzz::snapshot(choice);
    let id = fuzz::queue_id(snapshot.long_ids);
    let number = Number::from_u64(1 << 6).expect("a number");
    let boundary = format!("{id}.{}/{}", fuzz::NOW, snapshot.myhostname);
    let notice = Notice {
        owner: None,
        about: Arc::new(MessageInfo { number, id, envelope }),
        content: Content::from(wire_form(original, boundary.as_bytes())),
        occasion: [Occasion::Failure, Occasion::Delay, Occasion::Success, Occasion::Failure]
            [usize::from(choice >> 2 & 3)],
        reader: [Reader::Sender, Reader::Postmaster, Reader::Copy, Reader::Sender]
            [usize::from(choice >> 4 & 3)],
        entries: vec![Entry { index: 0, part: None, dsn: Arc::new(dsn), action: action(kinds) }; 2],
    };
    let local = fuzz::local_time();
    let scene = Scene { snapshot: &snapshot, local: &local, unix: fuzz::NOW };
    let to = post::envelope(scene, &notice);
    let text = report::write(scene, &notice, &to.recipients[0].address);
    check_parts(&text, notice.entries.len());
    let finished = post::finish_content(scene, id, (None, None), &to.sender, &text);
    let Ok(message) = finished else { unreachable!("nothing is looked up") };
    check_wire_form(&message.content);
    check_header(&message.content, to.recipients[0].address.as_bytes().len());
}

fn action(kinds: u8) -> Action {
    use Action::{Delayed, Delivered, Expanded, Failed, Relayed};
    let all = [Failed, Delayed, Delivered, Relayed, Expanded];
    all[usize::from(kinds >> 4) % all.len()]
}

/// Lines as the queue stores them.
fn wire_form(text: &[u8], boundary: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        content.extend_from_slice(if line.first() == Some(&b'.') { b"." } else { b"" });
        for byte in line.iter().filter(|byte| **byte != b'\r') {
            content.extend_from_slice(if *byte == BOUNDARY {
                boundary
            } else {
                std::slice::from_ref(byte)
            });
        }
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// Our fields, each once, in whole lines of a size that we know.
fn check_header(content: &[u8], address_len: usize) {
    let mut known = HEADER.to_vec();
    for name in fuzz::header_names(content) {
        let at = known.iter().position(|known| *known == name);
        known.swap_remove(at.unwrap_or_else(|| panic!("{name} is not ours or comes twice")));
    }
    let end = content.windows(4).position(|window| window == b"\r\n\r\n").expect("a blank line");
    assert!(end <= HEADER_BYTES + 4 * address_len, "a header of {end} bytes");
}

/// Three parts and the end; the report has one block of fields for the message and one for each
/// recipient that is to be told of.
fn check_parts(text: &[u8], recipients: usize) {
    let parameter = |line: &&[u8]| line.starts_with(b"\tboundary=\"");
    let line = text.split(|byte| *byte == b'\n').find(parameter).expect("the boundary");
    let quoted = line.split(|byte| *byte == b'"').nth(1).expect("it is quoted");
    let delimiter = [b"--", quoted].concat();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let at: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with(&delimiter)).collect();
    let [_, report, original, end] = at[..] else { panic!("{} delimiters", at.len()) };
    assert_eq!(end, lines.len() - 1, "nothing follows the end");
    assert_eq!(lines[end], [&delimiter[..], b"--\r\n"].concat(), "the end");
    // The blank line in front of a delimiter belongs to it.
    let report = &lines[report + 1..original - 1];
    let mut blocks = report.split(|line| *line == b"\r\n");
    let head = blocks.next().expect("the head of the part");
    assert!(head.len() <= 3, "the head of the part");
    let mut count = 0;
    for block in blocks {
        count += 1;
        check_fields(block);
    }
    assert!(count == 1 || count == 1 + recipients, "all want to know, or none: {count}");
}

fn check_fields(block: &[&[u8]]) {
    let mut known = FIELDS.to_vec();
    for name in fuzz::header_names(&[block.concat().as_slice(), b"\r\n"].concat()) {
        let at = known.iter().position(|known| *known == name);
        known.swap_remove(at.unwrap_or_else(|| panic!("{name} is not ours or comes twice")));
    }
}
