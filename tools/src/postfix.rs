//! postfix(1): starts, stops and asks the mail system.
//!
//! [`run`] is called by `bin/postfix.rs`. The supervisor is the program `master` beside this one;
//! what Postfix does in its shell script (`postfix/postfix-script` in the log) is done here.
//!
//! **Diagnostics**: as in Postfix: always to the log, to standard error when it is a terminal.
//! **Limits**: [`STOP_SECONDS`].
//! **Standards**: postfix(1) of Postfix 3.7; `set-permissions`, `upgrade-configuration` and `tls`
//! are refused by name: there is nothing of the kind to do.

mod check;
mod rotate;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::getopt;
use crate::program::{Environment, Exit, Program, sibling};
use master::log::Level;
use master::settings::{self, Settings};
use master::{accounts, pid_file};

/// How often `postfix stop` says that it waits, once a second, before it uses force.
pub const STOP_SECONDS: u32 = 5;
/// How often it looks meanwhile.
const STOP_PAUSE: Duration = Duration::from_millis(20);

const USAGE: &str = "Usage: postfix start (or stop, reload, abort, flush, check, status, \
                     set-permissions, upgrade-configuration, logrotate)";

/// One call.
struct Call<'a> {
    program: &'a mut Program,
    settings: Settings,
    lock: PathBuf,
}

/// Does what `args` (without the program's name) ask for; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let (options, words) = match getopt::parse(args, "c:Dv") {
        Ok(parsed) => parsed,
        Err(error) => {
            program.complain(error);
            return Err(Exit::new(1, "usage: postfix [-c config_dir] [-Dv] command"));
        }
    };
    let chosen = options.iter().rev().find(|option| option.letter == 'c');
    let directory = settings::directory(chosen.and_then(|option| option.value.as_deref()));
    let directory = std::path::absolute(&directory)
        .map_err(|error| master::Fatal::system(&directory, error))?;
    let directory = directory.display().to_string();
    let settings = program.configure(&directory, "postfix", Environment::Update, 1)?;
    let uid = rustix::process::getuid();
    if !uid.is_root() && !accounts::is_mail_owner(&settings.params, uid.as_raw()) {
        program.say(Level::Error, "to submit mail, use the Postfix sendmail command");
        return Err(Exit::new(1, "the postfix command is reserved for the superuser"));
    }
    master::log::maillog_file(&settings.params)?;
    let queue = settings.queue()?;
    std::env::set_current_dir(&queue)
        .map_err(|error| master::Fatal::system(format!("chdir({})", queue.display()), error))?;
    let lock = pid_file::path(&queue, &settings.text("process_id_directory")?);
    Call { program, settings, lock }.dispatch(words)
}

impl Call<'_> {
    fn dispatch(mut self, words: &[String]) -> Result<u8, Exit> {
        let tag = format!("{}/postfix-script", self.settings.text("syslog_name")?);
        let command = words.first().map(String::as_str).unwrap_or_default();
        if command != "check" {
            self.program.rename(&tag, true);
        }
        match command {
            "start" => self.start(),
            "start-fg" => self.start_foreground(),
            "stop" => self.stop(),
            "abort" => self.abort(),
            "reload" => self.reload(),
            "status" => self.status(),
            "flush" => self.flush(),
            "check" => {
                check::findings(&self)?;
                self.program.rename(&tag, true);
                check::installation(&self)?;
                Ok(0)
            }
            "logrotate" => rotate::run(&mut self),
            "set-permissions" | "upgrade-configuration" | "tls" => {
                let text = format!("postfix {command}: nothing to do for this mail system");
                Err(Exit::new(1, text))
            }
            other => Err(Exit::new(1, format!("unknown command: '{other}'. {USAGE}"))),
        }
    }

    fn info(&self, text: impl std::fmt::Display) {
        self.program.say(Level::Info, text);
    }

    fn running(&self) -> Result<Option<u32>, Exit> {
        Ok(pid_file::running(&self.lock)?)
    }

    /// The supervisor, which must be running.
    fn supervisor(&self) -> Result<Pid, Exit> {
        let pid = self.running()?.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.ok_or_else(|| Exit::new(1, "the Postfix mail system is not running"))
    }

    fn prepare(&self) -> Result<Command, Exit> {
        if self.running()?.is_some() {
            return Err(Exit::new(1, "the Postfix mail system is already running"));
        }
        check::installation(self)?;
        self.info("starting the Postfix mail system");
        let mut command = Command::new(sibling(&self.settings, "master", "daemon_directory")?);
        command.args(["-c", &self.settings.directory]);
        Ok(command)
    }

    fn start(&self) -> Result<u8, Exit> {
        if self.settings.text("maillog_file")? == master::log::STDOUT {
            let text = "to log to standard output, use 'postfix start-fg'";
            return Err(Exit::new(1, text));
        }
        let started = self.prepare()?.arg("-w").status();
        if started.is_ok_and(|status| status.success()) {
            return Ok(0);
        }
        Err(Exit::new(1, "mail system startup failed"))
    }

    /// Becomes the supervisor, so that signals reach it, also as process 1.
    fn start_foreground(&self) -> Result<u8, Exit> {
        if !self.settings.text("multi_instance_directories")?.is_empty() {
            return Err(Exit::new(1, "start-fg does not support multi_instance_directories"));
        }
        let error = self.prepare()?.arg("-s").exec();
        self.program.say(Level::Error, crate::system::reason(&error));
        Err(Exit::new(1, "cannot start-fg the master daemon"))
    }

    fn stop(&self) -> Result<u8, Exit> {
        let pid = self.supervisor()?;
        self.info("stopping the Postfix mail system");
        self.signal(pid, Signal::TERM)?;
        for _ in 0..STOP_SECONDS {
            if self.ends_within(Duration::from_secs(1))? {
                return Ok(0);
            }
            self.info("waiting for the Postfix mail system to terminate");
        }
        if self.ends_within(Duration::from_secs(1))? {
            return Ok(0);
        }
        self.program.say(Level::Warning, "stopping the Postfix mail system with force");
        // It leads a session of its own, the engine included, unless it runs in the foreground.
        if rustix::process::kill_process_group(pid, Signal::KILL).is_err() {
            self.signal(pid, Signal::KILL)?;
        }
        Ok(0)
    }

    fn ends_within(&self, time: Duration) -> Result<bool, Exit> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.running()?.is_none() {
                return Ok(true);
            }
            std::thread::sleep(STOP_PAUSE);
        }
        Ok(false)
    }

    fn abort(&self) -> Result<u8, Exit> {
        let pid = self.supervisor()?;
        self.info("aborting the Postfix mail system");
        self.signal(pid, Signal::QUIT)?;
        Ok(0)
    }

    fn reload(&self) -> Result<u8, Exit> {
        let pid = self.supervisor()?;
        self.info("refreshing the Postfix mail system");
        self.signal(pid, Signal::HUP)?;
        Ok(0)
    }

    fn signal(&self, pid: Pid, signal: Signal) -> Result<(), Exit> {
        rustix::process::kill_process(pid, signal).map_err(|error| {
            let what = format!("kill {}", pid.as_raw_nonzero());
            master::Fatal::system(what, error).into()
        })
    }

    fn status(&self) -> Result<u8, Exit> {
        match self.running()? {
            Some(pid) => {
                self.info(format!("the Postfix mail system is running: PID: {pid}"));
                Ok(0)
            }
            None => {
                self.info("the Postfix mail system is not running");
                Ok(1)
            }
        }
    }

    fn flush(&self) -> Result<u8, Exit> {
        let program = sibling(&self.settings, "postqueue", "command_directory")?;
        let mut command = Command::new(&program);
        let status = command.args(["-c", &self.settings.directory, "-f"]).status();
        let status = status.map_err(|error| master::Fatal::system(program.display(), error))?;
        Ok(if status.success() { 0 } else { 1 })
    }
}
