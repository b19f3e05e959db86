//! The transcript of a session: what client and server have said, for the postmaster to read when
//! something went wrong that `notify_classes` names.
//!
//! Collected only where a class asks for it, and then for every session, since nobody knows
//! beforehand which one will fail. Commands and replies are copied as they are; content never is.
//! What is collected is forgotten at HELO, RSET and the end of a message once it has more than
//! `smtpd_history_flush_threshold` lines, and at the end of the session; whoever asked is told
//! then.
//!
//! **Limits**: [`TRANSCRIPT_BYTES`]; what is more is counted and left out.
//!
//! **Standards**: postconf(5) `notify_classes`, `error_notice_recipient`,
//! `bounce_notice_recipient`, `smtpd_history_flush_threshold`; the form is smtpd(8)'s.

use crate::bounce::Memo;
use crate::limits::TRANSCRIPT_BYTES;
use crate::maillog::Client;
use config::Params;
use config::params::BadValue;
use mail::address::Printable;
use protocol::smtp::faults::Faults;

/// Columns of a line, without the blank that it begins with.
const WIDTH: usize = 78;
/// Blanks before what did not fit.
const INDENT: usize = 4;

/// Who is told of what.
#[derive(Debug)]
pub struct Settings {
    /// `notify_classes`, as far as a session can be at fault.
    classes: Faults,
    /// `smtpd_history_flush_threshold`.
    threshold: usize,
    /// `error_notice_recipient`.
    errors_to: String,
    /// `bounce_notice_recipient`.
    bounces_to: String,
}

/// What has been said.
#[derive(Debug, Default)]
pub struct Transcript {
    text: Vec<u8>,
    lines: usize,
    left_out: usize,
    stays_open: bool,
}

impl Settings {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params) -> Result<Settings, BadValue> {
        let words = params.list("notify_classes")?;
        let classes = words.iter().map(|word| Faults::named(word));
        Ok(Settings {
            classes: classes.fold(Faults::NONE, |all, one| all | one),
            threshold: params.int("smtpd_history_flush_threshold")?.unsigned_abs() as usize,
            errors_to: params.text("error_notice_recipient")?,
            bounces_to: params.text("bounce_notice_recipient")?,
        })
    }

    /// An empty transcript, if anybody might want to read it.
    pub fn begin(&self) -> Option<Box<Transcript>> {
        (self.classes != Faults::NONE).then(Box::default)
    }

    /// Whether a transcript is closed where it may be.
    pub fn closes(&self, transcript: &mut Transcript) -> bool {
        let stays_open = std::mem::take(&mut transcript.stays_open);
        transcript.lines > self.threshold && !stays_open
    }

    /// The mail about a transcript, if these faults are of interest.
    pub fn memo<'a>(
        &'a self,
        faults: Faults,
        transcript: &Transcript,
        mail_name: &str,
        (client, reason): (&Client, Option<&str>),
    ) -> Option<Memo<'a>> {
        if transcript.lines == 0 || !faults.has_any(self.classes) {
            return None;
        }
        let bounced = faults.has_any(Faults::BOUNCE);
        Some(Memo {
            to: if bounced { &self.bounces_to } else { &self.errors_to },
            // The header does not tell the two apart, as in Postfix.
            shown_to: &self.errors_to,
            subject: format!("{mail_name} SMTP server: errors from {client}"),
            body: transcript.body(reason),
        })
    }
}

impl Transcript {
    /// Adds a command, its line's end or not.
    pub fn client_said(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.add(b"In:  ", line.strip_suffix(b"\r").unwrap_or(line));
    }

    /// Adds replies, line by line.
    pub fn server_said(&mut self, replies: &[u8]) {
        for line in replies.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.add(b"Out: ", line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    /// This message does not close it: Postfix does not when `smtpd_end_of_data_restrictions`
    /// refuse.
    pub fn stay_open(&mut self) {
        self.stays_open = true;
    }

    fn add(&mut self, who: &[u8], line: &[u8]) {
        self.lines += 1;
        if self.text.len() + who.len() + line.len() >= TRANSCRIPT_BYTES {
            self.left_out += 1;
            return;
        }
        self.text.extend_from_slice(who);
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// The mail's text.
    fn body(&self, reason: Option<&str>) -> Vec<u8> {
        let mut out = String::from("Transcript of session follows.\r\n\r\n");
        for line in self.text.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            wrap(&Printable(line).to_string(), &mut out);
        }
        if self.left_out > 0 {
            out.push_str(&format!(" ({} more lines)\r\n", self.left_out));
        }
        out.push_str("\r\n");
        if let Some(reason) = reason {
            out.push_str(&format!("Session aborted, reason: {reason}\r\n"));
        }
        out.push_str("\r\nFor other details, see the local mail logfile\r\n");
        out.into_bytes()
    }
}

/// Breaks a line at blanks; a word that is longer than a line stays whole.
fn wrap(text: &str, out: &mut String) {
    let (mut rest, mut indent) = (text, 0);
    while let Some((line, next)) = split(rest, WIDTH - indent) {
        put(line, indent, out);
        (rest, indent) = (next, INDENT);
    }
    put(rest, indent, out);
}

/// What fits into a line, and the rest; nothing when all of it does, or cannot be helped.
fn split(text: &str, width: usize) -> Option<(&str, &str)> {
    let mut word = 0;
    loop {
        let end = text[word..].find(' ').map_or(text.len(), |at| word + at);
        if word > 0 && end > width {
            return Some((&text[..word], text[word..].trim_start_matches(' ')));
        }
        if end == text.len() {
            return None;
        }
        word = end + 1;
    }
}

fn put(line: &str, indent: usize, out: &mut String) {
    out.push_str(&" ".repeat(1 + indent));
    out.push_str(line.trim_end_matches(' '));
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str) -> Vec<String> {
        let mut out = String::new();
        wrap(text, &mut out);
        out.lines().map(String::from).collect()
    }

    /// As Postfix 3.7.11 writes them.
    #[test]
    fn lines_are_wrapped_at_blanks() {
        let whole =
            "Out: 450 4.7.1 <defer@example.test>: Recipient address rejected: Access denied";
        assert_eq!(wrapped(whole), [format!(" {whole}")]);
        assert_eq!(
            wrapped(
                "Out: 554 5.7.1 <reject@example.test>: Recipient address rejected: Access denied"
            ),
            [
                " Out: 554 5.7.1 <reject@example.test>: Recipient address rejected: Access",
                "     denied"
            ]
        );
        let long = "a".repeat(104);
        assert_eq!(
            wrapped(&format!("In:  RCPT    TO:<  x> {long}     b")),
            [" In:  RCPT    TO:<  x>".to_string(), format!("     {long}"), "     b".into()]
        );
        assert_eq!(wrapped("In:  "), [" In:"]);
    }

    #[test]
    fn a_line_cannot_pass_for_another() {
        let mut transcript = Transcript::default();
        transcript.client_said(b"NOOP \r Out: 250\x01\t\xff\r\n");
        transcript.server_said(b"250-a\r\n250 b\r\n");
        let body = String::from_utf8(transcript.body(None)).unwrap();
        assert!(
            body.contains("\r\n In:  NOOP ? Out: 250???\r\n Out: 250-a\r\n Out: 250 b\r\n\r\n")
        );
    }

    #[test]
    fn a_full_transcript_counts_what_it_leaves_out() {
        let mut transcript = Transcript::default();
        let line = [b'x'; 1000];
        for _ in 0..1000 {
            transcript.client_said(&line);
        }
        assert!(transcript.text.len() <= TRANSCRIPT_BYTES);
        let kept = TRANSCRIPT_BYTES / 1006;
        let body = String::from_utf8(transcript.body(Some("timeout"))).unwrap();
        assert!(body.contains(&format!(" ({} more lines)\r\n\r\nSession", 1000 - kept)), "{kept}");
    }
}
