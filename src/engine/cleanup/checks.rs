//! header_checks, mime_header_checks, nested_header_checks and body_checks: tables that are asked
//! for every header and every line of the body of mail from outside.
//!
//! [`Checks`] belongs to the configuration, an [`Inspector`] to one message. `inspection` walks
//! over the message and does to its text what the inspector says; what concerns the message as a
//! whole collects in its [`Orders`].
//!
//! | header | is asked of |
//! | --- | --- |
//! | `Content-*:` and `MIME-Version:` anywhere, any header of a part | mime_header_checks |
//! | of the message | header_checks |
//! | of a message within the message | nested_header_checks |
//!
//! **Diagnostics**: a rule that cannot be carried out is a warning and does nothing; a table that
//! cannot answer refuses the message for now.
//! **Limits**: `body_checks_size_limit` bytes of each part, `line_length_limit` bytes of a line at
//! a time, [`LOGGED_MAX`] bytes of what was looked at in the log.
//! **Standards**: header_checks(5), cleanup(8).

pub mod action;

use super::orders::Orders;
use super::receive::Receive;
use crate::core::Core;
use crate::lookup::{Maps, Opener, Part};
use crate::maillog::{Client, Daemon, Event};
use crate::snapshot::Snapshot;
use action::{Action, Scope};
use config::Params;
use config::params::BadValue;
use mail::mime::Place;
use mail::queue_id::QueueId;
use mail::{Envelope, header};
use protocol::smtp::reply::Reply;
use std::borrow::Cow;
use std::sync::Arc;
use tables::Lookup;

/// Bytes of a header or line that the log shows.
pub const LOGGED_MAX: usize = 200;

/// The tables of one parameter.
#[derive(Debug)]
struct Rules {
    parameter: &'static str,
    maps: Maps,
}

/// The checks of one configuration.
#[derive(Debug)]
pub struct Checks {
    header: Rules,
    mime: Rules,
    nested: Rules,
    body: Rules,
    /// `body_checks_size_limit`, bytes; 0 for none.
    pub body_size_limit: u64,
    /// `line_length_limit`, bytes.
    pub line_limit: usize,
    /// Whether parts are looked into: not with `disable_mime_input_processing`.
    pub looks_into_parts: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A header.
    Header(Place),
    /// A line of the body.
    Body,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays.
    Keep,
    /// It goes.
    Drop,
    /// This takes its place.
    Replace(String),
    /// This comes before it.
    Prepend(String),
}

/// What the checks have found so far.
#[derive(Debug, Default)]
pub struct Findings {
    /// What concerns the message as a whole.
    pub orders: Orders,
    /// What a client would have been told of a message that is refused and read on.
    pub refusal: Option<Reply>,
    /// Whether nothing is checked any more.
    pub over: bool,
}

/// Who checks one message.
pub struct Inspector<'a> {
    core: &'a Core,
    snapshot: Arc<Snapshot>,
    id: QueueId,
    envelope: &'a Envelope,
    reads_on: bool,
}

impl Checks {
    /// Reads the parameters and opens the tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Checks, BadValue> {
        let rules = |parameter| Ok(Rules { parameter, maps: opener.raw_maps(params, parameter)? });
        Ok(Checks {
            header: rules("header_checks")?,
            mime: rules("mime_header_checks")?,
            nested: rules("nested_header_checks")?,
            body: rules("body_checks")?,
            body_size_limit: params.int("body_checks_size_limit")?.unsigned_abs(),
            line_limit: (params.int("line_length_limit")?.unsigned_abs() as usize).max(1),
            looks_into_parts: !params.flag("disable_mime_input_processing")?,
        })
    }

    /// Whether lines of the body are looked at.
    pub fn has_body(&self) -> bool {
        !self.body.maps.is_empty()
    }

    /// Whether headers of parts are looked at.
    pub fn has_parts(&self) -> bool {
        self.looks_into_parts && !(self.mime.maps.is_empty() && self.nested.maps.is_empty())
    }

    fn is_empty(&self) -> bool {
        let all = [&self.header, &self.mime, &self.nested, &self.body];
        all.iter().all(|rules| rules.maps.is_empty())
    }

    fn of(&self, subject: Subject, text: &[u8]) -> &Rules {
        match subject {
            Subject::Body => &self.body,
            Subject::Header(Place::Part) => &self.mime,
            Subject::Header(_) if self.looks_into_parts && is_mime(text) => &self.mime,
            Subject::Header(Place::Primary) => &self.header,
            Subject::Header(Place::Nested) => &self.nested,
        }
    }
}

/// Whether a header is one of MIME's.
fn is_mime(text: &[u8]) -> bool {
    const NAMES: [&str; 6] = [
        "content-description",
        "content-disposition",
        "content-id",
        "content-transfer-encoding",
        "content-type",
        "mime-version",
    ];
    let name = header::name(text).unwrap_or_default();
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

impl<'a> Inspector<'a> {
    /// For a message with this envelope; none when nothing is checked.
    pub fn new(
        core: &'a Core,
        id: QueueId,
        envelope: &'a Envelope,
        receive: Receive,
    ) -> Option<Inspector<'a>> {
        // Asked for every piece of every message: the snapshot's counter is left alone.
        if !receive.checks_content || core.snapshot.borrow().checks.is_empty() {
            return None;
        }
        Some(Inspector { core, snapshot: core.snapshot(), id, envelope, reads_on: false })
    }

    /// For a message that is read to its end even when it is refused, to be returned.
    pub fn reading_on(self) -> Inspector<'a> {
        Inspector { reads_on: true, ..self }
    }

    /// The checks.
    pub fn checks(&self) -> &Checks {
        &self.snapshot.checks
    }

    /// What becomes of a header or line, given without its line end; lines of a header are
    /// separated by line feeds.
    ///
    /// # Errors
    /// The reply after end-of-data: a table cannot answer, or the message is refused.
    pub fn judge(
        &self,
        subject: Subject,
        text: &[u8],
        findings: &mut Findings,
    ) -> Result<Edit, Reply> {
        if findings.over {
            return Ok(Edit::Keep);
        }
        let rules = self.checks().of(subject, text);
        match rules.maps.find(text, Part::Whole) {
            Lookup::NotFound => Ok(Edit::Keep),
            Lookup::Retry(_) => Err(self.unanswered(rules, text)),
            Lookup::Found(value) => {
                let value = String::from_utf8_lossy(&value);
                let edit = self.act(subject, text, (&value, rules.parameter), findings);
                match findings.refusal.take_if(|_| !self.reads_on) {
                    Some(reply) => Err(reply),
                    None => Ok(edit),
                }
            }
        }
    }

    /// Asks the tables for all that begins here, and does nothing.
    pub fn look_up(&self, text: &[u8]) {
        let checks = self.checks();
        let ask = |rules: &Rules, text: &[u8]| drop(rules.maps.find(text, Part::Whole));
        for line in crate::head::logical_lines(text, true) {
            let line = unfolded(line);
            for rules in [&checks.header, &checks.mime, &checks.nested] {
                ask(rules, &line);
            }
        }
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            ask(&checks.body, line.strip_prefix(b".").unwrap_or(line));
        }
    }

    fn unanswered(&self, rules: &Rules, text: &[u8]) -> Reply {
        for complaint in rules.maps.complaints(text) {
            self.core.log.warn(Daemon::Cleanup, &complaint);
        }
        let parameter = rules.parameter;
        let text =
            format!("{parameter} map lookup problem -- message not accepted, try again later");
        let (daemon, id) = (Daemon::Cleanup, self.id);
        self.core.log.log(&Event::MessageWarning { daemon, id, text: &text });
        Reply::fixed("451 4.3.0 Error: queue file write error")
    }

    fn act(
        &self,
        subject: Subject,
        text: &[u8],
        (value, parameter): (&str, &str),
        findings: &mut Findings,
    ) -> Edit {
        let scope = if subject == Subject::Body { Scope::Body } else { Scope::Header };
        let action = match Action::parse(value, scope, parameter) {
            Ok(action) => action,
            Err(mistake) => {
                self.core.log.warn(Daemon::Cleanup, &mistake.to_string());
                return Edit::Keep;
            }
        };
        self.log(scope, text, &action);
        findings.take(action)
    }

    fn log(&self, scope: Scope, text: &[u8], action: &Action<'_>) {
        let Some((word, note)) = action.logged() else { return };
        let note = match action {
            Action::Reject(status, _) => Cow::Owned(format!("{status} {note}")),
            _ => Cow::Borrowed(note),
        };
        let attribute = |name: &str| {
            let value = self.envelope.attribute(name)?;
            Some(String::from_utf8_lossy(value))
        };
        let name = attribute("log_client_name").zip(attribute("log_client_address"));
        let client =
            name.map(|(name, address)| Client { name: name.into(), address: address.into() });
        self.core.log.log(&Event::Check {
            id: self.id,
            action: word,
            what: if scope == Scope::Body { "body" } else { "header" },
            text: &text[..text.len().min(LOGGED_MAX)],
            client: client.as_ref(),
            sender: &self.envelope.sender,
            recipient: self.envelope.recipients.last().map(|it| &it.address),
            protocol: attribute("log_protocol_name").as_deref(),
            helo: attribute("log_helo_name").as_deref(),
            note: &note,
        });
    }
}

impl Findings {
    /// Takes note of an action; what it does to the text.
    fn take(&mut self, action: Action<'_>) -> Edit {
        let orders = &mut self.orders;
        match action {
            Action::Warn(_) | Action::Info(_) | Action::Dunno => return Edit::Keep,
            Action::Strip(_) | Action::Ignore => return Edit::Drop,
            Action::Prepend(line) => return Edit::Prepend(line.into()),
            Action::Replace(line) => return Edit::Replace(line.into()),
            Action::Hold(_) => orders.hold = true,
            Action::Filter(text) => orders.filter = Some(text.into()),
            Action::Bcc(_, address) => orders.bcc.push(address),
            Action::Pass(_) => self.over = true,
            Action::Discard(_) => (orders.discard, self.over) = (true, true),
            Action::Redirect(_, address) => {
                (orders.redirect, self.over) = (Some(address), true);
            }
            Action::Reject(status, text) => {
                (self.refusal, self.over) = (Some(action::refusal(status, text)), true);
            }
        }
        Edit::Keep
    }
}

/// A header in wire form as tables see it: without its line end, its lines separated by line feeds.
pub fn unfolded(line: &[u8]) -> Cow<'_, [u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.contains(&b'\n') {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len());
    for (at, piece) in line.split(|byte| *byte == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(piece.strip_suffix(b"\r").unwrap_or(piece));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
