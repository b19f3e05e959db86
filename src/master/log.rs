//! Log lines of the supervisor and of the commands, to `maillog_file` or to syslog.
//!
//! Lines look as Postfix writes them: `Nov 23 01:40:00 host postfix/master[12]: text` in a file,
//! `<22>Nov 23 01:40:00 postfix/master[12]: text` to /dev/log. The engine has a log of its own.
//!
//! **Diagnostics**: a log that cannot be opened or written is passed over: an ordinary user who
//! submits mail may not write the log file, and Postfix is silent then too. The supervisor opens
//! its log with [`maillog_file`], whose errors are [`Fatal`].
//! **Standards**: MAILLOG_README of Postfix 3.7; RFC 3164 for syslog.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

use crate::Fatal;
use config::Params;

/// Where syslogd listens.
const SYSLOG_SOCKET: &str = "/dev/log";
/// `maillog_file` that means standard output.
pub const STDOUT: &str = "/dev/stdout";

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something happened.
    Info,
    /// An administrator should act.
    Warning,
    /// Something failed.
    Error,
    /// The program ends.
    Fatal,
    /// A bug of ours; the program ends.
    Panic,
}

impl Level {
    /// What Postfix writes before the text.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }

    /// RFC 3164 section 4.1.1.
    fn severity(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Fatal | Self::Panic => 2,
        }
    }
}

#[derive(Debug)]
enum Sink {
    File(File),
    Stdout,
    Syslog { socket: UnixDatagram, facility: u8 },
    Nowhere,
}

/// One program's log.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    tag: String,
    host: String,
    zone: TimeZone,
    pid: bool,
}

impl Log {
    /// The log `params` asks for, as `program`; silent when it cannot be had.
    pub fn open(params: &Params, program: &str) -> Self {
        let sink = match maillog_file(params) {
            Ok(Some(Maillog::Stdout)) => Sink::Stdout,
            Ok(Some(Maillog::File(file))) => Sink::File(file),
            Ok(None) => syslog(params).unwrap_or(Sink::Nowhere),
            Err(_) => Sink::Nowhere,
        };
        let syslog_name = params.text("syslog_name").unwrap_or_default();
        let host = params.text("myhostname").unwrap_or_default();
        Self {
            sink,
            tag: tag(&syslog_name, program),
            host: host.split('.').next().unwrap_or_default().to_owned(),
            zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            pid: true,
        }
    }

    /// The same log under a tag of the caller's choice, with the process id or without.
    #[must_use]
    pub fn with_tag(self, tag: &str, pid: bool) -> Self {
        Self { tag: tag.to_owned(), pid, ..self }
    }

    /// Whether lines go to standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.sink, Sink::Stdout)
    }

    /// Writes one line; control characters become `?`.
    pub fn line(&self, level: Level, text: impl fmt::Display) {
        let text: String =
            text.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let pid = if self.pid { format!("[{}]", std::process::id()) } else { String::new() };
        let body = format!("{}{pid}: {}{text}", self.tag, level.prefix());
        // A log that fails must not stop mail, and there is nowhere to say so.
        let _unwritable = self.write(level, &body);
    }

    fn write(&self, level: Level, body: &str) -> io::Result<()> {
        let stamp = self.stamp();
        match &self.sink {
            Sink::Nowhere => Ok(()),
            Sink::Syslog { socket, facility } => {
                let priority = facility * 8 + level.severity();
                socket.send(format!("<{priority}>{stamp} {body}").as_bytes()).map(|_| ())
            }
            Sink::File(file) => {
                let mut file = file;
                file.write_all(format!("{stamp} {} {body}\n", self.host).as_bytes())
            }
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(format!("{stamp} {} {body}\n", self.host).as_bytes())?;
                out.flush()
            }
        }
    }

    /// Postfix writes the day with two digits.
    fn stamp(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
        let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        strtime::format("%b %d %H:%M:%S", &time.to_zoned(self.zone.clone())).unwrap_or_default()
    }
}

/// `postfix/master`; a program named as the syslog name stands alone.
fn tag(syslog_name: &str, program: &str) -> String {
    if syslog_name == program || program.contains('/') {
        return program.to_owned();
    }
    format!("{syslog_name}/{program}")
}

/// An open `maillog_file`.
#[derive(Debug)]
pub enum Maillog {
    /// Standard output.
    Stdout,
    /// A file, opened to append.
    File(File),
}

/// Opens `maillog_file`, made when it is missing; nothing when it is not set.
///
/// # Errors
/// When it matches no prefix of `maillog_file_prefixes` or cannot be opened.
pub fn maillog_file(params: &Params) -> Result<Option<Maillog>, Fatal> {
    let path = check_path(params)?;
    if path.is_empty() {
        return Ok(None);
    }
    if path == STDOUT {
        return Ok(Some(Maillog::Stdout));
    }
    let file = OpenOptions::new().append(true).create(true).open(&path);
    file.map(|file| Some(Maillog::File(file)))
        .map_err(|error| Fatal::system(format!("open logfile '{path}'"), error))
}

/// The value of `maillog_file`, which must be where `maillog_file_prefixes` allows.
pub fn check_path(params: &Params) -> Result<String, Fatal> {
    let path = params.text("maillog_file").map_err(Fatal::config)?;
    let prefixes = params.list("maillog_file_prefixes").map_err(Fatal::config)?;
    let allowed = prefixes.iter().any(|prefix| path.starts_with(prefix.as_str()));
    if !path.is_empty() && !allowed {
        let why = "does not match any prefix in maillog_file_prefixes";
        return Err(Fatal(format!("maillog_file value '{path}' {why}")));
    }
    Ok(path)
}

fn syslog(params: &Params) -> io::Result<Sink> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SYSLOG_SOCKET)?;
    socket.set_nonblocking(true)?;
    let facility = facility(&params.text("syslog_facility").unwrap_or_default());
    Ok(Sink::Syslog { socket, facility })
}

/// The number of a facility's name; `mail` for an unknown one.
fn facility(name: &str) -> u8 {
    const MAIL: u8 = 2;
    const LOCAL0: u8 = 16;
    let names = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"];
    if let Some(at) = names.iter().position(|known| *known == name) {
        return at as u8;
    }
    let local = name.strip_prefix("local").and_then(|digit| digit.parse::<u8>().ok());
    local.filter(|digit| *digit < 8).map_or(MAIL, |digit| LOCAL0 + digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    fn params(text: &str) -> Params {
        Params::new(MainCf::parse("main.cf", text.as_bytes()).unwrap(), Host::default())
    }

    #[test]
    fn lines_look_as_postfix_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (file, prefix) = (path.display(), dir.path().display());
        let text = format!(
            "maillog_file = {file}\nmaillog_file_prefixes = {prefix}\nmyhostname = mx.example\n"
        );
        let log = Log::open(&params(&text), "master");
        log.line(Level::Warning, "a\nb");
        let line = std::fs::read_to_string(&path).unwrap();
        let body = format!(" mx postfix/master[{}]: warning: a?b\n", std::process::id());
        assert_eq!(&line["Nov 23 01:40:00".len()..], body);
    }

    #[test]
    fn a_log_file_outside_the_prefixes_is_refused_in_postfix_words() {
        let error = maillog_file(&params("maillog_file = /usr/x\n")).unwrap_err();
        let why = "does not match any prefix in maillog_file_prefixes";
        assert_eq!(error.0, format!("maillog_file value '/usr/x' {why}"));
        assert!(maillog_file(&params("")).unwrap().is_none());
    }

    #[test]
    fn tags_and_facilities() {
        assert_eq!(tag("postfix", "postfix"), "postfix");
        assert_eq!(tag("postfix", "postdrop"), "postfix/postdrop");
        assert_eq!((facility("mail"), facility("local3"), facility("local9")), (2, 19, 2));
    }
}
