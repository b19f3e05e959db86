//! Showing master.cf: entries (-M), columns (-F), parameters (-P).
//!
//! Reads more leniently than master(8): what an argument means is not checked, entries of the same
//! name and type are all shown.

use config::master_cf::{Row, Transport, rows, within_braces};
use config::{MasterCf, Params, Source};

use super::mode::{Action, Request};
use super::{Fatal, Loaded, Output, print, show};
use crate::system::Files;

/// Where the columns start.
const TABS: [usize; 8] = [0, 11, 17, 25, 33, 41, 49, 57];
/// The columns as -F calls them.
pub(super) const FIELDS: [&str; 8] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"];

/// The last column, with the arguments.
pub(super) const COMMAND: usize = FIELDS.len() - 1;

/// One entry with its arguments as postconf(1) shows them.
pub(super) struct Entry {
    pub(super) columns: Vec<String>,
    /// `-o name=value` is split into `-o` and `name=value`.
    pub(super) args: Vec<String>,
    line: u32,
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.columns[0]
    }

    pub(super) fn kind(&self) -> &str {
        &self.columns[1]
    }

    /// The daemon as it is written.
    pub(super) fn program(&self) -> &str {
        &self.columns[7]
    }

    /// The `-o` settings, sorted by name, the last of each. They end with the options.
    fn overrides(&self) -> std::collections::BTreeMap<String, String> {
        let mut out = std::collections::BTreeMap::new();
        let mut args = self.args.iter();
        while let Some(option) = args.next().filter(|arg| arg.starts_with('-')) {
            let value = if matches!(option.as_str(), "-" | "-o") { args.next() } else { None };
            let setting = value.filter(|_| option == "-o");
            let pair = setting.and_then(|text| config::main_cf::split_name_value(text).ok());
            out.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        out
    }

    /// Sets `-o name=value` wherever it stands, else after the last option; nothing takes it away.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        let new = value.map(|value| ["-o".to_owned(), format!("{name}={value}")]);
        let (mut args, mut found, mut options) = (Vec::new(), false, true);
        let mut old = std::mem::take(&mut self.args).into_iter().peekable();
        while let Some(arg) = old.next() {
            if options && !(arg.starts_with('-') && arg.len() > 1) {
                options = false;
                args.extend(new.iter().flatten().filter(|_| !found).cloned());
                found = true;
            }
            let setting = if options && arg == "-o" { old.next() } else { None };
            let same = setting.as_deref().and_then(|text| text.split_once('='));
            if same.is_some_and(|(other, _)| other == name) {
                args.extend(new.iter().flatten().cloned());
                found = true;
                continue;
            }
            args.push(arg);
            args.extend(setting);
        }
        args.extend(new.into_iter().flatten().filter(|_| !found));
        self.args = args;
    }

    /// What names mean in its settings.
    fn scope(&self, params: &Params) -> Params {
        let mut settings = vec![("service_name".to_owned(), self.name().to_owned())];
        settings.extend(self.overrides());
        params.with_overrides(&settings)
    }

    /// The same with its settings expanded.
    fn expanded(&self, params: &Params, out: &mut Output) -> Result<Self, Fatal> {
        let params = self.scope(params);
        let mut entry = Self { args: Vec::new(), columns: self.columns.clone(), line: self.line };
        let mut setting = false;
        for arg in &self.args {
            let expanded = match setting && arg.contains('=') {
                true => show::expanded(&params, arg, out)?,
                false => arg.clone(),
            };
            setting = arg == "-o";
            entry.args.push(expanded);
        }
        Ok(entry)
    }
}

/// The command and its arguments of the text of a -F request.
pub(super) fn entry_of_words(text: &str) -> (String, Vec<String>) {
    // The other columns are of no interest.
    let line = format!("- - - - - - - {text}");
    let rows = rows("", line.as_bytes(), &mut Vec::new()).unwrap_or_default();
    let row = rows.into_iter().next().unwrap_or_default();
    let command = row.columns.last().cloned().unwrap_or_default();
    let words = row.args.iter().map(|word| within_braces(word).0.to_owned());
    (command, normal_args(words.collect()))
}

fn quoted(arg: &str) -> String {
    let plain = !arg.contains(|c: char| c.is_ascii_whitespace());
    if plain { arg.to_owned() } else { format!("{{{arg}}}") }
}

/// Reads master.cf; the inner error says why it cannot be opened.
pub(super) fn read(path: &str, out: &mut Output) -> Result<Result<Vec<Entry>, String>, Fatal> {
    let data = match Files.read(path) {
        Ok(data) => data,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut warnings = Vec::new();
    let rows = rows(path, &data, &mut warnings)
        .map_err(|line| Fatal(format!("file {path}: line {line}: non-UTF-8 input")))?;
    warnings.iter().for_each(|warning| out.warn(&warning.to_string()));
    let rows = rows.into_iter().map(Row::split_by_braces);
    rows.map(|row| parse_entry(path, &row, out)).collect::<Result<_, _>>().map(Ok)
}

/// One row, its columns checked; `path` is for messages.
pub(super) fn parse_entry(path: &str, row: &Row, out: &mut Output) -> Result<Entry, Fatal> {
    if row.columns.len() < TABS.len() {
        return Err(Fatal(format!("file {path}: line {}: bad field count", row.line)));
    }
    let bad = |field: usize| {
        let text = &row.text;
        let (name, value) = (FIELDS[field], &row.columns[field]);
        Fatal(format!("invalid {name} field \"{value}\" in \"{text}\""))
    };
    if let Some(field) = (1..7).find(|field| !fits(*field, &row.columns[*field])) {
        return Err(bad(field));
    }
    let mut words: Vec<String> = Vec::new();
    for word in &row.args {
        let (text, wrong) = within_braces(word);
        wrong.iter().for_each(|error| out.warn(&format!("master.cf: {error}")));
        let braced = word.starts_with('{') && words.last().is_some_and(|last| last == "-o");
        if let Some(bad) = config::main_cf::split_name_value(text).err().filter(|_| braced) {
            out.warn(&format!("master.cf: {bad}: \"{text}\""));
        }
        words.push(text.to_owned());
    }
    Ok(Entry { columns: row.columns.clone(), args: normal_args(words), line: row.line })
}

pub(super) fn fits(field: usize, value: &str) -> bool {
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
        options &= word.starts_with('-');
        // Postfix takes it for an option with a value.
        if options && word == "-" {
            out.push(word);
            out.extend(words.next());
            continue;
        }
        let Some((before, rest)) = word.split_once('o').filter(|_| options) else {
            out.push(word);
            continue;
        };
        // Other letters may be glued to it.
        out.extend((before != "-").then(|| before.to_owned()));
        out.push("-o".to_owned());
        let rest = within_braces(rest).0.to_owned();
        let setting = if rest.is_empty() { words.next() } else { Some(rest) };
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
        master.add_settings((entry.name(), entry.program()), entry.line, settings);
    }
    master
}

/// Shows what `request` names.
pub(super) fn show(request: &Request, loaded: &Loaded, out: &mut Output) -> Result<(), Fatal> {
    let everything = ["*".to_owned()];
    let names: &[String] = if request.names.is_empty() { &everything } else { &request.names };
    let parts_max = if request.action == Action::Services { 2 } else { 3 };
    for name in names {
        let pattern: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
        let pattern = if name.starts_with('/') { Vec::new() } else { pattern };
        check_pattern(&request.action, &pattern, parts_max)?;
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

fn check_pattern(action: &Action, pattern: &[&str], parts_max: usize) -> Result<(), Fatal> {
    if pattern.is_empty() || pattern.len() > parts_max {
        return Err(Fatal(match action {
            Action::Services => "-M option requires service_name[/type]".to_owned(),
            Action::Fields => "-F option requires service_name[/type[/field]]".to_owned(),
            _ => "-P option requires service_name[/type[/parameter]]".to_owned(),
        }));
    }
    match pattern.get(2) {
        Some(field) if *action == Action::Fields && *field != "*" && !FIELDS.contains(field) => {
            Err(Fatal(format!("invalid service attribute name: \"{field}\"")))
        }
        _ => Ok(()),
    }
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
    if request.action == Action::ServiceParameters {
        return show_settings(request, loaded, entry, pattern, out);
    }
    let expanded;
    let entry = match request.expand {
        true => {
            expanded = entry.expanded(&loaded.params, out)?;
            &expanded
        }
        false => entry,
    };
    if request.action == Action::Fields {
        return Ok(show_fields(request, entry, pattern, out));
    }
    out.line(&columns(entry, request.fold));
    Ok(true)
}

fn show_fields(request: &Request, entry: &Entry, pattern: &[&str], out: &mut Output) -> bool {
    let mut matched = false;
    let wanted = (0..FIELDS.len()).filter(|at| fits_pattern(pattern, 2, FIELDS[*at]));
    for at in wanted {
        matched = true;
        let name = format!("{}/{}/{}", entry.name(), entry.kind(), FIELDS[at]);
        let mut line = field(request, &name, &entry.columns[at]);
        if at == COMMAND && !request.hide_value {
            with_args(&mut line, entry, request.fold);
        }
        out.line(&line);
    }
    matched
}

/// `name = value`; what is too long for one line stands on two, also without -f.
fn field(request: &Request, name: &str, value: &str) -> String {
    let line = print::assignment(request, name, value);
    let both = !request.hide_name && !request.hide_value;
    if both && line.len() > print::LINE_LIMIT {
        return format!("{name} = \n{}{value}", print::INDENT);
    }
    line
}

fn show_settings(
    request: &Request,
    loaded: &Loaded,
    entry: &Entry,
    pattern: &[&str],
    out: &mut Output,
) -> Result<bool, Fatal> {
    let mut matched = false;
    let scope = entry.scope(&loaded.params);
    for (name, value) in entry.overrides() {
        if !fits_pattern(pattern, 2, &name) {
            continue;
        }
        matched = true;
        let value = if request.expand { show::expanded(&scope, &value, out)? } else { value };
        let name = format!("{}/{}/{name}", entry.name(), entry.kind());
        out.line(&print::assignment(request, &name, &value));
    }
    Ok(matched)
}

/// The entry in columns; a long field pushes the next one blank further.
pub(super) fn columns(entry: &Entry, fold: bool) -> String {
    let mut out = String::new();
    for (tab, text) in TABS.iter().zip(&entry.columns) {
        let gap = tab.saturating_sub(out.len()).max(usize::from(!out.is_empty()));
        out.push_str(&" ".repeat(gap));
        out.push_str(text);
    }
    with_args(&mut out, entry, fold);
    out
}

fn with_args(out: &mut String, entry: &Entry, fold: bool) {
    if fold {
        folded_args(out, entry);
    } else {
        plain_args(out, entry);
    }
}

fn plain_args(out: &mut String, entry: &Entry) {
    for arg in &entry.args {
        out.push(' ');
        out.push_str(&quoted(arg));
    }
}

/// Settings on lines of their own, other words filled up to the limit.
fn folded_args(out: &mut String, entry: &Entry) {
    let mut column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    let (mut at, mut options, mut after_setting) = (0, true, false);
    while let Some(arg) = entry.args.get(at) {
        options &= arg.starts_with('-');
        let mut text = quoted(arg);
        at += 1;
        let with_value = options && matches!(arg.as_str(), "-" | "-o");
        let value = entry.args.get(at).filter(|_| with_value);
        if let Some(value) = value {
            text = format!("{arg} {}", quoted(value));
            at += 1;
        }
        let apart = value.is_some() || after_setting;
        after_setting = value.is_some();
        if apart || column + 1 + text.len() >= print::LINE_LIMIT {
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
