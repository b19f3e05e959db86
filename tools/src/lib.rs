//! The commands an administrator types, under their Postfix names.
//!
//! Each file in `bin/` is argv and exit code only; what it does is a module here. Files, host facts,
//! accounts, logging and the pid file are shared with the supervisor and come from its crate.

pub mod getopt;
pub mod postconf;
pub mod postfix;
pub mod program;

pub use master::system;
