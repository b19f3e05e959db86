//! What one reading of the configuration gives: programs, accounts, sockets, rules.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::PROGRAM;
use crate::accounts::Accounts;
use crate::helper::Program;
use crate::listen::{self, Plan, Server};
use crate::log::{self, Level, Log, Maillog};
use crate::settings::Settings;
use crate::{Fatal, children, rules};

/// One reading.
pub struct Setup {
    pub settings: Settings,
    pub accounts: Accounts,
    pub queue: PathBuf,
    /// The engine.
    pub program: PathBuf,
    /// The delivery helper, when a service needs it.
    pub helper: Option<Program>,
    pub throttle: Duration,
    pub plan: Plan,
    pub maillog: Option<File>,
    pub log: Log,
}

impl Setup {
    /// Looks at everything the configuration names.
    pub fn new(settings: Settings) -> Result<Self, Fatal> {
        let accounts = Accounts::find(&settings.params)?;
        let master_cf = settings.master()?;
        let rules = rules::of(&settings.params, &master_cf, &accounts)?;
        let mut plan = listen::plan(&settings.params, &master_cf)?;
        if rules.is_some() {
            plan.add_helper();
        }
        let maillog = match log::maillog_file(&settings.params)? {
            Some(Maillog::File(file)) => Some(file),
            Some(Maillog::Stdout) | None => None,
        };
        let own = std::env::current_exe().map_err(|error| Fatal::system("own path", error))?;
        let daemons = settings.text("daemon_directory")?;
        let path = |name: &str| children::find_program(name, &own, &daemons);
        Ok(Self {
            accounts,
            queue: settings.queue()?,
            program: path("engine"),
            helper: rules.map(|rules| Program { path: path("deliver"), rules: rules.encode() }),
            throttle: Duration::from_secs(settings.seconds("service_throttle_time")?),
            log: Log::open(&settings.params, PROGRAM),
            plan,
            maillog,
            settings,
        })
    }

    /// `data_directory`
    pub fn data(&self) -> Result<PathBuf, Fatal> {
        self.settings.text("data_directory").map(PathBuf::from)
    }

    /// Logs what the administrator should know of this configuration.
    pub fn log_oddities(&self) {
        for warning in &self.settings.warnings {
            self.log.line(Level::Warning, warning);
        }
        for (name, command) in &self.plan.unserved {
            let text = format!("service {name}/inet: no server for command {command}");
            self.log.line(Level::Warning, text);
        }
    }

    /// Whether an engine of `self` must be replaced for `new`.
    pub fn needs_new_engine(&self, new: &Self) -> bool {
        let entries = self.plan.of(Server::Engine).ne(new.plan.of(Server::Engine));
        let program = self.program != new.program || self.accounts != new.accounts;
        entries || program || identity(self.maillog.as_ref()) != identity(new.maillog.as_ref())
    }
}

/// Device and inode.
fn identity(file: Option<&File>) -> Option<(u64, u64)> {
    file.and_then(|file| file.metadata().ok()).map(|data| (data.dev(), data.ino()))
}
