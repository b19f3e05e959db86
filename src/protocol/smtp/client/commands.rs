//! The client's commands as bytes: EHLO, MAIL with its parameters, RCPT with its parameters.
//!
//! Standards: RFC 5321 section 4.1, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 3461 (DSN), RFC 6531.

use crate::smtp::command::{is_word, unxtext, xtext_word};
use crate::smtp::ehlo::{Keywords, Offer};
use alloc::format;
use alloc::vec::Vec;
use mail::Address;
use mail::envelope::{Encoding, Envelope, Recipient, Ret, notify};

/// How addresses are written (`smtp_quote_rfc821_envelope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// As RFC 5321 has it.
    Rfc5321,
    /// As they are.
    None,
}

/// Appends MAIL FROM with what the server offers to understand.
pub fn mail(out: &mut Vec<u8>, envelope: &Envelope, offer: &Offer, quoting: Quoting) {
    out.extend_from_slice(b"MAIL FROM:<");
    address(out, &envelope.sender, quoting);
    out.push(b'>');
    if offer.keywords.has(Keywords::SIZE) {
        out.extend_from_slice(format!(" SIZE={}", envelope.size).as_bytes());
    }
    if offer.keywords.has(Keywords::EIGHT_BIT_MIME) {
        match envelope.encoding {
            Some(Encoding::EightBit) => out.extend_from_slice(b" BODY=8BITMIME"),
            Some(Encoding::SevenBit) => out.extend_from_slice(b" BODY=7BIT"),
            None => {}
        }
    }
    if offer.keywords.has(Keywords::DSN) {
        if let Some(envid) = &envelope.envid {
            out.extend_from_slice(b" ENVID=");
            match unxtext(envid) {
                Some(text) if !is_word(envid) => {
                    out.extend_from_slice(xtext_word(&text).as_bytes())
                }
                _ => out.extend_from_slice(envid),
            }
        }
        match envelope.ret {
            Some(Ret::Full) => out.extend_from_slice(b" RET=FULL"),
            Some(Ret::Headers) => out.extend_from_slice(b" RET=HDRS"),
            None => {}
        }
    }
    if offer.keywords.has(Keywords::SMTPUTF8) && envelope.smtputf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends RCPT TO with what the server offers to understand.
pub fn rcpt(out: &mut Vec<u8>, recipient: &Recipient, offer: &Offer, quoting: Quoting) {
    out.extend_from_slice(b"RCPT TO:<");
    address(out, &recipient.address, quoting);
    out.push(b'>');
    if offer.keywords.has(Keywords::DSN) {
        orcpt(out, recipient);
        if recipient.notify != 0 {
            out.extend_from_slice(b" NOTIFY=");
            write_notify(out, recipient.notify);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The original recipient as given, or else the address that the client had named.
fn orcpt(out: &mut Vec<u8>, recipient: &Recipient) {
    let own;
    let text: &[u8] = match &recipient.dsn_orcpt {
        Some(text) => text,
        None if recipient.original.is_null() => return,
        None => {
            let kind: &[u8] = if recipient.original.is_8bit() { b"utf-8;" } else { b"rfc822;" };
            own = [kind, &recipient.original.external()].concat();
            &own
        }
    };
    let semicolon = text.iter().position(|byte| *byte == b';').map_or(0, |at| at + 1);
    let (kind, address) = text.split_at(semicolon);
    out.extend_from_slice(b" ORCPT=");
    out.extend_from_slice(kind);
    out.extend_from_slice(xtext_word(address).as_bytes());
}

fn write_notify(out: &mut Vec<u8>, bits: u8) {
    let words: [(u8, &[u8]); 4] = [
        (notify::NEVER, b"NEVER"),
        (notify::SUCCESS, b"SUCCESS"),
        (notify::FAILURE, b"FAILURE"),
        (notify::DELAY, b"DELAY"),
    ];
    let mut first = true;
    for (_, word) in words.iter().filter(|(bit, _)| bits & bit != 0) {
        if !core::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(word);
    }
}

fn address(out: &mut Vec<u8>, address: &Address, quoting: Quoting) {
    match quoting {
        Quoting::Rfc5321 => address.write_external(out),
        Quoting::None => out.extend_from_slice(address.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn offer(keywords: Keywords) -> Offer {
        Offer { keywords, size_limit: 0 }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    /// The order of Postfix 3.7.11's parameters.
    #[test]
    fn parameters_follow_the_offer() {
        let mut recipient = Recipient::new(Address::from_internal(b"x@nopipe.example"));
        recipient.dsn_orcpt = Some(b"rfc822;or+ig@nopipe.example".to_vec());
        recipient.notify = notify::DELAY | notify::SUCCESS;
        let envelope = Envelope {
            size: 400,
            sender: Address::from_internal(b"a b@example.test"),
            envid: Some(b"env1".to_vec()),
            ret: Some(Ret::Full),
            encoding: Some(Encoding::EightBit),
            ..Envelope::default()
        };
        let all = Keywords::SIZE.with(Keywords::EIGHT_BIT_MIME).with(Keywords::DSN);
        let shown = |keywords| {
            let (mut out, offer) = (Vec::new(), offer(keywords));
            mail(&mut out, &envelope, &offer, Quoting::Rfc5321);
            rcpt(&mut out, &recipient, &offer, Quoting::Rfc5321);
            text(out)
        };
        assert_eq!(
            shown(all),
            "MAIL FROM:<\"a b\"@example.test> SIZE=400 BODY=8BITMIME ENVID=env1 RET=FULL\r\n\
             RCPT TO:<x@nopipe.example> ORCPT=rfc822;or+2Big@nopipe.example \
             NOTIFY=SUCCESS,DELAY\r\n"
        );
        assert_eq!(
            shown(Keywords::default()),
            "MAIL FROM:<\"a b\"@example.test>\r\nRCPT TO:<x@nopipe.example>\r\n"
        );
    }
}
