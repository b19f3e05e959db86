//! SMTP: RFC 5321 and its extensions.

pub mod bdat;
pub mod client;
pub mod command;
pub mod counters;
pub mod data;
pub mod ehlo;
pub mod reply;
pub mod server;
