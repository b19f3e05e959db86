//! master.cf: one service per logical line, eight columns and arguments.
//!
//! The supervisor and the engine read [`MasterCf`]; postconf(1) works on the [`Row`]s beneath it,
//! because it shows what is written and complains in words of its own.
//!
//! **Diagnostics**: [`BadMasterCf`] is the administrator's mistake, worded as master(8) words it;
//! [`MasterCf::warnings`] hold what it only warns about.
//! **Limits**: none of its own, the caller bounds the file. Text outside comments is UTF-8.
//! **Standards**: master(5).

mod row;
#[cfg(test)]
mod tests;

pub(crate) use row::words;
pub use row::{Row, rows, unbrace, within_braces};

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::level::Level;
use crate::line::Warning;
use crate::main_cf::{BadLine, split_name_value};
use crate::params::family::{self, Family};
use crate::source::{Source, SourceError};

/// Since this level the default of the chroot column is `n`.
const NO_CHROOT_SINCE: Level = Level::new(1, 0);

/// Options of Postfix daemons that take an argument.
const OPTIONS_WITH_ARGUMENT: &[u8] = b"imnost";

/// How clients reach a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Inet,
    /// A UNIX-domain stream socket.
    Unix,
    /// A UNIX-domain datagram socket.
    UnixDgram,
    /// A named pipe (made a UNIX-domain socket by Postfix itself since 3.4).
    Fifo,
    /// Connections passed by descriptor from another service.
    Pass,
}

impl Transport {
    /// Reads the type column.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "inet" => Self::Inet,
            "unix" => Self::Unix,
            "unix-dgram" => Self::UnixDgram,
            "fifo" => Self::Fifo,
            "pass" => Self::Pass,
            _ => return None,
        })
    }

    /// As written in the type column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Unix => "unix",
            Self::UnixDgram => "unix-dgram",
            Self::Fifo => "fifo",
            Self::Pass => "pass",
        }
    }
}

/// Where an inet service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address without brackets; nothing means `inet_interfaces`.
    pub host: Option<String>,
    /// Port number, or a service name of services(5) or `known_tcp_ports`.
    pub port: String,
}

/// When a service is woken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Seconds between two calls, not 0.
    pub seconds: u32,
    /// Only once the service is in use (`?`).
    pub only_if_used: bool,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name as written.
    pub name: String,
    /// Its type.
    pub transport: Transport,
    /// Where it listens, for [`Transport::Inet`].
    pub endpoint: Option<Endpoint>,
    /// Reachable by Postfix only.
    pub private: bool,
    /// Runs as `mail_owner`, not root.
    pub unprivileged: bool,
    /// Runs in the queue directory; nothing for the default, see [`Service::chroot`].
    pub chroot: Option<bool>,
    /// When it is woken up, if ever.
    pub wakeup: Option<Wakeup>,
    /// Its greatest number of processes: 0 for no limit, nothing for `default_process_limit`.
    pub max_proc: Option<u32>,
    /// The daemon's file name.
    pub command: String,
    /// Its arguments, outer braces removed.
    pub args: Vec<String>,
    /// `-o name=value`, in order.
    pub overrides: Vec<(String, String)>,
    /// The line it starts on, from 1.
    pub line: u32,
}

impl Service {
    /// Whether it runs in the queue directory, at this compatibility level.
    pub fn chroot(&self, level: Level) -> bool {
        self.chroot.unwrap_or(level < NO_CHROOT_SINCE)
    }
}

/// A parsed master.cf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterCf {
    file: String,
    services: Vec<Service>,
    /// Services known by name and settings only, see [`MasterCf::add_settings`].
    loose: Vec<Loose>,
    warnings: Vec<MasterWarning>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Loose {
    name: String,
    program: String,
    line: u32,
    overrides: Vec<(String, String)>,
}

/// The `-o` settings of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrides<'a> {
    /// The service.
    pub service: &'a str,
    /// Its line, from 1.
    pub line: u32,
    /// Names and their values as written.
    pub settings: &'a [(String, String)],
}

/// What master(8) reads past.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MasterWarning {
    /// As in main.cf.
    Line(Warning),
    /// A second entry of the same name and type; the last one is used.
    Duplicate {
        /// The service's name.
        name: String,
        /// Its type.
        transport: Transport,
    },
}

impl fmt::Display for MasterWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(warning) => warning.fmt(f),
            Self::Duplicate { name, transport } => write!(
                f,
                "duplicate master.cf entry for service \"{name}\" ({}) -- using the last entry",
                transport.name()
            ),
        }
    }
}

/// Why a master.cf cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMasterCf {
    /// The file cannot be read.
    Source(SourceError),
    /// An entry is wrong.
    Entry {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        reason: BadEntry,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadEntry {
    /// The line ends before this column.
    Missing(&'static str),
    /// No such type.
    Transport(String),
    /// A column does not hold what it may.
    Field {
        /// The column, as master(8) calls it.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// `inet` and private.
    PrivateInet,
    /// The name of an inet service is no `host:port`.
    Endpoint {
        /// What is missing.
        missing: &'static str,
        /// The name.
        name: String,
    },
    /// Braces around an argument are wrong.
    Braces {
        /// What is wrong.
        what: &'static str,
        /// The argument.
        word: String,
    },
    /// `-o` without an argument.
    NoOverride,
    /// `-o` with something that is not `name=value`.
    Override(BadLine, String),
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "missing \"{field}\" field"),
            Self::Transport(text) => write!(f, "bad transport type: {text}"),
            Self::Field { field, value } => write!(f, "field \"{field}\": bad value: \"{value}\""),
            Self::PrivateInet => f.write_str("inet service cannot be private"),
            Self::Endpoint { missing, name } => write!(f, "missing {missing} in \"{name}\""),
            Self::Braces { what, word } => write!(f, "{what} in \"{word}\""),
            Self::NoOverride => f.write_str("option requires an argument -- 'o'"),
            Self::Override(bad, text) => write!(f, "{bad}: \"{text}\""),
            Self::NotUtf8 => f.write_str("non-UTF-8 input"),
        }
    }
}

impl fmt::Display for BadMasterCf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "fatal: {error}"),
            Self::Entry { file, line, reason } => write!(f, "fatal: {file}: line {line}: {reason}"),
        }
    }
}

impl core::error::Error for BadMasterCf {}

impl MasterCf {
    /// Reads and parses `path`.
    pub fn read(source: &dyn Source, path: &str) -> Result<Self, BadMasterCf> {
        let data = source.read(path).map_err(BadMasterCf::Source)?;
        Self::parse(path, &data)
    }

    /// Parses the bytes of `file`; the name is for messages.
    pub fn parse(file: &str, data: &[u8]) -> Result<Self, BadMasterCf> {
        let bad = |line, reason| BadMasterCf::Entry { file: file.to_string(), line, reason };
        let mut warnings = Vec::new();
        let rows = rows(file, data, &mut warnings).map_err(|line| bad(line, BadEntry::NotUtf8))?;
        let warnings = warnings.into_iter().map(MasterWarning::Line).collect();
        let mut master = Self { warnings, ..Self::empty(file) };
        for row in &rows {
            master.insert(service(row).map_err(|reason| bad(row.line, reason))?);
        }
        Ok(master)
    }

    /// A file without entries.
    pub fn empty(file: &str) -> Self {
        Self { file: file.to_string(), ..Self::default() }
    }

    /// Adds a service of which only name, program and settings matter, for [`crate::check`]:
    /// postconf(1) must say something about files that master(8) refuses.
    pub fn add_settings(
        &mut self,
        (name, program): (&str, &str),
        line: u32,
        overrides: Vec<(String, String)>,
    ) {
        let (name, program) = (name.to_string(), program.to_string());
        self.loose.push(Loose { name, program, line, overrides });
    }

    /// The `-o` of every service.
    pub fn overrides(&self) -> impl Iterator<Item = Overrides<'_>> {
        let services = self.services.iter().map(|s| (&s.name, s.line, &s.overrides));
        let all = services.chain(self.loose.iter().map(|s| (&s.name, s.line, &s.overrides)));
        all.map(|(service, line, settings)| Overrides { service, line, settings })
    }

    /// Whether a service of this name, of any type, has a member of `family`.
    pub fn has_member(&self, name: &str, family: &Family) -> bool {
        let services = self.services.iter().map(|s| (&s.name, &s.command));
        let mut all = services.chain(self.loose.iter().map(|s| (&s.name, &s.program)));
        all.any(|(service, program)| {
            let has = || family::of_program(program).any(|has| has.suffix == family.suffix);
            service == name && has()
        })
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The services, in file order; of two with the same name and type the last.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of this name and type.
    pub fn find(&self, name: &str, transport: Transport) -> Option<&Service> {
        self.services.iter().find(|s| s.name == name && s.transport == transport)
    }

    /// What master(8) would warn about.
    pub fn warnings(&self) -> &[MasterWarning] {
        &self.warnings
    }

    fn insert(&mut self, new: Service) {
        let same = |s: &&mut Service| s.name == new.name && s.transport == new.transport;
        match self.services.iter_mut().find(same) {
            Some(old) => {
                let (name, transport) = (new.name.clone(), new.transport);
                self.warnings.push(MasterWarning::Duplicate { name, transport });
                *old = new;
            }
            None => self.services.push(new),
        }
    }
}

fn service(row: &Row) -> Result<Service, BadEntry> {
    let transport = row.column(1)?;
    let transport =
        Transport::parse(transport).ok_or_else(|| BadEntry::Transport(transport.to_string()))?;
    let inet = transport == Transport::Inet;
    let name = row.column(0)?.to_string();
    let endpoint = if inet { Some(endpoint(&name)?) } else { None };
    let private = yes_no(row, 2)?;
    if inet && private == Some(true) {
        return Err(BadEntry::PrivateInet);
    }
    let args = row.args.iter().map(|word| unbrace(word).map(ToString::to_string));
    let args = args.collect::<Result<Vec<_>, _>>()?;
    Ok(Service {
        name,
        transport,
        endpoint,
        private: private.unwrap_or(!inet),
        unprivileged: yes_no(row, 3)?.unwrap_or(true),
        chroot: yes_no(row, 4)?,
        wakeup: wakeup(row)?,
        max_proc: number(row, 6, row.column(6)?)?,
        command: row.column(7)?.to_string(),
        overrides: overrides(&args)?,
        args,
        line: row.line,
    })
}

fn bad_field(row: &Row, column: usize) -> BadEntry {
    let value = row.columns.get(column).cloned().unwrap_or_default();
    BadEntry::Field { field: row::COLUMNS[column], value }
}

fn yes_no(row: &Row, column: usize) -> Result<Option<bool>, BadEntry> {
    match row.column(column)? {
        "y" => Ok(Some(true)),
        "n" => Ok(Some(false)),
        "-" => Ok(None),
        _ => Err(bad_field(row, column)),
    }
}

/// A number of up to 31 bits, or nothing for `-`.
fn number(row: &Row, column: usize, text: &str) -> Result<Option<u32>, BadEntry> {
    if text == "-" {
        return Ok(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|n| digits && i32::try_from(*n).is_ok());
    value.map(Some).ok_or_else(|| bad_field(row, column))
}

fn wakeup(row: &Row) -> Result<Option<Wakeup>, BadEntry> {
    let text = row.column(5)?;
    let bare = text.strip_suffix('?');
    let seconds = number(row, 5, bare.unwrap_or(text))?.unwrap_or(0);
    Ok((seconds > 0).then_some(Wakeup { seconds, only_if_used: bare.is_some() }))
}

/// Splits `port`, `host:port`, `[address]:port`.
fn endpoint(name: &str) -> Result<Endpoint, BadEntry> {
    let bad = |missing| BadEntry::Endpoint { missing, name: name.to_string() };
    let (host, port) = match name.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| bad("\"]\""))?;
            let port = rest.strip_prefix(':').ok_or_else(|| bad("service information"))?;
            (host, port)
        }
        None => name.rsplit_once(':').unwrap_or(("", name)),
    };
    if port.is_empty() {
        return Err(bad("service information"));
    }
    let host = (!host.is_empty()).then(|| host.to_string());
    Ok(Endpoint { host, port: port.to_string() })
}

/// The `-o` options before the first argument that is no option, as getopt(3) finds them.
fn overrides(args: &[String]) -> Result<Vec<(String, String)>, BadEntry> {
    let mut out = Vec::new();
    let mut words = args.iter();
    while let Some(options) = words.next().and_then(|word| word.strip_prefix('-')) {
        if options.is_empty() || options == "-" {
            break;
        }
        let Some(at) = options.bytes().position(|b| OPTIONS_WITH_ARGUMENT.contains(&b)) else {
            continue;
        };
        let (option, glued) = (options.as_bytes()[at], &options[at + 1..]);
        let argument =
            if glued.is_empty() { words.next().map(String::as_str) } else { Some(glued) };
        if option == b'o' {
            let text = argument.ok_or(BadEntry::NoOverride)?;
            let (name, value) = split_name_value(text)
                .map_err(|reason| BadEntry::Override(reason, text.to_string()))?;
            out.push((name.to_string(), value.to_string()));
        }
    }
    Ok(out)
}
