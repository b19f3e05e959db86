//! The mail system: one module per Postfix daemon, under its Postfix name.
//!
//! Everything runs as tasks of [`runtime::Rt`], one per core; `core` is what a core owns.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod agent;
pub mod anvil;
pub mod background;
pub mod bounce;
pub mod cleanup;
pub mod commit;
pub mod control;
pub mod core;
pub mod custody;
pub mod defer;
pub mod delivery;
pub mod error;
pub mod explain;
mod fuzz;
mod head;
pub mod launch;
pub mod limits;
pub mod local;
pub mod localtime;
pub mod lookup;
pub mod mail_addr_find;
pub mod mail_addr_map;
pub mod maillog;
pub mod match_list;
pub mod memory;
pub mod parcel;
pub mod pickup;
pub mod qmgr;
pub mod resolver;
pub mod rollcall;
pub mod showq;
pub mod side;
pub mod simulation;
pub mod smtp;
pub mod smtpd;
pub mod snapshot;
#[cfg(test)]
mod testing;
pub mod trivial_rewrite;
pub mod vmailbox;

pub use bounce::fuzz_dsn;
pub use pickup::fuzz_pickup;
pub use resolver::fuzz_dns_answer;
