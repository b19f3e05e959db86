//! The commands an administrator types, under their Postfix names.
//!
//! Each file in `bin/` is argv and exit code only; what it does is a module here. Files, host
//! facts, accounts, logging and the pid file are shared with the supervisor and come from its
//! crate.

pub mod access;
pub mod client;
pub mod getopt;
pub mod postcat;
pub mod postconf;
pub mod postdrop;
pub mod postfix;
pub mod postlog;
pub mod postmap;
pub mod postqueue;
pub mod postsuper;
pub mod program;
pub mod sendmail;

pub use master::system;
