//! Ringpost, a mail transfer agent; see ARCHITECTURE.md.

pub mod demo;
pub mod explain;
pub mod inherited;
pub mod memory;
pub mod sandbox;
pub mod simulate;
pub mod watch;
