//! Signals as something to poll: SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGCHLD.
//!
//! Each handler sets its flag and writes a byte to one socket pair; children start with the default
//! handlers and an empty mask.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// In the order they are answered.
const HANDLED: [i32; 5] = [SIGQUIT, SIGTERM, SIGINT, SIGCHLD, SIGHUP];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: stop in good order; the number is for the log.
    Stop(i32),
    /// SIGQUIT: stop at once.
    Abort(i32),
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGCHLD: a child ended.
    Child,
}

/// The handlers' other end.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    /// Installs the handlers; once, before any child.
    pub fn open() -> io::Result<Self> {
        let (wake, writer) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut flags = Vec::new();
        for signal in HANDLED {
            let raised = Arc::new(AtomicBool::new(false));
            // The flag first: it must be set when the byte is read.
            flag::register(signal, raised.clone())?;
            pipe::register(signal, writer.try_clone()?)?;
            flags.push((signal, raised));
        }
        Ok(Self { wake, flags })
    }

    /// The next pending request, if any. Equal ones are one.
    pub fn next(&self) -> Option<Request> {
        // Nothing to read is as good as read.
        let _drained = (&self.wake).read(&mut [0; 64]);
        let pending = |(_, raised): &&(i32, Arc<AtomicBool>)| raised.swap(false, Ordering::SeqCst);
        self.flags.iter().find(pending).map(|(signal, _)| match *signal {
            SIGHUP => Request::Reload,
            SIGCHLD => Request::Child,
            SIGQUIT => Request::Abort(SIGQUIT),
            other => Request::Stop(other),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn every_signal_is_a_request() {
        let signals = Signals::open().unwrap();
        for signal in [Signal::HUP, Signal::TERM] {
            kill_process(getpid(), signal).unwrap();
        }
        // A process-directed signal may be handled by another thread a moment later.
        let mut seen = Vec::new();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while seen.len() < 2 && std::time::Instant::now() < until {
            seen.extend(signals.next());
        }
        seen.sort_by_key(|request| *request == Request::Reload);
        assert_eq!(seen, [Request::Stop(SIGTERM), Request::Reload]);
    }
}
