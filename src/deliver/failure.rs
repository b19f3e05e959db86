//! Why a delivery did not happen: a code, a status, one line.
//!
//! Words and codes are Postfix's where it has them. What is the machine's fault and may pass
//! (an I/O error, no memory, a read-only file system) is temporary here, where Postfix returns the
//! mail: a sender can do nothing about it.

use std::io;

use privsep::{Code, Verdict};
use rustix::io::Errno;

/// A status code of RFC 3463: class, subject, detail.
pub type Status = (u8, u16, u16);

/// 5.2.0: the mailbox is not one.
pub const MAILBOX: Status = (5, 2, 0);
/// 4.2.0: the mailbox cannot be used now.
pub const MAILBOX_BUSY: Status = (4, 2, 0);
/// 5.2.2: the mailbox is full.
pub const MAILBOX_FULL: Status = (5, 2, 2);
/// 4.3.0: the system cannot do it now.
pub const SYSTEM: Status = (4, 3, 0);
/// 5.3.0: the system cannot do it.
pub const SYSTEM_FOR_GOOD: Status = (5, 3, 0);
/// 4.3.5: the system is not configured for it.
pub const CONFIG: Status = (4, 3, 5);
/// 5.3.5: the same, and waiting will not help.
pub const CONFIG_FOR_GOOD: Status = (5, 3, 5);

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What a program would end with.
    pub code: Code,
    /// For the sender.
    pub status: Status,
    /// One line.
    pub text: String,
    /// What an administrator should do about it.
    pub warnings: Vec<String>,
}

impl Failure {
    /// A failure in plain words.
    pub fn new(code: Code, status: Status, text: impl Into<String>) -> Failure {
        Failure { code, status, text: text.into(), warnings: Vec::new() }
    }

    /// `what: reason` of the system; its status follows from the reason, else it is `otherwise`.
    pub fn system(code: Code, otherwise: Status, what: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let text = format!("{what}: {}", reason(&error));
        Failure::new(code, status(&error, otherwise), text)
    }

    /// The same with words in front.
    #[must_use]
    pub fn within(mut self, what: &str) -> Failure {
        self.text.insert_str(0, what);
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn warn(mut self, text: impl Into<String>) -> Failure {
        self.warnings.push(text.into());
        self
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Verdict {
        let Failure { code, status, text, warnings } = failure;
        Verdict { code, status, text, warnings }
    }
}

/// Whether a retry may help, and if not, whether a limit was met.
fn status(error: &io::Error, otherwise: Status) -> Status {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN | Errno::EXIST | Errno::STALE | Errno::NOLCK | Errno::TXTBSY) => {
            MAILBOX_BUSY
        }
        Some(
            Errno::NOSPC
            | Errno::IO
            | Errno::ROFS
            | Errno::NOMEM
            | Errno::MFILE
            | Errno::NFILE
            | Errno::INTR
            | Errno::TIMEDOUT,
        ) => SYSTEM,
        Some(Errno::DQUOT | Errno::FBIG) => MAILBOX_FULL,
        _ => otherwise,
    }
}

/// What strerror(3) says, without Rust's ` (os error N)`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_cannot_do_now_is_temporary_and_what_the_mailbox_is_not() {
        let status = |errno| Failure::system(Code::IoErr, SYSTEM_FOR_GOOD, "x", errno).status;
        assert_eq!(status(Errno::AGAIN), MAILBOX_BUSY);
        assert_eq!(status(Errno::NOSPC), SYSTEM);
        assert_eq!(status(Errno::IO), SYSTEM);
        assert_eq!(status(Errno::FBIG), MAILBOX_FULL);
        assert_eq!(status(Errno::DQUOT), MAILBOX_FULL);
        assert_eq!(status(Errno::ACCESS), SYSTEM_FOR_GOOD);
        let text = Failure::system(Code::IoErr, SYSTEM, "cannot open file", Errno::ACCESS).text;
        assert_eq!(text, "cannot open file: Permission denied");
    }
}
