//! What can go wrong, in kinds that never mix.
//!
//! `Full` and `Refused` are answers to the engine's own calls, `Poisoned` and `OpenError` are the
//! world's fault, `ReadError` is a reader that came too early or too late. Our own bugs panic.

use std::{fmt, io, path::PathBuf};

use crate::{Lsn, Number};

/// Why nothing could be appended. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Full {
    /// Too much waits for the disk. Seal, flush, try again: back-pressure, not a 452.
    Busy,
    /// No segment has room and none is ready: 452 at MAIL, 451 after DATA; keep outcomes of
    /// deliveries in memory and log them again after `supply` or `reclaim_step`.
    NoSpace,
    /// The envelope or the piece is larger than `Log::record_max` allows (or the content larger
    /// than `Log::append_max`): use a `Draft`; an envelope of that size can only be refused.
    TooLarge,
    /// A write failed earlier: no more promises from this log until it is opened again.
    Poisoned,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Full::Busy => "too much is waiting for the queue disk",
            Full::NoSpace => "no queue space",
            Full::TooLarge => "larger than a queue record can be",
            Full::Poisoned => "an earlier queue write failed",
        })
    }
}

impl std::error::Error for Full {}

/// Why a change of a message's state was not taken. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No live message of this log has that number.
    Unknown(Number),
    /// A recipient index above `MARK_INDEX_MAX`.
    IndexTooLarge(u32),
    /// No room; see `Full` for what to do.
    Full(Full),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unknown(number) => write!(f, "no message {number} in this log"),
            Refused::IndexTooLarge(index) => write!(f, "recipient index {index} is too large"),
            Refused::Full(full) => full.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Full> for Refused {
    fn from(full: Full) -> Refused {
        Refused::Full(full)
    }
}

/// A write failed or was short. Every waiter with an `Lsn` above `durable` must be told 451; the
/// log takes nothing more until it is opened again.
#[derive(Debug)]
pub struct Poisoned {
    /// The last record that is certainly on disk.
    pub durable: Lsn,
    /// The last record that was appended; `durable`+1..=`appended` are lost promises.
    pub appended: Lsn,
    /// What the kernel said; `WriteZero` for a short write.
    pub error: io::Error,
}

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue log write failed: {}", self.error)
    }
}

impl std::error::Error for Poisoned {}

/// Why a queue directory could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another engine holds the lock file.
    Locked(PathBuf),
    /// This core's log is already open in this process.
    CoreTaken(u8),
    /// A segment was written by a newer version of the format.
    Version {
        /// The segment file.
        path: PathBuf,
        /// The version it claims.
        version: u16,
    },
    /// The volume cannot hold even the smallest first segment.
    NoSpace(PathBuf),
    /// Anything else the system said.
    Io {
        /// What it was about.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::NoSpace(path),
            _ => OpenError::Io { path, error },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked(path) => {
                write!(f, "{}: another engine is using this queue", path.display())
            }
            OpenError::CoreTaken(core) => write!(f, "the log of core {core} is already open"),
            OpenError::Version { path, version } => {
                write!(f, "{}: unknown format version {version}", path.display())
            }
            OpenError::NoSpace(path) => {
                write!(f, "{}: no space for a queue segment", path.display())
            }
            OpenError::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why bytes could not be read through the `Store`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The place was recycled: the message is gone or was copied forward. Ask the owner's
    /// `Log::location` again.
    Moved,
    /// The bytes are not sealed yet: wait for the flush.
    NotYet,
    /// What is there is not the record it should be: damage.
    Damaged,
    /// The system could not open, map or read the segment.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Moved => f.write_str("the message is gone or was copied forward"),
            ReadError::NotYet => f.write_str("the message is not written yet"),
            ReadError::Damaged => f.write_str("the queue record is damaged"),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}
