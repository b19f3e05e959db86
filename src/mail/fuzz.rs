//! Bodies of the fuzz targets `address`, `header` and `envelope`: any bytes are read or refused,
//! and what was read is written and read again without a difference.
//!
//! Called by the fuzz workspace and by the replay of its inputs. Diagnostics: a panic is our bug.

use crate::address::{self, Address};
use crate::envelope::Envelope;
use crate::header;
use crate::record;
use crate::tok822::AddressList;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Parses `data` as an SMTP path. An address whose domain is a host name (or that has none) parses
/// back from its external form; neither it nor what goes to the log has control characters.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_address(data: &[u8]) {
    let Ok(address) = Address::parse_path(data) else { return };
    assert!(address.as_bytes().len() <= data.len(), "parsing removes, never adds");
    assert!(!address.as_bytes().iter().any(u8::is_ascii_control), "a command stays one line");
    let shown = address.to_string();
    assert!(!shown.chars().any(char::is_control), "a log line stays one line");
    let literal = |domain: &[u8]| match domain {
        [b'[', inner @ .., b']'] => address::parse_literal(inner).is_some(),
        _ => false,
    };
    let printable = |domain: &[u8]| address::is_valid_hostname(domain) || literal(domain);
    // What looks like a route is written as one, and read without it.
    if address.route_end() == 0 && address.domain().is_none_or(printable) {
        let path = [b"<", address.external().as_slice(), b">"].concat();
        assert_eq!(Address::parse_path(&path).as_ref(), Ok(&address), "the external form is read");
    }
}

/// Takes each line of `data` as the start of a header.
///
/// # Panics
/// When a name is not a clean start of its line, or its class depends on letter case.
pub fn fuzz_header(data: &[u8]) {
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let value = header::value(line);
        assert!(value.len() <= line.len() && value == value.trim_ascii(), "a trimmed part");
        let Some(name) = header::name(line) else { continue };
        assert!(line.starts_with(name), "the name opens the line");
        assert!(!header::is_continuation(line), "a header is not a continuation");
        assert!(name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'), "clean");
        let known = header::classify(name);
        assert_eq!(known, header::classify(&name.to_ascii_uppercase()), "case does not matter");
        let resent = name.len() > 7 && name[..7].eq_ignore_ascii_case(b"resent-");
        assert!(resent || !known.is_resent(), "Resent- headers are told apart");
    }
}

/// Decodes `data` as a stored envelope, as it is and as records with right lengths; what was
/// decoded survives encoding.
///
/// # Panics
/// When it does not.
pub fn fuzz_envelope(data: &[u8]) {
    decode(data);
    decode(&fuzz_records(data));
}

fn decode(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else { return };
    assert!(envelope.recipients.len() <= data.len() / 2, "each recipient is a record");
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    assert_eq!(Envelope::decode(&bytes).as_ref(), Ok(&envelope), "the stored form is read");
}

/// Records out of what is between NULs, the first byte of each being its type: a fuzzer that had to
/// keep lengths right would not get far.
pub fn fuzz_records(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in data.split(|byte| *byte == 0) {
        let Some((kind, body)) = part.split_first() else { continue };
        record::put(&mut out, *kind, body);
    }
    out
}

/// Any bytes as the addresses of a header: written again they are one line unless it is asked for
/// more, not much longer, and settle.
pub fn fuzz_tok822(data: &[u8]) {
    let first = written(data);
    assert!(!first.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "a header stays one line");
    assert!(first.len() <= 4 * data.len() + 4, "what is added is quotes and blanks");
    let list = AddressList::parse(&first, usize::MAX);
    let mut again = list.clone();
    // A change may be that of its spelling.
    let _spelled = again.rewrite(|address, _| Some(address.clone()));
    assert_eq!(again.pieces, list.pieces, "the same address is the same list");
    let few = AddressList::parse(data, 8);
    assert!(few.pieces.len() <= 32, "tokens are bounded");
}

fn written(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    AddressList::parse(data, usize::MAX).write(b' ', &mut out);
    out
}
