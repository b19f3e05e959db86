//! postconf(1): what the command does, free of argv and exit codes.
//!
//! [`run`] is called by `bin/postconf.rs`; it fills an [`Output`] so that tests can see it.
//!
//! **Diagnostics**: warnings go to standard error as Postfix words them; a [`Fatal`] ends the
//! command with exit code 1. Warnings about a file as such come once (Postfix repeats them each
//! time it reads the file again).
//! **Standards**: postconf(1) of Postfix 3.7; bounce templates (-b, -t) and -T are refused.

mod edit;
mod mode;
mod print;
mod service;
mod show;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use config::{MainCf, MasterCf, Params, check};

use crate::system::{self, Files};
use mode::{Action, Request};

/// Lookup table types this system has, as -m lists them.
const MAP_TYPES: &[&str] = &[
    "btree",
    "cidr",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "lmdb",
    "pcre",
    "pipemap",
    "proxy",
    "randmap",
    "regexp",
    "socketmap",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
];
/// Mailbox locking methods, as -l lists them.
const LOCK_TYPES: &[&str] = &["flock", "fcntl", "dotlock"];
/// SASL server implementations, as -a lists them.
const SASL_SERVERS: &[&str] = &["cyrus", "dovecot"];
/// SASL client implementations, as -A lists them.
const SASL_CLIENTS: &[&str] = &["cyrus"];

/// What the command wrote.
#[derive(Debug, Default)]
pub struct Output {
    /// Standard output.
    pub text: String,
    /// Warnings, without the program's name.
    pub warnings: Vec<String>,
}

/// An error that ends the command; the text without `fatal: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal(pub String);

impl Output {
    /// Writes everything and gives the exit code: 1 after a fatal error.
    pub fn emit(&self, program: &str, result: Result<(), Fatal>) -> ExitCode {
        for warning in &self.warnings {
            eprintln!("{program}: {warning}");
        }
        let written = std::io::stdout().lock().write_all(self.text.as_bytes());
        match (result, written) {
            (Ok(()), Ok(())) => ExitCode::SUCCESS,
            (Err(Fatal(text)), _) => {
                eprintln!("{program}: fatal: {text}");
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
    let list = match request.action {
        Action::MapTypes => MAP_TYPES,
        Action::LockTypes => LOCK_TYPES,
        Action::SaslServers => SASL_SERVERS,
        Action::SaslClients => SASL_CLIENTS,
        Action::Edit(how) => return edit::main_cf(&request, how, out),
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
        undefined(&loaded, out);
    }
    show::parameters(request, &loaded, out)?;
    if !defaults {
        unused(&loaded, true, out);
    }
    Ok(())
}

fn show_master(request: &Request, out: &mut Output) -> Result<(), Fatal> {
    let loaded = load(request, true, out)?;
    undefined(&loaded, out);
    service::show(request, &loaded, out)?;
    unused(&loaded, false, out);
    Ok(())
}

/// Reads both files; without `main` only master.cf, for the names of services.
fn load(request: &Request, main: bool, out: &mut Output) -> Result<Loaded, Fatal> {
    let directory = request.directory();
    let host = system::host("postconf")
        .map_err(|error| Fatal(format!("interfaces: {}", system::reason(&error))))?;
    let mut main_cf = MainCf::default();
    if main {
        main_cf = MainCf::read(&Files, &format!("{directory}/main.cf")).map_err(fatal)?;
        main_cf.warnings().iter().for_each(|warning| out.warn(&warning.to_string()));
    }
    if main && request.chosen_directory().is_some() {
        main_cf.set("config_directory", &directory);
    }
    let rows = service::read(&directory, out)?;
    let master = service::lenient(&format!("{directory}/master.cf"), &rows);
    let params = Params::new(main_cf, host).with_overrides(&request.overrides);
    Ok(Loaded { params, master, rows, directory })
}

/// An error of the configuration crate, whose text starts with `fatal: `.
fn fatal(error: impl std::fmt::Display) -> Fatal {
    let text = error.to_string();
    Fatal(text.strip_prefix("fatal: ").unwrap_or(&text).to_owned())
}

fn undefined(loaded: &Loaded, out: &mut Output) {
    for (file, name) in check::undefined(&loaded.params, &loaded.master) {
        out.warn(&format!("{file}: undefined parameter: {name}"));
    }
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
