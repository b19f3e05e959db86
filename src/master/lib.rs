//! The supervisor: binds what the engine listens on, starts it, restarts it, reloads and stops it;
//! and the delivery helper beside it.
//!
//! Called by `bin/master.rs` ([`supervise::run`], [`detach::start`]); the commands in `tools` use
//! its smaller parts: [`settings`] (both files, read and checked), [`log`] (Postfix's log lines),
//! [`pid_file`] (is it running?), [`accounts`], [`directories`], [`system`].
//!
//! One thread, one loop, no mail and no network bytes: the only input after start are signals, the
//! exit of children, the administrator's two files, and what the engine has it keep ([`custody`]).
//! As root it keeps its privileges, the engine runs as `mail_owner`, the helper as root; as anybody
//! else everything runs as that user.
//!
//! **Diagnostics**: [`Fatal`] is the administrator's or the system's fault, worded as Postfix words
//! it; what happens later is logged as `postfix/master`.
//! **Limits**: [`pace::RESTARTS_PER_MINUTE`], [`supervise::STOP_GRACE`],
//! [`supervise::DRAIN_GRACE`], [`custody::HOLD_MAX`], [`detach::START_WAIT`], [`listen::BACKLOG`],
//! [`listen::CORES_MAX`].
//! **Standards**: master(8), master(5) of Postfix 3.7.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod children;
pub mod common;
pub mod custody;
pub mod detach;
pub mod directories;
pub mod helper;
pub mod listen;
pub mod log;
pub mod pace;
pub mod pid_file;
pub mod ports;
pub mod rules;
pub mod settings;
pub mod signals;
pub mod supervise;
pub mod system;
mod virtual_rules;

use std::fmt;

/// An error that ends a command: the text Postfix logs after `fatal: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal(pub String);

impl Fatal {
    /// `what: reason`, with the system's reason as strerror(3) words it.
    pub fn system(what: impl fmt::Display, error: impl Into<std::io::Error>) -> Self {
        Self(format!("{what}: {}", system::reason(&error.into())))
    }

    /// An error of the configuration crate, whose text starts with `fatal: `.
    pub fn config(error: impl fmt::Display) -> Self {
        let text = error.to_string();
        Self(text.strip_prefix("fatal: ").unwrap_or(&text).to_owned())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}
