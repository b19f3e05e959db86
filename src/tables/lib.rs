//! Lookup tables: a key goes in, a value or its absence comes out; no file, no socket.
//!
//! [`constant`] is the database behind `hash:` and `btree:`; [`berkeley`], [`lmdb`] and [`cdb`]
//! read the files of others; [`source`] and [`alias`] read the texts databases are built from,
//! [`pattern`] is `regexp:` and `pcre:`, [`simple`] and [`combine`] are tables in memory, and
//! [`catalog`] opens any of them by its name. postmap(1) and postalias(1) build and query them, the
//! engine asks them; whoever reads a table file owns its bytes.
//!
//! **Diagnostics**: a text line that cannot be used is a [`source::BadLine`] with Postfix's
//! warning; a file that is no database is a [`constant::BadDb`]; a table that cannot answer now
//! says so with [`Lookup::Retry`]. Nothing panics on any input.
//! **Limits**: [`constant::FILE_BYTES_MAX`].
//! **Standards**: postmap(1), postalias(1), aliases(5), DATABASE_README of Postfix 3.7.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod alias;
pub mod berkeley;
pub mod catalog;
pub mod cdb;
pub mod cidr;
pub mod combine;
pub mod constant;
pub mod fold;
pub mod foreign;
mod fuzz;
pub mod lmdb;
pub mod pattern;
pub mod simple;
pub mod source;

use alloc::borrow::Cow;

pub use fuzz::{fuzz_alias, fuzz_cidr, fuzz_constant_db, fuzz_foreign_db, fuzz_pattern};

/// What a table says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The value.
    Found(Cow<'a, [u8]>),
    /// The table does not have the key.
    NotFound,
    /// The table cannot tell now; why, as Postfix words it.
    Retry(Cow<'static, str>),
}

/// A set of keys with values.
pub trait Table {
    /// The value of exactly `key`; folding is the caller's, see [`fold`].
    fn lookup(&self, key: &[u8]) -> Lookup<'_>;

    /// The line of the table's text that answers for `key`, from 1, where the table knows it.
    fn line(&self, _key: &[u8]) -> Option<usize> {
        None
    }
}
