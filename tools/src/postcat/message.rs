//! A message of the queue log, shown as Postfix shows its queue files.
//!
//! The same records in the same order; recipients that are done have their own name. Content lies
//! in the log in wire form and is shown without doubled dots and with LF.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::date::CTime;
use mail::envelope::{Encoding, Ret};
use mail::{Envelope, Recipient};
use queue::{Live, Reader};

use super::Show;
use crate::postqueue::offline;
use crate::program::Exit;

/// Shows one message.
pub(super) fn show(
    reader: &Reader,
    live: &Live,
    id: &str,
    show: Show,
    out: &mut Vec<u8>,
) -> Result<(), Exit> {
    let gone = |_| Exit::new(1, format!("open queue file {id}: No such file or directory"));
    let message = reader.message(live.number).map_err(gone)?;
    let envelope = Envelope::decode(&message.envelope)
        .map_err(|_| Exit::new(1, format!("queue file {id}: malformed envelope")))?;
    let name = path(live, id);
    let marker = |out: &mut Vec<u8>, what: &str| {
        if show.markers {
            out.extend_from_slice(format!("*** {what} {name} ***\n").as_bytes());
        }
    };
    marker(out, "ENVELOPE RECORDS");
    if show.envelope {
        print_envelope(&envelope, live, out);
    }
    marker(out, "MESSAGE CONTENTS");
    let mut text = Text { show, in_header: true, line: Vec::new(), out };
    reader.content(live.number, &mut |bytes| text.take(bytes)).map_err(gone)?;
    marker(out, "HEADER EXTRACTED");
    if show.envelope && envelope.has_8bit | matches!(envelope.encoding, Some(Encoding::EightBit)) {
        out.extend_from_slice(b"named_attribute: encoding=8bit\n");
    }
    marker(out, "MESSAGE FILE END");
    Ok(())
}

/// The path Postfix would have the file under: `deferred` is hashed by the first character of a
/// short id, or of the microseconds of a long one.
fn path(live: &Live, id: &str) -> String {
    let queue = offline::queue_name(live.state);
    if queue != "deferred" {
        return format!("{queue}/{id}");
    }
    let digits = format!("{:05X}", live.arrival_us % 1_000_000);
    format!("{queue}/{}/{id}", &digits[..1])
}

fn print_envelope(envelope: &Envelope, live: &Live, out: &mut Vec<u8>) {
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        out.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    };
    let (size, recipients) = (envelope.size, envelope.recipients.len());
    let utf8 = u8::from(envelope.smtputf8);
    line(
        "message_size",
        &format!("{size:>15} {:>15} {recipients:>15} {:>15} {size:>15} {utf8:>15}", 0, 0),
    );
    let arrival = envelope.arrival_micros / 1_000_000;
    let time = |unix| CTime { unix, offset: offset(unix) };
    line("message_arrival_time", &time(arrival));
    line("create_time", &time(live.arrival_us / 1_000_000));
    let mut attribute = |name: &str, value: &[u8]| {
        line("named_attribute", &format!("{name}={}", String::from_utf8_lossy(value)));
    };
    let early = |name: &str| matches!(name, "log_ident" | "rewrite_context");
    let (before, after): (Vec<_>, Vec<_>) =
        envelope.attributes.iter().partition(|(name, _)| early(name));
    before.iter().for_each(|(name, value)| attribute(name, value));
    if let Some(envid) = &envelope.envid {
        attribute("envelope_id", envid);
    }
    match envelope.ret {
        Some(Ret::Full) => attribute("ret_flags", b"1"),
        Some(Ret::Headers) => attribute("ret_flags", b"2"),
        None => {}
    }
    line("sender", &envelope.sender);
    let mut attribute = |name: &str, value: &[u8]| {
        line("named_attribute", &format!("{name}={}", String::from_utf8_lossy(value)));
    };
    match envelope.encoding {
        Some(Encoding::SevenBit) => attribute("encoding", b"7bit"),
        Some(Encoding::EightBit) => attribute("encoding", b"8bit"),
        None => {}
    }
    after.iter().for_each(|(name, value)| attribute(name, value));
    for (index, recipient) in (0u32..).zip(&envelope.recipients) {
        print_recipient(recipient, live.marks.contains(index), out);
    }
}

fn print_recipient(recipient: &Recipient, done: bool, out: &mut Vec<u8>) {
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        out.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    };
    if recipient.notify != 0 {
        line("named_attribute", &format!("notify_flags={}", recipient.notify));
    }
    if let Some(orcpt) = &recipient.dsn_orcpt {
        let orcpt = String::from_utf8_lossy(orcpt);
        line("named_attribute", &format!("dsn_orig_rcpt={orcpt}"));
    }
    line("original_recipient", &recipient.original);
    line(if done { "done_recipient" } else { "recipient" }, &recipient.address);
}

/// Seconds east of UTC at `unix`.
pub(super) fn offset(unix: u64) -> i32 {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    zone.to_offset(time.unwrap_or(Timestamp::UNIX_EPOCH)).seconds()
}

/// Content being shown.
struct Text<'a> {
    show: Show,
    in_header: bool,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    out: &'a mut Vec<u8>,
}

impl Text<'_> {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.print(&line[..line.len() - 1]);
            }
        }
    }

    fn print(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if line.starts_with(b".") { &line[1..] } else { line };
        if self.in_header && line.is_empty() {
            self.in_header = false;
        }
        let wanted = if self.in_header { self.show.header } else { self.show.body };
        if wanted {
            self.out.extend_from_slice(line);
            self.out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_shown_without_its_wire_form() {
        let show = Show {
            envelope: false,
            header: true,
            body: true,
            markers: false,
            decimal: false,
            offsets: false,
        };
        let read = |show: Show| {
            let mut out = Vec::new();
            let mut text = Text { show, in_header: true, line: Vec::new(), out: &mut out };
            text.take(b"A: b\r\n\r\n..x\r\nla");
            text.take(b"st\r\n");
            String::from_utf8(out).unwrap()
        };
        assert_eq!(read(show), "A: b\n\n.x\nlast\n");
        assert_eq!(read(Show { body: false, ..show }), "A: b\n");
        assert_eq!(read(Show { header: false, ..show }), "\n.x\nlast\n");
    }
}
