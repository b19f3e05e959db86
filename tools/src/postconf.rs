//! postconf(1): what the command does, free of argv and exit codes.
//!
//! [`run`] is called by `bin/postconf.rs`; it fills an [`Output`] so that tests can see it.
//!
//! **Diagnostics**: warnings go to standard error as Postfix words them; a [`Fatal`] ends the
//! command with exit code 1. Warnings about a file as such come once (Postfix repeats them each
//! time it reads the file again).
//! **Standards**: postconf(1) of Postfix 3.7.

mod edit;
mod edit_master;
mod mode;
mod print;
mod service;
mod show;
mod templates;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use config::main_cf::BadMainCf;
use config::{MainCf, MasterCf, Params, Source, SourceError, check};

use crate::program::printable;
use crate::system::{self, Files};
use mode::{Action, Request};

/// Mailbox locking methods, as -l lists them.
const LOCK_TYPES: &[&str] = &["flock", "fcntl", "dotlock"];
/// SASL server implementations, as -a lists them.
const SASL_SERVERS: &[&str] = &["cyrus", "dovecot"];
/// SASL client implementations, as -A lists them.
const SASL_CLIENTS: &[&str] = &["cyrus"];

/// What -T may be asked for.
const TLS_MODES: &[&str] = &["compile-version", "run-version", "public-key-algorithms"];

/// What the command wrote.
#[derive(Debug, Default)]
pub struct Output {
    /// Standard output.
    pub text: String,
    /// Warnings, without the program's name.
    pub warnings: Vec<String>,
    /// Who speaks after that many warnings: Postfix asks a daemon for some answers.
    pub daemon: Option<(usize, String)>,
}

/// An error that ends the command; the text without `fatal: `, or nothing when all is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal(pub String);

impl Output {
    /// Writes everything and gives the exit code: 1 after a fatal error. Postfix's daemons take
    /// UTF-8 for text, its postconf knows no smtputf8_enable.
    pub fn emit(&self, program: &str, result: Result<(), Fatal>) -> ExitCode {
        let daemon = self.daemon.as_ref().map(|(from, name)| (*from, name.as_str()));
        let speaker = |at: usize| match daemon {
            Some((from, name)) if at >= from => name,
            _ => program,
        };
        for (at, warning) in self.warnings.iter().enumerate() {
            eprintln!("{}: {}", speaker(at), printable(warning, speaker(at) != program));
        }
        let written = std::io::stdout().lock().write_all(self.text.as_bytes());
        match (result, written) {
            (Ok(()), Ok(())) => ExitCode::SUCCESS,
            (Err(Fatal(text)), _) if text.is_empty() => ExitCode::FAILURE,
            (Err(Fatal(text)), _) => {
                let speaker = speaker(self.warnings.len());
                let text = printable(&text, speaker != program);
                eprintln!("{speaker}: fatal: {text}");
                ExitCode::FAILURE
            }
            (Ok(()), Err(error)) => {
                eprintln!("{program}: fatal: write error: {}", system::reason(&error));
                ExitCode::FAILURE
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(format!("warning: {text}"));
    }
}

/// The files of one run, parsed.
struct Loaded {
    params: Params,
    master: MasterCf,
    rows: Vec<service::Entry>,
    directory: String,
}

/// Does what `args` (without the program's name) ask for.
pub fn run(args: &[String], out: &mut Output) -> Result<(), Fatal> {
    let request = mode::parse(args, out)?;
    let list = match &request.action {
        Action::MapTypes => &tables::catalog::TYPES,
        Action::LockTypes => LOCK_TYPES,
        Action::SaslServers => SASL_SERVERS,
        Action::SaslClients => SASL_CLIENTS,
        Action::Templates { expanded } => {
            templates::check(&request.names)?;
            let params = load_main(&request, true, out)?;
            return templates::show(&params, &request.names, *expanded, out);
        }
        Action::Tls(mode) => {
            if TLS_MODES.contains(&mode.as_str()) {
                return Err(Fatal(format!("postconf -T {mode}: this system has no TLS library")));
            }
            out.warn(&format!("unknown 'postconf -T' mode: {mode}"));
            return Err(Fatal(String::new()));
        }
        Action::Edit(how) => return edit::main_cf(&request, *how, out),
        Action::EditMaster(how, section) => {
            return edit_master::master_cf(&request, *how, *section, out);
        }
        Action::Main | Action::Defaults => return show_main(&request, out),
        Action::Services | Action::Fields | Action::ServiceParameters => {
            return show_master(&request, out);
        }
    };
    list.iter().for_each(|word| out.line(word));
    Ok(())
}

fn show_main(request: &Request, out: &mut Output) -> Result<(), Fatal> {
    let defaults = request.action == Action::Defaults;
    let loaded = load(request, !defaults, out)?;
    if !defaults {
        undefined(&loaded, out)?;
    }
    show::parameters(request, &loaded, out)?;
    if !defaults {
        unused(&loaded, true, out);
    }
    Ok(())
}

fn show_master(request: &Request, out: &mut Output) -> Result<(), Fatal> {
    let loaded = load(request, true, out)?;
    undefined(&loaded, out)?;
    service::show(request, &loaded, out)?;
    unused(&loaded, false, out);
    Ok(())
}

/// Reads both files; without `main` only master.cf, for the names of services. When master.cf is
/// what is asked about it is read first, and must be there.
fn load(request: &Request, main: bool, out: &mut Output) -> Result<Loaded, Fatal> {
    let directory = request.directory();
    let path = format!("{directory}/master.cf");
    let asked = request.action.is_about_master();
    let entries = match asked {
        true => Some(service::read(&path, out)?.map_err(Fatal)?),
        false => None,
    };
    let params = load_main(request, main, out)?;
    let rows = match entries {
        Some(rows) => rows,
        None => service::read(&path, out)?.unwrap_or_else(|missing| {
            out.warn(&missing);
            Vec::new()
        }),
    };
    let master = service::lenient(&path, &rows);
    Ok(Loaded { params, master, rows, directory })
}

/// Reads main.cf, unless only defaults are wanted; -o goes over it.
fn load_main(request: &Request, main: bool, out: &mut Output) -> Result<Params, Fatal> {
    let directory = request.directory();
    let host = system::host("postconf")
        .map_err(|error| Fatal(format!("interfaces: {}", system::reason(&error))))?;
    let mut main_cf = MainCf::default();
    if main {
        let path = format!("{directory}/main.cf");
        let data = Files.read(&path).map_err(fatal)?;
        main_cf = settings(&path, &data, out)?;
    }
    if main && request.chosen_directory().is_some() {
        main_cf.set("config_directory", &directory);
    }
    for text in &request.overrides {
        let bad = |bad| Fatal(format!("invalid parameter override: {text}: {bad}"));
        let (name, value) = config::main_cf::split_name_value(text).map_err(bad)?;
        main_cf.set(name, value);
    }
    Ok(Params::new(main_cf, host))
}

/// The settings in `data`, the bytes of the file `path`.
fn settings(path: &str, data: &[u8], out: &mut Output) -> Result<MainCf, Fatal> {
    let parsed = MainCf::parse(path, data);
    let warnings = match &parsed {
        Ok(file) => file.warnings(),
        Err(BadMainCf::Syntax { warnings, .. }) => warnings,
        Err(_) => &[],
    };
    warnings.iter().for_each(|warning| out.warn(&warning.to_string()));
    parsed.map_err(fatal)
}

/// An error of the configuration crate, whose text starts with `fatal: `.
fn fatal(error: impl std::fmt::Display) -> Fatal {
    let text = error.to_string();
    Fatal(text.strip_prefix("fatal: ").unwrap_or(&text).to_owned())
}

/// Names that nothing defines, tables whose file is not as it should be, and values that cannot be
/// expanded: those that something reads end the command.
fn undefined(loaded: &Loaded, out: &mut Output) -> Result<(), Fatal> {
    for (file, name) in check::undefined(&loaded.params, &loaded.master) {
        out.warn(&format!("{file}: undefined parameter: {name}"));
    }
    for error in check::misread(&loaded.params, &loaded.master) {
        out.warn(&error.to_string());
    }
    for (in_main_cf, bad) in check::bad_braces(&loaded.params, &loaded.master) {
        out.warn(&format!("{}: {bad}", if in_main_cf { "main.cf" } else { "master.cf" }));
    }
    for table in check::tables(&loaded.params, &loaded.master).iter().filter(|t| t.has_file()) {
        table_file(table, out)?;
    }
    match check::malformed(&loaded.params, &loaded.master).first() {
        None => Ok(()),
        Some((name, error)) if name == check::RESTRICTION_CLASSES => {
            let Fatal(text) = show::malformed(error, out);
            Err(Fatal(format!("dictionary mail_dict: {text}")))
        }
        Some((_, error)) => Err(show::malformed(error, out)),
    }
}

/// Reads the parameters of a table behind a server and names those that no such table has.
fn table_file(table: &check::database::Table, out: &mut Output) -> Result<(), Fatal> {
    let (kind, path) = (&table.kind, &table.name);
    let data = match Files.read(path) {
        Ok(data) => data,
        Err(SourceError { reason, .. }) => {
            let reason =
                if Path::new(path).is_dir() { "not a regular file".to_owned() } else { reason };
            out.warn(&format!("open \"{kind}\" configuration \"{path}\": {reason}"));
            return Ok(());
        }
    };
    let file = settings(path, &data, out)?;
    let known: Vec<&str> = check::database::parameters(kind).collect();
    for (name, entry) in file.iter().filter(|(name, _)| !known.contains(name)) {
        out.warn(&format!("{kind}:{path}: unused parameter: {name}={}", entry.value));
    }
    Ok(())
}

fn unused(loaded: &Loaded, main: bool, out: &mut Output) {
    let main_file = format!("{}/main.cf", loaded.directory);
    for finding in check::findings(&loaded.params, &loaded.master, &|_| true) {
        if let check::Finding::Unused(place) = &finding
            && (main || place.file != main_file)
        {
            out.warn(&finding.to_string());
        }
    }
}
