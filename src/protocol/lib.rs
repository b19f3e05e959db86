//! What is said on the wire. Bytes go in, events and bytes come out; no socket, no clock, no
//! policy.
//!
//! The engine feeds [`smtp::server::Session`] what a client sent and answers its events; it drives
//! a remote server through [`smtp::reply`] and [`smtp::ehlo`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod mx;
pub mod smtp;
