//! What mail is.
