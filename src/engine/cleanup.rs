//! cleanup(8), first part: the message header on its way into the queue.
//!
//! Content comes in wire form (see `protocol::smtp::data`) at the end of [`Message::content`]; this
//! module walks over complete logical headers, drops those nobody may see, counts Received:, notes
//! which are missing, rewrites addresses, and at the end of the header adds what is missing. After
//! that, content is left alone: body bytes are not looked at or moved again, unless they are
//! checked.
//!
//! With an [`Inspector`], headers are checked before anything else is done with them, and the body
//! is walked over too ([`inspection`]); what the checks decide about the message as a whole is in
//! [`Message::findings`].
//!
//! Limits: `hopcount_limit`, `message_size_limit`; a header that is not complete waits at most for
//! `header_size_limit` bytes; what is beyond is taken away.
//!
//! Standards: cleanup(8); RFC 5322 section 3.6.

pub mod checks;
pub mod commit;
pub mod envelope;
pub mod inspection;
mod map11;
mod map1n;
pub mod mapping;
mod masquerade;
mod missing;
mod next_header;
pub mod orders;
pub mod receive;
pub mod rewrite;

use crate::core::Core;
use crate::head::logical_lines;
use crate::maillog::Event;
use checks::{Findings, Inspector, unfolded};
use inspection::Inspection;
use mail::Address;
use mail::date::Zone;
use mail::header::{self, Known};
use mail::queue_id::QueueId;
use next_header::{Next, Skip, line_end, next_header, tidy};
use protocol::smtp::reply::Reply;
use rewrite::Rewriting;
use std::borrow::Cow;
use std::io::Write as _;

/// What cleanup needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `myhostname`, for message ids.
    pub myhostname: String,
    /// `hopcount_limit`.
    pub hopcount_limit: u32,
    /// `header_size_limit`, bytes.
    pub header_size_limit: usize,
    /// `message_drop_headers`: names in any letter case.
    pub drop: Vec<String>,
    /// `header_address_token_limit`.
    pub address_token_limit: usize,
    /// `header_from_format` is `obsolete`.
    pub obsolete_from: bool,
    /// `undisclosed_recipients_header`, empty for none.
    pub undisclosed_recipients: String,
    /// `enable_original_recipient`.
    pub keeps_original: bool,
    /// `duplicate_filter_limit`, 0 for none.
    pub duplicate_filter_limit: usize,
    /// `enable_long_queue_ids`: decides the shape of a Message-Id.
    pub long_ids: bool,
}

impl Settings {
    /// Whether nobody may see a header.
    fn drops(&self, line: &[u8]) -> bool {
        let name = header::name(line).unwrap_or_default();
        self.drop.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Mailbox separators that are kept; the next one begins the body. More would be no mistake.
const SEPARATORS_MAX: u8 = 32;
/// Content has been through too many hosts.
pub const TOO_MANY_HOPS: Reply = Reply::fixed("554 5.4.0 Error: too many hops");

/// What a missing header is made from.
pub struct Origin<'a> {
    /// The queue id.
    pub id: QueueId,
    /// The envelope sender.
    pub sender: &'a Address,
    /// The sender's full name, for local submissions.
    pub full_name: Option<&'a str>,
    /// Seconds since 1970.
    pub unix: u64,
    /// The local zone then.
    pub zone: &'a Zone,
    /// Whether missing headers are added (the client is in `local_header_rewrite_clients`, or
    /// `always_add_missing_headers` is set).
    pub add_missing: bool,
    /// What rewrites addresses in headers, unless they are left alone.
    pub rewriting: Option<Rewriting<'a>>,
    /// What checks headers and body, unless nothing does.
    pub inspector: Option<Inspector<'a>>,
}

/// The lines on top of a message, among which mailbox separators may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Top {
    /// The next line is one; how many separators there were.
    Ahead(u8),
    /// It was a separator, and is a header now.
    Marked(u8),
    /// A line was none.
    Over,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    message_id: bool,
    date: bool,
    from: bool,
    recipient: bool,
    resent: bool,
    resent_message_id: bool,
    resent_date: bool,
    resent_from: bool,
    resent_recipient: bool,
}

/// A Message-Id.
struct Id {
    /// Whether it is a Resent-Message-Id.
    resent: bool,
    /// What it says; nothing when there is none.
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    Body,
}

/// One message's content as it becomes what the queue stores.
pub struct Message {
    /// The content so far, in wire form. New bytes are appended by the caller; then
    /// [`Message::advance`] is called.
    pub content: Vec<u8>,
    part: Part,
    /// Where the first header that is not complete begins; in a body that is checked, the first
    /// line.
    at: usize,
    /// Bytes before it that are dropped headers' and go all at once: one by one would cost the
    /// square of their number.
    gap: usize,
    top: Top,
    /// Mailbox separators on top are kept as headers.
    keeps_separators: bool,
    /// What comes next is beyond `header_size_limit`.
    skip: Skip,
    seen: Seen,
    hops: u32,
    header_8bit: bool,
    ids: Vec<Id>,
    inspection: Option<Box<Inspection>>,
}

impl Message {
    /// A message that begins with `received`, the Received: header of this host (CRLF at its end),
    /// and uses the memory of `buffer`.
    pub fn new(mut buffer: Vec<u8>, received: std::fmt::Arguments<'_>) -> Message {
        buffer.clear();
        buffer.write_fmt(received).expect("writing to a vector does not fail");
        Message {
            part: Part::Header,
            at: buffer.len(),
            gap: 0,
            content: buffer,
            top: Top::Ahead(0),
            keeps_separators: false,
            skip: Skip::Nothing,
            seen: Seen::default(),
            hops: 1,
            header_8bit: false,
            ids: Vec::new(),
            inspection: None,
        }
    }

    /// Mailbox separators (`From `) on top of what follows are kept as headers, as smtpd(8) does.
    pub fn keep_separators(&mut self) {
        self.keeps_separators = true;
    }

    /// Puts a header on top of what the message begins with.
    pub fn prepend(&mut self, line: &str) {
        let line = [line.as_bytes(), b"\r\n"].concat();
        self.content.splice(..0, line.iter().copied());
        self.at += line.len();
    }

    /// What the checks have found so far; nothing when there are none.
    pub fn findings(&mut self) -> Option<&mut Findings> {
        self.inspection.as_mut().map(|inspection| &mut inspection.findings)
    }

    /// Logs what the message calls itself: what has been seen or added since the last call.
    pub fn log_ids(&mut self, core: &Core, id: QueueId) {
        // Of what is thrown away nothing more is said.
        if self.findings().is_some_and(|findings| findings.orders.discard) {
            self.ids.clear();
        }
        for Id { resent, value } in self.ids.drain(..) {
            let message_id = value.as_deref();
            core.log.log(&Event::MessageId { id, resent, message_id });
        }
    }

    /// Whether a header has bytes outside ASCII.
    pub fn header_8bit(&self) -> bool {
        self.header_8bit
    }

    /// The header given to [`Message::new`] has a Date: already, as notices do.
    pub fn note_own_date(&mut self) {
        self.seen.date = true;
    }

    /// Whether the header is over, so that content may be taken away to the log.
    pub fn in_body(&self) -> bool {
        self.part == Part::Body
    }

    /// What of the header has not been walked over yet; nothing once the body has begun.
    pub fn header_so_far(&self) -> &[u8] {
        match self.part {
            Part::Header => self.rest(),
            Part::Body => &[],
        }
    }

    /// What has not been walked over yet; of a body that nobody checks, everything.
    pub fn rest(&self) -> &[u8] {
        &self.content[self.at..]
    }

    /// How many of the first bytes will not change any more, once the header is over.
    pub fn settled(&self) -> usize {
        if self.inspection.is_some() { self.at } else { self.content.len() }
    }

    /// Drops the settled bytes: they are kept elsewhere.
    pub fn forget_settled(&mut self) {
        let settled = self.settled();
        self.content.drain(..settled);
        self.at = self.at.saturating_sub(settled);
    }

    /// Walks over what has been appended: headers, and once they are over, in the next call, the
    /// body.
    ///
    /// # Errors
    /// The reply after end-of-data, when the message cannot be taken.
    pub fn advance(&mut self, settings: &Settings, origin: &Origin<'_>) -> Result<(), Reply> {
        if let Some(inspector) = &origin.inspector
            && self.inspection.is_none()
        {
            self.inspect_own(inspector)?;
        }
        if self.part == Part::Body {
            return self.inspect_body(settings, origin, false);
        }
        if self.top == Top::Ahead(0) {
            self.drop_own(settings);
        }
        while self.part == Part::Header && self.has_skipped() {
            match self.next_header(settings.header_size_limit) {
                Next::Header { end } => {
                    if self.content[self.at..][end - 1] != b'\n' {
                        self.skip = Skip::Line;
                    }
                    self.header(self.at + end, settings, origin)?;
                }
                Next::End { blank } => self.end_of_header(blank, settings, origin),
                Next::Incomplete => break,
            }
        }
        self.close_gap();
        Ok(())
    }

    /// Takes the bytes of dropped headers away.
    fn close_gap(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 {
            self.content.drain(self.at - gap..self.at);
            self.at -= gap;
        }
    }

    /// Ends the content.
    ///
    /// # Errors
    /// As [`Message::advance`].
    pub fn finish(&mut self, settings: &Settings, origin: &Origin<'_>) -> Result<(), Reply> {
        self.advance(settings, origin)?;
        if self.part == Part::Header {
            let end = self.content.len();
            if self.at < end {
                self.header(end, settings, origin)?;
            }
            self.end_of_header(true, settings, origin);
        }
        self.inspect_body(settings, origin, true)
    }

    /// Whether what is too long of a header has been passed over.
    fn has_skipped(&mut self) -> bool {
        if self.skip != Skip::Nothing {
            let (length, skip) = self.skip.pass_over(&self.content[self.at..]);
            self.content.drain(self.at..self.at + length);
            self.skip = skip;
        }
        self.skip == Skip::Nothing
    }

    fn next_header(&mut self, size_limit: usize) -> Next {
        if let Top::Ahead(separators) = self.top {
            self.mark_first_line(separators);
        }
        let rest = &self.content[self.at..];
        match line_end(rest, 0) {
            // A separator is one line: whatever follows is looked at by itself.
            Some(end) if matches!(self.top, Top::Marked(_)) && end < rest.len() => {
                Next::Header { end }
            }
            _ => next_header(rest, size_limit),
        }
    }

    /// A mailbox separator is kept as a header; a blank at the start begins the body.
    fn mark_first_line(&mut self, separators: u8) {
        let rest = &self.content[self.at..];
        if line_end(rest, 0).is_none() {
            return;
        }
        let quoted = rest.iter().take_while(|byte| **byte == b'>').count();
        let is_kept = self.keeps_separators && separators < SEPARATORS_MAX;
        if is_kept && rest[quoted..].starts_with(b"From ") {
            self.content.splice(self.at..self.at, *b"X-Mailbox-Line: ");
            self.top = Top::Marked(separators + 1);
            return;
        }
        self.top = Top::Over;
        if header::is_continuation(rest) {
            self.content.splice(self.at..self.at, *b"\r\n");
        }
    }

    /// Drops what nobody may see of the headers that we begin the message with.
    fn drop_own(&mut self, settings: &Settings) {
        let own = &self.content[..self.at];
        if !logical_lines(own, true).any(|line| settings.drops(line)) {
            return;
        }
        let kept: Vec<&[u8]> =
            logical_lines(own, true).filter(|line| !settings.drops(line)).collect();
        let kept = kept.concat();
        let length = kept.len();
        self.content.splice(..self.at, kept);
        self.at = length;
    }

    /// A complete header ends at `end`.
    fn header(
        &mut self,
        end: usize,
        settings: &Settings,
        origin: &Origin<'_>,
    ) -> Result<(), Reply> {
        let end = self.tidy(end, settings.header_size_limit);
        let Some(end) = self.inspect_header(end, origin)? else { return Ok(()) };
        let line = &self.content[self.at..end];
        let dropped = settings.drops(line);
        // What is dropped has been there all the same: nothing is missing for it.
        let known = header::name(line).map_or(Known::Other, header::classify);
        self.header_8bit |= !line.is_ascii();
        self.note(known, end);
        if known == Known::Received {
            self.hops += 1;
            if self.hops >= settings.hopcount_limit {
                return Err(TOO_MANY_HOPS);
            }
        }
        let end = if dropped { end } else { self.rewrite(end, origin)? };
        if dropped {
            self.gap += end - self.at;
        } else if self.gap > 0 {
            self.content.copy_within(self.at..end, self.at - self.gap);
        }
        self.at = end;
        if let Top::Marked(separators) = self.top {
            self.top = Top::Ahead(separators);
        }
        Ok(())
    }

    /// Takes away what a header that ends at `end` should not have; where it ends then.
    fn tidy(&mut self, end: usize, size_limit: usize) -> usize {
        self.close_up_name(end);
        let Cow::Owned(new) = tidy(&self.content[self.at..end], size_limit) else { return end };
        let new_end = self.at + new.len();
        self.content.splice(self.at..end, new);
        new_end
    }

    /// Moves a name to its colon; the blanks between go with the gap.
    fn close_up_name(&mut self, end: usize) {
        let line = &self.content[self.at..end];
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let name = line[..colon].trim_ascii_end().len();
        self.content.copy_within(self.at..self.at + name, self.at + colon - name);
        self.at += colon - name;
        self.gap += colon - name;
    }

    /// Puts a header that ends at `end` in its new form; where that ends.
    fn rewrite(&mut self, end: usize, origin: &Origin<'_>) -> Result<usize, Reply> {
        let Some(rewriting) = &origin.rewriting else { return Ok(end) };
        let Some(new) = rewriting.header(&self.content[self.at..end])? else { return Ok(end) };
        let new_end = self.at + new.len();
        self.content.splice(self.at..end, new);
        Ok(new_end)
    }

    fn note(&mut self, known: Known, end: usize) {
        let seen = &mut self.seen;
        seen.resent |= known.is_resent();
        match known {
            Known::MessageId => {
                seen.message_id = true;
                self.note_id(false, end);
            }
            Known::Date => seen.date = true,
            Known::From => seen.from = true,
            Known::Recipient => seen.recipient = true,
            Known::ResentMessageId => {
                seen.resent_message_id = true;
                self.note_id(true, end);
            }
            Known::ResentDate => seen.resent_date = true,
            Known::ResentFrom => seen.resent_from = true,
            Known::ResentRecipient => seen.resent_recipient = true,
            _ => {}
        }
    }

    fn note_id(&mut self, resent: bool, end: usize) {
        let value = unfolded(header::value(&self.content[self.at..end])).into_owned();
        self.ids.push(Id { resent, value: Some(value) });
    }

    fn end_of_header(&mut self, blank: bool, settings: &Settings, origin: &Origin<'_>) {
        self.close_gap();
        let mut added = Vec::new();
        if origin.add_missing {
            self.missing(settings, origin, &mut added);
        }
        let named = self.ids.iter().any(|id| !id.resent) || self.seen.message_id;
        if !named {
            self.ids.push(Id { resent: false, value: None });
        }
        // A body without the blank line that must come before it.
        if !blank {
            added.extend_from_slice(b"\r\n");
        }
        let length = added.len();
        if length > 0 {
            self.content.splice(self.at..self.at, added);
        }
        self.part = Part::Body;
        let line = if blank { b"\r\n".len() } else { 0 };
        self.at = (self.at + length + line).min(self.content.len());
        if let Some(inspection) = &mut self.inspection {
            inspection.enter_body(blank);
        }
    }
}

#[cfg(test)]
mod tests;
