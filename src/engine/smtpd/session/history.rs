//! The session's transcript: what goes into it, and when the postmaster gets it.

use super::{End, Task};
use crate::bounce;
use protocol::smtp::command::Verb;
use protocol::smtp::server::{Closing, Event};

/// Where a transcript may be closed around an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nowhere.
    No,
    /// Between the command and its reply, if the command is accepted.
    BeforeReply,
    /// Behind the reply.
    AfterReply,
}

impl Turn {
    /// Around the answer to `event`.
    pub(super) fn around(event: &Event, verb: Verb) -> Turn {
        match event {
            Event::Helo => Turn::BeforeReply,
            Event::Reset if verb == Verb::Rset => Turn::BeforeReply,
            Event::EndOfData => Turn::AfterReply,
            _ => Turn::No,
        }
    }
}

impl End {
    /// Why a session was not ended by the client's QUIT, as the postmaster reads it.
    fn reason(&self) -> Option<&'static str> {
        match self {
            End::Lost => Some("lost connection"),
            End::TimedOut => Some("timeout"),
            End::Closed(Closing::TooManyErrors { .. }) => Some("too many errors"),
            End::Closed(_) | End::HungUp => None,
        }
    }
}

impl Task {
    /// Keeps the replies from `start` on.
    pub(super) fn note_replies(&mut self, start: usize) {
        if let Some(transcript) = &mut self.transcript {
            transcript.server_said(self.session.output_from(start));
        }
    }

    /// Keeps the replies from `start` on, and closes a transcript that is long enough.
    pub(super) async fn note_answer(&mut self, start: usize, turn: Turn) {
        let accepted = self.session.output_from(start).starts_with(b"2");
        if turn == Turn::BeforeReply && accepted {
            self.turn_page().await;
        }
        self.note_replies(start);
        if turn == Turn::AfterReply {
            self.turn_page().await;
        }
    }

    async fn turn_page(&mut self) {
        let settings = &self.service.transcripts;
        if self.transcript.as_mut().is_some_and(|it| settings.closes(it)) {
            self.close_transcript(None).await;
            self.transcript = self.service.transcripts.begin();
        }
    }

    /// The session is over.
    pub(super) async fn close_history(&mut self, end: &End) {
        self.close_transcript(end.reason()).await;
    }

    /// Mails the transcript, if somebody wants to know what has gone wrong, and forgets it.
    async fn close_transcript(&mut self, reason: Option<&str>) {
        let Some(transcript) = self.transcript.take() else { return };
        let faults = self.session.faults();
        self.session.forgive();
        let service = self.service.clone();
        let mail_name = &self.core.snapshot().mail_name;
        let who = (&self.client, reason);
        if let Some(memo) = service.transcripts.memo(faults, &transcript, mail_name, who) {
            bounce::tell_postmaster(&self.core, &memo).await;
        }
    }
}

#[cfg(test)]
mod tests;
