//! The delivery helper as a child process: started with its rules, restarted, replaced, stopped.
//!
//! Owned by [`crate::supervise`]. Deliveries under way are in processes of their own: they outlive
//! the helper's end, and the next one takes over the socket, in whose backlog connections wait.
//!
//! | phase | helper ends | new rules | stop | deadline |
//! | --- | --- | --- | --- | --- |
//! | Absent | - | Running | - | - |
//! | Running | Running, or Throttled | SIGTERM, Running | SIGTERM, Absent | - |
//! | Throttled | - | Running | Absent | Running |
//!
//! **Diagnostics**: a helper that cannot be executed or ends is a warning; local mail is deferred
//! meanwhile. **Limits**: [`crate::pace::RESTARTS_PER_MINUTE`], `service_throttle_time`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Rlimit, Signal};

use crate::children::{self, Exit};
use crate::log::{Level, Log};
use crate::pace::Pace;
use config::Params;

/// What a helper is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its rules, encoded.
    pub rules: Vec<u8>,
}

/// What else its start needs.
pub struct Surroundings<'a> {
    /// Its working directory until it leaves it.
    pub queue: &'a Path,
    /// For `import_environment`.
    pub params: &'a Params,
    /// What it accepts from.
    pub socket: &'a OwnedFd,
    /// Whether it keeps standard output and standard error.
    pub foreground: bool,
    /// How many files it, and the commands it runs, may open.
    pub files: &'a Rlimit,
    /// Where to complain.
    pub log: &'a Log,
    /// `service_throttle_time`
    pub throttle: Duration,
}

#[derive(Debug)]
enum Phase {
    Absent,
    Running { pid: Pid },
    Throttled { until: Instant },
}

/// The helper.
#[derive(Debug)]
pub struct Helper {
    phase: Phase,
    pace: Pace,
}

impl Default for Helper {
    fn default() -> Self {
        Self { phase: Phase::Absent, pace: Pace::default() }
    }
}

impl Helper {
    /// Its process.
    pub fn pid(&self) -> Option<Pid> {
        match self.phase {
            Phase::Running { pid } => Some(pid),
            Phase::Absent | Phase::Throttled { .. } => None,
        }
    }

    /// When it is to be started again.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Throttled { until } => Some(until),
            Phase::Absent | Phase::Running { .. } => None,
        }
    }

    /// Starts it; instead of the one that runs, if any.
    pub fn start(&mut self, program: &Program, around: &Surroundings<'_>) {
        self.stop(Signal::TERM);
        match spawn(program, around) {
            Ok(pid) => self.phase = Phase::Running { pid },
            Err(error) => {
                let failed = crate::Fatal::system(program.path.display(), error);
                around.log.line(Level::Warning, failed);
                self.throttle(program, around);
            }
        }
    }

    /// Ends it.
    pub fn stop(&mut self, how: Signal) {
        if let Phase::Running { pid } = std::mem::replace(&mut self.phase, Phase::Absent) {
            children::signal(pid, how);
        }
    }

    /// It has ended by itself: another one takes over.
    pub fn ended(&mut self, exit: Exit, program: &Program, around: &Surroundings<'_>) {
        let path = program.path.display();
        if let Some(pid) = self.pid() {
            let text = format!("process {path} pid {} {exit}", pid.as_raw_nonzero());
            around.log.line(Level::Warning, text);
        }
        self.phase = Phase::Absent;
        if self.pace.is_too_fast(Instant::now()) {
            self.throttle(program, around);
        } else {
            self.start(program, around);
        }
    }

    fn throttle(&mut self, program: &Program, around: &Surroundings<'_>) {
        let text = format!("{}: bad command startup -- throttling", program.path.display());
        around.log.line(Level::Warning, text);
        self.phase = Phase::Throttled { until: Instant::now() + around.throttle };
    }
}

fn spawn(program: &Program, around: &Surroundings<'_>) -> io::Result<Pid> {
    let mut rules = File::from(memfd_create("rules", MemfdFlags::CLOEXEC)?);
    rules.write_all(&program.rules)?;
    rules.rewind()?;
    let mut command = Command::new(&program.path);
    command.current_dir(around.queue).stdin(rules);
    if !around.foreground {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    children::give_environment(&mut command, around.params);
    command.env("RINGPOST_DELIVER_FD", around.socket.as_raw_fd().to_string());
    let pid = children::spawn_with(&mut command, &[around.socket.as_fd()])?;
    children::limit_files(pid, around.files);
    Ok(pid)
}
