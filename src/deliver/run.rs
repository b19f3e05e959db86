//! One command: the message to its standard input, what it says kept, its end awaited.
//!
//! The caller has become the user it runs as. The command is in a process group of its own, which
//! is killed when it neither reads, writes nor ends for the time limit.
//!
//! | characters of the command | run by |
//! | --- | --- |
//! | letters, digits, blanks, `!@%-_=+:,./` | itself; the shell when there is no such program |
//! | others | `/bin/sh -c` |
//! | any, with a shell of the rules | that shell, the command its last argument |
//!
//! **Diagnostics**: [`End`]; an `io::Error` when the engine has gone: then the command is killed.
//! **Limits**: [`OUTPUT_MAX`] of what it says; more is read and forgotten.
//! **Standards**: local(8), external command delivery.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::failure::reason;
use crate::wire::Wire;

/// Bytes of output that are kept.
pub const OUTPUT_MAX: usize = 4096;
/// What needs no shell.
const PLAIN: &[u8] = b"!@%-_=+:,./ \t";
const SHELL: &str = "/bin/sh";

/// A command to be run.
pub struct Run<'a> {
    /// The command.
    pub command: &'a [u8],
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub directory: &'a Path,
    /// `local_command_shell`
    pub shell: &'a str,
    /// How long it may do nothing.
    pub limit: Duration,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed: time was up.
    TimeLimit,
    /// It did not begin.
    Unstarted,
}

impl Run<'_> {
    /// Runs it: how it ended, and what it said.
    ///
    /// # Errors
    /// The engine has gone.
    pub fn run(self, head: &[u8], wire: &mut Wire) -> io::Result<(End, Vec<u8>)> {
        match self.spawn() {
            Ok(mut running) => {
                let fed = running.feed(head, wire);
                if fed.is_err() {
                    running.kill();
                }
                fed.and_then(|()| running.end())
            }
            // As a process says it that could not become the command.
            Err((program, error)) => {
                let why = reason(&error);
                let text = format!("local: fatal: execvp {}: {why}\n", program.to_string_lossy());
                Ok((End::Unstarted, text.into_bytes()))
            }
        }
    }

    fn spawn(&self) -> Result<Running, (OsString, io::Error)> {
        let shell: Vec<&str> = self.shell.split_ascii_whitespace().collect();
        if let [program, arguments @ ..] = shell.as_slice() {
            let mut command = Command::new(program);
            command.args(arguments).arg(OsStr::from_bytes(self.command));
            return self.start(command);
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || PLAIN.contains(byte);
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let mut words = self.command.split(blank).filter(|word| !word.is_empty());
        if let Some(program) = words.next().filter(|_| self.command.iter().all(plain)) {
            let mut command = Command::new(OsStr::from_bytes(program));
            command.args(words.map(OsStr::from_bytes));
            match self.start(command) {
                // It may be something that the shell does itself.
                Err((_, error))
                    if error.kind() == ErrorKind::NotFound && !program.contains(&b'/') => {}
                started => return started,
            }
        }
        let mut command = Command::new(SHELL);
        command.arg("-c").arg(OsStr::from_bytes(self.command));
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Result<Running, (OsString, io::Error)> {
        let program = command.get_program().to_owned();
        let start = || -> io::Result<Running> {
            let (output, said) = io::pipe()?;
            let (fed, input) = io::pipe()?;
            ioctl_fionbio(&input, true)?;
            command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
            command.current_dir(self.directory).process_group(0);
            command.stdin(fed).stdout(said.try_clone()?).stderr(Stdio::from(said));
            let child = command.spawn()?;
            // Its ends of the pipes are closed here with the command.
            drop(command);
            let pid = Pid::from_child(&child);
            let ended = pidfd_open(pid, PidfdFlags::empty())?;
            let (input, output) = (Some(OwnedFd::from(input).into()), Some(output));
            let said = Vec::new();
            Ok(Running { child, ended, input, output, said, limit: self.limit, late: false })
        };
        start().map_err(|error| (program, error))
    }
}

/// A command that runs.
struct Running {
    child: Child,
    /// Readable when it has ended.
    ended: OwnedFd,
    input: Option<std::fs::File>,
    output: Option<PipeReader>,
    said: Vec<u8>,
    limit: Duration,
    /// Time is up.
    late: bool,
}

impl Running {
    /// Gives it the message; what it does not read is skipped.
    fn feed(&mut self, head: &[u8], wire: &mut Wire) -> io::Result<()> {
        wire.go()?;
        self.write(head);
        let mut piece = Vec::new();
        while wire.piece(&mut piece)? {
            self.write(&piece);
        }
        self.input = None;
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while let (false, Some(input)) = (bytes.is_empty() || self.late, &mut self.input) {
            match input.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It has read enough.
                Err(_) => self.input = None,
            }
        }
    }

    /// Waits until it reads, says something or time is up.
    fn wait(&mut self) {
        let mut fds = Vec::new();
        if let Some(output) = &self.output {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        match &self.input {
            Some(input) => fds.push(PollFd::new(input, PollFlags::OUT)),
            None if self.output.is_none() => fds.push(PollFd::new(&self.ended, PollFlags::IN)),
            None => {}
        }
        let until = Instant::now() + self.limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            match poll(&mut fds, Some(&left)) {
                Ok(0) => {
                    self.late = true;
                    return;
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
        let speaks = self.output.is_some() && !fds[0].revents().is_empty();
        drop(fds);
        if speaks {
            self.listen();
        }
    }

    fn listen(&mut self) {
        let Some(output) = &mut self.output else { return };
        let mut bytes = [0; OUTPUT_MAX];
        match output.read(&mut bytes) {
            Ok(0) | Err(_) => self.output = None,
            Ok(count) => {
                let room = OUTPUT_MAX - self.said.len();
                self.said.extend_from_slice(&bytes[..count.min(room)]);
            }
        }
    }

    /// Waits for its end.
    fn end(mut self) -> io::Result<(End, Vec<u8>)> {
        while !self.late && self.output.is_some() {
            self.wait();
        }
        // Who closes its output need not have ended.
        if !self.late {
            self.wait();
        }
        if self.late {
            self.kill();
            return Ok((End::TimeLimit, self.said));
        }
        let status = self.child.wait()?;
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => End::Status(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        };
        Ok((end, self.said))
    }

    /// Ends it and what it has started.
    fn kill(&mut self) {
        let group = Pid::from_child(&self.child);
        // A command that has become somebody else stays; this process does not wait for it.
        if kill_process_group(group, Signal::KILL).is_ok() {
            let _reaped = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::with_content;

    fn run_with(command: &str, shell: &str, limit_ms: u64) -> (End, String) {
        let environment = vec![("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "b".into())];
        let limit = Duration::from_millis(limit_ms);
        let directory = Path::new("/");
        let run = Run { command: command.as_bytes(), environment, directory, shell, limit };
        let line = [b'x'; 100_000];
        let mut wire = with_content(&[b"Subject: x\n\n", &line], true);
        let (end, said) = run.run(b"From a@b\n", &mut wire).unwrap();
        (end, String::from_utf8(said).unwrap())
    }

    fn run(command: &str) -> (End, String) {
        run_with(command, "", 60_000)
    }

    #[test]
    fn a_command_reads_the_message_and_what_it_says_is_kept() {
        assert_eq!(run("wc -c"), (End::Status(0), "100021\n".into()));
        assert_eq!(run("head -n 1; echo $A >&2"), (End::Status(0), "From a@b\nb\n".into()));
        let (end, said) = run("cat; exit 3");
        assert_eq!((end, said.len()), (End::Status(3), OUTPUT_MAX));
    }

    #[test]
    fn a_command_need_not_read_and_may_be_the_shells_own() {
        assert_eq!(run("exit 64"), (End::Status(64), String::new()));
        assert_eq!(run("exec 0<&-; exec 1>&- 2>&-; sleep 0.1; exit 7").0, End::Status(7));
        assert_eq!(run("kill -9 $$").0, End::Signal(9));
        let (end, said) = run("/no/such/program x");
        assert_eq!(end, End::Unstarted);
        let text = "local: fatal: execvp /no/such/program: No such file or directory\n";
        assert_eq!(said, text);
        let shell = run_with("echo $0", "/bin/sh -c", 60_000);
        assert_eq!(shell, (End::Status(0), "/bin/sh\n".into()));
    }

    #[test]
    fn who_does_nothing_for_too_long_is_killed_with_all_it_has_started() {
        assert_eq!(run_with("echo a; sleep 60 & sleep 60", "", 200).0, End::TimeLimit);
        assert_eq!(run_with("sleep 60", "", 200), (End::TimeLimit, String::new()));
    }
}
