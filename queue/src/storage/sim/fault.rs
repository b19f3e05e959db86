//! Failures on order: the next operation of a kind, or a later one, fails, once or from then on.
//!
//! Used by `sim`, ordered by tests.

use std::io;

/// Kinds of operations that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Reading bytes.
    Read,
    /// Writing or allocating bytes.
    Write,
    /// Syncing a file or a directory.
    Sync,
    /// Making, renaming or removing a name.
    Name,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device reports an error; of a write, any part may be on the disk.
    Device,
    /// The volume is full; nothing is done.
    NoSpace,
    /// A write takes only its first half.
    Short,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Failure::NoSpace => io::ErrorKind::StorageFull.into(),
            _ => io::Error::other("simulated device error"),
        }
    }
}

/// An order for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What fails.
    pub op: Op,
    /// How many operations of this kind succeed before.
    pub after: u64,
    /// How many fail then.
    pub times: u64,
    /// In which way.
    pub failure: Failure,
}

impl Fault {
    /// Counts an operation; how it fails, if it does.
    pub(super) fn count(&mut self, op: Op) -> Option<Failure> {
        if op != self.op || self.times == 0 {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.failure)
    }
}
