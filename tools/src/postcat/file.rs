//! A file of records, as Postfix's queue files and maildrop's are.
//!
//! **Diagnostics**: a file that is not records ends with a fatal error after what could be read.

use mail::date::CTime;
use mail::record::{kind, take};

use super::Show;
use crate::program::Exit;

/// Which part of the file a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Envelope,
    Header,
    Body,
    Extracted,
}

/// Shows the records of `bytes`; `name` is what they are called.
pub(super) fn show(bytes: &[u8], name: &str, show: Show, out: &mut Vec<u8>) -> Result<(), Exit> {
    let mut printer = Printer { show, name, out, part: Part::Envelope, line_start: true };
    printer.marker("ENVELOPE RECORDS");
    let mut rest = bytes;
    loop {
        let offset = bytes.len() - rest.len();
        match take(&mut rest) {
            Ok(Some((kind::END, _))) => break,
            Ok(Some((kind, body))) => printer.record(offset, kind, body),
            Ok(None) => break,
            Err(_) => return Err(Exit::new(1, format!("{name}: malformed record"))),
        }
    }
    printer.marker("MESSAGE FILE END");
    Ok(())
}

struct Printer<'a> {
    show: Show,
    name: &'a str,
    out: &'a mut Vec<u8>,
    part: Part,
    line_start: bool,
}

impl Printer<'_> {
    fn marker(&mut self, what: &str) {
        if self.show.markers {
            self.out.extend_from_slice(format!("*** {what} {} ***\n", self.name).as_bytes());
        }
    }

    fn record(&mut self, offset: usize, kind: u8, body: &[u8]) {
        match (self.part, kind) {
            (Part::Envelope, kind::MESSAGE) => {
                self.part = Part::Header;
                self.marker("MESSAGE CONTENTS");
            }
            (Part::Header | Part::Body, kind::EXTRACTED) => {
                self.part = Part::Extracted;
                self.marker("HEADER EXTRACTED");
            }
            (Part::Header | Part::Body, kind::LINE | kind::PARTIAL) => self.text(kind, body),
            _ if self.show.envelope => self.envelope(offset, kind, body),
            _ => {}
        }
    }

    fn text(&mut self, kind: u8, body: &[u8]) {
        let is_end = self.line_start && kind == kind::LINE && body.is_empty();
        if self.part == Part::Header && is_end {
            self.part = Part::Body;
            // The line between belongs to whom it separates.
            if !self.show.body {
                return;
            }
        }
        let wanted = if self.part == Part::Header { self.show.header } else { self.show.body };
        self.line_start = kind == kind::LINE;
        if wanted {
            self.out.extend_from_slice(body);
            if kind == kind::LINE {
                self.out.push(b'\n');
            }
        }
    }

    fn envelope(&mut self, offset: usize, kind: u8, body: &[u8]) {
        if self.show.offsets {
            self.out.extend_from_slice(format!("{offset:>9} ").as_bytes());
        }
        self.out.extend_from_slice(label(kind, body, self.show.decimal).as_bytes());
        let text = String::from_utf8_lossy(body);
        let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
        match (kind, seconds) {
            (kind::TIME | kind::WARN, Some(unix)) => {
                let time = CTime { unix, offset: super::message::offset(unix) };
                self.out.extend_from_slice(time.to_string().as_bytes());
            }
            _ => self.out.extend_from_slice(&value(kind, body)),
        }
        self.out.push(b'\n');
    }
}

/// What is printed of a record's body.
fn value(kind: u8, body: &[u8]) -> Vec<u8> {
    let create = kind == kind::ATTRIBUTE && body.starts_with(b"create_time=");
    let seconds = create.then(|| String::from_utf8_lossy(&body[12..]).parse().ok()).flatten();
    match seconds {
        Some(unix) => CTime { unix, offset: super::message::offset(unix) }.to_string().into_bytes(),
        None => body.to_vec(),
    }
}

/// `name: ` of a record.
fn label(kind: u8, body: &[u8], decimal: bool) -> String {
    if decimal {
        return format!("{kind}: ");
    }
    let name = match kind {
        kind::SIZE => "message_size",
        kind::TIME => "message_arrival_time",
        b'c' => "queue_file_create_time",
        kind::FULL_NAME => "sender_fullname",
        kind::INSPECT => "content_inspector",
        kind::FILTER => "content_filter",
        kind::SENDER => "sender",
        b'D' => "done_recipient",
        kind::RECIPIENT => "recipient",
        kind::ORIGINAL => "original_recipient",
        b'/' => "canceled_recipient",
        kind::WARN => "warning_message_time",
        kind::ATTRIBUTE if body.starts_with(b"create_time=") => "create_time",
        kind::ATTRIBUTE => "named_attribute",
        b'K' => "killed_record",
        b'>' => "redirect_to",
        kind::VERP => "verp_delimiters",
        b'p' => "pointer_record",
        b'w' => "padding",
        kind::ENVID => "dsn_envelope_id",
        kind::RET => "dsn_return_flags",
        kind::DSN_ORCPT => "dsn_original_recipient",
        kind::NOTIFY => "dsn_notify_flags",
        _ => return format!("unknown_record_{kind}: "),
    };
    format!("{name}: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::record::put;

    fn shown(show_what: Show) -> String {
        let mut bytes = Vec::new();
        for (kind, body) in [
            (b'S', "a@x"),
            (b'A', "encoding=8bit"),
            (b'R', "b@x"),
            (b'M', ""),
            (b'N', "Subject: s"),
            (b'N', ""),
            (b'L', "bo"),
            (b'N', "dy"),
            (b'X', ""),
            (b'R', "c@x"),
            (b'E', ""),
        ] {
            put(&mut bytes, kind, body.as_bytes());
        }
        let mut out = Vec::new();
        show(&bytes, "f", show_what, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const ALL: Show = Show {
        envelope: true,
        header: true,
        body: true,
        markers: true,
        decimal: false,
        offsets: false,
    };

    #[test]
    fn records_have_names() {
        let expected = "*** ENVELOPE RECORDS f ***\nsender: a@x\nnamed_attribute: encoding=8bit\n\
            recipient: b@x\n*** MESSAGE CONTENTS f ***\nSubject: s\n\nbody\n\
            *** HEADER EXTRACTED f ***\nrecipient: c@x\n*** MESSAGE FILE END f ***\n";
        assert_eq!(shown(ALL), expected);
    }

    #[test]
    fn parts_are_shown_alone() {
        let none = Show { envelope: false, header: false, body: false, markers: false, ..ALL };
        assert_eq!(shown(Show { header: true, ..none }), "Subject: s\n");
        assert_eq!(shown(Show { body: true, ..none }), "\nbody\n");
        let envelope = shown(Show { envelope: true, markers: true, ..none });
        assert!(envelope.contains("*** MESSAGE CONTENTS f ***\n*** HEADER EXTRACTED f ***\n"));
    }

    #[test]
    fn a_torn_file_is_an_error() {
        let error = show(b"S\x05ab", "f", ALL, &mut Vec::new()).unwrap_err();
        assert_eq!(error.text.as_deref(), Some("f: malformed record"));
    }
}
