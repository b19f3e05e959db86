//! The mail system: one module per Postfix daemon, under its Postfix name.
//!
//! Everything runs as tasks of [`runtime::Rt`], one per core; `core` is what a core owns.

#![forbid(unsafe_code)]

pub mod cleanup;
pub mod delivery;
pub mod localtime;
pub mod maillog;
pub mod match_list;
pub mod resolver;
pub mod side;
pub mod smtp;
pub mod trivial_rewrite;
