//! Signals as something to poll: SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGCHLD through signalfd(2).
//!
//! They are blocked for good in this thread; the standard library clears the mask of children.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

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

/// The descriptor.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals and opens the descriptor; once, before any child or thread.
    pub fn open() -> std::io::Result<Self> {
        let mut set = SigSet::empty();
        let all =
            [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGCHLD];
        all.into_iter().for_each(|signal| set.add(signal));
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// The next pending request, if any.
    pub fn next(&self) -> std::io::Result<Option<Request>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(Signal::try_from(number).ok().map(|signal| match signal {
            Signal::SIGHUP => Request::Reload,
            Signal::SIGCHLD => Request::Child,
            Signal::SIGQUIT => Request::Abort(number),
            _ => Request::Stop(number),
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
