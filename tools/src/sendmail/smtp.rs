//! `sendmail -bs`: an SMTP dialogue on standard input and output, as the user who runs it.
//!
//! Every recipient is accepted: what the administrator allows is decided when the message is picked
//! up. Each accepted message goes to postdrop(1) like any other submission.
//!
//! **Diagnostics**: what the peer does is answered, not logged; a submission that fails is a 4xx or
//! 552 reply.
//! **Limits**: those of smtpd(8) in main.cf.
//! **Standards**: sendmail(1) of Postfix 3.7; RFC 5321.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::address::Printable;
use mail::date::Zone;
use mail::envelope::{Encoding, Ret};
use mail::received::Received;
use mail::record::{kind, put};
use protocol::smtp::command::{Mail, Rcpt};
use protocol::smtp::data::BareNewline;
use protocol::smtp::ehlo::Keywords;
use protocol::smtp::path;
use protocol::smtp::reply::Reply;
use protocol::smtp::server::{Event, Limits, Session, Settings as Rules};

use super::attribute;
use super::drop::{Drop, DropError, status};
use crate::program::{EX_TEMPFAIL, Exit, Program, sibling};
use master::settings::Settings;

/// Bytes read at once.
const CHUNK: usize = 65_536;
/// Who a local user is for the Received header.
const CLIENT_NAME: &str = "localhost";
const CLIENT_ADDRESS: &str = "127.0.0.1";
const WRITE_ERROR: Reply = Reply::fixed("451 4.3.0 Error: queue file write error");
const TOO_BIG: Reply = Reply::fixed("552 5.3.4 Error: message file too big");

/// Runs one dialogue; the exit code.
pub(super) fn run(program: &Program, settings: &Settings) -> Result<u8, Exit> {
    let uid = rustix::process::getuid().as_raw();
    crate::access::user_is_listed(&settings.params, "authorized_submit_users", uid).map_err(
        |refusal| Exit::new(crate::program::EX_UNAVAILABLE, format!("{refusal} submit mail")),
    )?;
    let temporary = |fatal: master::Fatal| Exit::new(EX_TEMPFAIL, fatal.0);
    let mut dialogue = Dialogue {
        rules: rules(settings).map_err(temporary)?,
        postdrop: sibling(settings, "postdrop", "command_directory").map_err(temporary)?,
        settings,
        session: Session::new(BareNewline::Accept),
        transaction: Transaction::default(),
    };
    let banner = settings.text("smtpd_banner").map_err(temporary)?;
    dialogue.session.say(&Reply::from(format!("220 {banner}")));
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let result = dialogue.serve(&mut input, &mut output);
    dialogue.transaction.abandon();
    result.map_err(|error| {
        let why = crate::system::reason(&error);
        Exit::new(EX_TEMPFAIL, format!("{} -bs: {why}", program.name()))
    })?;
    Ok(0)
}

fn rules(settings: &Settings) -> Result<Rules, master::Fatal> {
    let params = &settings.params;
    let number = |name: &str| params.int(name).map_err(master::Fatal::config);
    let small = |name: &str| Ok(u32::try_from(number(name)?).unwrap_or(u32::MAX));
    let words = |name: &str| -> Result<Vec<String>, master::Fatal> {
        let words = params.list(name).map_err(master::Fatal::config)?;
        Ok(words.iter().map(|word| word.to_ascii_uppercase()).collect())
    };
    Ok(Rules {
        hostname: settings.text("myhostname")?,
        keywords: keywords(settings)?,
        limits: Limits {
            hard_errors: small("smtpd_hard_error_limit")?,
            junk_commands: small("smtpd_junk_command_limit")?,
            recipients: small("smtpd_recipient_limit")?,
            recipient_overshoot: small("smtpd_recipient_overshoot_limit")?,
            command_line: usize::try_from(number("line_length_limit")?).unwrap_or(usize::MAX),
            message_size: u64::try_from(number("message_size_limit")?).unwrap_or(0),
        },
        helo_required: settings.flag("smtpd_helo_required")?,
        vrfy_disabled: settings.flag("disable_vrfy_command")?,
        forbidden: words("smtpd_forbidden_commands")?,
        noop: words("smtpd_noop_commands")?,
        soft_bounce: settings.flag("soft_bounce")?,
        // Whoever writes to a pipe has written all of it.
        forbid_pipelining: false,
        paths: path::Rules::read(|name| settings.flag(name))?,
    })
}

/// What EHLO offers: everything that needs no other service.
fn keywords(settings: &Settings) -> Result<Keywords, master::Fatal> {
    let names = [
        "PIPELINING",
        "SIZE",
        "VRFY",
        "ETRN",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "DSN",
        "SMTPUTF8",
        "CHUNKING",
    ];
    let mut all = Keywords::default();
    for keyword in names.into_iter().filter_map(Keywords::named) {
        all = all.with(keyword);
    }
    if !settings.flag("smtputf8_enable")? {
        all = all.without(Keywords::SMTPUTF8);
    }
    if settings.flag("disable_vrfy_command")? {
        all = all.without(Keywords::VRFY);
    }
    let discarded = settings.params.list("smtpd_discard_ehlo_keywords");
    for word in discarded.map_err(master::Fatal::config)? {
        all = Keywords::named(&word).map_or(all, |keyword| all.without(keyword));
    }
    Ok(all)
}

/// One message on its way.
#[derive(Default)]
struct Transaction {
    mail: Option<Box<Mail>>,
    recipients: Vec<Rcpt>,
    drop: Option<Drop>,
    /// Content of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Transaction {
    fn abandon(&mut self) {
        if let Some(drop) = std::mem::take(self).drop {
            drop.abandon();
        }
    }
}

struct Dialogue<'a> {
    settings: &'a Settings,
    rules: Rules,
    postdrop: PathBuf,
    session: Session,
    transaction: Transaction,
}

impl Dialogue<'_> {
    /// Until QUIT, the end of input, or a client that misbehaves.
    fn serve(&mut self, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
        let mut pending = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let closed = self.work(&mut pending);
            output.write_all(&self.session.take_output())?;
            output.flush()?;
            if closed {
                return Ok(());
            }
            match input.read(&mut chunk)? {
                0 => return Ok(()),
                got => pending.extend_from_slice(&chunk[..got]),
            }
        }
    }

    /// Uses `pending` up as far as it goes; whether the dialogue is over.
    fn work(&mut self, pending: &mut Vec<u8>) -> bool {
        let mut at = 0;
        let mut sink = Vec::new();
        let closed = loop {
            let (used, event) = self.session.step(&self.rules, &pending[at..], &mut sink);
            at += used;
            self.content(&std::mem::take(&mut sink));
            match event {
                Event::NeedInput => break false,
                Event::Close(_) => break true,
                event => {
                    if self.handle(event) {
                        break true;
                    }
                }
            }
        };
        pending.drain(..at);
        closed
    }

    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Helo => self.session.answer_helo(&self.rules, Keywords::default()),
            Event::Mail(mail) => {
                self.transaction.abandon();
                self.transaction.mail = Some(mail);
                self.session.accept();
            }
            Event::Rcpt(rcpt) => {
                self.transaction.recipients.push(*rcpt);
                self.session.accept();
            }
            Event::Data => match self.begin() {
                Ok(()) => self.session.accept(),
                Err(_) => return self.session.refuse(&self.rules, WRITE_ERROR).is_some(),
            },
            Event::EndOfData => {
                let reply = self.end();
                self.session.finish(&self.rules, reply);
            }
            Event::Reset => self.transaction.abandon(),
            Event::Vrfy(vrfy) => {
                self.session
                    .accept_text(Reply::from(format!("252 2.0.0 {}", Printable(&vrfy.path))));
            }
            Event::Etrn(site) => {
                let reply = Reply::from(format!("459 <{site}>: service unavailable"));
                return self.session.refuse(&self.rules, reply).is_some();
            }
            _ => {}
        }
        false
    }

    /// Starts the submission: envelope and our Received header.
    fn begin(&mut self) -> Result<(), DropError> {
        let mut drop = Drop::start(&self.postdrop, &self.settings.directory)?;
        let mut out = Vec::new();
        if let Some(mail) = &self.transaction.mail {
            envelope(&mut out, mail, &self.transaction.recipients);
        }
        put(&mut out, kind::MESSAGE, b"");
        for line in self.received(drop.queue_id()).lines() {
            put(&mut out, kind::LINE, line.as_bytes());
        }
        drop.write(&out);
        self.transaction.drop = Some(drop);
        Ok(())
    }

    /// As smtpd(8) would have added it.
    fn received(&self, id: &str) -> String {
        let text = |name| self.settings.text(name).unwrap_or_default();
        let (hostname, name) = (text("myhostname"), text("mail_name"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let recipient = match self.transaction.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        Received {
            helo: self.session.helo().unwrap_or(CLIENT_NAME),
            client_name: CLIENT_NAME,
            client_address: CLIENT_ADDRESS,
            authenticated: None,
            hostname: &hostname,
            mail_name: &name,
            protocol: if self.session.is_esmtp() { "ESMTP" } else { "SMTP" },
            queue_id: &id,
            recipient,
            unix: now,
            zone: &local_zone(now),
        }
        .to_string()
    }

    /// Sends content on, line by line.
    fn content(&mut self, bytes: &[u8]) {
        let Transaction { drop: Some(drop), line, .. } = &mut self.transaction else { return };
        let max = usize::try_from(self.settings.params.int("line_length_limit").unwrap_or(2048));
        let max = max.unwrap_or(2048).max(1);
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            let Some(whole) = line.strip_suffix(b"\n") else { continue };
            let text = whole.strip_suffix(b"\r").unwrap_or(whole);
            // Content comes in wire form: a leading dot is doubled.
            let mut rest = if text.starts_with(b".") { &text[1..] } else { text };
            while rest.len() > max {
                put(&mut out, kind::PARTIAL, &rest[..max]);
                rest = &rest[max..];
            }
            put(&mut out, kind::LINE, rest);
            line.clear();
        }
        drop.write(&out);
    }

    /// Ends the submission; the reply.
    fn end(&mut self) -> Reply {
        let transaction = std::mem::take(&mut self.transaction);
        let Some(mut drop) = transaction.drop else { return WRITE_ERROR };
        let mut out = Vec::new();
        if !transaction.line.is_empty() {
            put(&mut out, kind::LINE, &transaction.line);
        }
        out.extend(super::extracted(&[]));
        drop.write(&out);
        let id = drop.queue_id().to_owned();
        match drop.finish() {
            Ok(()) => Reply::from(format!("250 2.0.0 Ok: queued as {id}")),
            Err(DropError::Refused { status, .. }) if status & status::SIZE != 0 => TOO_BIG,
            Err(_) => WRITE_ERROR,
        }
    }
}

fn envelope(out: &mut Vec<u8>, mail: &Mail, recipients: &[Rcpt]) {
    if let Some(envid) = &mail.envid {
        attribute(out, "envelope_id", &String::from_utf8_lossy(envid));
    }
    match mail.ret {
        Some(Ret::Full) => attribute(out, "ret_flags", "1"),
        Some(Ret::Headers) => attribute(out, "ret_flags", "2"),
        None => {}
    }
    attribute(out, "rewrite_context", "local");
    put(out, kind::SENDER, mail.sender.as_bytes());
    match mail.encoding {
        Some(Encoding::SevenBit) => attribute(out, "encoding", "7bit"),
        Some(Encoding::EightBit) => attribute(out, "encoding", "8bit"),
        None => {}
    }
    for recipient in recipients {
        if recipient.notify != 0 {
            attribute(out, "notify_flags", &recipient.notify.to_string());
        }
        if let Some(orcpt) = &recipient.orcpt {
            attribute(out, "dsn_orig_rcpt", &String::from_utf8_lossy(orcpt));
        }
        put(out, kind::RECIPIENT, recipient.address.as_bytes());
    }
}

fn local_zone(unix: u64) -> Zone {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    let info = zone.to_offset_info(time.unwrap_or(Timestamp::UNIX_EPOCH));
    Zone { offset: info.offset().seconds(), name: info.abbreviation().to_owned() }
}
