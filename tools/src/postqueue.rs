//! postqueue(1): lists the queue and asks for deliveries. Set-gid.
//!
//! [`run`] is called by `bin/postqueue.rs`. The running engine answers through its sockets; when it
//! is down, root (or the owner of the mail system) sees the queue as it is on disk.
//!
//! **Diagnostics**: on standard error and in the log, exit code 69 nearly always, as Postfix.
//! **Standards**: postqueue(1) of Postfix 3.7.

pub mod entry;
pub mod offline;
pub mod print;

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::client::{self, Trouble};
use crate::program::{EX_TEMPFAIL, EX_UNAVAILABLE, Environment, Exit, Program};
use crate::{access, getopt, system};
use entry::Entry;
use master::log::Level;
use master::settings::Settings;
use print::{Printer, Shape};

/// sysexits(3): not allowed.
const EX_NOPERM: u8 = 77;
const USAGE: &str = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | \
                     postqueue -s site";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    List,
    Json,
    Flush,
    FlushMessage(String),
    FlushSite(String),
}

/// Does what `args` ask for; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let (options, rest) = getopt::parse(args, "c:fi:jps:v").map_err(|error| {
        program.complain(error);
        unavailable(USAGE)
    })?;
    let chosen = options.iter().rev().find(|option| option.letter == 'c');
    let chosen = chosen.and_then(|option| option.value.as_deref());
    let directory = access::directory(program, chosen, EX_UNAVAILABLE)?;
    let settings =
        program.configure(&directory, "postqueue", Environment::Clean, EX_UNAVAILABLE)?;
    let mut actions = Vec::new();
    for option in &options {
        let value = option.value.clone().unwrap_or_default();
        match option.letter {
            'f' => actions.push(Action::Flush),
            'j' => actions.push(Action::Json),
            'p' => actions.push(Action::List),
            'i' => actions.push(Action::FlushMessage(value)),
            's' => actions.push(Action::FlushSite(value)),
            _ => {}
        }
    }
    let [action] = actions.as_slice() else { return Err(unavailable(USAGE)) };
    if !rest.is_empty() {
        return Err(unavailable(USAGE));
    }
    let queue = settings.queue().map_err(fatal)?;
    Job { program, settings: &settings, queue }.act(action)
}

fn unavailable(text: impl Into<String>) -> Exit {
    Exit::new(EX_UNAVAILABLE, text)
}

fn fatal(fatal: master::Fatal) -> Exit {
    unavailable(fatal.0)
}

struct Job<'a> {
    program: &'a Program,
    settings: &'a Settings,
    queue: PathBuf,
}

impl Job<'_> {
    fn act(&self, action: &Action) -> Result<u8, Exit> {
        match action {
            Action::List | Action::Json => {
                self.allowed("authorized_mailq_users", "view the mail queue")?;
                self.show(*action == Action::Json)?;
            }
            Action::Flush => {
                self.allowed("authorized_flush_users", "flush the mail queue")?;
                self.request("flush")?;
            }
            Action::FlushMessage(id) => {
                self.allowed("authorized_flush_users", "flush the mail queue")?;
                if !offline::is_queue_id(id) {
                    let shown: String = id.chars().take(100).collect();
                    let text = format!("Cannot flush queue ID - invalid name: \"{shown}\"");
                    return Err(unavailable(text));
                }
                self.request(&format!("flush-message {id}"))?;
            }
            Action::FlushSite(site) => {
                self.allowed("authorized_flush_users", "flush the mail queue")?;
                self.flush_site(site)?;
            }
        }
        Ok(0)
    }

    fn allowed(&self, list: &str, what: &str) -> Result<(), Exit> {
        let uid = rustix::process::getuid().as_raw();
        access::user_is_listed(&self.settings.params, list, uid)
            .map_err(|refusal| Exit::new(EX_NOPERM, format!("{refusal} {what}")))
    }

    /// Asks the engine; a message that is not there needs no flushing.
    fn request(&self, request: &str) -> Result<(), Exit> {
        match client::control(&self.queue, request) {
            Ok(_) => Ok(()),
            Err(Trouble::Refused(text)) if text == "not-found" => Ok(()),
            Err(Trouble::Down(_)) => {
                Err(unavailable("Cannot flush mail queue - mail system is down"))
            }
            Err(trouble) => Err(Exit::new(EX_TEMPFAIL, trouble.to_string())),
        }
    }

    fn flush_site(&self, site: &str) -> Result<(), Exit> {
        let shown: String = site.chars().take(100).collect();
        let literal = site.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let valid = match literal {
            Some(inner) => mail::address::parse_literal(inner.as_bytes()).is_some(),
            None => mail::address::is_valid_hostname(site.as_bytes()),
        };
        if !valid {
            let text = format!("Cannot flush mail queue - invalid destination: \"{shown}\"");
            return Err(unavailable(text));
        }
        let missing = format!("Flush service is not configured for destination \"{shown}\"");
        let domains = self.settings.params.list("fast_flush_domains");
        if domains.map_err(|error| fatal(master::Fatal::config(error)))?.is_empty() {
            return Err(unavailable(missing));
        }
        match client::control(&self.queue, &format!("flush-site {site}")) {
            Err(Trouble::Refused(_)) => Err(unavailable(missing)),
            Err(Trouble::Down(_)) => {
                Err(unavailable("Cannot flush mail queue - mail system is down"))
            }
            Err(trouble) => Err(Exit::new(EX_TEMPFAIL, trouble.to_string())),
            Ok(_) => Ok(()),
        }
    }

    fn show(&self, json: bool) -> Result<(), Exit> {
        let long = self.settings.flag("enable_long_queue_ids").map_err(fatal)?;
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        let offset = |unix: u64| {
            let time = i64::try_from(unix).ok().and_then(|s| Timestamp::from_second(s).ok());
            zone.to_offset(time.unwrap_or_default()).seconds()
        };
        let mut out = Listing {
            out: BufWriter::new(io::stdout().lock()),
            json,
            printer: Printer::new(if long { Shape::Long } else { Shape::Short }, &offset),
        };
        // First, so that what is picked up meanwhile is seen twice rather than not at all.
        let waiting = offline::maildrop(&self.queue);
        match client::connect(&self.queue, "showq") {
            Ok(stream) => {
                waiting.iter().try_for_each(|entry| out.entry(entry)).map_err(|_| closed())?;
                self.copy(BufReader::new(stream), &mut out)?;
            }
            Err(error) => {
                let entries = self.offline(&error, long)?;
                let mut all = waiting.iter().chain(&entries);
                all.try_for_each(|entry| out.entry(entry)).map_err(|_| closed())?;
            }
        }
        out.end().map_err(|_| closed())
    }

    fn copy(&self, from: impl BufRead, out: &mut Listing<'_, '_>) -> Result<(), Exit> {
        for line in from.lines() {
            let bad = || unavailable("malformed showq server response");
            let line = line.map_err(|_| bad())?;
            if out.json {
                out.line(&line).map_err(|_| closed())?;
            } else {
                let entry = Entry::parse(&line).map_err(|_| bad())?;
                out.entry(&entry).map_err(|_| closed())?;
            }
        }
        Ok(())
    }

    /// The queue on disk, for those who may read it.
    fn offline(&self, error: &io::Error, long: bool) -> Result<Vec<Entry>, Exit> {
        let name = self.settings.text("mail_name").map_err(fatal)?;
        let why = format!("(Connect to the {name} showq service: {})", system::reason(error));
        let user = rustix::process::geteuid();
        let params = &self.settings.params;
        if !user.is_root() && !master::accounts::is_mail_owner(params, user.as_raw()) {
            let text = format!("Queue report unavailable - mail system is down {why}");
            return Err(unavailable(text));
        }
        let text = format!("Mail system is down -- accessing queue directly {why}");
        self.program.say(Level::Warning, text);
        if !log_exists(&self.queue) {
            return Ok(Vec::new());
        }
        offline::log(&self.queue, long).map_err(|error| unavailable(error.to_string()))
    }
}

fn log_exists(queue: &Path) -> bool {
    let mut directory = queue.join("log").read_dir().into_iter().flatten();
    directory.next().is_some()
}

/// Nobody reads the listing any more.
fn closed() -> Exit {
    Exit::silent(EX_TEMPFAIL)
}

struct Listing<'a, 'b> {
    out: BufWriter<io::StdoutLock<'a>>,
    json: bool,
    printer: Printer<'b>,
}

impl Listing<'_, '_> {
    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.json {
            return self.line(&entry.to_string());
        }
        let text = self.printer.entry(entry);
        self.out.write_all(text.as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        if !self.json {
            self.out.write_all(self.printer.footer().as_bytes())?;
        }
        self.out.flush()
    }
}
