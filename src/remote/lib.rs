//! Lookup tables that a server or a library answers for: `tcp:`, `socketmap:`, `memcache:`,
//! `mysql:`, `pgsql:`, `sqlite:`, `ldap:` and `redis:`.
//!
//! The engine opens a [`Client`] when it reads its configuration and asks it on the loop of its
//! side thread; commands ask a [`Blocking`] table, which has a loop of its own. Nothing is
//! connected before the first lookup; what is connected belongs to the loop that asked. Keys come
//! folded where the type has it so.
//!
//! **Diagnostics**: a mistake of the configuration is [`BadTable`], worded as Postfix words it
//! after `fatal: `; a server that cannot answer is [`Answer::Retry`] with what Postfix would warn,
//! never "not found". Warnings beside an answer go to [`Setting::warn`].
//! **Limits**: time limits and sizes are in each type's module, connections in [`pool`]. TLS is for
//! mysql, pgsql and ldap; OpenSSL's names of ciphers mean nothing here and are refused.
//! **Standards**: tcp_table(5), socketmap_table(5), memcache_table(5), mysql_table(5),
//! pgsql_table(5), sqlite_table(5), ldap_table(5) of Postfix 3.7; [`redis`] says what its file has.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(
        feature = "ldap",
        feature = "mysql",
        feature = "pgsql",
        feature = "redis",
        feature = "sqlite"
    )),
    allow(dead_code, reason = "what the types that are left out share with each other")
)]

mod blocking;
mod cf;
pub mod client;
pub mod domain;
pub mod endpoint;
mod fuzz;
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "redis"))]
pub mod hosts;
#[cfg(feature = "ldap")]
pub mod ldap;
pub mod memcache;
#[cfg(feature = "mysql")]
pub mod mysql;
mod other;
#[cfg(feature = "pgsql")]
pub mod pgsql;
pub mod pool;
mod quote;
#[cfg(feature = "redis")]
pub mod redis;
pub mod shape;
pub mod socketmap;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod tcp;
mod template;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
mod tls;
mod wire;

pub use blocking::{Blocking, blocking, blocking_in};
pub use cf::{Setting, Warn};
pub use client::Client;
pub use fuzz::fuzz_replies;
pub use tables::catalog::BadTable;

/// What a server says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Found(Vec<u8>),
    /// It does not have the key.
    NotFound,
    /// It cannot tell now; why, as Postfix words it in its warning.
    Retry(String),
}
