//! Tables by their names, `type:name`, and what answers behind them.
//!
//! Called by the engine when it reads its configuration and by postmap(1) and postalias(1). Files,
//! the environment and random numbers come from the [`System`] that the caller hands in.
//!
//! **Diagnostics**: a type, a name or a file that cannot be used is [`BadTable`], worded as Postfix
//! words it after `fatal: `. Lines of a `texthash:` that are left out are warned about once.
//! **Limits**: [`NESTING_MAX`].
//! **Standards**: DATABASE_README of Postfix 3.7.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::cidr::Cidr;
use crate::combine::{Folded, Pipe, Random, Union};
use crate::constant::ConstantDb;
use crate::fold::{Folding, fold};
use crate::pattern::{Pattern, Patterns, perl::Perl, posix::Posix};
use crate::simple::{BadSyntax, Fail, Static, inline, list, rules_in_braces};
use crate::source::{self, BadLine, LogicalLine, LogicalLines, printable};
use crate::{Lookup, Table, berkeley, cdb, foreign, lmdb};

/// How deep tables may be made of tables.
pub const NESTING_MAX: usize = 10;

/// Types whose keys are patterns, or whose server is asked for whole addresses only.
const PATTERNS: [&str; 7] = ["cidr", "fail", "pcre", "randmap", "regexp", "socketmap", "tcp"];

/// Types whose servers need not prove who they are.
const UNPROVEN: [&str; 3] = ["nis", "socketmap", "tcp"];

/// Types that a server or a library outside this crate answers for.
pub const REMOTE: [&str; 8] =
    ["ldap", "memcache", "mysql", "pgsql", "redis", "socketmap", "sqlite", "tcp"];

/// All types, as `postconf -m` lists them.
pub const TYPES: [&str; 27] = [
    "btree",
    "cdb",
    "cidr",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mysql",
    "nis",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "redis",
    "regexp",
    "socketmap",
    "sqlite",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
];

/// What strerror(3) says of a directory that is read.
const IS_DIRECTORY: &str = "Is a directory";

/// What a table that lives in memory holds.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A table that several threads may ask.
pub type SharedTable = Box<dyn Table + Send + Sync>;

/// What the world outside this crate gives to tables.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// All bytes of a file; an error as strerror(3) words it.
    pub read: fn(&str) -> Result<Vec<u8>, String>,
    /// What tells a file from what it was, none while there is none.
    pub stamp: fn(&str) -> Option<Stamp>,
    /// The value of an environment variable.
    pub variable: fn(&[u8]) -> Option<Vec<u8>>,
    /// A random number.
    pub random: fn() -> u64,
    /// Opens a table that a server or a library outside this crate answers for, one of [`REMOTE`].
    pub remote: fn(&Name, Parameters<'_>) -> Result<SharedTable, BadTable>,
}

/// Values of main.cf's parameters, for tables that have no file of their own.
pub type Parameters<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What changes when a file does: its device and inode, its bytes, and when it was last written, in
/// nanoseconds of the system's clock.
pub type Stamp = [u64; 4];

/// For [`System::remote`], where nothing outside answers.
///
/// # Errors
/// Always: the type is not supported.
pub fn no_remote(name: &Name, _: Parameters<'_>) -> Result<SharedTable, BadTable> {
    Err(BadTable(format!("unsupported dictionary type: {}", name.kind)))
}

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTable(pub String);

impl fmt::Display for BadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BadTable {}

impl From<BadSyntax> for BadTable {
    fn from(bad: BadSyntax) -> Self {
        Self(bad.0)
    }
}

/// What the type of a table means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file that postmap(1) makes.
    Database,
    /// One that can only be asked.
    Other,
    /// No such type.
    Unknown,
}

/// The name of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its type.
    pub kind: String,
    /// What the type makes of it, mostly a path.
    pub path: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path)
    }
}

impl Name {
    /// A table to be made, of the default type if none is named.
    pub fn of_source(text: &str, default: &str) -> Self {
        let (kind, path) = text.split_once(':').unwrap_or((default, text));
        Self { kind: kind.to_owned(), path: path.to_owned() }
    }

    /// A table to be used.
    pub fn of_table(text: &str, default: &str) -> Result<Self, BadTable> {
        let out = Self::of_source(text, default);
        if out.kind.is_empty() || out.path.is_empty() {
            let form = "expecting \"type:name\" form instead of";
            return Err(BadTable(format!("open dictionary: {form} \"{out}\"")));
        }
        Ok(out)
    }

    /// What its type means.
    pub fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "hash" | "btree" | "cdb" | "lmdb" => Kind::Database,
            "cidr" | "texthash" | "inline" | "nis" | "static" | "fail" | "environ" | "internal"
            | "pcre" | "regexp" | "unionmap" | "pipemap" | "randmap" | "proxy" | "unix" => {
                Kind::Other
            }
            kind if REMOTE.contains(&kind) => Kind::Other,
            _ => Kind::Unknown,
        }
    }

    /// The file of a [`Kind::Database`].
    pub fn database(&self) -> String {
        let suffix = match self.kind.as_str() {
            "cdb" | "lmdb" => self.kind.as_str(),
            _ => "db",
        };
        format!("{}.{suffix}", self.path)
    }

    /// A table as messages about its keys name it.
    pub fn shown(&self) -> String {
        match self.kind.as_str() {
            "hash" | "btree" => format!("{self}.db"),
            _ => self.to_string(),
        }
    }

    /// A [`Kind::Database`] as messages about its making name it.
    pub fn in_the_making(&self) -> String {
        match self.kind.as_str() {
            "cdb" => self.path.clone(),
            "lmdb" => self.to_string(),
            _ => self.database(),
        }
    }

    /// Why it cannot be made.
    pub fn cannot_be_built(&self) -> String {
        let kind = &self.kind;
        let what = format!("unsupported dictionary type: {kind}");
        match self.kind() {
            Kind::Unknown => format!("{what}. Is the postfix-{kind} package installed?"),
            _ => format!("{what} does not support bulk-mode creation."),
        }
    }
}

/// Keys and values, one after the other.
pub type Pairs<'a> = Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a>;

/// A table that answers.
pub struct Opened {
    /// Its name.
    pub name: Name,
    contents: Contents,
    fixed: bool,
    /// Only UTF-8 is a key, and only that is a value.
    utf8: bool,
}

enum Contents {
    Database(Folded<ConstantDb<Vec<u8>>>),
    Map(Folded<Entries>),
    Other(SharedTable),
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened {}", self.name)
    }
}

impl Opened {
    /// Whether keys are compared as they are. A table of patterns is asked for whole addresses
    /// only: a part of one might match what was written for a whole one.
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// It, for lookups; keys are folded where the type has it so.
    pub fn table(&self) -> &dyn Table {
        self
    }

    /// It, without a look at whether keys and values are UTF-8.
    pub fn unchecked(&self) -> &dyn Table {
        match &self.contents {
            Contents::Database(db) => db,
            Contents::Map(map) => map,
            Contents::Other(table) => table.as_ref(),
        }
    }

    /// The line of its text that answers for `key`, from 1: of the source, where postmap(1) has
    /// built it from one that is still there.
    pub fn line(&self, key: &[u8], system: &System) -> Option<usize> {
        let folding = match &self.contents {
            Contents::Database(db) => db.folding,
            Contents::Map(map) if self.name.kind == "texthash" => map.folding,
            Contents::Map(_) => return None,
            Contents::Other(table) => return table.line(key),
        };
        let text = (system.read)(&self.name.path).ok()?;
        let key = fold(key, folding).ok()?;
        let has_key = |line: &LogicalLine| {
            let entry = source::entry(line, false).ok();
            entry.is_some_and(|entry| fold(&entry.key, folding).is_ok_and(|it| it == key))
        };
        LogicalLines::new(&text).find(has_key).map(|line| line.number)
    }

    /// All it has, if it can tell.
    pub fn entries(&self) -> Option<Pairs<'_>> {
        match &self.contents {
            Contents::Database(db) => Some(Box::new(db.table.iter())),
            Contents::Map(map) if !["nis", "unix"].contains(&self.name.kind.as_str()) => {
                let pairs = map.table.iter();
                Some(Box::new(pairs.map(|(key, value)| (key.as_slice(), value.as_slice()))))
            }
            Contents::Map(_) | Contents::Other(_) => None,
        }
    }

    fn into_table(self) -> SharedTable {
        match self.contents {
            _ if self.utf8 => Box::new(self),
            Contents::Database(db) => Box::new(db),
            Contents::Map(map) => Box::new(map),
            Contents::Other(table) => table,
        }
    }
}

impl Table for Opened {
    /// Where only UTF-8 is text, other keys are not in the table, and other values are a mistake
    /// that makes it unable to tell.
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        let is_text = |bytes: &[u8]| !self.utf8 || core::str::from_utf8(bytes).is_ok();
        if !is_text(key) {
            return Lookup::NotFound;
        }
        match self.unchecked().lookup(key) {
            Lookup::Found(value) if !is_text(&value) => {
                Lookup::Retry(Cow::Borrowed("the value is not UTF-8"))
            }
            answer => answer,
        }
    }

    fn line(&self, key: &[u8]) -> Option<usize> {
        self.unchecked().line(key)
    }
}

/// How tables are opened.
pub struct Catalog<'a> {
    /// The world outside.
    pub system: System,
    /// How keys are folded.
    pub folding: Folding,
    /// Only UTF-8 is text (`smtputf8_enable`).
    pub utf8: bool,
    /// `default_database_type`.
    pub default_type: &'a str,
    /// `proxy_read_maps`.
    pub proxied: &'a [String],
    /// What comes out becomes a file's name or its owner: nobody on the network may say it, nor a
    /// part of the key, and `proxy:` is opened directly.
    pub sensitive: bool,
    /// No part of the key comes out, though nobody is kept from answering.
    pub verbatim: bool,
    /// What main.cf has for tables without a file.
    pub parameters: Parameters<'a>,
    /// Takes what should be said about the text of a table.
    pub warn: &'a dyn Fn(String),
    /// Takes the path of each file that is going to be read.
    pub reads: &'a dyn Fn(&str),
}

impl Catalog<'_> {
    /// Opens a table.
    pub fn open(&self, name: Name) -> Result<Opened, BadTable> {
        self.nested(name, 0)
    }

    fn nested(&self, name: Name, depth: usize) -> Result<Opened, BadTable> {
        if depth > NESTING_MAX {
            return Err(BadTable(format!("tables are nested too deeply: {name}")));
        }
        if self.sensitive && UNPROVEN.contains(&name.kind.as_str()) {
            return Err(BadTable(format!("{name} map is not allowed for security sensitive data")));
        }
        let path = name.path.as_str();
        let map = |table| Contents::Map(Folded { table, folding: self.folding });
        let mut fixed = !PATTERNS.contains(&name.kind.as_str());
        let contents = match name.kind.as_str() {
            "hash" | "btree" | "cdb" | "lmdb" => {
                Contents::Database(Folded { table: self.database(&name)?, folding: self.folding })
            }
            "cidr" => {
                let text = self.rules(&name)?;
                Contents::Other(Box::new(Cidr::parse(path, &text, self.warn)))
            }
            "regexp" => Contents::Other(Box::new(self.patterns::<Posix>(&name)?)),
            "pcre" => Contents::Other(Box::new(self.patterns::<Perl>(&name)?)),
            "texthash" => map(self.text_file(path)?),
            "inline" => map(self.inline_map(path)?),
            "internal" => map(Entries::new()),
            "nis" => {
                let what = "NIS domain name not set - NIS lookups disabled";
                (self.warn)(format!("dict_nis_init: {what}"));
                map(Entries::new())
            }
            "static" => Contents::Other(Box::new(Static::parse(path)?)),
            "fail" => Contents::Other(Box::new(Fail)),
            "environ" => {
                let table = Environ(self.system.variable);
                Contents::Other(Box::new(Folded { table, folding: self.folding }))
            }
            "unionmap" | "pipemap" => {
                let (tables, all_fixed) = self.members(&name, depth)?;
                fixed = all_fixed;
                match name.kind.as_str() {
                    "unionmap" => Contents::Other(Box::new(Union(tables))),
                    _ => Contents::Other(Box::new(Pipe(tables))),
                }
            }
            "randmap" => Contents::Other(self.random(&name)?),
            "unix" => map(self.accounts(&name)?),
            "proxy" if self.sensitive => {
                let direct = Name::of_table(path, self.default_type)?;
                return self.nested(direct, depth + 1);
            }
            "proxy" => {
                let opened = self.proxied(path, depth)?;
                fixed = opened.fixed;
                opened.contents
            }
            // Their keys go out as they are.
            "socketmap" | "tcp" => Contents::Other((self.system.remote)(&name, self.parameters)?),
            kind if REMOTE.contains(&kind) => {
                let table = (self.system.remote)(&name, self.parameters)?;
                Contents::Other(Box::new(Folded { table, folding: self.folding }))
            }
            kind => return Err(BadTable(format!("unsupported dictionary type: {kind}"))),
        };
        Ok(Opened { name, contents, fixed, utf8: self.utf8 })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        (self.reads)(path);
        (self.system.read)(path)
    }

    fn database(&self, name: &Name) -> Result<ConstantDb<Vec<u8>>, BadTable> {
        let path = name.database();
        let bad = |why: &dyn fmt::Display| BadTable(format!("open database {path}: {why}"));
        let bytes = self.read(&path).map_err(|why| bad(&why))?;
        database(&name.kind, bytes).map_err(|why| bad(&why))
    }

    fn patterns<P: Pattern>(&self, name: &Name) -> Result<Patterns<P>, BadTable> {
        let (path, text) = (&name.path, self.rules(name)?);
        Ok(match self.sensitive || self.verbatim {
            true => Patterns::parse_fixed(path, &text, self.warn),
            false => Patterns::parse(path, &text, self.warn),
        })
    }

    /// The rules of a table: a file's, or those in braces, one a line.
    fn rules(&self, Name { kind, path }: &Name) -> Result<Vec<u8>, BadTable> {
        if path.starts_with('{') {
            let rules = rules_in_braces(path);
            return rules.map_err(|why| BadTable(format!("{kind} map: {why}")));
        }
        self.read(path).or_else(|why| match (kind.as_str(), why.as_str()) {
            ("cidr", IS_DIRECTORY) => Err(BadTable(format!("cidr map {path}: read error: {why}"))),
            // Which has no rules, to Postfix.
            (_, IS_DIRECTORY) => Ok(Vec::new()),
            _ => Err(BadTable(format!("open {path}: {why}"))),
        })
    }

    /// A source file that is read at once; the first of equal keys stays.
    fn text_file(&self, path: &str) -> Result<Entries, BadTable> {
        let text = self.read(path).map_err(|why| match why.as_str() {
            // It can be opened all the same.
            IS_DIRECTORY => BadTable(format!("read {path}: {why}")),
            _ => BadTable(format!("open database {path}: {why}")),
        })?;
        let mut out = Entries::new();
        for line in LogicalLines::new(&text) {
            let number = line.number;
            let entry = match source::entry(&line, self.utf8) {
                Ok(entry) => entry,
                Err(bad) => {
                    let ignored =
                        if bad == BadLine::NoValue { " -- ignoring this line" } else { "" };
                    (self.warn)(bad.warning(path, &line) + ignored);
                    continue;
                }
            };
            if entry.key.ends_with(b":") {
                let what = "record is in \"key: value\" format; is this an alias file?";
                (self.warn)(format!("{path}, line {number}: {what}"));
            }
            let Ok(key) = fold(&entry.key, self.folding) else { continue };
            if out.contains_key(key.as_ref()) {
                let key = printable(&entry.key);
                (self.warn)(format!("{path}, line {number}: duplicate entry: \"{key}\""));
            } else {
                out.insert(key.into_owned(), entry.value);
            }
        }
        Ok(out)
    }

    /// The last of equal keys stays.
    fn inline_map(&self, text: &str) -> Result<Entries, BadTable> {
        let mut out = Entries::new();
        for (key, value) in inline(text)? {
            if let Ok(key) = fold(key.as_bytes(), self.folding) {
                out.insert(key.into_owned(), value.as_bytes().to_vec());
            }
        }
        Ok(out)
    }

    /// The tables a table is made of, and whether all of them compare keys as they are.
    fn members(&self, name: &Name, depth: usize) -> Result<(Vec<SharedTable>, bool), BadTable> {
        let bad = || bad_syntax(name, "type:name");
        let words = list(&name.path).filter(|words| !words.is_empty()).ok_or_else(bad)?;
        let (mut out, mut fixed) = (Vec::new(), true);
        for word in words {
            if !word.contains(':') {
                return Err(bad());
            }
            let opened = self.nested(Name::of_table(word, self.default_type)?, depth + 1)?;
            fixed &= opened.fixed;
            out.push(opened.into_table());
        }
        Ok((out, fixed))
    }

    fn random(&self, name: &Name) -> Result<SharedTable, BadTable> {
        let words = list(&name.path).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| bad_syntax(name, "value"))?;
        let values = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Ok(Box::new(Random { values, number: self.system.random }))
    }

    /// Accounts of the system's files, as they are written there.
    fn accounts(&self, name: &Name) -> Result<Entries, BadTable> {
        let path = match name.path.as_str() {
            "passwd.byname" => "/etc/passwd",
            "group.byname" => "/etc/group",
            _ => return Err(BadTable(format!("unknown table: {name}"))),
        };
        let text = self.read(path).map_err(|why| BadTable(format!("open {path}: {why}")))?;
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
    fn proxied(&self, text: &str, depth: usize) -> Result<Opened, BadTable> {
        if !self.proxied.iter().any(|word| word.strip_prefix("proxy:") == Some(text)) {
            let what = "proxymap service is not configured for table";
            return Err(BadTable(format!("{what} \"{text}\"")));
        }
        self.nested(Name::of_table(text, self.default_type)?, depth + 1)
    }
}

/// The database that a file of type `kind` holds.
///
/// # Errors
/// Why it is none.
pub fn database(kind: &str, bytes: Vec<u8>) -> Result<ConstantDb<Vec<u8>>, String> {
    let said = |bad: &dyn fmt::Display| bad.to_string();
    let entries = match kind {
        "cdb" => cdb::entries(&bytes),
        "lmdb" => lmdb::entries(&bytes),
        _ if berkeley::is_berkeley(&bytes) => berkeley::entries(&bytes),
        _ => {
            let db = ConstantDb::open(bytes).map_err(|bad| said(&bad))?;
            return db.verify().map(|()| db).map_err(|bad| said(&bad));
        }
    };
    entries.and_then(|entries| foreign::table(&entries)).map_err(|bad| said(&bad))
}

fn bad_syntax(name: &Name, need: &str) -> BadTable {
    let kind = &name.kind;
    BadTable(format!("bad syntax: \"{name}\"; need \"{kind}:{{{need}...}}\""))
}

/// The environment, which is asked at each lookup.
struct Environ(fn(&[u8]) -> Option<Vec<u8>>);

impl Table for Environ {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        // A name with these is none, and asking for it is an error.
        if key.is_empty() || key.contains(&b'=') || key.contains(&0) {
            return Lookup::NotFound;
        }
        match (self.0)(key) {
            Some(value) => Lookup::Found(Cow::Owned(value)),
            None => Lookup::NotFound,
        }
    }
}

#[cfg(test)]
mod tests;
