//! The SMTP client's dialogue: greeting, EHLO or HELO, any number of transactions, QUIT.
//!
//! The engine's smtp(8) owns a [`Session`] for each connection. It asks [`Session::poll`] what to
//! do, hands over what the server said, and reads the verdicts from [`Session::progress`]. With
//! PIPELINING a transaction is one packet of commands, then the content with everything after it.
//!
//! | expected reply | good | bad |
//! | --- | --- | --- |
//! | Greeting | Ehlo or Helo | refused |
//! | Ehlo | Nothing (ready) | 421: refused, else Helo |
//! | Helo | Nothing (ready) | refused |
//! | Mail | Rcpt | pipelined: Rcpt (answers ignored), else Rset |
//! | Rcpt, more to come | Rcpt | Rcpt |
//! | Rcpt, the last one | Data | none accepted and not pipelined: Rset, else Data |
//! | Data | End, after the content, or after a lone dot when nobody was accepted | Rset |
//! | End, Rset | Quit or Nothing | the same |
//! | End, in a [`Resumed`] dialogue | as above | 221: Nothing, and no verdict |
//!
//! Diagnostics: refusals are values in [`Progress`] and [`Handshake`]; a reply that is too long is
//! a [`ReplyError`]. Calling [`Session::begin`] before the handshake is over panics: it is our bug.
//!
//! Limits: [`replies::REPLY_BYTES_MAX`].
//!
//! Standards: RFC 5321, RFC 2920 (PIPELINING), smtp(8).

pub mod commands;
mod fuzz;
pub mod replies;
mod resume;
#[cfg(test)]
mod tests;

use super::ehlo::{Keywords, Offer};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use commands::Quoting;
use mail::envelope::{Envelope, Recipient};
use replies::Answer;

pub use fuzz::fuzz_smtp_client;
pub use replies::{ReplyError, Said};
pub use resume::Resumed;

/// When EHLO is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EhloUse {
    /// Always (`smtp_always_send_ehlo`).
    Always,
    /// When the greeting says ESMTP.
    WhenGreeted,
    /// Never (`smtp_never_send_ehlo`).
    Never,
}

/// How to introduce ourselves and what to make of the answer.
#[derive(Clone, Debug)]
pub struct Hello {
    /// `smtp_helo_name`.
    pub name: String,
    /// `myhostname`: who introduces himself with it is us.
    pub myhostname: String,
    /// When EHLO is tried.
    pub ehlo: EhloUse,
    /// `smtp_discard_ehlo_keywords`.
    pub discard: Keywords,
    /// Whether a server with our own name is a loop (it listens on port 25).
    pub detect_loops: bool,
    /// Whether the answer to QUIT is waited for (`smtp_skip_quit_response = no`).
    pub wait_for_quit: bool,
}

/// What the dialogue waits for; each has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of that name")]
pub enum Stage {
    Greeting,
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Body,
    End,
    Rset,
    Quit,
}

impl Stage {
    /// As in `lost connection with x while ...`.
    pub fn doing(self) -> &'static str {
        match self {
            Stage::Greeting => "receiving the initial server greeting",
            Stage::Ehlo => "performing the EHLO handshake",
            Stage::Helo => "performing the HELO handshake",
            Stage::Mail => "sending MAIL FROM",
            Stage::Rcpt => "sending RCPT TO",
            Stage::Data => "sending DATA command",
            Stage::Body => "sending message body",
            Stage::End => "sending end of data -- message may be sent more than once",
            Stage::Rset => "sending final RSET",
            Stage::Quit => "sending QUIT",
        }
    }

    /// As in `(in reply to ... command)`.
    pub fn command(self) -> &'static str {
        match self {
            Stage::Greeting => "greeting",
            Stage::Ehlo => "EHLO command",
            Stage::Helo => "HELO command",
            Stage::Mail => "MAIL FROM command",
            Stage::Rcpt => "RCPT TO command",
            Stage::Data => "DATA command",
            Stage::Body | Stage::End => "end of DATA command",
            Stage::Rset => "final RSET command",
            Stage::Quit => "QUIT command",
        }
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send the content and then these bytes, best together; then call [`Session::content_sent`].
    Content(&'static [u8]),
    /// Read, and hand what comes to [`Session::handle_bytes`].
    Reply(Stage),
    /// Nothing: the handshake or transaction is over.
    Nothing,
}

/// How the handshake went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It is not over.
    Going,
    /// Transactions may begin.
    Ready,
    /// The server does not want to talk.
    Refused(Said),
    /// The server is this host.
    Loop,
}

/// What the server said about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Unanswered,
    /// Yes.
    Accepted,
    /// No, for this reason.
    Refused(Said),
}

/// What the server has said in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Its refusal of MAIL.
    pub mail_refused: Option<Said>,
    /// Its answers to RCPT, in the order of [`Session::begin`].
    pub recipients: Vec<Verdict>,
    /// Its refusal of DATA.
    pub data_refused: Option<Said>,
    /// Its answer to the end of data, good or bad, when the content was for somebody.
    pub end: Option<Said>,
    accepted: usize,
    answered: usize,
}

/// What happens to the connection after the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is closed with QUIT.
    Quit,
    /// It stays open for another transaction.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Greeting,
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    /// The content is to be sent; nothing is expected.
    Body,
    End,
    Rset,
    Quit,
    Nothing,
}

/// One connection's dialogue.
#[derive(Debug)]
pub struct Session {
    hello: Arc<Hello>,
    /// Bytes of a reply that is not complete yet.
    pending: Vec<u8>,
    expect: Expect,
    out: Vec<u8>,
    handshake: Handshake,
    own_name: bool,
    offer: Offer,
    progress: Progress,
    /// Commands not sent yet to a server without PIPELINING, last one first.
    later: Vec<Vec<u8>>,
    ending: Ending,
    quit_sent: bool,
    /// The server said 421, or spoke out of turn: it will not be asked again.
    spoilt: bool,
    /// Another process has begun it, see [`Resumed`].
    resumed: bool,
}

impl Session {
    /// A dialogue at its beginning.
    pub fn new(hello: Arc<Hello>) -> Session {
        Session {
            hello,
            pending: Vec::new(),
            expect: Expect::Greeting,
            out: Vec::new(),
            handshake: Handshake::Going,
            own_name: false,
            offer: Offer::default(),
            progress: Progress::default(),
            later: Vec::new(),
            ending: Ending::Quit,
            quit_sent: false,
            spoilt: false,
            resumed: false,
        }
    }

    /// How the handshake went.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// Whether the server greeted us with our own host name.
    pub fn greeted_with_own_name(&self) -> bool {
        self.own_name
    }

    /// What the server offers.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What the server has said in this transaction.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether nothing that is still to come can change a recipient's fate.
    pub fn is_settled(&self) -> bool {
        matches!(self.expect, Expect::Rset | Expect::Quit | Expect::Nothing)
    }

    /// Whether another transaction may begin on this connection.
    pub fn is_reusable(&self) -> bool {
        let ready = self.expect == Expect::Nothing && self.handshake == Handshake::Ready;
        ready && !self.quit_sent && !self.spoilt && self.pending.is_empty()
    }

    /// Whether nothing is left to do but close: QUIT is on its way.
    pub fn is_over(&self) -> bool {
        self.expect == Expect::Nothing && self.quit_sent && self.out.is_empty()
    }

    /// Which stage the dialogue is at.
    pub fn stage(&self) -> Stage {
        match self.expect {
            Expect::Greeting => Stage::Greeting,
            Expect::Ehlo => Stage::Ehlo,
            Expect::Helo => Stage::Helo,
            Expect::Mail => Stage::Mail,
            Expect::Rcpt => Stage::Rcpt,
            Expect::Data => Stage::Data,
            Expect::Body => Stage::Body,
            Expect::End => Stage::End,
            Expect::Rset => Stage::Rset,
            Expect::Quit | Expect::Nothing => Stage::Quit,
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Want {
        if !self.out.is_empty() {
            return Want::Send(core::mem::take(&mut self.out));
        }
        match self.expect {
            Expect::Nothing => Want::Nothing,
            Expect::Body => Want::Content(self.after_content()),
            _ => Want::Reply(self.stage()),
        }
    }

    /// Begins a transaction with at least one recipient.
    pub fn begin<'a>(
        &mut self,
        envelope: &Envelope,
        recipients: impl Iterator<Item = &'a Recipient>,
        with: Manner,
    ) {
        assert!(self.is_reusable(), "a transaction needs a session that is ready");
        self.ending = with.ending;
        self.progress = Progress::default();
        commands::mail(&mut self.out, envelope, &self.offer, with.quoting);
        if self.pipelines() {
            for recipient in recipients {
                commands::rcpt(&mut self.out, recipient, &self.offer, with.quoting);
                self.progress.recipients.push(Verdict::Unanswered);
            }
            self.out.extend_from_slice(b"DATA\r\n");
        } else {
            for recipient in recipients {
                let mut line = Vec::new();
                commands::rcpt(&mut line, recipient, &self.offer, with.quoting);
                self.later.push(line);
                self.progress.recipients.push(Verdict::Unanswered);
            }
            self.later.reverse();
        }
        assert!(!self.progress.recipients.is_empty());
        self.expect = Expect::Mail;
    }

    /// The content and the bytes after it are on their way.
    pub fn content_sent(&mut self) {
        assert_eq!(self.expect, Expect::Body);
        self.quit_sent = self.quits_early();
        self.expect = Expect::End;
    }

    fn quit(&mut self) {
        self.out.extend_from_slice(b"QUIT\r\n");
        self.quit_sent = true;
        self.expect = if self.hello.wait_for_quit { Expect::Quit } else { Expect::Nothing };
    }

    /// Says QUIT when nothing else is going on and it has not been said.
    pub fn finish(&mut self) {
        if self.expect == Expect::Nothing && !self.quit_sent {
            self.quit();
        }
    }

    /// Takes what the server has sent, in any pieces.
    ///
    /// # Errors
    /// When a reply is too long; the connection is of no use any more.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        if self.pending.is_empty() {
            let used = self.replies(bytes)?;
            self.pending.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut pending = core::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let used = self.replies(&pending)?;
        pending.drain(..used);
        self.pending = pending;
        Ok(())
    }

    /// Works through the complete replies; how many bytes they took.
    fn replies(&mut self, bytes: &[u8]) -> Result<usize, ReplyError> {
        let mut used = 0;
        while let Some((answer, length)) = replies::first(&bytes[used..])? {
            used += length;
            self.answer(&answer);
        }
        Ok(used)
    }

    fn answer(&mut self, answer: &Answer<'_>) {
        self.spoilt |= answer.code == 421;
        match self.expect {
            Expect::Greeting => self.greeting(answer),
            Expect::Ehlo => self.ehlo(answer),
            Expect::Helo => self.helo(answer),
            Expect::Mail => self.mail(answer),
            Expect::Rcpt => self.rcpt(answer),
            Expect::Data => self.data(answer),
            Expect::End => self.end(answer),
            Expect::Rset => self.after_transaction(),
            Expect::Quit => self.expect = Expect::Nothing,
            Expect::Body | Expect::Nothing => self.spoilt = true,
        }
    }

    fn greeting(&mut self, answer: &Answer<'_>) {
        if answer.class() != 2 {
            return self.refuse(answer);
        }
        let text = answer.lines().next().unwrap_or_default();
        let mut words = words(text);
        self.own_name = words.next().is_some_and(|word| self.is_own_name(word));
        let esmtp = words.any(|word| word.eq_ignore_ascii_case(b"ESMTP"));
        match self.hello.ehlo {
            EhloUse::Always => self.say_ehlo(),
            EhloUse::WhenGreeted if esmtp => self.say_ehlo(),
            EhloUse::WhenGreeted | EhloUse::Never => self.say_helo(),
        }
    }

    fn say_ehlo(&mut self) {
        self.say_hello(b"EHLO ");
        self.expect = Expect::Ehlo;
    }

    fn say_helo(&mut self) {
        self.say_hello(b"HELO ");
        self.expect = Expect::Helo;
    }

    fn say_hello(&mut self, verb: &[u8]) {
        self.out.extend_from_slice(verb);
        self.out.extend_from_slice(self.hello.name.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn ehlo(&mut self, answer: &Answer<'_>) {
        match (answer.class(), answer.code) {
            (2, _) => self.ready(answer),
            (_, 421) => self.refuse(answer),
            _ => self.say_helo(),
        }
    }

    fn helo(&mut self, answer: &Answer<'_>) {
        if answer.class() == 2 { self.ready(answer) } else { self.refuse(answer) }
    }

    fn ready(&mut self, answer: &Answer<'_>) {
        let said_ehlo = self.expect == Expect::Ehlo;
        self.expect = Expect::Nothing;
        let name = answer.lines().next().and_then(|line| words(line).next());
        if self.hello.detect_loops && name.is_some_and(|name| self.is_own_name(name)) {
            self.handshake = Handshake::Loop;
            return;
        }
        if said_ehlo {
            self.offer = Offer::read(answer);
            self.offer.keywords = self.offer.keywords.without(self.hello.discard);
        }
        self.handshake = Handshake::Ready;
    }

    fn refuse(&mut self, answer: &Answer<'_>) {
        self.handshake = Handshake::Refused(answer.said());
        self.expect = Expect::Nothing;
    }

    fn mail(&mut self, answer: &Answer<'_>) {
        if answer.class() != 2 {
            self.progress.mail_refused = Some(answer.said());
            if !self.pipelines() {
                return self.abort();
            }
        }
        self.expect = Expect::Rcpt;
        self.send_later();
    }

    fn rcpt(&mut self, answer: &Answer<'_>) {
        let progress = &mut self.progress;
        if progress.mail_refused.is_none() {
            progress.recipients[progress.answered] = if answer.class() == 2 {
                progress.accepted += 1;
                Verdict::Accepted
            } else {
                Verdict::Refused(answer.said())
            };
        }
        progress.answered += 1;
        if progress.answered < progress.recipients.len() {
            return self.send_later();
        }
        self.expect = Expect::Data;
        if !self.pipelines() {
            match self.progress.accepted {
                0 => self.abort(),
                _ => self.out.extend_from_slice(b"DATA\r\n"),
            }
        }
    }

    fn send_later(&mut self) {
        if let Some(line) = self.later.pop() {
            self.out.extend_from_slice(&line);
        }
    }

    fn data(&mut self, answer: &Answer<'_>) {
        match (answer.class(), self.progress.accepted) {
            (3, 0) => {
                // Nobody wants it, but the server waits for it: an empty message to nobody.
                self.out.extend_from_slice(self.after_content());
                self.quit_sent = self.quits_early();
                self.expect = Expect::End;
            }
            (3, _) => self.expect = Expect::Body,
            _ => {
                self.progress.data_refused = Some(answer.said());
                self.abort();
            }
        }
    }

    fn end(&mut self, answer: &Answer<'_>) {
        if self.resumed && answer.code == 221 {
            return self.end_is_gone();
        }
        if self.progress.accepted > 0 {
            self.progress.end = Some(answer.said());
        }
        self.after_transaction();
    }

    fn abort(&mut self) {
        self.later.clear();
        self.out.extend_from_slice(b"RSET\r\n");
        self.expect = Expect::Rset;
    }

    fn after_transaction(&mut self) {
        match self.ending {
            Ending::Keep => self.expect = Expect::Nothing,
            Ending::Quit if !self.quit_sent => self.quit(),
            Ending::Quit if self.hello.wait_for_quit => self.expect = Expect::Quit,
            Ending::Quit => self.expect = Expect::Nothing,
        }
    }

    /// The end of data, and QUIT where the server takes both at once.
    fn after_content(&self) -> &'static [u8] {
        if self.quits_early() { b".\r\nQUIT\r\n" } else { b".\r\n" }
    }

    fn quits_early(&self) -> bool {
        self.pipelines() && self.ending == Ending::Quit
    }

    fn pipelines(&self) -> bool {
        self.offer.keywords.has(Keywords::PIPELINING)
    }

    fn is_own_name(&self, word: &[u8]) -> bool {
        word.eq_ignore_ascii_case(self.hello.myhostname.as_bytes())
    }
}

/// How a transaction is made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How addresses are written.
    pub quoting: Quoting,
    /// What comes after.
    pub ending: Ending,
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}
