//! A dialogue that another process has begun and this one ends: end of data was sent, its reply is
//! still to come.
//!
//! What that process has read and died of nobody knows. It may be the very reply, and the next one
//! must not be taken for it. The only command behind end of data is QUIT, whose reply is told by
//! its code: 221 first means that the reply is gone. Where QUIT was not sent and may be, it is sent
//! at once, so that a reply that is gone does not cost the whole time limit.

use super::{Ending, Expect, Handshake, Hello, Progress, Said, Session, Verdict};
use crate::smtp::ehlo::Keywords;
use alloc::sync::Arc;
use alloc::vec;

/// What is known of a dialogue at its end of data.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// How many recipients the server has accepted.
    pub recipients: usize,
    /// What it offers, as far as it still matters: PIPELINING, DSN.
    pub keywords: Keywords,
    /// Whether QUIT was sent behind the end of data.
    pub quit_sent: bool,
    /// The reply, when it was read and kept.
    pub answer: Option<Said>,
}

impl Session {
    /// The rest of a dialogue.
    pub fn resume(hello: Arc<Hello>, from: Resumed) -> Session {
        let mut session = Session::new(hello);
        session.handshake = Handshake::Ready;
        session.offer.keywords = from.keywords;
        session.ending = Ending::Quit;
        session.quit_sent = from.quit_sent;
        session.resumed = true;
        session.expect = if from.answer.is_some() { Expect::Nothing } else { Expect::End };
        session.progress = Progress {
            recipients: vec![Verdict::Accepted; from.recipients],
            accepted: from.recipients,
            answered: from.recipients,
            end: from.answer,
            ..Progress::default()
        };
        if session.expect == Expect::End && session.quits_early() && !from.quit_sent {
            session.out.extend_from_slice(b"QUIT\r\n");
            session.quit_sent = true;
        }
        session
    }

    /// Whether nothing but the reply to the end of data is to come, which somebody waits for.
    pub fn awaits_end(&self) -> bool {
        let sent = self.expect == Expect::End && self.out.is_empty();
        sent && self.pending.is_empty() && self.progress.accepted > 0
    }

    /// Whether QUIT was sent.
    pub fn has_quit(&self) -> bool {
        self.quit_sent
    }

    /// The reply to the end of data was read by who is gone.
    pub(super) fn end_is_gone(&mut self) {
        self.spoilt = true;
        self.out.clear();
        self.expect = Expect::Nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EhloUse, Want};
    use super::*;
    use mail::Status;
    use std::string::ToString;

    fn resumed(keywords: Keywords, quit_sent: bool) -> Session {
        let hello = Hello {
            name: "client.example.test".into(),
            myhostname: "mx.example.test".into(),
            ehlo: EhloUse::Always,
            discard: Keywords::default(),
            detect_loops: true,
            wait_for_quit: false,
        };
        let from = Resumed { recipients: 2, keywords, quit_sent, answer: None };
        Session::resume(Arc::new(hello), from)
    }

    #[test]
    fn the_reply_is_everybodys_and_the_dialogue_ends() {
        for (reply, code) in [("250 2.0.0 Ok\r\n", 250), ("452 no\r\n", 452), ("550 no\r\n", 550)] {
            let mut session = resumed(Keywords::PIPELINING, true);
            assert!(session.awaits_end() && !session.is_settled());
            for byte in reply.bytes() {
                session.handle_bytes(&[byte]).unwrap();
            }
            assert!(session.is_settled());
            assert_eq!(session.progress().end.as_ref().map(|said| said.code), Some(code));
            assert_eq!(session.progress().recipients, [Verdict::Accepted, Verdict::Accepted]);
            assert!(session.is_over() && !session.is_reusable());
        }
    }

    #[test]
    fn quit_is_sent_behind_where_it_may_be_and_after_the_reply_elsewhere() {
        let mut early = resumed(Keywords::PIPELINING, false);
        assert_eq!(early.poll(), Want::Send(b"QUIT\r\n".to_vec()));
        early.handle_bytes(b"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n").unwrap();
        assert_eq!(early.progress().end.as_ref().map(|said| said.code), Some(250));
        let mut late = resumed(Keywords::default(), false);
        assert!(matches!(late.poll(), Want::Reply(_)));
        late.handle_bytes(b"250 2.0.0 Ok\r\n").unwrap();
        assert!(late.is_settled());
        assert_eq!(late.poll(), Want::Send(b"QUIT\r\n".to_vec()));
    }

    /// The reply before it may have been a refusal: taking 221 for success would lose the message.
    #[test]
    fn the_reply_to_quit_is_not_the_reply_to_the_message() {
        for gone in ["221 2.0.0 Bye\r\n", "0 2.0.0 the rest of a line\r\n221 Bye\r\n"] {
            let mut session = resumed(Keywords::PIPELINING, true);
            session.handle_bytes(gone.as_bytes()).unwrap();
            assert!(session.is_settled());
            assert_eq!(session.progress().end, None, "nobody knows");
            assert!(!session.is_reusable());
        }
    }

    #[test]
    fn a_reply_that_was_kept_needs_no_connection() {
        let said = Said { code: 250, status: Status::new(2, 0, 0), text: "250 Ok".to_string() };
        let from = Resumed {
            recipients: 1,
            keywords: Keywords::DSN,
            quit_sent: false,
            answer: Some(said.clone()),
        };
        let hello = resumed(Keywords::default(), false).hello;
        let session = Session::resume(hello, from);
        assert!(session.is_settled());
        assert_eq!(session.progress().end, Some(said));
        assert!(session.offer().keywords.has(Keywords::DSN));
    }
}
