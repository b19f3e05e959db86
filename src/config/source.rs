//! Where configuration files come from: a trait, because this crate cannot open one.
//!
//! The daemons hand in the file system, tests a map of names to bytes.
//!
//! **Diagnostics**: [`SourceError`] carries what the caller's system said; its `Display` is the
//! end of Postfix's `open PATH: REASON`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Gives the whole contents of a file.
pub trait Source {
    /// Reads `path` to its end. The caller bounds the size.
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError>;
}

/// Why a [`Source`] could not deliver a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// The file asked for.
    pub path: String,
    /// What the system said, as strerror(3) words it.
    pub reason: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open {}: {}", self.path, self.reason)
    }
}

impl core::error::Error for SourceError {}
