//! postmap(1) and postalias(1): builds, changes, lists and queries lookup tables.
//!
//! [`run`] is called by both programs, which differ in the [`Syntax`] of their text files and in
//! how they print. Each table named on the command line is one [`Name`].
//!
//! **Diagnostics**: a source line that cannot be used is a warning; what the command cannot do is
//! fatal, exit code 1; a key that is not there is exit code 1 without a word.
//! **Limits**: `tables::constant::FILE_BYTES_MAX`.
//! **Standards**: postmap(1), postalias(1) of Postfix 3.7.

mod build;
mod files;
mod lmdb;
mod message;
mod options;
mod query;
mod store;

use crate::program::{Environment, Exit, Program};
use master::log::Level;
use master::settings::{self, Settings};
use master::{Fatal, system};
use options::{Action, Options};
use remote::Setting;
use std::sync::Arc;
use tables::catalog::{BadTable, Catalog, Name, Opened, Parameters, SharedTable, System};
use tables::fold::Folding;

/// How the text of a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `key value`.
    Map,
    /// `name: value, value`.
    Alias,
}

impl Syntax {
    /// What is printed between a key and its value.
    fn separator(self) -> &'static str {
        match self {
            Self::Map => "\t",
            Self::Alias => ":\t",
        }
    }
}

/// One run of either command.
struct Run<'a> {
    program: &'a Program,
    settings: &'a Settings,
    options: &'a Options,
    syntax: Syntax,
    folding: Folding,
    utf8: bool,
}

impl Run<'_> {
    /// Opens a table.
    fn open(&self, name: Name) -> Result<Opened, Exit> {
        let system = System {
            read: system::read,
            stamp: system::stamp,
            variable: system::variable,
            random: system::random,
            remote: behind_a_server,
        };
        let catalog = Catalog {
            system,
            folding: self.folding,
            utf8: self.utf8,
            default_type: &self.settings.text("default_database_type")?,
            proxied: &self.settings.params.list("proxy_read_maps").map_err(Fatal::config)?,
            sensitive: false,
            verbatim: false,
            parameters: &|parameter| self.settings.params.own_text(parameter),
            warn: &|text| self.program.say(Level::Warning, text),
            reads: &|_| {},
        };
        Ok(catalog.open(name)?)
    }
}

/// Opens a table that a server answers for. What it warns about is said under the name the command
/// was called by: whoever opens tables knows no program.
fn behind_a_server(name: &Name, main_cf: Parameters<'_>) -> Result<SharedTable, BadTable> {
    let warn = |text: &str| {
        let called = std::env::args().next().unwrap_or_default();
        let called = called.rsplit('/').next().unwrap_or_default();
        eprintln!("{called}: {}{text}", Level::Warning.prefix());
    };
    remote::blocking_in(name, &Setting { main_cf, warn: Arc::new(warn) })
}

/// Does what the command line asks for; the exit code.
pub fn run(program: &mut Program, args: &[String], syntax: Syntax) -> Result<u8, Exit> {
    let options = options::parse(program, args, syntax)?;
    let directory = settings::directory(options.directory.as_deref());
    let name = program.name().to_owned();
    let settings = program.configure(&directory, &name, Environment::Update, 1)?;
    let utf8 = options.force_utf8 || (!options.no_utf8 && settings.flag("smtputf8_enable")?);
    let folding = match (options.fold, utf8) {
        (false, _) => Folding::Exact,
        (true, true) => Folding::Utf8,
        (true, false) => Folding::Ascii,
    };
    let run = Run { program, settings: &settings, options: &options, syntax, folding, utf8 };
    if let Some(parts) = options.parts {
        return query::find_parts(&run, parts);
    }
    match &options.action {
        Action::Build | Action::Add => build::all(&run).map(|()| 0),
        Action::Query(keys) => query::find(&run, keys),
        Action::Delete(keys) => query::delete(&run, keys),
        Action::List => query::list(&run),
    }
}
