//! The commands an administrator types, under their Postfix names.
//!
//! Each file in `bin/` is argv and exit code only; what it does is a module here.

pub mod getopt;
pub mod postconf;
pub mod system;
