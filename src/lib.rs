//! Ringpost, a mail transfer agent; see ARCHITECTURE.md.

pub mod inherited;
