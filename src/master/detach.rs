//! `master -w`: starts a supervisor in a session of its own and waits until it serves.
//!
//! The new process reports on its standard output, a pipe; then it points its standard descriptors
//! at /dev/null, so that nobody waits for them.
//!
//! **Limits**: [`START_WAIT`].

use std::io::{self, Read};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};

use crate::{Fatal, children};

/// How long a start may take: the queue log of a big queue is read first.
pub const START_WAIT: Duration = Duration::from_secs(300);
/// What the supervisor reports.
pub const REPORT: &[u8] = b"ready\n";
/// The option that makes a supervisor detach and report.
pub const REPORTING: &str = "-W";

/// Starts a supervisor for `directory`; the exit code is 0 once it serves, else 1.
pub fn start(directory: &str) -> Result<ExitCode, Fatal> {
    let own = std::env::current_exe().map_err(|error| Fatal::system("own path", error))?;
    let mut child = Command::new(&own)
        .args(["-c", directory, REPORTING])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Fatal::system(own.display(), error))?;
    let out = child.stdout.take().expect("standard output is a pipe");
    if wait(out, Instant::now() + START_WAIT) {
        return Ok(ExitCode::SUCCESS);
    }
    // Either it said why, on standard error and in the log, or it takes too long and must not stay.
    children::signal(Pid::from_child(&child), Signal::TERM);
    let _ended = child.wait();
    Ok(ExitCode::FAILURE)
}

/// Whether the report comes before the deadline.
fn wait(mut out: ChildStdout, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: 0 };
    let mut fds = [PollFd::new(&out, PollFlags::IN)];
    if !matches!(poll(&mut fds, Some(&timeout)), Ok(ready) if ready > 0) {
        return false;
    }
    let mut report = [0; REPORT.len()];
    out.read_exact(&mut report).is_ok() && report == REPORT
}

/// Leaves the caller's session and terminal.
pub fn leave_session() {
    // Fails when this process leads a session already, which is just as well.
    let _leader = rustix::process::setsid();
}

/// Says that the system serves, and lets go of the caller's descriptors.
pub fn report() -> io::Result<()> {
    io::Write::write_all(&mut io::stdout(), REPORT)?;
    io::Write::flush(&mut io::stdout())?;
    release()
}

/// Points the standard descriptors at /dev/null.
pub fn release() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
