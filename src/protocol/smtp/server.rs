//! [`Session`]: the SMTP server's side of a dialogue, without I/O and without policy.
//!
//! The engine offers received bytes to [`Session::step`] and acts on the [`Event`] it gets; for an
//! event that asks a question it calls one of the answering methods. Replies collect in the
//! session's output, which the engine sends when the input is used up: pipelined commands get their
//! replies in one go.
//!
//! | state | input | event | next |
//! | --- | --- | --- | --- |
//! | Command | a line | a question, or none when the reply is clear | Command |
//! | Command | DATA, recipients accepted, engine agrees | Data | Data |
//! | Data | content | Content | Data |
//! | Data | end of data | EndOfData | Command once answered |
//! | Command | BDAT n | Data (first), Content | Bdat until n bytes are read |
//! | Bdat | last byte of the last chunk | EndOfData | Command |
//! | any | QUIT, too many errors, forbidden command | Close | - |
//!
//! Diagnostics: nothing a client sends is an error of this module; it panics only when an answer
//! comes without a question, which is a bug of the engine.
//!
//! Limits: [`Limits`].
//!
//! Standards: RFC 5321; replies as Postfix's smtpd(8) gives them.

mod chunking;
mod minor;
mod replies;

use super::bdat::Chunks;
use super::command::{Mail, Offered, Rcpt, Verb, Vrfy, split};
use super::counters::Counters;
use super::data::{self, BareNewline, Findings};
use super::ehlo::Keywords;
use super::faults::Faults;
use super::path::{self, Complaint, Fault};
use super::reply::Reply;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use chunking::Unwanted;
use mail::address::Printable;
use replies::{
    BAD_UTF8, BYE, DATA_AFTER_BDAT, HELO_FIRST, NEED_MAIL, NEED_RCPT, NESTED_MAIL, NO_RECIPIENTS,
    NO_TLS, OK, RCPT_AFTER_BDAT, SEND_DATA, SYNTAX_DATA, SYNTAX_STARTTLS, SYNTAX_XCLIENT,
    SYNTAX_XFORWARD, TOO_MANY_RECIPIENTS, UNSYNCHRONIZED,
};

/// Numbers that bound a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `smtpd_hard_error_limit`.
    pub hard_errors: u32,
    /// `smtpd_junk_command_limit`.
    pub junk_commands: u32,
    /// `smtpd_recipient_limit`.
    pub recipients: u32,
    /// `smtpd_recipient_overshoot_limit`.
    pub recipient_overshoot: u32,
    /// `line_length_limit`: a longer command line is cut.
    pub command_line: usize,
    /// `message_size_limit`, zero for none.
    pub message_size: u64,
}

/// What the session needs of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `myhostname`.
    pub hostname: String,
    /// What EHLO offers before per-client discards.
    pub keywords: Keywords,
    /// The numbers.
    pub limits: Limits,
    /// `smtpd_helo_required`.
    pub helo_required: bool,
    /// `disable_vrfy_command`.
    pub vrfy_disabled: bool,
    /// `smtpd_forbidden_commands`, upper case.
    pub forbidden: Vec<String>,
    /// `smtpd_noop_commands`, upper case.
    pub noop: Vec<String>,
    /// `soft_bounce`.
    pub soft_bounce: bool,
    /// `smtpd_forbid_unauth_pipelining`.
    pub forbid_pipelining: bool,
    /// What paths must be like.
    pub paths: path::Rules,
}

/// Input that came behind a command whose reply the client must have waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Improper {
    /// The command.
    pub after: Verb,
    /// The first of what came, at most [`IMPROPER_MAX`] bytes.
    pub input: Vec<u8>,
}

/// How much of improper input is kept for the log.
pub const IMPROPER_MAX: usize = 100;

/// What the engine is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Offer more input, after sending the output.
    NeedInput,
    /// Call again; there may be more in the same input.
    Again,
    /// HELO or EHLO was accepted: per-client keywords may be set before the answer. Answer with
    /// [`Session::answer_helo`] or [`Session::refuse`].
    Helo,
    /// MAIL: answer with [`Session::accept`] or [`Session::refuse`].
    Mail(Box<Mail>),
    /// RCPT: answer with [`Session::accept`] or [`Session::refuse`].
    Rcpt(Box<Rcpt>),
    /// A transaction's content begins: answer with [`Session::accept`] or [`Session::refuse`].
    Data,
    /// Content was appended to the sink.
    Content,
    /// The content is complete: answer with [`Session::finish`].
    EndOfData,
    /// RSET, a new HELO, or a MAIL that did not work out: forget the transaction.
    Reset,
    /// VRFY: answer with [`Session::accept_text`] or [`Session::refuse`].
    Vrfy(Box<Vrfy>),
    /// ETRN: answer with [`Session::accept_text`] or [`Session::refuse`].
    Etrn(String),
    /// Send the output and close; the reason is for the log.
    Close(Closing),
}

/// Why the session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The client said QUIT.
    Quit,
    /// Too many errors; `after` is the last verb that was not refused for it.
    TooManyErrors {
        /// The command before.
        after: Verb,
    },
    /// A command of `smtpd_forbidden_commands`; the line is for the log.
    Forbidden(Vec<u8>),
    /// A 421 or 521 reply was given.
    Refused,
}

enum State {
    Command,
    Data(data::Reader),
    Bdat {
        chunks: Box<Chunks>,
        /// The chunk's announced size.
        size: u64,
        remaining: u64,
        last: bool,
    },
    /// Content of a chunk that is not wanted.
    SkipChunk(Box<Unwanted>),
    /// The rest of a command line that was too long.
    SkipLine,
}

/// One client's dialogue.
pub struct Session {
    state: State,
    output: Vec<u8>,
    counters: Counters,
    verb: Verb,
    awaiting: bool,
    helo: Option<Box<str>>,
    esmtp: bool,
    discarded: Keywords,
    in_mail: bool,
    smtputf8: bool,
    recipients: u32,
    overshoot: u32,
    errors: u32,
    junk: u32,
    /// What has gone wrong since the last message that was taken.
    faults: Faults,
    /// An earlier BDAT of this transaction is still being collected.
    chunking: Option<Box<Chunks>>,
    bdat_failed: bool,
    policy: BareNewline,
    /// Improper pipelining is mentioned once.
    synchronized: bool,
    improper: Option<Box<Improper>>,
    complaint: Option<Box<Complaint>>,
    /// Nothing but QUIT is taken from this client.
    denied: Option<Box<Reply>>,
    /// Name and protocol before the greeting that is being judged.
    before_helo: Option<Box<(Option<Box<str>>, bool)>>,
}

impl Session {
    /// A session whose greeting is yet to be sent.
    pub fn new(policy: BareNewline) -> Session {
        Session {
            state: State::Command,
            output: Vec::new(),
            counters: Counters::default(),
            verb: Verb::Unknown,
            awaiting: false,
            helo: None,
            esmtp: false,
            discarded: Keywords::default(),
            in_mail: false,
            smtputf8: false,
            recipients: 0,
            overshoot: 0,
            errors: 0,
            junk: 0,
            faults: Faults::NONE,
            chunking: None,
            bdat_failed: false,
            policy,
            synchronized: true,
            improper: None,
            complaint: None,
            denied: None,
            before_helo: None,
        }
    }

    /// Whoever this is may only leave from now on; `client` is what replies call it.
    pub fn deny(&mut self, client: &str) {
        let reply = format!("503 5.7.0 Error: access denied for {client}");
        self.denied = Some(Box::new(Reply::from(reply)));
    }

    /// Appends a line to the output without counting anything: the greeting, a 421.
    pub fn say(&mut self, reply: &Reply) {
        self.output.extend_from_slice(reply.0.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Where the next reply will begin.
    pub fn output_end(&self) -> usize {
        self.output.len()
    }

    /// Replaces the replies from `start` on.
    pub fn amend(&mut self, start: usize, replies: &str) {
        self.output.truncate(start);
        self.output.extend_from_slice(replies.as_bytes());
    }

    /// The replies from `start` on.
    pub fn output_from(&self, start: usize) -> &[u8] {
        self.output.get(start..).unwrap_or_default()
    }

    /// Whether something is to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Errors so far: at `smtpd_soft_error_limit` replies are to be delayed.
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// What has gone wrong since a message was taken, or since [`Session::forgive`].
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Takes note of what is about to be refused.
    pub fn blame(&mut self, faults: Faults) {
        self.faults |= faults;
    }

    /// Forgets what has gone wrong.
    pub fn forgive(&mut self) {
        self.faults = Faults::NONE;
    }

    /// How the client has called itself.
    pub fn helo(&self) -> Option<&str> {
        self.helo.as_deref()
    }

    /// Whether the client said EHLO.
    pub fn is_esmtp(&self) -> bool {
        self.esmtp
    }

    /// The command being worked on, or the last one.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Whether what comes next is the beginning of a command.
    pub fn expects_command(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Whether content is being received.
    pub fn in_content(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Bdat { .. } | State::SkipChunk(_))
    }

    /// How much content has come, of which `passed` bytes after DATA; none when it is not under way
    /// or not wanted.
    pub fn content_bytes(&self, passed: u64) -> Option<u64> {
        match &self.state {
            State::Data(_) => Some(passed),
            State::Bdat { chunks, .. } => Some(chunks.size()),
            _ => None,
        }
    }

    /// What is to be said about the command that was refused.
    pub fn take_complaint(&mut self) -> Option<Box<Complaint>> {
        self.complaint.take()
    }

    /// What is to be said about improper pipelining.
    pub fn take_improper(&mut self) -> Option<Box<Improper>> {
        self.improper.take()
    }

    /// The client is gone: content that was under way does not count as accepted.
    pub fn abort(&mut self) {
        if matches!(self.state, State::Data(_)) {
            self.counters.take_back(Verb::Data);
            self.state = State::Command;
        }
    }

    /// Whether MAIL was accepted and its transaction is not over.
    pub fn in_transaction(&self) -> bool {
        self.in_mail
    }

    /// The counts for the disconnect line.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was noticed about the content.
    pub fn findings(&self) -> Findings {
        match &self.state {
            State::Data(reader) => reader.findings(),
            State::Bdat { chunks, .. } => chunks.findings(),
            _ => Findings::default(),
        }
    }

    /// Whether a message with bare newlines is to be refused.
    pub fn rejects_bare_newline(&self) -> bool {
        self.policy == BareNewline::Reject
    }

    /// Works on `input`: how many bytes were used, and what to do. Content goes to `sink`.
    pub fn step(
        &mut self,
        settings: &Settings,
        input: &[u8],
        sink: &mut Vec<u8>,
    ) -> (usize, Event) {
        assert!(!self.awaiting, "a question was not answered");
        match &mut self.state {
            State::Command if self.errors >= settings.limits.hard_errors => {
                (0, self.too_many_errors(settings))
            }
            State::Command => self.command_step(settings, input),
            State::Data(reader) => {
                let (used, ended) = reader.read(input, sink);
                let event = match (ended, used) {
                    (true, _) => self.ask(Event::EndOfData),
                    (false, 0) => Event::NeedInput,
                    (false, _) => Event::Content,
                };
                (used, event)
            }
            State::Bdat { .. } => self.bdat_step(input, sink),
            State::SkipLine => match memchr::memchr(b'\n', input) {
                Some(end) => {
                    self.state = State::Command;
                    (end + 1, Event::Again)
                }
                None => (input.len(), Event::NeedInput),
            },
            State::SkipChunk(_) => self.skip_step(settings, input),
        }
    }

    /// Answers [`Event::Helo`] with the greeting; `discarded` keywords are not offered.
    pub fn answer_helo(&mut self, settings: &Settings, discarded: Keywords) {
        self.answered();
        self.forget_transaction();
        self.before_helo = None;
        self.discarded = discarded;
        if self.verb == Verb::Helo {
            return self.succeed(Reply::from(format!("250 {}", settings.hostname)));
        }
        let mut text = String::new();
        let offered = settings.keywords.without(discarded);
        offered.write_reply(&settings.hostname, settings.limits.message_size, &mut text);
        self.output.extend_from_slice(text.as_bytes());
        self.counters.accept(self.verb);
    }

    /// Answers [`Event::Mail`], [`Event::Rcpt`] or [`Event::Data`] with consent.
    pub fn accept(&mut self) {
        self.answered();
        match self.verb {
            Verb::Mail => {
                self.in_mail = true;
                self.succeed(Reply::fixed("250 2.1.0 Ok"));
            }
            Verb::Rcpt => {
                self.recipients += 1;
                self.succeed(Reply::fixed("250 2.1.5 Ok"));
            }
            Verb::Data => {
                self.state = State::Data(data::Reader::new(self.policy));
                self.succeed(SEND_DATA);
            }
            // BDAT: its chunk is answered when it is complete.
            _ => {}
        }
    }

    /// Answers [`Event::Vrfy`] or [`Event::Etrn`].
    pub fn accept_text(&mut self, reply: Reply) {
        self.answered();
        self.succeed(reply);
    }

    /// Answers any question with a refusal. After a 421 or 521 the session is to be closed: the
    /// result says so.
    pub fn refuse(&mut self, settings: &Settings, reply: Reply) -> Option<Closing> {
        self.answered();
        let code = reply.code();
        // A greeting that is refused leaves everything as it was.
        if let Some(before) = self.before_helo.take() {
            (self.helo, self.esmtp) = *before;
        }
        if self.verb == Verb::Bdat {
            self.refuse_chunk(settings, reply);
        } else {
            self.fail(settings, reply);
        }
        matches!(code, 421 | 521).then_some(Closing::Refused)
    }

    /// Answers [`Event::EndOfData`]: the transaction is over. A success forgets earlier errors.
    pub fn finish(&mut self, settings: &Settings, reply: Reply) {
        self.answered();
        self.state = State::Command;
        if reply.is_error() {
            if self.verb == Verb::Data {
                self.counters.take_back(Verb::Data);
            }
            self.fail(settings, reply);
        } else {
            self.errors = 0;
            self.junk = 0;
            self.forgive();
            if self.verb == Verb::Bdat {
                self.counters.accept(Verb::Bdat);
            }
            self.say(&reply);
        }
        self.forget_transaction();
    }

    fn ask(&mut self, question: Event) -> Event {
        self.awaiting = true;
        question
    }

    fn answered(&mut self) {
        assert!(core::mem::take(&mut self.awaiting), "an answer without a question");
    }

    fn succeed(&mut self, reply: Reply) {
        self.counters.accept(self.verb);
        self.say(&reply);
    }

    /// Refuses what the dialogue itself does not like.
    fn error(&mut self, settings: &Settings, reply: Reply) {
        self.faults |= replies::fault(&reply);
        self.fail(settings, reply);
    }

    /// Refuses; the caller has said what for.
    fn fail(&mut self, settings: &Settings, reply: Reply) {
        self.errors += 1;
        self.say(&if settings.soft_bounce { reply.softened() } else { reply });
    }

    fn forget_transaction(&mut self) {
        self.in_mail = false;
        self.smtputf8 = false;
        self.recipients = 0;
        self.overshoot = 0;
        self.chunking = None;
        self.bdat_failed = false;
    }

    fn command_step(&mut self, settings: &Settings, input: &[u8]) -> (usize, Event) {
        // Nothing behind the limit is looked at: what has arrived already must not matter.
        let limit = settings.limits.command_line;
        let window = &input[..input.len().min(limit + 1)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            if input.len() <= limit {
                return (0, Event::NeedInput);
            }
            self.state = State::SkipLine;
            let event = self.command(settings, &input[..limit], b"");
            return (limit, event);
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (end + 1, self.command(settings, line, &input[end + 1..]))
    }

    /// Goodbye, with nothing more from the client.
    fn too_many_errors(&mut self, settings: &Settings) -> Event {
        let reply = format!("421 4.7.0 {} Error: too many errors", settings.hostname);
        self.say(&Reply::from(reply));
        self.blame(Faults::PROTOCOL);
        Event::Close(Closing::TooManyErrors { after: self.verb })
    }

    /// Takes note of what the client has sent before it could know the reply, the first time.
    fn is_improper(&mut self, rest: &[u8]) -> bool {
        let must_wait = !self.esmtp || self.verb.ends_a_group();
        if rest.is_empty() || !must_wait || !self.synchronized {
            return false;
        }
        self.synchronized = false;
        let input = rest[..rest.len().min(IMPROPER_MAX)].to_vec();
        self.improper = Some(Box::new(Improper { after: self.verb, input }));
        true
    }

    fn command(&mut self, settings: &Settings, line: &[u8], rest: &[u8]) -> Event {
        if settings.keywords.has(Keywords::SMTPUTF8) && core::str::from_utf8(line).is_err() {
            self.error(settings, BAD_UTF8);
            return Event::Again;
        }
        let words = split(line);
        self.verb = words.verb;
        let args = words.words.as_slice();
        if let Some(reply) = self.denied.as_ref().filter(|_| words.verb != Verb::Quit) {
            let reply = Reply::clone(reply);
            self.counters.give(self.verb);
            self.fail(settings, reply);
            return Event::Again;
        }
        if words.verb == Verb::Unknown {
            return self.unknown(settings, line);
        }
        if self.is_improper(rest) && settings.forbid_pipelining {
            self.say(&UNSYNCHRONIZED);
            return Event::Close(Closing::Refused);
        }
        self.counters.give(self.verb);
        let result = match words.verb {
            Verb::Helo | Verb::Ehlo => {
                self.junk_command(settings, |session| session.helo_command(args))
            }
            Verb::Mail => self.mail_command(settings, args),
            Verb::Rcpt => self.rcpt_command(settings, args),
            Verb::Data => self.data_command(args),
            Verb::Bdat => self.bdat_command(settings, args),
            Verb::Rset => self.rset_command(settings, args),
            Verb::Noop => self.junk_command(settings, |session| {
                session.succeed(OK);
                Ok(Event::Again)
            }),
            Verb::Vrfy => self.junk_command(settings, |session| session.vrfy(settings, args)),
            Verb::Etrn => self.junk_command(settings, |session| session.etrn(settings, args)),
            Verb::Quit => {
                self.succeed(BYE);
                Ok(Event::Close(Closing::Quit))
            }
            Verb::Starttls => Err(if args.is_empty() { NO_TLS } else { SYNTAX_STARTTLS }),
            Verb::Auth => self.auth(settings),
            Verb::Xclient => self.not_authorized(args, SYNTAX_XCLIENT),
            Verb::Xforward => self.not_authorized(args, SYNTAX_XFORWARD),
            Verb::Unknown => unreachable!("dealt with above"),
        };
        result.unwrap_or_else(|reply| {
            self.error(settings, reply);
            Event::Again
        })
    }

    fn helo_command(&mut self, args: &[&[u8]]) -> Result<Event, Reply> {
        let Some(name) = args.first() else {
            return Err(Reply::fixed(match self.verb {
                Verb::Ehlo => "501 Syntax: EHLO hostname",
                _ => "501 Syntax: HELO hostname",
            }));
        };
        // HELO does not take back what EHLO has begun.
        let esmtp = self.esmtp || self.verb == Verb::Ehlo;
        let name = format!("{}", Printable(name)).into();
        let before = (self.helo.replace(name), core::mem::replace(&mut self.esmtp, esmtp));
        self.before_helo = Some(Box::new(before));
        Ok(self.ask(Event::Helo))
    }

    fn offered(&self, settings: &Settings) -> Offered {
        let keywords = settings.keywords.without(self.discarded);
        Offered {
            dsn: keywords.has(Keywords::DSN),
            smtputf8: keywords.has(Keywords::SMTPUTF8),
            paths: settings.paths,
        }
    }

    /// Keeps what the log is to be told; what the client is told.
    fn complain(&mut self, fault: Fault) -> Reply {
        self.complaint = fault.complaint.map(Box::new);
        fault.reply
    }

    fn mail_command(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if self.helo.is_none() && settings.helo_required {
            return Err(HELO_FIRST);
        }
        if self.in_mail {
            return Err(NESTED_MAIL);
        }
        let mail = Mail::parse(args, self.offered(settings));
        let mail = mail.map_err(|fault| self.complain(fault))?;
        self.smtputf8 = mail.smtputf8;
        Ok(self.ask(Event::Mail(Box::new(mail))))
    }

    fn rcpt_command(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if !self.in_mail {
            return Err(NEED_MAIL);
        }
        if self.chunking.is_some() || self.bdat_failed {
            return Err(RCPT_AFTER_BDAT);
        }
        let rcpt = Rcpt::parse(args, self.offered(settings), self.smtputf8);
        let rcpt = rcpt.map_err(|fault| self.complain(fault))?;
        if self.recipients >= settings.limits.recipients {
            // A client that only asks once too often is not punished for it.
            if self.overshoot < settings.limits.recipient_overshoot {
                self.overshoot += 1;
                self.say(&TOO_MANY_RECIPIENTS);
                return Ok(Event::Again);
            }
            return Err(TOO_MANY_RECIPIENTS);
        }
        Ok(self.ask(Event::Rcpt(Box::new(rcpt))))
    }

    fn data_command(&mut self, args: &[&[u8]]) -> Result<Event, Reply> {
        if self.chunking.is_some() || self.bdat_failed {
            return Err(DATA_AFTER_BDAT);
        }
        if self.recipients == 0 {
            return Err(if self.in_mail { NO_RECIPIENTS } else { NEED_RCPT });
        }
        if !args.is_empty() || matches!(self.state, State::SkipLine) {
            return Err(SYNTAX_DATA);
        }
        Ok(self.ask(Event::Data))
    }
}

#[cfg(test)]
mod tests;
