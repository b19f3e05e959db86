//! The listing of `postqueue -p`, byte for byte as Postfix prints it.

use std::fmt::Write as _;

use mail::address::Printable;
use mail::date::CTime;

use super::entry::Entry;

/// The reason's closing parenthesis stands near this column.
const REASON_WIDTH: usize = 76;

/// Which column widths: those of short or of long queue ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `enable_long_queue_ids = no`.
    Short,
    /// `enable_long_queue_ids = yes`.
    Long,
}

/// A listing being printed.
pub struct Printer<'a> {
    shape: Shape,
    /// Seconds east of UTC at a time.
    offset: &'a dyn Fn(u64) -> i32,
    messages: u64,
    bytes: u64,
}

impl<'a> Printer<'a> {
    /// Nothing printed yet.
    pub fn new(shape: Shape, offset: &'a dyn Fn(u64) -> i32) -> Self {
        Self { shape, offset, messages: 0, bytes: 0 }
    }

    /// A message, with what stands before it.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let mut out = String::new();
        out.push_str(match (self.messages, self.shape) {
            (0, Shape::Short) => {
                "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
            }
            (0, Shape::Long) => {
                "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
            }
            _ => "\n",
        });
        self.messages += 1;
        self.bytes += entry.size;
        self.head(&mut out, entry);
        self.recipients(&mut out, entry);
        out
    }

    fn head(&self, out: &mut String, entry: &Entry) {
        let state = match entry.queue.as_str() {
            "active" => "*",
            "hold" => "!",
            _ => "",
        };
        let forced = if entry.forced_expire { "#" } else { "" };
        let id = format!("{}{state}{forced}", entry.id);
        let offset = (self.offset)(entry.arrival);
        let time = CTime { unix: entry.arrival, offset }.to_string();
        let (size, sender) = (entry.size, Printable(entry.sender.as_bytes()));
        let written = match self.shape {
            Shape::Short => writeln!(out, "{id:<11} {size:>7} {time:>20.20} {sender}"),
            Shape::Long => writeln!(out, "{id:<17} {size:>8} {time:>19.19} {sender}"),
        };
        written.expect("writing to a string does not fail");
    }

    fn recipients(&self, out: &mut String, entry: &Entry) {
        let indent = match self.shape {
            Shape::Short => 41,
            Shape::Long => 47,
        };
        let mut last = "";
        for recipient in &entry.recipients {
            if recipient.reason != last {
                let reason = &recipient.reason;
                let reason = if reason.is_empty() { "reason unavailable" } else { reason };
                let padding = REASON_WIDTH.saturating_sub(reason.len());
                let reason = Printable(reason.as_bytes());
                writeln!(out, "{:padding$}({reason})", "").expect("a string takes it");
                last = &recipient.reason;
            }
            let address = Printable(recipient.address.as_bytes());
            writeln!(out, "{:indent$}{address}", "").expect("a string takes it");
        }
    }

    /// What ends the listing.
    pub fn footer(&self) -> String {
        match self.messages {
            0 => "Mail queue is empty\n".to_owned(),
            1 => format!("\n-- {} Kbytes in 1 Request.\n", self.bytes / 1024),
            n => format!("\n-- {} Kbytes in {n} Requests.\n", self.bytes / 1024),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Recipient;
    use super::*;

    fn entry(queue: &str, reasons: &[&str]) -> Entry {
        let recipient = |reason: &&str| Recipient {
            address: format!("{}@x", reason.len()),
            reason: (*reason).to_owned(),
        };
        Entry {
            queue: queue.to_owned(),
            id: "4jXqmx649Jz1SRm0".to_owned(),
            arrival: 1_795_401_345,
            size: 1263,
            forced_expire: false,
            sender: "a@example.org".to_owned(),
            recipients: reasons.iter().map(recipient).collect(),
        }
    }

    #[test]
    fn long_ids_look_as_in_postfix() {
        let mut printer = Printer::new(Shape::Long, &|_| 0);
        let first = printer.entry(&entry("deferred", &["deferred transport"]));
        let expected = "\
----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
4jXqmx649Jz1SRm0      1263 Mon Nov 23 02:35:45 a@example.org
                                                          (deferred transport)
                                               18@x
";
        assert_eq!(first, expected);
        let second =
            printer.entry(&Entry { forced_expire: true, ..entry("active", &["a", "a", ""]) });
        let lines: Vec<&str> = second.lines().collect();
        assert!(second.starts_with("\n4jXqmx649Jz1SRm0*#     1263 Mon"), "{second}");
        assert_eq!(lines[2].trim(), "(a)");
        assert_eq!(lines[5].trim(), "(reason unavailable)");
        assert_eq!(printer.footer(), "\n-- 2 Kbytes in 2 Requests.\n");
    }

    #[test]
    fn short_ids_look_as_in_postfix() {
        let mut printer = Printer::new(Shape::Short, &|_| 3600);
        let id = "A676D9B60F3".to_owned();
        let text = printer.entry(&Entry { id, ..entry("hold", &[""]) });
        let expected = "\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
A676D9B60F3!    1263 Mon Nov 23 03:35:45  a@example.org
                                         0@x
";
        assert_eq!(text, expected);
        assert_eq!(printer.footer(), "\n-- 1 Kbytes in 1 Request.\n");
        assert_eq!(Printer::new(Shape::Short, &|_| 0).footer(), "Mail queue is empty\n");
    }
}
