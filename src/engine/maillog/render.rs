//! Postfix's log lines, letter for letter: the only place that spells them.

use super::event::{Delays, Event};
use mail::address::{Address, Printable};
use std::fmt::{self, Write};
use std::time::Duration;

/// Longest piece of a non-SMTP command that is logged.
const NON_SMTP_MAX: usize = 100;
/// `delay_logging_resolution_limit`: decimals of a delay.
const DELAY_DECIMALS: i32 = 2;

/// Writes the text of an event, without time stamp, tag and line end.
pub fn write(out: &mut String, event: &Event<'_>) -> fmt::Result {
    match event {
        Event::Connect { client } => write!(out, "connect from {client}"),
        Event::Disconnect { client, counters } => {
            write!(out, "disconnect from {client}{counters}")
        }
        Event::LostConnection { client, after, content_bytes } => {
            write!(out, "lost connection after {after}{} from {client}", Bytes(*content_bytes))
        }
        Event::Timeout { client, after, content_bytes } => {
            write!(out, "timeout after {after}{} from {client}", Bytes(*content_bytes))
        }
        Event::TooManyErrors { client, after } => {
            write!(out, "too many errors after {after} from {client}")
        }
        Event::Improper { client, after, input } => {
            let input = input.escape_ascii();
            write!(out, "improper command pipelining after {after} from {client}: {input}")
        }
        Event::IllegalAddress { client, command, path } => {
            let path = Printable(path);
            write!(
                out,
                "warning: Illegal address syntax from {client} in {command} command: {path}"
            )
        }
        Event::UnknownNotify { word, value } => {
            let (word, value) = (Printable(word), Printable(value));
            write!(out, "warning: unknown DSN NOTIFY command value \"{word}\" in \"{value}\"")
        }
        Event::NonSmtp { client, line } => {
            let line = Printable(&line[..line.len().min(NON_SMTP_MAX)]);
            write!(out, "warning: non-SMTP command from {client}: {line}")
        }
        Event::ClientOf { id, client } => write!(out, "{id}: client={client}"),
        Event::Verdict { .. } => verdict(out, event),
        Event::MessageId { id, resent, message_id } => {
            let resent = if *resent { "resent-" } else { "" };
            write!(out, "{id}: {resent}message-id={}", Printable(message_id.unwrap_or(b"<>")))
        }
        Event::Check { .. } => check(out, event),
        Event::Pickup { id, uid, sender } => write!(out, "{id}: uid={uid} from=<{sender}>"),
        Event::Active { id, sender, size, recipients } => {
            write!(out, "{id}: from=<{sender}>, size={size}, nrcpt={recipients} (queue active)")
        }
        Event::Removed { id } => write!(out, "{id}: removed"),
        Event::Expired { id, sender, forced } => {
            let status = if *forced { "force-expired" } else { "expired" };
            write!(out, "{id}: from=<{sender}>, status={status}, returned to sender")
        }
        Event::Delivery { .. } => delivery(out, event),
        Event::HostSaid { id, text, .. } => write!(out, "{id}: {}", Printable(text.as_bytes())),
        Event::Notification { id, kind, notice } => {
            write!(out, "{id}: {kind} notification: {notice}")
        }
        Event::Warning { text, .. } => write!(out, "warning: {}", Printable(text.as_bytes())),
        Event::MessageWarning { id, text, .. } => {
            write!(out, "warning: {id}: {}", Printable(text.as_bytes()))
        }
        Event::Info { text, .. } | Event::Connecting { text, .. } => {
            write!(out, "{}", Printable(text.as_bytes()))
        }
        Event::Error { text, .. } => write!(out, "error: {}", Printable(text.as_bytes())),
        Event::Fatal { text, .. } => write!(out, "fatal: {}", Printable(text.as_bytes())),
    }
}

fn verdict(out: &mut String, event: &Event<'_>) -> fmt::Result {
    let Event::Verdict { id, action, stage, client, text, sender, recipient, protocol, helo } =
        event
    else {
        return Ok(());
    };
    match id {
        Some(id) => write!(out, "{id}")?,
        None => out.write_str("NOQUEUE")?,
    }
    write!(out, ": {action}: {stage} from {client}: {}", Printable(text.as_bytes()))?;
    let mut mark = ';';
    if let Some(sender) = sender {
        write!(out, "{mark} from=<{sender}>")?;
        mark = ' ';
    }
    if let Some(recipient) = recipient {
        write!(out, "{} to=<{recipient}>", if mark == ';' { ";" } else { "" })?;
        mark = ' ';
    }
    write!(out, "{} proto={protocol}", if mark == ';' { ";" } else { "" })?;
    match helo {
        Some(helo) => write!(out, " helo=<{}>", Printable(helo.as_bytes())),
        None => Ok(()),
    }
}

fn check(out: &mut String, event: &Event<'_>) -> fmt::Result {
    let Event::Check { id, action, what, text, client, sender, recipient, protocol, helo, note } =
        event
    else {
        return Ok(());
    };
    write!(out, "{id}: {action}: {what} {} from ", Printable(text))?;
    match client {
        Some(client) => write!(out, "{client}; from=<{sender}>")?,
        None => write!(out, "local; from=<{sender}>")?,
    }
    if let Some(recipient) = recipient {
        write!(out, " to=<{recipient}>")?;
    }
    if let Some(protocol) = protocol {
        write!(out, " proto={protocol}")?;
    }
    if let Some(helo) = helo {
        write!(out, " helo=<{}>", Printable(helo.as_bytes()))?;
    }
    match note.is_empty() {
        true => Ok(()),
        false => write!(out, ": {}", Printable(note.as_bytes())),
    }
}

fn delivery(out: &mut String, event: &Event<'_>) -> fmt::Result {
    let Event::Delivery {
        id, recipient, original, relay, conn_use, delays, dsn, status, text, ..
    } = event
    else {
        return Ok(());
    };
    write!(out, "{id}: to=<{recipient}>")?;
    if !is_same(recipient, original) {
        write!(out, ", orig_to=<{original}>")?;
    }
    write!(out, ", relay={relay}")?;
    if *conn_use > 1 {
        write!(out, ", conn_use={conn_use}")?;
    }
    write!(out, ", delay={}, delays={}", Seconds(delays.total()), Parts(delays))?;
    write!(out, ", dsn={dsn}, status={status} ({})", Printable(text.as_bytes()))
}

fn is_same(recipient: &Address, original: &Address) -> bool {
    original.is_null() || recipient.same_as(original)
}

/// ` (123 bytes)` after DATA.
struct Bytes(Option<u64>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, " ({bytes} bytes)"),
            None => Ok(()),
        }
    }
}

struct Parts<'a>(&'a Delays);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delays { before_queue, in_queue, setup, transmission } = *self.0;
        write!(f, "{}/{}", Seconds(before_queue), Seconds(in_queue))?;
        write!(f, "/{}/{}", Seconds(setup), Seconds(transmission))
    }
}

/// At most two significant digits and two decimals, trailing zeros dropped; whole seconds from 10
/// on.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let decimals = match seconds {
            s if s >= 10.0 => 0,
            s if s >= 1.0 => 1,
            _ => DELAY_DECIMALS,
        };
        let scale = 10f64.powi(decimals);
        let units = (seconds * scale).round() as u64;
        let (whole, rest) = (units / scale as u64, units % scale as u64);
        write!(f, "{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let digits = format!("{rest:0width$}", width = decimals as usize);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_two_digits_at_most() {
        let shown = |seconds: f64| Seconds(Duration::from_secs_f64(seconds)).to_string();
        for (seconds, expected) in [
            (0.0, "0"),
            (0.004, "0"),
            (0.03, "0.03"),
            (0.1, "0.1"),
            (0.156, "0.16"),
            (1.23, "1.2"),
            (1.04, "1"),
            (9.97, "10"),
            (12.4, "12"),
            (123.4, "123"),
        ] {
            assert_eq!(shown(seconds), expected);
        }
    }
}
