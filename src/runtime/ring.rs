//! [`UringIo`]: the contract of [`crate::io::Io`] kept with io_uring.
//!
//! One ring per core, made on its own thread: single issuer, deferred task run, multishot accept
//! and receive, one provided-buffer ring, one `io_uring_enter` per turn. When the last turn was
//! busy the next one waits up to [`MIN_WAIT_MICROS`] for a fuller batch (kernel 6.12 and later),
//! which saves system calls under load and costs nothing when idle.
//!
//! Limits: [`SQ_ENTRIES`], [`CQ_ENTRIES`], [`buffers::COUNT`] buffers of [`buffers::SIZE`] bytes.

#[allow(unsafe_code)]
pub mod buffers;
#[allow(unsafe_code)]
mod sys;

pub use sys::UringIo;

/// Submission queue entries; a full queue is submitted early, nothing is lost.
pub const SQ_ENTRIES: u32 = 1024;
/// Completion queue entries; multishot operations need a deep queue.
pub const CQ_ENTRIES: u32 = 32_768;
/// How long a busy core waits for more completions per turn.
pub const MIN_WAIT_MICROS: u32 = 50;
/// Completions in one turn that make a core busy.
pub const BUSY_COMPLETIONS: usize = 4;
/// Completions that end the wait of a busy core at once.
pub const BUSY_WANT: usize = 64;
