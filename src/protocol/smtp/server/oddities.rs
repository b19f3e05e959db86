//! What a session notices about its client that is for the log alone.

use super::super::command::Verb;
use alloc::vec::Vec;

/// Input that came behind a command whose reply the client must have waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Improper {
    /// The command.
    pub after: Verb,
    /// The first of what came, at most [`IMPROPER_MAX`] bytes.
    pub input: Vec<u8>,
}

/// An address that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// As the client wrote it.
    pub path: Vec<u8>,
}

/// How much of improper input is kept for the log.
pub const IMPROPER_MAX: usize = 100;
