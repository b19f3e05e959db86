//! What processes of different privilege say to each other, as bytes.
//!
//! | from | to | what | when |
//! | --- | --- | --- | --- |
//! | master | deliver | [`Rules`] | once, at its start |
//! | engine | deliver | [`Asked`] | first on a connection, which is for one delivery |
//! | deliver | engine | [`Reply::Go`] | the mailbox is open and locked |
//! | engine | deliver | [`chunk`]s of the content | after `Go` |
//! | deliver | engine | [`Reply::Done`] | last; instead of `Go` when there is nothing to write to |
//! | engine | master | [`custody::Request`] | a next hop is slow with its reply; it has replied |
//! | master | engine | [`custody::Orphan`]s | once, at its start, when the one before has ended |
//!
//! What is asked is a [`Request`] of local(8), an [`alias::Request`] when an alias or a file of the
//! user's is behind it, or a [`VirtualRequest`] of virtual(8).
//!
//! Every message is a [`frame`]: four letters that name its kind, the length of its body, the body.
//! A body is fields in a fixed order, each with its length; text fields have no control characters.
//! What an engine has master keep for the next one is a [`Transaction`]: master does not read it.
//!
//! **Diagnostics**: what is malformed is a [`CodecError`]; nothing here panics on any input, and
//! left-over bytes are an error.
//! **Limits**: [`request::BODY_MAX`], [`alias::BODY_MAX`], [`virtual_request::BODY_MAX`],
//! [`reply::BODY_MAX`], [`rules::BODY_MAX`], [`chunk::BYTES_MAX`], [`custody::BODY_MAX`],
//! [`transaction::RECORD_MAX`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod alias;
pub mod chunk;
mod codec;
pub mod custody;
pub mod frame;
mod fuzz;
pub mod reply;
pub mod request;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod virtual_request;
pub mod virtual_rules;

pub use codec::CodecError;
pub use fuzz::fuzz_privsep_request;
pub use reply::{Code, Reply, Verdict};
pub use request::Request;
pub use rules::{Locks, Rules, Service};
pub use transaction::Transaction;
pub use virtual_request::{Asked, VirtualRequest};
pub use virtual_rules::VirtualService;
