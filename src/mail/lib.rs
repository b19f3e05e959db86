//! What mail is: addresses, headers, dates, delivery status, queue ids and the message envelope.
//!
//! `no_std`: nothing here can reach a file, a socket or a clock. Bytes come in, values go out.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod date;
pub mod destination;
pub mod dsn;
pub mod envelope;
pub mod expand;
pub mod extension;
mod fuzz;
pub mod header;
pub mod mime;
pub mod queue_id;
pub mod received;
pub mod record;
pub mod tok822;

pub use address::Address;
pub use dsn::{Dsn, Status};
pub use envelope::{Envelope, Recipient};
pub use fuzz::{fuzz_address, fuzz_envelope, fuzz_header, fuzz_records, fuzz_tok822};
