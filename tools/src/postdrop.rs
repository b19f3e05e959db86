//! postdrop(1): checks a submission and adds it to the maildrop directory. Set-gid.
//!
//! [`run`] is called by `bin/postdrop.rs`, mostly as a child of sendmail(1). Records come from an
//! untrusted caller: types must come in order, attributes must be known, the time is our own. The
//! file belongs to the caller: its owner is who submitted. Under its temporary name, and until the
//! owner may execute it, nobody takes it for mail.
//!
//! **Diagnostics**: on standard error and in the log, with `uid=`; `-r` also answers on standard
//! output with a status that sendmail(1) turns into words.
//! **Limits**: `message_size_limit` bytes of file; [`RECORD_MAX`].
//! **Standards**: postdrop(1) of Postfix 3.7.

mod filter;
mod spool;

use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::record::{kind, put};

use crate::program::{EX_UNAVAILABLE, Environment, Exit, Program};
use crate::{access, getopt, system};
use filter::{Filter, Verdict};
use master::log::Level;
use master::settings::Settings;
use spool::Spool;

/// Bytes of one record; sendmail(1) keeps to `line_length_limit`.
pub const RECORD_MAX: usize = 1024 * 1024;

const USAGE: &str = "[-c config_dir] [-v]";
/// Status bits of cleanup(8).
const STATUS_WRITE: u32 = 2;
const STATUS_SIZE: u32 = 4;

/// Takes one message from standard input; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let (options, _) = getopt::parse(args, "c:rv").map_err(|error| {
        program.complain(error);
        Exit::new(1, format!("usage: {} {USAGE}", program.name()))
    })?;
    let chosen = options.iter().rev().find(|option| option.letter == 'c');
    let chosen = chosen.and_then(|option| option.value.as_deref());
    let directory = access::directory(program, chosen, 1)?;
    let settings = program.configure(&directory, "postdrop", Environment::Clean, 1)?;
    let uid = rustix::process::getuid().as_raw();
    access::user_is_listed(&settings.params, "authorized_submit_users", uid)
        .map_err(|refusal| Exit::new(EX_UNAVAILABLE, format!("{refusal} submit mail")))?;
    let queue = settings.queue()?;
    std::env::set_current_dir(&queue)
        .map_err(|error| master::Fatal::system(format!("chdir {}", queue.display()), error))?;
    // Who hangs up in the middle wants no mail and no complaint.
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in
        [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP]
    {
        signal_hook::flag::register(signal, stopped.clone())
            .map_err(|error| master::Fatal::system("signals", error))?;
    }
    let answers = options.iter().any(|option| option.letter == 'r');
    let job = Job { program, settings: &settings, uid, answers, stopped };
    job.take_message()
}

struct Job<'a> {
    program: &'a Program,
    settings: &'a Settings,
    uid: u32,
    answers: bool,
    stopped: Arc<AtomicBool>,
}

impl Job<'_> {
    fn take_message(&self) -> Result<u8, Exit> {
        let params = &self.settings.params;
        let config = |error| Exit::from(master::Fatal::config(error));
        let long = params.flag("enable_long_queue_ids").map_err(config)?;
        let limit = params.int("message_size_limit").map_err(config)?;
        let mut spool = Spool::create(Path::new("maildrop"), long)
            .map_err(|error| self.fatal(&system::reason(&error)))?;
        self.answer(&[("protocol", "postdrop_protocol"), ("queue_id", spool.id())])?;
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
        match self.copy(&mut spool, limit) {
            Ok(()) => {}
            Err(Failure::Refused(exit)) => return Err(exit),
            Err(Failure::Write(error)) => return self.failed(spool, &error),
        }
        if let Err(error) = spool.commit() {
            return self.failed(spool, &error);
        }
        wake_pickup();
        self.answer(&[("status", "0"), ("reason", "")])?;
        Ok(0)
    }

    /// The file could not be written: sendmail(1) learns why, and stops.
    fn failed(&self, spool: Spool, error: &io::Error) -> Result<u8, Exit> {
        let text = format!("uid={}: {}", self.uid, system::reason(error));
        self.program.say(Level::Warning, text);
        drop(spool);
        // Or the caller would see a broken pipe before the answer.
        let _rest = io::copy(&mut io::stdin(), &mut io::sink());
        let size = error.raw_os_error() == Some(rustix::io::Errno::FBIG.raw_os_error());
        let status = if size { STATUS_SIZE } else { STATUS_WRITE };
        self.answer(&[("status", &status.to_string()), ("reason", "")])?;
        Ok(if self.answers { 0 } else { 1 })
    }

    fn copy(&self, spool: &mut Spool, limit: Option<u64>) -> Result<(), Failure> {
        let mut input = BufReader::new(io::stdin());
        let mut filter = Filter::default();
        let mut out = Vec::new();
        put(&mut out, kind::TIME, spool.time().as_bytes());
        loop {
            let (kind, body) = self.read(&mut input)?;
            match filter.take(kind, &body) {
                Verdict::Keep => put(&mut out, kind, &body),
                Verdict::Drop(why) => {
                    let body = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
                    let text = format!("uid={}: ignoring {why}: {body}", self.uid);
                    self.program.say(Level::Warning, text);
                }
                Verdict::Refuse => {
                    return Err(Failure::Refused(
                        self.fatal(&format!("unexpected record type: {kind}")),
                    ));
                }
            }
            if limit.is_some_and(|limit| spool.written() + out.len() as u64 > limit) {
                return Err(Failure::Write(rustix::io::Errno::FBIG.into()));
            }
            spool.write(&out).map_err(Failure::Write)?;
            out.clear();
            if filter.ended() {
                return Ok(());
            }
        }
    }

    fn read(&self, input: &mut dyn Read) -> Result<(u8, Vec<u8>), Failure> {
        match read_record(input) {
            Ok(record) => Ok(record),
            Err(_) if self.stopped.load(Ordering::SeqCst) => Err(Failure::Refused(Exit::silent(1))),
            Err(_) => Err(Failure::Refused(self.fatal("malformed input"))),
        }
    }

    fn fatal(&self, text: &str) -> Exit {
        Exit::new(1, format!("uid={}: {text}", self.uid))
    }

    /// With `-r`: attributes, each string ended by a NUL, and a NUL.
    fn answer(&self, attributes: &[(&str, &str)]) -> Result<(), Exit> {
        if !self.answers {
            return Ok(());
        }
        let mut out = Vec::new();
        for (name, value) in attributes {
            out.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        out.push(0);
        let mut stdout = io::stdout();
        stdout.write_all(&out).and_then(|()| stdout.flush()).map_err(|_| Exit::silent(1))
    }
}

enum Failure {
    /// The caller's fault, or his wish.
    Refused(Exit),
    /// The file's.
    Write(io::Error),
}

/// One record of the submission protocol.
fn read_record(input: &mut dyn Read) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    let kind = byte[0];
    let mut length = 0usize;
    for shift in (0..28).step_by(7) {
        input.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if byte[0] & 0x80 != 0 || length > RECORD_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok((kind, body))
}

/// Tells the engine that there is mail; when it is not running, mail waits.
fn wake_pickup() {
    let connected = std::os::unix::net::UnixStream::connect("public/pickup");
    let _down = connected.and_then(|mut stream| stream.write_all(b"W\n"));
}
