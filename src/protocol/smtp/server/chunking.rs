//! BDAT: content in chunks of announced sizes.
//!
//! A chunk that is refused is read and forgotten, and so are those after it: the client may have
//! sent them already. The last one ends the transaction.
//!
//! Standards: RFC 3030.

use super::replies::{self, LARGE_CHUNK, NEED_RCPT, NO_RECIPIENTS, NOT_RECOGNIZED, SYNTAX_BDAT};
use super::{Closing, Event, Session, Settings, State};
use crate::smtp::bdat::{self, Chunks};
use crate::smtp::ehlo::Keywords;
use crate::smtp::path::Complaint;
use crate::smtp::reply::Reply;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// A chunk that is not wanted.
pub(super) struct Unwanted {
    remaining: u64,
    last: bool,
    /// What is said when it is over.
    reply: Reply,
}

impl Session {
    pub(super) fn bdat_command(
        &mut self,
        settings: &Settings,
        args: &[&[u8]],
    ) -> Result<Event, Reply> {
        let overlong = matches!(self.state, State::SkipLine);
        if overlong || !settings.keywords.without(self.discarded).has(Keywords::CHUNKING) {
            return Err(NOT_RECOGNIZED);
        }
        // Nobody knows where the next command begins.
        let Some((size, last)) = bdat::parse(args) else {
            let line = [b"BDAT".as_slice(), &args.join(&b' ')].join(&b' ');
            self.complaint = Some(Box::new(Complaint::Bdat(line.trim_ascii_end().to_vec())));
            self.error(settings, SYNTAX_BDAT);
            return Ok(Event::Close(Closing::Refused));
        };
        Ok(self.begin_chunk(settings, size, last))
    }

    fn begin_chunk(&mut self, settings: &Settings, size: u64, last: bool) -> Event {
        if let Some(reply) = self.objection(settings, size) {
            self.bdat_failed |= self.in_mail;
            self.blame(replies::fault(&reply));
            return self.skip_chunk(settings, Unwanted { remaining: size, last, reply });
        }
        let first = self.chunking.is_none();
        let chunks = self.chunking.take().unwrap_or_else(|| Box::new(Chunks::new(self.policy)));
        self.state = State::Bdat { chunks, size, remaining: size, last };
        if first { self.ask(Event::Data) } else { Event::Again }
    }

    /// Why a chunk is not wanted.
    fn objection(&mut self, settings: &Settings, size: u64) -> Option<Reply> {
        let limit = settings.limits.message_size;
        if self.bdat_failed {
            let text = format!("551 5.0.0 Discarded {size} bytes after earlier error");
            Some(Reply::from(text))
        } else if limit > 0 && size > limit {
            self.complaint = Some(Box::new(Complaint::LargeChunk));
            Some(LARGE_CHUNK)
        } else if self.recipients > 0 {
            None
        } else if self.in_mail {
            Some(NO_RECIPIENTS)
        } else {
            Some(NEED_RCPT)
        }
    }

    /// The engine refuses the message when its first chunk begins.
    pub(super) fn refuse_chunk(&mut self, settings: &Settings, reply: Reply) {
        self.bdat_failed = true;
        let (remaining, last) = match &self.state {
            State::Bdat { remaining, last, .. } => (*remaining, *last),
            _ => (0, false),
        };
        // Who is sent away is told at once.
        let remaining = if matches!(reply.code(), 421 | 521) { 0 } else { remaining };
        self.skip_chunk(settings, Unwanted { remaining, last, reply });
    }

    fn skip_chunk(&mut self, settings: &Settings, unwanted: Unwanted) -> Event {
        let is_over = unwanted.remaining == 0;
        self.state = State::SkipChunk(Box::new(unwanted));
        if is_over { self.skip_step(settings, b"").1 } else { Event::Again }
    }

    pub(super) fn skip_step(&mut self, settings: &Settings, input: &[u8]) -> (usize, Event) {
        let State::SkipChunk(unwanted) = &mut self.state else { return (0, Event::NeedInput) };
        let used = (input.len() as u64).min(unwanted.remaining);
        unwanted.remaining -= used;
        if unwanted.remaining > 0 {
            return (used as usize, Event::NeedInput);
        }
        if let State::SkipChunk(unwanted) = core::mem::replace(&mut self.state, State::Command) {
            let Unwanted { last, reply, .. } = *unwanted;
            self.fail(settings, reply);
            if last {
                self.forget_transaction();
                return (used as usize, Event::Reset);
            }
        }
        (used as usize, Event::Again)
    }

    pub(super) fn bdat_step(&mut self, input: &[u8], sink: &mut Vec<u8>) -> (usize, Event) {
        let State::Bdat { chunks, size, remaining, last } = &mut self.state else {
            return (0, Event::NeedInput);
        };
        let used = (input.len() as u64).min(*remaining) as usize;
        chunks.read(&input[..used], sink);
        *remaining -= used as u64;
        if *remaining > 0 {
            return (used, if used == 0 { Event::NeedInput } else { Event::Content });
        }
        if *last {
            chunks.finish(sink);
            return (used, self.ask(Event::EndOfData));
        }
        let size = *size;
        if let State::Bdat { chunks, .. } = core::mem::replace(&mut self.state, State::Command) {
            self.chunking = Some(chunks);
        }
        self.succeed(Reply::from(format!("250 2.0.0 Ok: {size} bytes")));
        (used, Event::Content)
    }
}
