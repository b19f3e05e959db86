//! Tables by their names, `type:name`, and what answers behind them.
//!
//! **Diagnostics**: a type or a name that cannot be used is fatal, worded as Postfix words it.
//! Warnings about the text of a `texthash:` come once, however often Postfix repeats them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Run;
use super::store::{self, Entries};
use crate::program::Exit;
use master::Fatal;
use master::log::Level;
use tables::combine::{Folded, Pipe, Random, Union};
use tables::constant::ConstantDb;
use tables::fold::fold;
use tables::simple::{Fail, Static, inline, list};
use tables::source::{self, BadLine, LogicalLines, printable};
use tables::{Lookup, Table};

/// How deep tables may be made of tables.
const NESTING_MAX: usize = 10;

/// What the type of a table means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file that these commands make.
    Database,
    /// One that they can only ask.
    Other,
    /// No such type.
    Unknown,
}

/// A table of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Its type.
    pub(super) kind: String,
    /// What the type makes of it, mostly a path.
    pub(super) path: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path)
    }
}

impl Name {
    /// A table to be made, of the default type if none is named.
    pub(super) fn of_source(text: &str, default: &str) -> Self {
        let (kind, path) = text.split_once(':').unwrap_or((default, text));
        Self { kind: kind.to_owned(), path: path.to_owned() }
    }

    /// A table to be used.
    pub(super) fn of_table(text: &str, default: &str) -> Result<Self, Fatal> {
        let out = Self::of_source(text, default);
        if out.kind.is_empty() || out.path.is_empty() {
            let form = "expecting \"type:name\" form instead of";
            return Err(Fatal(format!("open dictionary: {form} \"{text}\"")));
        }
        Ok(out)
    }

    /// What its type means.
    pub(super) fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "hash" | "btree" => Kind::Database,
            "texthash" | "inline" | "static" | "fail" | "environ" | "internal" | "unionmap"
            | "pipemap" | "randmap" | "proxy" | "unix" => Kind::Other,
            _ => Kind::Unknown,
        }
    }

    /// Why it cannot be made.
    pub(super) fn cannot_be_built(&self) -> String {
        let kind = &self.kind;
        let what = format!("unsupported dictionary type: {kind}");
        match self.kind() {
            Kind::Unknown => format!("{what}. Is the postfix-{kind} package installed?"),
            _ => format!("{what} does not support bulk-mode creation."),
        }
    }
}

/// Keys and values, one after the other.
type Pairs<'a> = Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a>;

/// A table that answers.
pub(super) struct Opened {
    /// Its name.
    pub(super) name: Name,
    contents: Contents,
}

enum Contents {
    Database(Folded<ConstantDb<Vec<u8>>>),
    Map(Folded<Entries>),
    Other(Box<dyn Table>),
}

impl Opened {
    /// Opens a table.
    pub(super) fn open(run: &Run<'_>, name: Name) -> Result<Self, Exit> {
        Self::nested(run, name, 0)
    }

    fn nested(run: &Run<'_>, name: Name, depth: usize) -> Result<Self, Exit> {
        if depth > NESTING_MAX {
            return Err(Exit::new(1, format!("tables are nested too deeply: {name}")));
        }
        let path = name.path.as_str();
        let map = |table| Contents::Map(Folded { table, folding: run.folding });
        let other = |table| Contents::Other(table);
        let contents = match name.kind.as_str() {
            "hash" | "btree" => {
                Contents::Database(Folded { table: store::open(path)?, folding: run.folding })
            }
            "texthash" => map(text_file(run, path)?),
            "inline" => map(inline_map(run, path)?),
            "internal" => map(Entries::new()),
            "static" => other(Box::new(Static::parse(path).map_err(|bad| Exit::new(1, bad.0))?)),
            "fail" => other(Box::new(Fail)),
            "environ" => other(Box::new(Folded { table: Environ, folding: run.folding })),
            "unionmap" => other(Box::new(Union(members(run, &name, depth)?))),
            "pipemap" => other(Box::new(Pipe(members(run, &name, depth)?))),
            "randmap" => other(random(&name)?),
            "unix" => map(accounts(&name)?),
            "proxy" => proxied(run, path, depth)?.contents,
            kind => {
                return Err(Exit::new(1, format!("unsupported dictionary type: {kind}")));
            }
        };
        Ok(Self { name, contents })
    }

    /// It, for lookups; keys are folded where the type has it so.
    pub(super) fn table(&self) -> &dyn Table {
        match &self.contents {
            Contents::Database(db) => db,
            Contents::Map(map) => map,
            Contents::Other(table) => table.as_ref(),
        }
    }

    /// All it has, if it can tell.
    pub(super) fn entries(&self) -> Option<Pairs<'_>> {
        match &self.contents {
            Contents::Database(db) => Some(Box::new(db.table.iter())),
            Contents::Map(map) if self.name.kind != "unix" => {
                let pairs = map.table.iter();
                Some(Box::new(pairs.map(|(key, value)| (key.as_slice(), value.as_slice()))))
            }
            Contents::Map(_) | Contents::Other(_) => None,
        }
    }

    fn into_table(self) -> Box<dyn Table> {
        match self.contents {
            Contents::Database(db) => Box::new(db),
            Contents::Map(map) => Box::new(map),
            Contents::Other(table) => table,
        }
    }
}

/// The environment, which is asked at each lookup.
struct Environ;

impl Table for Environ {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        // A name with these is none, and asking for it is an error.
        if key.is_empty() || key.contains(&b'=') || key.contains(&0) {
            return Lookup::NotFound;
        }
        match std::env::var_os(std::ffi::OsStr::from_bytes(key)) {
            Some(value) => Lookup::Found(Cow::Owned(value.into_vec())),
            None => Lookup::NotFound,
        }
    }
}

/// A source file that is read at once; the first of equal keys stays.
fn text_file(run: &Run<'_>, path: &str) -> Result<Entries, Exit> {
    let text = std::fs::read(path)
        .map_err(|error| Fatal::system(format!("open database {path}"), error))?;
    let warn = |text: String| run.program.say(Level::Warning, text);
    let mut out = Entries::new();
    for line in LogicalLines::new(&text) {
        let number = line.number;
        let entry = match source::entry(&line, run.utf8) {
            Ok(entry) => entry,
            Err(bad) => {
                let ignored = if bad == BadLine::NoValue { " -- ignoring this line" } else { "" };
                warn(bad.warning(path, &line) + ignored);
                continue;
            }
        };
        if entry.key.ends_with(b":") {
            let what = "record is in \"key: value\" format; is this an alias file?";
            warn(format!("{path}, line {number}: {what}"));
        }
        let Ok(key) = fold(&entry.key, run.folding) else { continue };
        if out.contains_key(key.as_ref()) {
            let key = printable(&key);
            warn(format!("{path}, line {number}: duplicate entry: \"{key}\""));
        } else {
            out.insert(key.into_owned(), entry.value);
        }
    }
    Ok(out)
}

/// The last of equal keys stays.
fn inline_map(run: &Run<'_>, text: &str) -> Result<Entries, Exit> {
    let pairs = inline(text).map_err(|bad| Exit::new(1, bad.0))?;
    let mut out = BTreeMap::new();
    for (key, value) in pairs {
        if let Ok(key) = fold(key.as_bytes(), run.folding) {
            out.insert(key.into_owned(), value.as_bytes().to_vec());
        }
    }
    Ok(out)
}

fn bad_syntax(name: &Name, need: &str) -> Exit {
    let kind = &name.kind;
    Exit::new(1, format!("bad syntax: \"{name}\"; need \"{kind}:{{{need}...}}\""))
}

fn members(run: &Run<'_>, name: &Name, depth: usize) -> Result<Vec<Box<dyn Table>>, Exit> {
    let bad = || bad_syntax(name, "type:name");
    let words = list(&name.path).filter(|words| !words.is_empty()).ok_or_else(bad)?;
    let mut out = Vec::new();
    for word in words {
        let (kind, path) = word.split_once(':').ok_or_else(bad)?;
        let member = Name { kind: kind.to_owned(), path: path.to_owned() };
        out.push(Opened::nested(run, member, depth + 1)?.into_table());
    }
    Ok(out)
}

fn random(name: &Name) -> Result<Box<dyn Table>, Exit> {
    let words = list(&name.path).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| bad_syntax(name, "value"))?;
    let values = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    // Each state of the standard hash table starts with random keys of the system.
    let number = || RandomState::new().build_hasher().finish();
    Ok(Box::new(Random { values, number }))
}

/// Accounts of the system's files, as they are written there.
fn accounts(name: &Name) -> Result<Entries, Exit> {
    let path = match name.path.as_str() {
        "passwd.byname" => "/etc/passwd",
        "group.byname" => "/etc/group",
        _ => return Err(Exit::new(1, format!("unknown table: {name}"))),
    };
    let text = std::fs::read(path).map_err(|error| Fatal::system(format!("open {path}"), error))?;
    let mut out = Entries::new();
    for line in text.split(|byte| *byte == b'\n') {
        let key = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if key.len() < line.len() {
            out.entry(key.to_vec()).or_insert_with(|| line.to_vec());
        }
    }
    Ok(out)
}

/// A table that `proxy_read_maps` allows; this process reads it, with its own rights.
fn proxied(run: &Run<'_>, text: &str, depth: usize) -> Result<Opened, Exit> {
    let allowed = run.settings.params.list("proxy_read_maps").map_err(Fatal::config)?;
    if !allowed.iter().any(|word| word.strip_prefix("proxy:") == Some(text)) {
        let what = "proxymap service is not configured for table";
        return Err(Exit::new(1, format!("{what} \"{text}\"")));
    }
    let default = run.settings.text("default_database_type")?;
    Opened::nested(run, Name::of_table(text, &default)?, depth + 1)
}
