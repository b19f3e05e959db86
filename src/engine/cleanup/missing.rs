//! Headers that a message should have and does not: Message-Id, Date, From, and somebody it is to;
//! or their Resent- twins.
//!
//! **Standards**: cleanup(8), postconf(5) `always_add_missing_headers`, `header_from_format`,
//! `undisclosed_recipients_header`; RFC 5322 section 3.6.

use super::{Id, Message, Origin, Settings};
use mail::date::HeaderDate;
use std::io::Write as _;

impl Message {
    /// Message-Id, Date, From, and the recipients header; or their Resent- twins.
    pub(super) fn missing(&mut self, settings: &Settings, origin: &Origin<'_>, out: &mut Vec<u8>) {
        let seen = self.seen;
        let resent = seen.resent;
        let prefix = if resent { "Resent-" } else { "" };
        let date = HeaderDate { unix: origin.unix, zone: origin.zone };
        let write = |out: &mut Vec<u8>, line: std::fmt::Arguments<'_>| {
            out.write_fmt(line).expect("writing to a vector does not fail");
        };
        if !if resent { seen.resent_message_id } else { seen.message_id } {
            let id = message_id(settings, origin);
            write(out, format_args!("{prefix}Message-Id: {id}\r\n"));
            self.ids.push(Id { resent, value: Some(id.into_bytes()) });
        }
        if !if resent { seen.resent_date } else { seen.date } {
            write(out, format_args!("{prefix}Date: {date}\r\n"));
        }
        if !if resent { seen.resent_from } else { seen.from } {
            write(out, format_args!("{prefix}From: {}\r\n", from(settings, origin)));
        }
        let recipients = seen.recipient || seen.resent_recipient;
        if !recipients && !settings.undisclosed_recipients.is_empty() {
            write(out, format_args!("{}\r\n", settings.undisclosed_recipients));
        }
    }
}

fn message_id(settings: &Settings, origin: &Origin<'_>) -> String {
    let host = &settings.myhostname;
    if settings.long_ids {
        return format!("<{}@{host}>", origin.id);
    }
    format!("<{}.{}@{host}>", mail::date::Stamp(origin.unix), origin.id)
}

fn from(settings: &Settings, origin: &Origin<'_>) -> String {
    if origin.sender.is_null() {
        return "MAILER-DAEMON".into();
    }
    match origin.full_name.filter(|name| !name.is_empty()) {
        Some(name) if settings.obsolete_from => format!("{} ({name})", origin.sender),
        Some(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') => {
            format!("{name} <{}>", origin.sender)
        }
        Some(name) => {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{quoted}\" <{}>", origin.sender)
        }
        None => origin.sender.to_string(),
    }
}
