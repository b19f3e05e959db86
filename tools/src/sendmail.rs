//! sendmail(1), mailq(1), newaliases(1): Sendmail's command line on this mail system.
//!
//! [`run`] is called by `bin/sendmail.rs`, which has three names. A submission is piped to
//! postdrop(1), the only program that may write the maildrop directory; the rest is done by the
//! programs Postfix has for it.
//!
//! **Diagnostics**: on standard error and in the log; exit codes of sysexits(3), nearly always 75.
//! **Limits**: `line_length_limit`; postdrop applies `message_size_limit`.
//! **Standards**: sendmail(1) of Postfix 3.7.

mod address;
mod content;
mod drop;
mod options;
mod smtp;

use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::process::Command;

use mail::record::{kind, put};

use crate::program::{EX_TEMPFAIL, EX_UNAVAILABLE, Environment, Exit, Program, sibling};
use content::{LineEndings, Rules};
use drop::{Drop, DropError, status};
use master::accounts;
use master::log::Level;
use master::settings::{self, Settings};
use options::{Mode, Options};

/// Does what the command line asks for; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let mut chosen = options::directory(args);
    chosen = Some(settings::directory(chosen.as_deref()));
    let directory = chosen.unwrap_or_default();
    let name = if program.name() == "mailq" { "sendmail" } else { program.name() }.to_owned();
    let settings = program.configure(&directory, &name, Environment::Update, EX_TEMPFAIL)?;
    let options = options::parse(program, args)?;
    match &options.mode {
        Mode::Enqueue => enqueue(program, &settings, &options).map(|()| 0),
        Mode::Smtp => smtp::run(program, &settings),
        Mode::List => become_program(&settings, "postqueue", &["-p".to_owned()]),
        Mode::Flush => become_program(&settings, "postqueue", &["-f".to_owned()]),
        Mode::FlushMessage(id) => {
            become_program(&settings, "postqueue", &["-i".to_owned(), id.clone()])
        }
        Mode::FlushSite(site) => {
            become_program(&settings, "postqueue", &["-s".to_owned(), site.clone()])
        }
        Mode::Daemon => become_program(&settings, "postfix", &["start".to_owned()]),
        Mode::Aliases => {
            let databases = settings.params.list("alias_database");
            let databases = databases.map_err(|error| temporary(master::Fatal::config(error)))?;
            become_program(&settings, "postalias", &databases)
        }
        Mode::Nothing => Ok(0),
    }
}

fn temporary(fatal: master::Fatal) -> Exit {
    Exit::new(EX_TEMPFAIL, fatal.0)
}

/// Runs a command of this system in this one's place.
fn become_program(settings: &Settings, name: &str, args: &[String]) -> Result<u8, Exit> {
    let path = sibling(settings, name, "command_directory").map_err(temporary)?;
    let mut command = Command::new(&path);
    let error = command.arg("-c").arg(&settings.directory).args(args).exec();
    let why = crate::system::reason(&error);
    Err(Exit::new(EX_TEMPFAIL, format!("execute {}: {why}", path.display())))
}

/// Who submits.
struct Submitter {
    uid: u32,
    login: String,
    full_name: Option<String>,
}

impl Submitter {
    fn find() -> Result<Self, Exit> {
        let uid = rustix::process::getuid().as_raw();
        let (login, gecos) = accounts::of_uid(uid).ok_or_else(|| {
            Exit::new(EX_TEMPFAIL, format!("no login name found for user ID {uid}"))
        })?;
        let environment = std::env::var("NAME").ok().filter(|name| !name.is_empty());
        let full_name = environment.or_else(|| full_name(&gecos, &login));
        Ok(Self { uid, login, full_name })
    }
}

/// The name in a GECOS field: up to the comma, `&` for the capitalised login name.
fn full_name(gecos: &str, login: &str) -> Option<String> {
    let mut first = login.chars();
    let capital: String =
        first.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(first).collect();
    let name = gecos.split([',', ';', '%']).next().unwrap_or_default();
    let name = name.replace('&', &capital);
    (!name.is_empty()).then_some(name)
}

fn enqueue(program: &Program, settings: &Settings, options: &Options) -> Result<(), Exit> {
    // A message that asks what would become of it must not be delivered.
    if options.probe {
        let text = "-bv: what would become of a message cannot be asked; nothing is sent";
        return Err(Exit::new(EX_UNAVAILABLE, text.to_owned()));
    }
    let user = Submitter::find()?;
    let allowed =
        crate::access::user_is_listed(&settings.params, "authorized_submit_users", user.uid);
    allowed.map_err(|refusal| Exit::new(EX_UNAVAILABLE, format!("{refusal} submit mail")))?;
    let sender = sender(program, options, &user);
    let shown = options.sender.as_deref().unwrap_or(&user.login);
    let label = format!("{shown}({})", user.uid);
    let fatal = |text: String| Exit::new(EX_TEMPFAIL, format!("{label}: {text}"));
    if !options.extract && options.recipients.is_empty() {
        let how = "specified on the command line or via the -t option";
        return Err(fatal(format!("Recipient addresses must be {how}")));
    }
    let postdrop = sibling(settings, "postdrop", "command_directory").map_err(temporary)?;
    let command = Drop::command(&postdrop);
    let cannot = |error: DropError| fatal(format!("unable to execute {command}: {error}"));
    let mut drop = Drop::start(&postdrop, &settings.directory).map_err(cannot)?;
    drop.write(&envelope(settings, options, &user, &sender)?);
    let found = copy_input(settings, options, &mut drop).map_err(&fatal)?;
    if options.extract && found.is_empty() && options.recipients.is_empty() {
        drop.abandon();
        return Err(fatal("No recipient addresses found in message header".to_owned()));
    }
    drop.write(&extracted(&found));
    finish(program, drop, &label)?;
    if options.verbose == 1 {
        program.say(Level::Warning, "-v: no delivery report will be mailed");
    }
    Ok(())
}

fn finish(program: &Program, drop: Drop, label: &str) -> Result<(), Exit> {
    drop.finish().map_err(|error| {
        if matches!(error, DropError::Refused { status, .. } if status & status::SIZE != 0) {
            program.say(Level::Warning, "mail_stream_cleanup: close error");
        }
        Exit::new(EX_TEMPFAIL, format!("{label}: {error}"))
    })
}

/// The sender in internal form: the first address of `-f`, or the login name.
fn sender(program: &Program, options: &Options, user: &Submitter) -> Vec<u8> {
    let Some(given) = &options.sender else { return user.login.clone().into_bytes() };
    let found = address::list(given.as_bytes());
    let malformed = found.len() > 1 || found.first().is_some_and(|first| first.ends_with(b"@"));
    if malformed && !given.is_empty() {
        let text = format!("-f option specified malformed sender: {given}");
        program.say(Level::Warning, text);
    }
    found.into_iter().next().unwrap_or_default()
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    put(out, kind::ATTRIBUTE, format!("{name}={value}").as_bytes());
}

/// Everything before the content.
fn envelope(
    settings: &Settings,
    options: &Options,
    user: &Submitter,
    sender: &[u8],
) -> Result<Vec<u8>, Exit> {
    let mut out = Vec::new();
    if let Some(envid) = &options.envid {
        attribute(&mut out, "envelope_id", envid);
    }
    if let Some(ret) = options.ret {
        attribute(&mut out, "ret_flags", &ret.to_string());
    }
    let context = if options.gateway { "remote" } else { "local" };
    attribute(&mut out, "rewrite_context", context);
    if let Some(name) = options.full_name.as_ref().or(user.full_name.as_ref()) {
        put(&mut out, kind::FULL_NAME, name.as_bytes());
    }
    put(&mut out, kind::SENDER, sender);
    if let Some(verp) = &options.verp {
        if sender.is_empty() {
            let text = format!("({}): -V option requires non-null sender address", user.uid);
            return Err(Exit::new(EX_TEMPFAIL, text));
        }
        let default = settings.text("default_verp_delimiters").map_err(temporary)?;
        let verp = if verp.is_empty() { &default } else { verp };
        put(&mut out, kind::VERP, verp.as_bytes());
    }
    if let Some(encoding) = options.encoding {
        attribute(&mut out, "encoding", encoding);
    }
    for recipient in recipients(options) {
        if options.notify != 0 {
            attribute(&mut out, "notify_flags", &options.notify.to_string());
        }
        put(&mut out, kind::RECIPIENT, &recipient);
    }
    put(&mut out, kind::MESSAGE, b"");
    Ok(out)
}

/// Recipients of the command line; an argument without any is an empty address.
fn recipients(options: &Options) -> impl Iterator<Item = Vec<u8>> {
    options.recipients.iter().flat_map(|argument| {
        let found = address::list(argument.as_bytes());
        if found.is_empty() { vec![Vec::new()] } else { found }
    })
}

fn copy_input(
    settings: &Settings,
    options: &Options,
    drop: &mut Drop,
) -> Result<Vec<Vec<u8>>, String> {
    let params = &settings.params;
    let endings = match params.text("sendmail_fix_line_endings").as_deref() {
        Ok("never") => LineEndings::Never,
        Ok("strict") => LineEndings::Strict,
        _ => LineEndings::Always,
    };
    let line_max = params.int("line_length_limit").map_err(|error| error.to_string())?;
    let rules = Rules {
        line_max: usize::try_from(line_max).unwrap_or(usize::MAX).max(1),
        endings,
        dot_ends: !options.dots_are_text,
        extract: options.extract,
    };
    let mut input = BufReader::new(std::io::stdin());
    content::copy(&mut input, rules, &mut |records| {
        drop.write(records);
        Ok(())
    })
    .map_err(|error| format!("error reading input: {}", crate::system::reason(&error)))
}

/// The end of the content, the recipients of its header, the end.
fn extracted(recipients: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind::EXTRACTED, b"");
    recipients.iter().for_each(|recipient| put(&mut out, kind::RECIPIENT, recipient));
    put(&mut out, kind::END, b"");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_come_from_gecos() {
        assert_eq!(full_name("Alice Example,Room 1", "alice").as_deref(), Some("Alice Example"));
        assert_eq!(full_name("& Example", "bob").as_deref(), Some("Bob Example"));
        assert_eq!(full_name("", "dave"), None);
    }

    #[test]
    fn the_first_address_is_the_sender() {
        let program = Program::new("sendmail", crate::program::Voice::Terminal);
        let user = Submitter { uid: 1, login: "bob".to_owned(), full_name: None };
        let of = |given: Option<&str>| {
            let options = Options { sender: given.map(str::to_owned), ..Options::default() };
            String::from_utf8(sender(&program, &options, &user)).unwrap()
        };
        assert_eq!(of(None), "bob");
        assert_eq!(of(Some("bad address@")), "bad");
        assert_eq!(of(Some("<>")), "");
        assert_eq!(of(Some("<\"a b\"@c>")), "a b@c");
    }
}
