//! The engine as a child process: its descriptors, environment and identity.
//!
//! Called by [`crate::supervise`]. The engine inherits every listening socket of its own, the write
//! end of a pipe on which it says that it serves, a channel and what was kept for it
//! ([`crate::custody`]), and the log file; `RINGPOST_*` variables say
//! which is which. Started by root it is `mail_owner` without supplementary groups (the standard
//! library drops them).
//!
//! **Diagnostics**: an engine that cannot be executed is an `io::Error`; how one ended is [`Exit`],
//! which prints as master(8) words it.

use std::fmt;
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, prlimit};

use crate::accounts::Accounts;
use crate::custody::{Custody, Inheritance};
use crate::listen::{CORES, Listeners, Plan, Server};
use config::Params;

/// Where programs the engine runs are looked up.
const PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
/// Variables with this prefix are the mail system's own.
const OWN_PREFIX: &str = "RINGPOST_";

/// What an engine is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// The configuration directory.
    pub directory: &'a str,
    /// Its working directory.
    pub queue: &'a Path,
    /// For `import_environment`.
    pub params: &'a Params,
    /// Who it becomes.
    pub accounts: &'a Accounts,
    /// What it listens on.
    pub plan: &'a Plan,
    /// The sockets of `plan`.
    pub listeners: &'a Listeners,
    /// How many cores it has.
    pub cores: usize,
    /// The log file, when it is a file.
    pub maillog: Option<&'a File>,
    /// Whether it keeps standard output and standard error.
    pub foreground: bool,
}

/// A started engine.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub pid: Pid,
    /// Says `ready` once it serves.
    pub ready: PipeReader,
}

impl Start<'_> {
    /// Starts it, with what `custody` has for it.
    pub fn spawn(&self, custody: &mut Custody) -> io::Result<Started> {
        let (ready, writer) = io::pipe()?;
        let Inheritance { channel, orphans, sockets } = custody.bequeath()?;
        let mut inherited: Vec<BorrowedFd<'_>> =
            self.listeners.of(self.plan, Server::Engine).map(AsFd::as_fd).collect();
        inherited.extend([writer.as_fd(), channel.as_fd(), orphans.as_fd()]);
        inherited.extend(self.maillog.map(AsFd::as_fd));
        inherited.extend(sockets);
        let mut command = self.command(writer.as_raw_fd());
        command.env("RINGPOST_CUSTODY_FD", channel.as_raw_fd().to_string());
        command.env("RINGPOST_ORPHANS_FD", orphans.as_raw_fd().to_string());
        let pid = spawn_with(&mut command, &inherited)?;
        Ok(Started { pid, ready })
    }

    fn command(&self, ready: i32) -> Command {
        let mut command = Command::new(self.program);
        command.args(["-c", self.directory]).current_dir(self.queue).stdin(Stdio::null());
        if !self.foreground {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        give_environment(&mut command, self.params);
        command.env("RINGPOST_SOCKETS", self.listeners.describe(self.plan));
        command.env("RINGPOST_READY_FD", ready.to_string());
        command.env(CORES, self.cores.to_string());
        if let Some(maillog) = self.maillog {
            command.env("RINGPOST_MAILLOG_FD", maillog.as_raw_fd().to_string());
        }
        if self.accounts.root {
            command.uid(self.accounts.uid).gid(self.accounts.gid);
        }
        command
    }
}

/// Starts `command` with descriptors that are closed on exec otherwise.
pub fn spawn_with(command: &mut Command, inherited: &[BorrowedFd<'_>]) -> io::Result<Pid> {
    for fd in inherited {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    let child = command.spawn();
    for fd in inherited {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    child.map(|child| Pid::from_child(&child))
}

/// Gives a child the limit of open files that this process had at its start: what is kept for the
/// engine is no reason to change it.
pub fn limit_files(pid: Pid, files: &Rlimit) {
    let _gone = prlimit(Some(pid), Resource::Nofile, *files);
}

/// Leaves a child nothing of this process's environment but what `import_environment` names.
pub fn give_environment(command: &mut Command, params: &Params) {
    command.env_clear().env("PATH", PATH).envs(environment(params));
}

/// The variables `import_environment` lets through (`NAME`, or `NAME=value`), and our own.
fn environment(params: &Params) -> Vec<(String, String)> {
    let mut out: Vec<_> =
        std::env::vars().filter(|(name, _)| name.starts_with(OWN_PREFIX)).collect();
    for word in params.list("import_environment").unwrap_or_default() {
        match word.split_once('=') {
            Some((name, value)) => out.push((name.to_owned(), value.to_owned())),
            None => out.extend(std::env::var(&word).ok().map(|value| (word, value))),
        }
    }
    out
}

/// A program of this system: beside `own`, else in `daemon_directory`.
pub fn find_program(name: &str, own: &Path, daemon_directory: &str) -> PathBuf {
    let beside = own.with_file_name(name);
    if beside.exists() { beside } else { Path::new(daemon_directory).join(name) }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Status(i32),
    /// By a signal.
    Killed(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// The next child that ended, if any; as process 1 also those of others.
pub fn reap() -> Option<(Pid, Exit)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    let status = ExitStatus::from_raw(status.as_raw());
    let killed = Exit::Killed(status.signal().unwrap_or(0));
    Some((pid, status.code().map_or(killed, Exit::Status)))
}

/// Sends a signal; a process that is gone has what it needs.
pub fn signal(pid: Pid, signal: Signal) {
    let _gone = rustix::process::kill_process(pid, signal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    #[test]
    fn programs_are_found_beside_the_running_one_first() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("master");
        assert_eq!(find_program("engine", &own, "/usr/lib/x"), Path::new("/usr/lib/x/engine"));
        std::fs::write(dir.path().join("engine"), "").unwrap();
        assert_eq!(find_program("engine", &own, "/usr/lib/x"), dir.path().join("engine"));
    }

    #[test]
    fn the_environment_is_what_import_environment_says() {
        let main = MainCf::parse("main.cf", b"import_environment = LANG=C, NOSUCH\n").unwrap();
        let params = Params::new(main, Host::default());
        let outside = |pair: &(String, String)| !pair.0.starts_with(OWN_PREFIX);
        let found: Vec<_> = environment(&params).into_iter().filter(outside).collect();
        assert_eq!(found, [("LANG".to_owned(), "C".to_owned())]);
    }

    /// What is kept for the engine raises master's own limit; commands of users keep theirs.
    #[test]
    fn a_child_gets_the_limit_of_open_files_that_was() {
        let sleep = Command::new("sleep").arg("60").spawn();
        let mut child = sleep.expect("every system can sleep");
        let pid = Pid::from_child(&child);
        let mut files = rustix::process::getrlimit(Resource::Nofile);
        files.current = Some(77);
        limit_files(pid, &files);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(line.split_whitespace().nth(3), Some("77"), "{line}");
    }

    #[test]
    fn exits_are_worded_as_master_words_them() {
        assert_eq!(Exit::Status(1).to_string(), "exit status 1");
        assert_eq!(Exit::Killed(9).to_string(), "killed by signal 9");
    }
}
