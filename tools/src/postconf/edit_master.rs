//! Editing master.cf: whole entries (-M with -e, -X, -#), columns (-F), `-o` settings (-P).
//!
//! Called with requests as they were typed; all are checked before the file is read. Lines that
//! no request is about are kept as they are. An entry that -F or -P changes is written in columns
//! after the comments that stand within it and behind it, where Postfix writes it, too.
//!
//! **Diagnostics**: as postconf(1). Unlike Postfix a last line without its line end is completed
//! before an entry is appended, the file's mode is kept, and an empty command is refused.

#[cfg(test)]
mod tests;

use config::main_cf::split_name_value;
use config::master_cf::rows;

use super::edit::{Kind, kind_of, read_to_edit, replace};
use super::mode::{How, Request, Section};
use super::service::{COMMAND, Entry, FIELDS, columns, entry_of_words, fits, parse_entry};
use super::{Fatal, Output};

/// What is to be done to the entries that a request names.
enum Change {
    /// -M -e: they become this one.
    Become(Box<Entry>),
    /// -MX.
    Remove,
    /// -M#.
    CommentOut,
    /// -F: a column.
    Field(usize, String),
    /// -P: a setting, or nothing to take it away.
    Setting(String, Option<String>),
}

struct Wish {
    /// As typed.
    text: String,
    name: String,
    kind: String,
    change: Change,
    /// Entries it was about.
    matches: u32,
}

impl Wish {
    /// Whether it is about the entry that `line` starts: one it names, or one that the new entry
    /// would be beside.
    fn fits(&self, line: &[u8]) -> bool {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let kind = words.next().unwrap_or_default();
        let fits = |want: &str, word: &[u8]| want == "*" || want.as_bytes() == word;
        let replaced = match &self.change {
            Change::Become(entry) => {
                entry.name().as_bytes() == name && entry.kind().as_bytes() == kind
            }
            _ => false,
        };
        replaced || fits(&self.name, name) && fits(&self.kind, kind)
    }
}

/// Edits master.cf as `request` asks.
pub(super) fn master_cf(
    request: &Request,
    how: How,
    section: Section,
    out: &mut Output,
) -> Result<(), Fatal> {
    if request.names.is_empty() {
        let text = if how == How::Set {
            "-e requires name=value argument"
        } else {
            "missing service argument"
        };
        return Err(Fatal(text.to_owned()));
    }
    let wishes = request.names.iter().map(|text| wish(text, how, section, out));
    let mut wishes = wishes.collect::<Result<Vec<_>, _>>()?;
    let path = format!("{}/master.cf", request.directory());
    let old = read_to_edit(&path)?;
    let new = if section == Section::Services {
        whole_entries(&path, &old, &mut wishes)?
    } else {
        within_entries(&path, &old, &mut wishes, out)?
    };
    if section != Section::Services {
        for wish in wishes.iter().filter(|wish| wish.matches == 0) {
            out.warn(&format!("unmatched service_name/type: \"{}\"", wish.text));
        }
    }
    replace(&path, &new)
}

fn wish(text: &str, how: How, section: Section, out: &mut Output) -> Result<Wish, Fatal> {
    if text.contains('\n') {
        return Err(Fatal("-Me, -Fe, -Pe, -X, or -# accept no multi-line input".to_owned()));
    }
    let typed = text.trim_ascii_start();
    if typed.starts_with('#') {
        return Err(Fatal("-e, -X, or -# accepts no comment input".to_owned()));
    }
    let (pattern, value) = match how {
        How::Set => {
            let bad = |bad| Fatal(format!("{bad}: \"{typed}\""));
            let (pattern, value) = split_name_value(typed).map_err(bad)?;
            (pattern, Some(value))
        }
        How::Remove | How::CommentOut => (typed.trim_ascii(), None),
    };
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let change = match (section, parts.as_slice()) {
        (Section::Services, [_, _]) => entry_change(typed, value, how, out)?,
        (Section::Fields, [_, _, field]) => field_change(field, value.unwrap_or_default())?,
        (Section::Parameters, [_, _, name]) => setting_change(name, value)?,
        (section, _) => {
            return Err(Fatal(format!("{} requires {}", flags(section), form(section))));
        }
    };
    let (name, kind) = (parts[0].to_owned(), parts[1].to_owned());
    Ok(Wish { text: typed.to_owned(), name, kind, change, matches: 0 })
}

fn flags(section: Section) -> &'static str {
    match section {
        Section::Services => "-Me, -MX or -M#",
        Section::Fields => "-Fe or -FX",
        _ => "-Pe or -PX",
    }
}

fn form(section: Section) -> &'static str {
    match section {
        Section::Services => "service_name/type",
        Section::Fields => "service_name/type/field_name",
        _ => "service_name/type/parameter",
    }
}

fn entry_change(
    typed: &str,
    value: Option<&str>,
    how: How,
    out: &mut Output,
) -> Result<Change, Fatal> {
    let Some(value) = value else {
        return Ok(if how == How::Remove { Change::Remove } else { Change::CommentOut });
    };
    let rows = rows("", value.as_bytes(), &mut Vec::new());
    let row = rows.ok().and_then(|rows| rows.into_iter().next()).unwrap_or_default();
    let row = row.split_by_braces();
    if row.columns.len() < FIELDS.len() {
        return Err(Fatal(format!("bad field count: \"{typed}\"")));
    }
    parse_entry("", &row, out).map(|entry| Change::Become(Box::new(entry)))
}

fn field_change(field: &str, value: &str) -> Result<Change, Fatal> {
    let at = FIELDS.iter().position(|name| *name == field);
    let at = at.ok_or_else(|| Fatal(format!("invalid service attribute name: \"{field}\"")))?;
    let blank = value.contains(|c: char| c.is_ascii_whitespace());
    if at != COMMAND && blank {
        return Err(Fatal("-Fe does not accept whitespace in non-command field".to_owned()));
    }
    Ok(Change::Field(at, value.to_owned()))
}

/// Whether a column may be `value`; asked only when there is an entry that it is for.
fn check_field(at: usize, value: &str) -> Result<(), Fatal> {
    let checked = (1..COMMAND).contains(&at) && !value.is_empty();
    let empty_command = at == COMMAND && value.is_empty();
    if empty_command || (checked && !fits(at, value)) {
        let field = FIELDS[at];
        return Err(Fatal(format!("invalid {field} field \"{value}\" in \"{value}\"")));
    }
    Ok(())
}

/// Postfix finds entries by what stands on their first line.
fn check_line(path: &str, number: usize, line: &[u8]) -> Result<(), Fatal> {
    let bad = |what: &str| Err(Fatal(format!("file {path}: line {number}: {what}")));
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let (Some(name), Some(kind)) = (words.next(), words.next()) else {
        return bad("specify service name and type on the same line");
    };
    for (what, word) in [("name", name), ("type", kind)] {
        if word.contains('=') {
            let editing = "is unsupported with -Me, -Fe, -Pe, -X, or -#";
            return bad(&format!("service {what} syntax \"{word}\" {editing}"));
        }
    }
    Ok(())
}

fn setting_change(name: &str, value: Option<&str>) -> Result<Change, Fatal> {
    if name == "*" {
        return Err(Fatal("-Pe does not accept wild-card parameter name".to_owned()));
    }
    if value.is_some_and(|value| value.contains(|c: char| c.is_ascii_whitespace())) {
        return Err(Fatal("-Pe does not accept whitespace in parameter value".to_owned()));
    }
    Ok(Change::Setting(name.to_owned(), value.map(str::to_owned)))
}

/// The last wish that is about the entry that `line` starts; all that are count it.
fn last_match<'a>(wishes: &'a mut [Wish], line: &[u8]) -> Option<&'a mut Wish> {
    let mut last = None;
    for wish in wishes.iter_mut().filter(|wish| wish.fits(line)) {
        wish.matches += 1;
        last = Some(wish);
    }
    last
}

/// What becomes of the lines that continue an entry.
#[derive(Clone, Copy)]
enum Rest {
    Keep,
    Drop,
    CommentOut,
}

/// -M: entries replaced, removed or commented out; new ones appended.
fn whole_entries(path: &str, old: &[u8], wishes: &mut [Wish]) -> Result<Vec<u8>, Fatal> {
    let mut new = Vec::with_capacity(old.len());
    let mut rest = Rest::Keep;
    for (number, line) in (1..).zip(old.split_inclusive(|byte| *byte == b'\n')) {
        let kind = kind_of(line);
        if kind == Kind::Setting {
            check_line(path, number, line)?;
            rest = Rest::Keep;
            if let Some(wish) = last_match(wishes, line) {
                rest = match &wish.change {
                    Change::CommentOut => Rest::CommentOut,
                    _ => Rest::Drop,
                };
                if let (Change::Become(entry), 1) = (&wish.change, wish.matches) {
                    new.extend_from_slice(written(entry).as_bytes());
                }
            }
        }
        match rest {
            _ if kind == Kind::Comment => new.extend_from_slice(line),
            Rest::Keep => new.extend_from_slice(line),
            Rest::CommentOut => new.extend([b"#", line].concat()),
            Rest::Drop => {}
        }
    }
    for wish in wishes.iter().filter(|wish| wish.matches == 0) {
        if let Change::Become(entry) = &wish.change {
            if new.last().is_some_and(|last| *last != b'\n') {
                new.push(b'\n');
            }
            new.extend_from_slice(written(entry).as_bytes());
        }
    }
    Ok(new)
}

fn written(entry: &Entry) -> String {
    columns(entry, true) + "\n"
}

/// -F and -P: entries changed within.
fn within_entries(
    path: &str,
    old: &[u8],
    wishes: &mut [Wish],
    out: &mut Output,
) -> Result<Vec<u8>, Fatal> {
    let mut new = Vec::with_capacity(old.len());
    // The entry under way, if a wish is about it, and the number of its first line.
    let mut held: Option<(usize, Vec<u8>)> = None;
    for (number, line) in (1..).zip(old.split_inclusive(|byte| *byte == b'\n')) {
        let kind = kind_of(line);
        if kind == Kind::Setting {
            check_line(path, number, line)?;
            flush(path, held.take(), wishes, (&mut new, out))?;
            if wishes.iter().any(|wish| wish.fits(line)) {
                held = Some((number, Vec::new()));
            }
        }
        match &mut held {
            Some((_, lines)) if kind != Kind::Comment => lines.extend_from_slice(line),
            _ => new.extend_from_slice(line),
        }
    }
    flush(path, held, wishes, (&mut new, out))?;
    Ok(new)
}

/// Writes the entry that was held back, changed.
fn flush(
    path: &str,
    held: Option<(usize, Vec<u8>)>,
    wishes: &mut [Wish],
    (new, out): (&mut Vec<u8>, &mut Output),
) -> Result<(), Fatal> {
    let Some((number, lines)) = held else { return Ok(()) };
    let bad = |what: &str| Fatal(format!("file {path}: line {number}: {what}"));
    let rows = rows(path, &lines, &mut Vec::new()).map_err(|_| bad("non-UTF-8 input"))?;
    let Some(row) = rows.into_iter().next() else { return Ok(()) };
    let mut row = row.split_by_braces();
    row.line = u32::try_from(number).unwrap_or(u32::MAX);
    let mut entry = parse_entry(path, &row, out)?;
    for wish in wishes.iter_mut().filter(|wish| wish.fits(&lines)) {
        wish.matches += 1;
        match &wish.change {
            Change::Field(at, value) if *at == COMMAND => {
                check_field(*at, value)?;
                let words = entry_of_words(value);
                (entry.columns[COMMAND], entry.args) = words;
            }
            Change::Field(at, value) => {
                check_field(*at, value)?;
                entry.columns[*at].clone_from(value);
            }
            Change::Setting(name, value) => entry.set(name, value.as_deref()),
            Change::Become(_) | Change::Remove | Change::CommentOut => {}
        }
    }
    if new.last().is_some_and(|last| *last != b'\n') {
        new.push(b'\n');
    }
    new.extend_from_slice(written(&entry).as_bytes());
    Ok(())
}
