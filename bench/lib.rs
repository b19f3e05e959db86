//! Benchmarks: load tools that any mail server can be measured with, and what compares two of them.
//!
//! [`load`] is a source and a sink on the runtime's own loop, cheap enough to leave the machine to
//! the server that is measured. [`server`] is such a server, Postfix or ringpost.

#![forbid(unsafe_code)]

mod greeting;
pub mod load;
pub mod process;
pub mod server;

pub use greeting::wait_for_greeting;
