//! Showing master.cf: entries (-M), columns (-F), parameters (-P).
//!
//! Reads more leniently than master(8): what an argument means is not checked, entries of the same
//! name and type are all shown.

use config::master_cf::{Row, Transport, rows, unbrace};
use config::{MasterCf, Source};

use super::mode::{Action, Request};
use super::{Fatal, Loaded, Output, print, show};
use crate::system::Files;

/// Where the columns start.
const TABS: [usize; 8] = [0, 11, 17, 25, 33, 41, 49, 57];
/// The columns as -F calls them.
const FIELDS: [&str; 8] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];

/// One entry with its arguments as postconf(1) shows them.
pub(super) struct Entry {
    columns: Vec<String>,
    /// `-o name=value` is split into `-o` and `name=value`.
    args: Vec<String>,
    line: u32,
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.columns[0]
    }

    pub(super) fn kind(&self) -> &str {
        &self.columns[1]
    }

    /// The daemon, without its directory.
    pub(super) fn command(&self) -> &str {
        let command = &self.columns[7];
        command.rsplit('/').next().unwrap_or(command)
    }

    /// The `-o` settings, sorted by name, the last of each.
    fn overrides(&self) -> std::collections::BTreeMap<String, String> {
        let pairs = self.args.windows(2).filter(|pair| pair[0] == "-o");
        let split = pairs.filter_map(|pair| config::main_cf::split_name_value(&pair[1]).ok());
        split.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Command and arguments; those with blanks in braces.
    fn command_line(&self) -> String {
        let mut out = self.columns[7].clone();
        for arg in &self.args {
            out.push(' ');
            out.push_str(&quoted(arg));
        }
        out
    }
}

fn quoted(arg: &str) -> String {
    let plain = !arg.is_empty() && !arg.contains(|c: char| c.is_ascii_whitespace());
    if plain { arg.to_owned() } else { format!("{{{arg}}}") }
}

/// Reads DIRECTORY/master.cf; a file that cannot be opened is a warning.
pub(super) fn read(directory: &str, out: &mut Output) -> Result<Vec<Entry>, Fatal> {
    let path = format!("{directory}/master.cf");
    let data = match Files.read(&path) {
        Ok(data) => data,
        Err(error) => {
            out.warn(&error.to_string());
            return Ok(Vec::new());
        }
    };
    let mut warnings = Vec::new();
    let rows = rows(&path, &data, &mut warnings)
        .map_err(|line| Fatal(format!("file {path}: line {line}: non-UTF-8 input")))?;
    warnings.iter().for_each(|warning| out.warn(&warning.to_string()));
    rows.iter().map(|row| entry(&path, row, out)).collect()
}

fn entry(path: &str, row: &Row, out: &mut Output) -> Result<Entry, Fatal> {
    if row.columns.len() < TABS.len() {
        return Err(Fatal(format!("file {path}: line {}: bad field count", row.line)));
    }
    let bad = |field: usize| {
        let text = [row.columns.join(" "), row.args.join(" ")].join(" ");
        let text = text.trim_end();
        let (name, value) = (FIELDS[field], &row.columns[field]);
        Fatal(format!("invalid {name} field \"{value}\" in \"{text}\""))
    };
    if let Some(field) = (1..7).find(|field| !fits(*field, &row.columns[*field])) {
        return Err(bad(field));
    }
    let words = row.args.iter().map(|word| {
        unbrace(word).unwrap_or_else(|error| {
            out.warn(&format!("master.cf: {error}"));
            word.trim_matches(['{', '}', ' ', '\t']).to_owned()
        })
    });
    Ok(Entry { columns: row.columns.clone(), args: normal_args(words.collect()), line: row.line })
}

fn fits(field: usize, value: &str) -> bool {
    let number =
        |text: &str| text == "-" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match field {
        1 => Transport::parse(value).is_some(),
        5 => number(value.strip_suffix('?').unwrap_or(value)),
        6 => number(value),
        _ => matches!(value, "y" | "n" | "-"),
    }
}

/// Splits `-oname=value` and `{-o name=value}`, and writes settings as `name=value`. Arguments
/// after the first that is no option stay as they are.
fn normal_args(words: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut words = words.into_iter();
    let mut options = true;
    while let Some(word) = words.next() {
        options &= word.starts_with('-') && word.len() > 1;
        let Some(rest) = word.strip_prefix("-o").filter(|_| options) else {
            out.push(word);
            continue;
        };
        out.push("-o".to_owned());
        let setting = if rest.is_empty() { words.next() } else { Some(rest.to_owned()) };
        out.extend(setting.map(|text| match config::main_cf::split_name_value(&text) {
            Ok((name, value)) => format!("{name}={value}"),
            Err(_) => text,
        }));
    }
    out
}

/// The services and their settings as the checks want them; nothing but those two is meant.
pub(super) fn lenient(path: &str, entries: &[Entry]) -> MasterCf {
    let mut master = MasterCf::empty(path);
    for entry in entries {
        let settings = entry.overrides().into_iter().collect();
        master.add_settings(entry.name(), entry.line, settings);
    }
    master
}

/// Shows what `request` names.
pub(super) fn show(request: &Request, loaded: &Loaded, out: &mut Output) -> Result<(), Fatal> {
    let everything = ["*".to_owned()];
    let names: &[String] = if request.names.is_empty() { &everything } else { &request.names };
    for name in names {
        let pattern: Vec<&str> = name.splitn(3, '/').collect();
        let mut matched = request.names.is_empty();
        for entry in &loaded.rows {
            let wanted =
                fits_pattern(&pattern, 0, entry.name()) && fits_pattern(&pattern, 1, entry.kind());
            if wanted {
                matched |= show_entry(request, loaded, entry, &pattern, out)?;
            }
        }
        if !matched {
            out.warn(&format!("unmatched request: \"{name}\""));
        }
    }
    Ok(())
}

/// An absent part of a request matches everything, like `*`.
fn fits_pattern(pattern: &[&str], part: usize, text: &str) -> bool {
    pattern.get(part).is_none_or(|want| *want == "*" || *want == text)
}

fn show_entry(
    request: &Request,
    loaded: &Loaded,
    entry: &Entry,
    pattern: &[&str],
    out: &mut Output,
) -> Result<bool, Fatal> {
    let prefix = format!("{}/{}", entry.name(), entry.kind());
    let pairs: Vec<(String, String)> = match request.action {
        Action::Fields => {
            (0..FIELDS.len()).map(|at| (FIELDS[at].to_owned(), field(entry, at))).collect()
        }
        Action::ServiceParameters => entry.overrides().into_iter().collect(),
        _ => {
            out.line(&columns(entry, request.fold));
            return Ok(true);
        }
    };
    let mut matched = false;
    for (name, value) in pairs.iter().filter(|(name, _)| fits_pattern(pattern, 2, name)) {
        matched = true;
        let value = if request.expand {
            let mut settings = vec![("service_name".to_owned(), entry.name().to_owned())];
            settings.extend(entry.overrides());
            show::expanded(&loaded.params.with_overrides(&settings), value, out)?
        } else {
            value.clone()
        };
        out.line(&print::assignment(request, &format!("{prefix}/{name}"), &value));
    }
    Ok(matched)
}

fn field(entry: &Entry, at: usize) -> String {
    if at + 1 == FIELDS.len() { entry.command_line() } else { entry.columns[at].clone() }
}

/// The entry in columns; a long field pushes the next one blank further.
fn columns(entry: &Entry, fold: bool) -> String {
    let mut out = String::new();
    for (tab, text) in TABS.iter().zip(&entry.columns) {
        let gap = tab.saturating_sub(out.len()).max(usize::from(!out.is_empty()));
        out.push_str(&" ".repeat(gap));
        out.push_str(text);
    }
    if fold {
        folded_args(&mut out, entry)
    } else {
        plain_args(&mut out, entry)
    }
    out
}

fn plain_args(out: &mut String, entry: &Entry) {
    for arg in &entry.args {
        out.push(' ');
        out.push_str(&quoted(arg));
    }
}

/// Options with their values on lines of their own, other words filled up to the limit.
fn folded_args(out: &mut String, entry: &Entry) {
    let mut column = out.len();
    let (mut at, mut options) = (0, true);
    while let Some(arg) = entry.args.get(at) {
        options &= arg.starts_with('-');
        let mut text = quoted(arg);
        at += 1;
        if let Some(value) = entry.args.get(at).filter(|_| options && arg == "-o") {
            text = format!("-o {}", quoted(value));
            at += 1;
        }
        if options || column + 1 + text.len() >= print::LINE_LIMIT {
            out.push('\n');
            out.push_str(print::INDENT);
            column = print::INDENT.len() + text.len();
        } else {
            out.push(' ');
            column += 1 + text.len();
        }
        out.push_str(&text);
    }
}
