//! [`Journal`]: what happened, line by line, and what the engine's log says about recipients.
//!
//! Lines are the engine's own and the simulation's, in order, behind the virtual time. Their digest
//! tells whether two runs are the same; the last `LINES_MAX` are kept to be shown.

use super::chance::mix;
use super::ledger::{Ledger, Line};
use runtime::Instant;
use std::collections::VecDeque;

/// Lines that are kept.
const LINES_MAX: usize = 1_000_000;

/// Takes every line as it comes.
pub type Echo = Box<dyn FnMut(&str)>;

/// The record of a run.
pub struct Journal {
    lines: VecDeque<String>,
    count: u64,
    digest: u64,
    echo: Option<Echo>,
}

impl Journal {
    /// An empty journal; `echo` sees every line.
    pub fn new(echo: Option<Echo>) -> Journal {
        Journal { lines: VecDeque::new(), count: 0, digest: 0, echo }
    }

    /// A line of the simulation's own.
    pub fn note(&mut self, now: Instant, text: &str) {
        let line = format!("{:>12.3} {text}", now.0 as f64 / 1e9);
        self.count += 1;
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest = mix(self.digest);
        if let Some(echo) = &mut self.echo {
            echo(&line);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Lines of the engine's log: they are booked, too.
    pub fn engine(&mut self, now: Instant, lines: &str, ledger: &mut Ledger) {
        for line in lines.lines() {
            let text = line.split_once(" mx ").map_or(line, |(_, text)| text);
            self.note(now, text);
            book(now, text, ledger);
        }
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The same for the same lines.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Kept lines that have one of these words.
    pub fn about(&self, words: &[String]) -> Vec<&str> {
        let has = |line: &&String| words.iter().any(|word| line.contains(word.as_str()));
        self.lines.iter().filter(has).map(String::as_str).collect()
    }
}

/// `postfix/smtp[1]: QUEUEID: to=<...>, ..., status=sent (...)` and its like.
fn book(now: Instant, text: &str, ledger: &mut Ledger) {
    let Some((_, rest)) = text.split_once("]: ") else { return };
    let Some((id, what)) = rest.split_once(": ") else { return };
    if id.contains(' ') || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    if what.starts_with("client=") || what.starts_with("message-id=") {
        ledger.queued(id).first.get_or_insert(now);
    } else if let Some(rest) = what.strip_prefix("to=<") {
        let Some((address, rest)) = rest.split_once('>') else { return };
        let Some((_, status)) = rest.split_once("status=") else { return };
        let status = status.split(' ').next().unwrap_or_default().to_string();
        if let Some((_, rcpt)) = ledger.rcpt(address) {
            rcpt.lines.push(Line { at: now, queue_id: id.to_string(), status });
        }
    } else if what.ends_with("expired, returned to sender") {
        ledger.queued(id).expired = Some((now, what.contains("status=force-expired")));
    }
}
