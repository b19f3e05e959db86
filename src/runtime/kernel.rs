//! Which of the kernel's interfaces a core uses: io_uring, or epoll where io_uring is blocked.
//!
//! Called once per core by whoever makes its loop. The environment variable [`VARIABLE`] decides
//! when it is set; otherwise io_uring is tried first.
//!
//! **Diagnostics**: why io_uring is not used is in [`Kernel::blocked`], for one line of the log. An
//! interface that was asked for by name and is not there is an error.

use crate::epoll::EpollIo;
use crate::io::Io;
use crate::ring::UringIo;
use crate::wake::Waker;
use rustix::io::Errno;
use std::io;

/// `io_uring` or `epoll`; nothing for the best that there is.
pub const VARIABLE: &str = "RINGPOST_IO";

/// Which interface is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// io_uring, else epoll.
    Best,
    /// io_uring or none.
    Uring,
    /// epoll.
    Epoll,
}

/// A kernel interface for one core.
pub struct Kernel {
    /// It.
    pub io: Box<dyn Io>,
    /// Why it is not io_uring, when that was tried.
    pub blocked: Option<String>,
}

impl Choice {
    /// What the environment says.
    ///
    /// # Errors
    /// The variable has a value that is neither.
    pub fn from_environment() -> io::Result<Choice> {
        let value = std::env::var(VARIABLE).unwrap_or_default();
        Choice::named(&value).ok_or_else(|| {
            let text = format!("{VARIABLE}: neither \"io_uring\" nor \"epoll\": \"{value}\"");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }

    fn named(value: &str) -> Option<Choice> {
        match value {
            "" => Some(Choice::Best),
            "io_uring" => Some(Choice::Uring),
            "epoll" => Some(Choice::Epoll),
            _ => None,
        }
    }
}

impl Kernel {
    /// Opens an interface. Must be called on the core's own thread.
    ///
    /// # Errors
    /// When what was chosen is not there.
    pub fn open(choice: Choice, waker: Waker) -> io::Result<Kernel> {
        let epoll = |blocked| -> io::Result<Kernel> {
            Ok(Kernel { io: Box::new(EpollIo::new(&waker)?), blocked })
        };
        if choice == Choice::Epoll {
            return epoll(None);
        }
        match UringIo::new(waker.clone()) {
            Ok(ring) => Ok(Kernel { io: Box::new(ring), blocked: None }),
            Err(error) if choice == Choice::Best => epoll(Some(cause(&error))),
            Err(error) => Err(io::Error::new(error.kind(), cause(&error))),
        }
    }
}

/// Why io_uring cannot be had, for an administrator.
fn cause(error: &io::Error) -> String {
    let hint = match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => "seccomp or the sysctl kernel.io_uring_disabled",
        Some(Errno::NOSYS) => "seccomp or a kernel without it",
        Some(Errno::INVAL) => "a kernel before 6.1",
        Some(Errno::NOMEM) => "the limit of locked memory",
        _ => "unexpected",
    };
    format!("io_uring is not available ({hint}): {error}")
}

#[cfg(test)]
mod tests;
