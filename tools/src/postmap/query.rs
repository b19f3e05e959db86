//! Looking up, listing and removing keys.
//!
//! A key is looked for in the tables in their order; a table is opened when it is first needed.

use std::io::{self, BufRead, BufWriter, Read, Write};

use super::message::Part;
use super::options::{Keys, Parts};
use super::store::{Place, Rights};
use super::{Run, files, message};
use crate::program::Exit;
use master::Fatal;
use master::log::Level;
use tables::Lookup;
use tables::catalog::{Kind, Name, Opened};
use tables::fold::fold;
use tables::source::{LogicalLines, entry, printable};

/// Types whose values are the names of files with -F.
const HOLDS_NAMES: [&str; 8] =
    ["cidr", "inline", "pcre", "pipemap", "randmap", "regexp", "static", "texthash"];

/// What is wrong with bytes that should be text.
const NOT_TEXT: &str = "malformed UTF-8 or invalid codepoint";

/// Types that refuse to be opened for a change.
const READ_ONLY: [&str; 14] = [
    "cidr", "inline", "ldap", "mysql", "nis", "pcre", "pgsql", "pipemap", "randmap", "regexp",
    "sqlite", "texthash", "unionmap", "unix",
];

/// `-q`: 0 when a key was found.
pub(super) fn find(run: &Run<'_>, keys: &Keys) -> Result<u8, Exit> {
    let mut tables = Tables::new(run)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut found = false;
    match keys {
        Keys::One(key) => {
            if let Some(value) = tables.find(key.as_bytes())? {
                found = true;
                out.write_all(&[&value, b"\n".as_slice()].concat()).map_err(write_error)?;
            }
        }
        Keys::Input => {
            let separator = run.syntax.separator().as_bytes();
            for key in input_keys() {
                let key = key?;
                let Some(value) = tables.find(&key)? else { continue };
                found = true;
                let line = [&key, separator, &value, b"\n"].concat();
                out.write_all(&line).map_err(write_error)?;
                // Whoever asks by pipe waits for the answer.
                out.flush().map_err(write_error)?;
            }
        }
    }
    out.flush().map_err(write_error)?;
    Ok(u8::from(!found))
}

/// `-q -` with `-h` or `-b`: the parts of the message on standard input are keys.
pub(super) fn find_parts(run: &Run<'_>, parts: Parts) -> Result<u8, Exit> {
    let mut message = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut message);
    read.map_err(|error| Fatal::system("read stdin", error))?;
    let mut tables = Tables::new(run)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut found = false;
    message::walk(&message, parts.mime, &mut |part, key| {
        let wanted = if part == Part::Header { parts.header } else { parts.body };
        // A key ends at its first NUL, as it does for Postfix.
        let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
        if wanted && let Some(value) = tables.find(key)? {
            found = true;
            out.write_all(&[key, b"\t", &value, b"\n"].concat()).map_err(write_error)?;
        }
        Ok::<(), Exit>(())
    })?;
    out.flush().map_err(write_error)?;
    Ok(u8::from(!found))
}

/// `-d`: 0 when a key was there.
pub(super) fn delete(run: &Run<'_>, keys: &Keys) -> Result<u8, Exit> {
    let default = run.settings.text("default_database_type")?;
    let keys = match keys {
        Keys::One(key) => vec![key.clone().into_bytes()],
        Keys::Input => input_keys().collect::<Result<Vec<_>, _>>()?,
    };
    let mut found = false;
    for name in &run.options.names {
        let name = Name::of_table(name, &default)?;
        if name.kind() != Kind::Database {
            return refuse_delete(run, name);
        }
        let place = Place::lock(&name)?;
        let Some(mut entries) = place.read()? else {
            // Words it as any other attempt to open it.
            run.open(name.clone())?;
            continue;
        };
        let before = entries.len();
        for key in &keys {
            if let Some(key) = folded(run, &name, key) {
                entries.remove(&key);
            }
        }
        if entries.len() < before {
            found = true;
            place.write(&entries, Rights::default())?;
        }
    }
    Ok(u8::from(!found))
}

/// `-d` for a table that postmap does not make.
fn refuse_delete(run: &Run<'_>, name: Name) -> Result<u8, Exit> {
    if READ_ONLY.contains(&name.kind.as_str()) {
        return Err(Exit::new(1, format!("{name} map requires O_RDONLY access mode")));
    }
    // An unknown type, or a table that cannot be opened, says so first.
    run.open(name.clone())?;
    Err(match name.kind.as_str() {
        "fail" => Exit::new(1, format!("table {name}: delete error: Application error")),
        "internal" => Exit::silent(1),
        _ => Exit::new(1, format!("table {name}: delete operation is not supported")),
    })
}

/// `-s`: the first table, as Postfix does.
pub(super) fn list(run: &Run<'_>) -> Result<u8, Exit> {
    let default = run.settings.text("default_database_type")?;
    let Some(name) = run.options.names.first() else { return Ok(1) };
    if name.starts_with("proxy:") {
        return Err(Exit::new(1, "can't sequence maps via the proxy service"));
    }
    let table = run.open(Name::of_table(name, &default)?)?;
    if table.name.kind == "fail" {
        let text = format!("table {}: sequence error: Application error", table.name);
        return Err(Exit::new(1, text));
    }
    let Some(entries) = table.entries() else {
        let text = format!("table {}: sequence operation is not supported", table.name);
        return Err(Exit::new(1, text));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let separator = run.syntax.separator().as_bytes();
    for (key, value) in entries {
        if key.is_empty() {
            let what = "empty lookup key value is not allowed";
            run.program.say(Level::Warning, format!("table {}: {what}", table.name));
        }
        if value.is_empty() {
            empty_value(run, &table.name, key);
        }
        let plain = run.options.files.then(|| decoded(run, &table.name, key, value));
        let value = match &plain {
            Some(Some(plain)) => plain,
            Some(None) => continue,
            None => value,
        };
        out.write_all(&[key, separator, value, b"\n"].concat()).map_err(write_error)?;
    }
    out.flush().map_err(write_error)?;
    Ok(0)
}

/// The tables of the command line, opened one by one.
struct Tables<'a> {
    run: &'a Run<'a>,
    default: String,
    opened: Vec<Opened>,
    /// Only UTF-8 is a key, and only that is a value.
    text: bool,
}

impl<'a> Tables<'a> {
    fn new(run: &'a Run<'a>) -> Result<Self, Exit> {
        let default = run.settings.text("default_database_type")?;
        // Content may be anything.
        let text = run.utf8 && run.options.parts.is_none();
        Ok(Self { run, default, opened: Vec::new(), text })
    }

    fn find(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Exit> {
        for (index, name) in self.run.options.names.iter().enumerate() {
            if index == self.opened.len() {
                let name = Name::of_table(name, &self.default)?;
                source_files(self.run, &name)?;
                self.opened.push(self.run.open(name)?);
            }
            let name = &self.opened[index].name;
            if self.text && core::str::from_utf8(key).is_err() {
                not_a_key(self.run, name, key);
                continue;
            }
            match self.opened[index].unchecked().lookup(key) {
                Lookup::Found(value) => {
                    if self.text && core::str::from_utf8(&value).is_err() {
                        return Err(not_text(self.run, name, key, &value));
                    }
                    let Some(value) = self.value(name, key, &value)? else { continue };
                    if value.is_empty() {
                        empty_value(self.run, name, key);
                    }
                    return Ok(Some(value));
                }
                Lookup::NotFound => {}
                Lookup::Retry(why) => {
                    return Err(Exit::new(1, format!("table {name}: query error: {why}")));
                }
            }
        }
        Ok(None)
    }

    /// What a table's value stands for.
    fn value(&self, name: &Name, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Exit> {
        if !self.run.options.files {
            return Ok(Some(value.to_vec()));
        }
        if HOLDS_NAMES.contains(&name.kind.as_str()) {
            return Ok(files::contents(value).ok());
        }
        match decoded(self.run, name, key, value) {
            Some(value) => Ok(Some(value)),
            None => Err(Exit::new(1, format!("table {}: query error", name.shown()))),
        }
    }
}

/// A value of a database made with -F; a warning and nothing when it was made without.
fn decoded(run: &Run<'_>, name: &Name, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let plain = files::decode(value);
    if plain.is_none() {
        let value = printable(&value[..value.len().min(files::SHOWN)]);
        let (table, key) = (name.shown(), printable(key));
        let text = format!("table {table}: key {key}: malformed BASE64 value: {value}");
        run.program.say(Level::Warning, text);
    }
    plain
}

/// With -F, says which files cannot be read before any key is looked up.
fn source_files(run: &Run<'_>, name: &Name) -> Result<(), Exit> {
    if !run.options.files {
        return Ok(());
    }
    let fatal = |text: String| Exit::new(1, text);
    match name.kind.as_str() {
        "static" => {
            let table = tables::simple::Static::parse(&name.path).map_err(|bad| fatal(bad.0))?;
            if let Lookup::Found(value) = tables::Table::lookup(&table, b"") {
                files::contents(&value).map_err(fatal)?;
            }
        }
        "inline" => {
            let entries = tables::simple::inline(&name.path).map_err(|bad| fatal(bad.0))?;
            for (_, value) in entries {
                let form = format!("\"{name}\"; need \"inline:{{name=filename...}}\"");
                files::contents(value.as_bytes()).map_err(|why| fatal(format!("{why}: {form}")))?;
            }
        }
        "texthash" => {
            // A file that cannot be read is told when the table is opened.
            let text = std::fs::read(&name.path).unwrap_or_default();
            for line in LogicalLines::new(&text) {
                let Ok(entry) = entry(&line, run.utf8) else { continue };
                if let Err(why) = files::contents(&entry.value) {
                    let at = format!("{}, line {}", name.path, line.number);
                    run.program.say(Level::Warning, format!("{at}: {why}: skipping this entry"));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The key as a database has it; none when it cannot be there.
fn folded(run: &Run<'_>, name: &Name, key: &[u8]) -> Option<Vec<u8>> {
    let folded = fold(key, run.folding).ok();
    if folded.is_none() {
        not_a_key(run, name, key);
    }
    folded.map(std::borrow::Cow::into_owned)
}

fn not_a_key(run: &Run<'_>, name: &Name, key: &[u8]) {
    let (table, key) = (name.shown(), printable(key));
    run.program.say(Level::Warning, format!("{table}: non-UTF-8 key \"{key}\": {NOT_TEXT}"));
}

fn not_text(run: &Run<'_>, name: &Name, key: &[u8], value: &[u8]) -> Exit {
    let (table, key, value) = (name.shown(), printable(key), printable(value));
    let what = format!("{table}: key \"{key}\": non-UTF-8 value \"{value}\": {NOT_TEXT}");
    run.program.say(Level::Warning, what);
    Exit::new(1, format!("table {table}: query error"))
}

fn empty_value(run: &Run<'_>, name: &Name, key: &[u8]) {
    let warn = |text: String| run.program.say(Level::Warning, text);
    let key = printable(key);
    warn(format!("table {name}: key {key}: empty string result is not allowed"));
    warn(format!("table {name} should return NO RESULT in case of NOT FOUND"));
}

fn input_keys() -> impl Iterator<Item = Result<Vec<u8>, Fatal>> {
    let lines = io::stdin().lock().split(b'\n');
    lines.map(|line| line.map_err(|error| Fatal::system("read stdin", error)))
}

fn write_error(error: io::Error) -> Exit {
    Fatal::system("write error", error).into()
}
