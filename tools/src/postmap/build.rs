//! Making a table of its source, or adding to one.
//!
//! **Diagnostics**: Postfix's warnings with file and line, as the source is read.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::options::{Action, Duplicates};
use super::store::{Place, Rights};
use super::{Run, Syntax, files};
use crate::program::Exit;
use master::Fatal;
use master::log::Level;
use tables::catalog::{Entries, Kind, Name};
use tables::fold::fold;
use tables::source::{Entry, LogicalLine, LogicalLines, printable};

/// Every table of the command line.
pub(super) fn all(run: &Run<'_>) -> Result<(), Exit> {
    run.options.names.iter().try_for_each(|name| one(run, name))
}

fn one(run: &Run<'_>, name: &str) -> Result<(), Exit> {
    let default = run.settings.text("default_database_type")?;
    let name = Name::of_source(name, &default);
    let add = run.options.action == Action::Add;
    if name.kind == "proxy" && !add {
        return Err(Exit::new(1, "can't create maps via the proxy service"));
    }
    let (text, source) = if add { standard_input()? } else { file(&name.path)? };
    if name.kind() != Kind::Database {
        return Err(Exit::new(1, name.cannot_be_built()));
    }
    let place = Place::lock(&name)?;
    let entries = if add { place.read()? } else { None };
    let mut table = Draft { run, name: &name, entries: entries.unwrap_or_default() };
    let shown = if add { "stdin" } else { &name.path };
    LogicalLines::new(&text).for_each(|line| table.line(shown, &line));
    if run.syntax == Syntax::Alias {
        table.mark()?;
    }
    place.write(&table.entries, rights(run, source.as_ref()))?;
    Ok(())
}

fn file(path: &str) -> Result<(Vec<u8>, Option<Metadata>), Fatal> {
    let failed = |error| Fatal::system(format!("open {path}"), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|error| Fatal::system(format!("read {path}"), error))?;
    Ok((text, Some(file.metadata().map_err(failed)?)))
}

/// Standard input has no rights that a table could inherit.
fn standard_input() -> Result<(Vec<u8>, Option<Metadata>), Fatal> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut text);
    read.map_err(|error| Fatal::system("read stdin", error))?;
    Ok((text, None))
}

fn rights(run: &Run<'_>, source: Option<&Metadata>) -> Rights {
    let mode = source.filter(|_| run.options.inherit_mode).map(MetadataExt::mode);
    let owner = source.filter(|_| run.options.inherit_owner);
    let owner = owner.map(|source| (source.uid(), source.gid()));
    Rights { mode, owner, nul: run.options.nul }
}

/// A table in the making.
struct Draft<'a> {
    run: &'a Run<'a>,
    name: &'a Name,
    entries: Entries,
}

impl Draft<'_> {
    fn line(&mut self, file: &str, line: &LogicalLine) {
        let found = match self.run.syntax {
            Syntax::Map => tables::source::entry(line, self.run.utf8),
            Syntax::Alias => tables::alias::entry(line, self.run.utf8),
        };
        match found {
            Ok(entry) => {
                if self.run.syntax == Syntax::Map && entry.key.ends_with(b":") {
                    let what = "record is in \"key: value\" format; is this an alias file?";
                    self.warn(format!("{file}, line {}: {what}", line.number));
                }
                match self.value(&entry.value) {
                    Ok(value) => self.add(Entry { value, ..entry }),
                    Err(why) => {
                        let line = line.number;
                        self.warn(format!("{file}, line {line}: {why}: skipping this entry"));
                    }
                }
            }
            Err(bad) => self.warn(bad.warning(file, line)),
        }
    }

    /// The value as it is stored.
    fn value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        if !self.run.options.files {
            return Ok(value.to_vec());
        }
        files::contents(value).map(|bytes| files::encode(&bytes))
    }

    fn add(&mut self, entry: Entry) {
        let Ok(key) = fold(&entry.key, self.run.folding) else {
            let (name, key) = (self.name.shown(), printable(&entry.key));
            let why = "malformed UTF-8 or invalid codepoint";
            return self.warn(format!("{name}: non-UTF-8 key \"{key}\": {why}"));
        };
        let key = key.into_owned();
        if !self.entries.contains_key(&key) || self.run.options.duplicates == Duplicates::Replace {
            self.entries.insert(key, entry.value);
        } else if self.run.options.duplicates == Duplicates::Warn {
            let (name, key) = (self.name.in_the_making(), printable(&key));
            self.warn(format!("{name}: duplicate entry: \"{key}\""));
        }
    }

    /// What Sendmail and NIS expect in an alias database, whatever the case of keys.
    fn mark(&mut self) -> Result<(), Exit> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let host = self.run.settings.text("myhostname")?;
        self.entries.insert(b"@".to_vec(), b"@".to_vec());
        self.entries.insert(b"YP_LAST_MODIFIED".to_vec(), now.to_string().into_bytes());
        self.entries.insert(b"YP_MASTER_NAME".to_vec(), host.into_bytes());
        Ok(())
    }

    fn warn(&self, text: String) {
        self.run.program.say(Level::Warning, text);
    }
}
