//! What the administrator writes: main.cf and master.cf, read exactly as Postfix 3.7 reads them.
//!
//! The engine, the supervisor and postconf(1) parse the two files here and ask [`Params`] for
//! typed values. Nothing in this crate does I/O: files come through a [`Source`], facts about the
//! system through a [`Host`].
//!
//! **Diagnostics**: every error is a value whose `Display` is the text Postfix logs; warnings are
//! collected beside the result, never printed. Asking [`Params`] for a name that is not a Postfix
//! parameter is our bug and panics with the name.
//! **Limits**: [`expand::MAX_NESTING`], [`expand::MAX_REFERENCES`], [`expand::MAX_EXPANDED`].
//! **Standards**: postconf(5), master(5) of Postfix 3.7.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod check;
pub mod expand;
mod fuzz;
mod host;
mod level;
mod line;
pub mod main_cf;
pub mod master_cf;
pub mod params;
mod source;
pub mod template;

pub use fuzz::{fuzz_main_cf, fuzz_master_cf};
pub use host::Host;
pub use level::{BadLevel, Level};
pub use line::{Warning, WarningKind};
pub use main_cf::MainCf;
pub use master_cf::MasterCf;
pub use params::{BadValue, Params, Reason};
pub use source::{Source, SourceError};
