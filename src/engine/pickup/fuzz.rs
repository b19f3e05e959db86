//! The body of the fuzz target `pickup`: any bytes as a file of the maildrop directory.
//!
//! Whoever may run postdrop(1) decides what is in one. Called by the fuzz workspace and by the
//! replay of its inputs. Diagnostics: a panic is our bug.

use super::{ADDRESS_MAX, Hands, Parsed, Scene, parse};
use crate::cleanup::Message;
use crate::fuzz;
use mail::{Address, Envelope, header};
use protocol::smtp::check_wire_form;
use protocol::smtp::client::commands::{self, Quoting};
use protocol::smtp::command::split;
use protocol::smtp::ehlo::{Keywords, Offer};

/// Header fields that a submission gets from us, each once.
const OURS: [&str; 9] = [
    "Received",
    "Message-Id",
    "Date",
    "From",
    "Resent-Message-Id",
    "Resent-Date",
    "Resent-From",
    "To",
    "Mailbox-Line",
];
/// The most bytes that they have, without addresses and names from the submission.
const OURS_BYTES: usize = 1024;

/// Takes `data` as a file, as it is and as records with right lengths; the first byte chooses the
/// configuration.
///
/// # Panics
/// When a file is taken whose message could not be read again, could be mistaken for two, has a
/// header that nobody wrote, or cannot be said in SMTP.
pub fn fuzz_pickup(data: &[u8]) {
    let Some((choice, records)) = data.split_first() else { return };
    take(*choice, records);
    take(*choice, &mail::fuzz_records(records));
}

fn take(choice: u8, records: &[u8]) {
    let Ok(mut parsed) = parse(records) else { return };
    assert_eq!(records.iter().filter(|byte| **byte == b'E').take(1).count(), 1, "an end");
    assert!(parsed.content.len() <= 3 * records.len(), "bounded by the file");
    check_wire_form(&parsed.content);
    let snapshot = fuzz::snapshot(choice);
    let local = fuzz::local_time();
    let scene = Scene { snapshot: &snapshot, local: &local, micros: fuzz::NOW * 1_000_000 };
    scene.localize(&mut parsed.envelope);
    let id = fuzz::queue_id(snapshot.long_ids);
    let hands = Hands { rewriting: None, inspector: None, named: &|_| {} };
    let Ok(message) = scene.content((id, 1000), hands, &parsed) else { return };
    scene.complete(&message, &mut parsed.envelope);
    check_content(&message, &parsed);
    check_envelope(&parsed.envelope, records.len());
}

fn check_content(message: &Message, parsed: &Parsed) {
    check_wire_form(&message.content);
    let name_len = parsed.full_name.as_ref().map_or(0, String::len);
    let added = OURS_BYTES + 4 * (name_len + parsed.envelope.sender.as_bytes().len());
    assert!(message.content.len() <= parsed.content.len() + added, "we add little");
    let theirs = parsed.content.split_inclusive(|byte| *byte == b'\n').filter_map(header::name);
    let mut theirs: Vec<&[u8]> = theirs.collect();
    let mut ours = OURS.to_vec();
    for name in fuzz::header_names(&message.content) {
        let at = theirs.iter().position(|known| *known == name.as_bytes());
        let Some(at) = at else {
            let at = ours.iter().position(|known| *known == name);
            ours.swap_remove(at.unwrap_or_else(|| panic!("nobody wrote {name}")));
            continue;
        };
        theirs.swap_remove(at);
    }
}

/// What is queued is read again after a crash, and is said in lines.
fn check_envelope(envelope: &Envelope, file_len: usize) {
    assert!(!envelope.recipients.is_empty() && envelope.recipients.len() <= file_len / 2, "some");
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    assert_eq!(Envelope::decode(&bytes).as_ref(), Ok(envelope), "the stored form is read");
    let keywords = Keywords::DSN.with(Keywords::SIZE).with(Keywords::SMTPUTF8);
    let offer = Offer { keywords: keywords.with(Keywords::EIGHT_BIT_MIME), size_limit: 0 };
    for quoting in [Quoting::Rfc5321, Quoting::None] {
        let Envelope { sender, encoding, ret, envid, smtputf8, .. } = envelope;
        let given = [encoding.is_some(), ret.is_some(), envid.is_some(), *smtputf8, true];
        let line = command(|out| commands::mail(out, envelope, &offer, quoting));
        check_words(&line, sender, given.iter().filter(|given| **given).count(), quoting);
        for recipient in &envelope.recipients {
            assert!(recipient.original.as_bytes().len() <= ADDRESS_MAX, "bounded");
            let line = command(|out| commands::rcpt(out, recipient, &offer, quoting));
            let given = usize::from(!recipient.original.is_null() || recipient.dsn_orcpt.is_some())
                + usize::from(recipient.notify != 0);
            check_words(&line, &recipient.address, given, quoting);
        }
    }
}

fn command(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut line = Vec::new();
    write(&mut line);
    let text = line.strip_suffix(b"\r\n").expect("a command is a line");
    assert!(!text.iter().any(u8::is_ascii_control), "one line");
    text.to_vec()
}

/// An address as it should be is followed by the parameters that were given, and no others.
fn check_words(line: &[u8], address: &Address, given: usize, quoting: Quoting) {
    let plain = address.domain().is_none_or(mail::address::is_valid_hostname);
    if plain && quoting == Quoting::Rfc5321 {
        assert_eq!(split(line).words.len(), 1 + given, "parameters");
    }
}
