//! SMTP: RFC 5321 and its extensions.

pub mod bdat;
pub mod client;
pub mod command;
pub mod counters;
pub mod data;
pub mod ehlo;
pub mod faults;
mod fuzz;
pub mod path;
pub mod reply;
pub mod server;

pub use fuzz::{check_wire_form, fuzz_reply, fuzz_smtp_session};
