//! BDAT: content in chunks of announced sizes.
//!
//! Standards: RFC 3030.

use super::replies::{NEED_RCPT, NO_RECIPIENTS, NOT_RECOGNIZED, OK, SYNTAX_BDAT};
use super::{Event, Session, Settings, State};
use crate::smtp::bdat::{self, Chunks};
use crate::smtp::ehlo::Keywords;
use crate::smtp::reply::Reply;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Session {
    pub(super) fn bdat_command(
        &mut self,
        settings: &Settings,
        args: &[&[u8]],
    ) -> Result<Event, Reply> {
        let overlong = matches!(self.state, State::SkipLine);
        if !overlong && settings.keywords.without(self.discarded).has(Keywords::CHUNKING) {
            let (remaining, last) = bdat::parse(args).ok_or(SYNTAX_BDAT)?;
            return Ok(self.begin_chunk(settings, remaining, last));
        }
        Err(NOT_RECOGNIZED)
    }

    fn begin_chunk(&mut self, settings: &Settings, remaining: u64, last: bool) -> Event {
        let first = self.chunking.is_none();
        if self.recipients == 0 || self.bdat_failed {
            let reply = if self.in_mail { NO_RECIPIENTS } else { NEED_RCPT };
            self.bdat_failed |= self.in_mail;
            self.skip_chunk(settings, remaining, reply);
            return Event::Again;
        }
        let chunks = self.chunking.take().unwrap_or_else(|| Box::new(Chunks::new(self.policy)));
        self.state = State::Bdat { chunks, remaining, last };
        if first { self.ask(Event::Data) } else { Event::Again }
    }

    pub(super) fn refuse_chunk(&mut self, settings: &Settings, reply: Reply) {
        self.bdat_failed = true;
        let remaining = match &self.state {
            State::Bdat { remaining, .. } => *remaining,
            _ => 0,
        };
        self.skip_chunk(settings, remaining, reply);
    }

    /// Refuses a chunk; its bytes are read all the same.
    fn skip_chunk(&mut self, settings: &Settings, remaining: u64, reply: Reply) {
        if remaining == 0 {
            self.state = State::Command;
            self.error(settings, reply);
        } else {
            self.state = State::SkipChunk { remaining };
        }
    }

    pub(super) fn bdat_step(&mut self, input: &[u8], sink: &mut Vec<u8>) -> (usize, Event) {
        let State::Bdat { chunks, remaining, last } = &mut self.state else {
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
        if let State::Bdat { chunks, .. } = core::mem::replace(&mut self.state, State::Command) {
            self.chunking = Some(chunks);
        }
        self.succeed(OK);
        (used, Event::Content)
    }
}
