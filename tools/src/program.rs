//! What a command says and where: standard error, and the mail log.
//!
//! Made once by each command's `run`, under the name it was called by. Postfix's administrative
//! commands speak on standard error only when it is a terminal; the others always do.
//!
//! **Diagnostics**: [`Exit`] is how a command ends early: text, and one of sysexits(3).

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use master::Fatal;
use master::log::{Level, Log};
use master::settings::Settings;
use tables::catalog::BadTable;

/// sysexits(3): a bad command line.
pub const EX_USAGE: u8 = 64;
/// sysexits(3): bad input.
pub const EX_DATAERR: u8 = 65;
/// sysexits(3): a service is not available.
pub const EX_UNAVAILABLE: u8 = 69;
/// sysexits(3): a bug.
pub const EX_SOFTWARE: u8 = 70;
/// sysexits(3): try again later.
pub const EX_TEMPFAIL: u8 = 75;

/// Where a program speaks besides the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Always on standard error.
    Always,
    /// On standard error when it is a terminal.
    Terminal,
}

/// How a program uses `import_environment`, which decides what it says of a bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Adds to what it was given, then opens its log.
    Update,
    /// Opens its log, then keeps what is listed: set-gid programs.
    Clean,
}

impl Environment {
    /// What is wrong with `import_environment` and `maillog_file`.
    fn check(self, settings: &Settings) -> Option<String> {
        let log = || master::log::check_path(&settings.params).err().map(|fatal| fatal.0);
        match self {
            Self::Update => bad_environment(settings, "update_env").or_else(log),
            Self::Clean => log().or_else(|| bad_environment(settings, "clean_env")),
        }
    }
}

/// The first word of `import_environment` that is neither a name nor `name=value`.
fn bad_environment(settings: &Settings, who: &str) -> Option<String> {
    let words = settings.params.list("import_environment").ok()?;
    words.iter().find_map(|word| match config::master_cf::unbrace(word) {
        Err(bad) => Some(format!("import_environment: {bad}")),
        Ok(text) if text.contains('=') => match config::main_cf::split_name_value(text) {
            Ok(_) => None,
            Err(bad) => Some(format!("{who}: {bad} in: {text}")),
        },
        Ok(_) => None,
    })
}

/// A fatal error: what is logged, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The text after `fatal: `; nothing when all is said.
    pub text: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl Exit {
    /// A fatal error with an exit code.
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), code }
    }

    /// An exit without a word.
    pub fn silent(code: u8) -> Self {
        Self { text: None, code }
    }
}

impl From<Fatal> for Exit {
    fn from(fatal: Fatal) -> Self {
        Self::new(1, fatal.0)
    }
}

impl From<BadTable> for Exit {
    fn from(bad: BadTable) -> Self {
        Self::new(1, bad.0)
    }
}

/// A command.
#[derive(Debug)]
pub struct Program {
    name: String,
    stderr: bool,
    log: Option<Log>,
    /// Whether letters outside ASCII are shown (`smtputf8_enable`, once main.cf was read).
    utf8: bool,
}

impl Program {
    /// A command called `name`, which has read no configuration yet.
    pub fn new(name: &str, voice: Voice) -> Self {
        let stderr = voice == Voice::Always || std::io::stderr().is_terminal();
        Self { name: name.to_owned(), stderr, log: None, utf8: false }
    }

    /// The name it was called by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads main.cf and checks what all programs read; logs from now on as `log_as`. `code` is the
    /// exit code of a main.cf that cannot be used.
    pub fn configure(
        &mut self,
        directory: &str,
        log_as: &str,
        environment: Environment,
        code: u8,
    ) -> Result<Settings, Exit> {
        let settings =
            Settings::load(directory, &self.name).map_err(|fatal| Exit::new(code, fatal.0))?;
        self.log = Some(Log::open(&settings.params, log_as));
        self.utf8 = settings.params.flag("smtputf8_enable").unwrap_or(false);
        settings.warnings.iter().for_each(|warning| self.say(Level::Warning, warning));
        let (warnings, fatal) = match master::common::check(&settings.params) {
            Ok(warnings) => (warnings, None),
            Err(refusal) => (refusal.warnings, Some(refusal.fatal)),
        };
        warnings.iter().for_each(|warning| self.say(Level::Warning, warning));
        let fatal = fatal.map_or_else(|| environment.check(&settings), Some);
        fatal.map_or(Ok(settings), |text| Err(Exit::new(code, text)))
    }

    /// Logs under another tag, which is also the name on standard error.
    pub fn rename(&mut self, tag: &str, pid: bool) {
        self.log = self.log.take().map(|log| log.with_tag(tag, pid));
        tag.clone_into(&mut self.name);
    }

    /// One line to standard error and the log; what is not shown in a line is a question mark.
    pub fn say(&self, level: Level, text: impl std::fmt::Display) {
        let text = printable(&text.to_string(), self.utf8);
        if self.stderr {
            eprintln!("{}: {}{text}", self.name, level.prefix());
        }
        // Both would be the same terminal.
        if let Some(log) = &self.log {
            log.line(level, text);
        }
    }

    /// A line for standard error only.
    pub fn complain(&self, text: impl std::fmt::Display) {
        if self.stderr {
            eprintln!("{}: {text}", self.name);
        }
    }

    /// The exit code of a result, with its last words.
    pub fn end(&self, result: Result<u8, Exit>) -> ExitCode {
        match result {
            Ok(code) => ExitCode::from(code),
            Err(exit) => {
                if let Some(text) = &exit.text {
                    self.say(Level::Fatal, text);
                }
                ExitCode::from(exit.code)
            }
        }
    }
}

/// Text for a line of a command's own: control characters become `?`, and so does each byte of a
/// letter outside ASCII unless `utf8`.
pub fn printable(text: &str, utf8: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii_control() => out.push('?'),
            c if c.is_ascii() || utf8 => out.push(c),
            c => out.extend(std::iter::repeat_n('?', c.len_utf8())),
        }
    }
    out
}

/// The command line: the last part of the program's name, and its arguments.
pub fn command_line(default: &str) -> (String, Vec<String>) {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_else(|| default.to_owned());
    let name = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
    (name.unwrap_or_else(|| default.to_owned()), args.collect())
}

/// A program of this system: beside this command, else in the directory `parameter` names.
pub fn sibling(
    settings: &Settings,
    name: &str,
    parameter: &str,
) -> Result<std::path::PathBuf, Fatal> {
    let own = std::env::current_exe().map_err(|error| Fatal::system("own path", error))?;
    Ok(master::children::find_program(name, &own, &settings.text(parameter)?))
}
