//! For fuzzing: what servers may say, in the protocols that are read here.

/// Reads `bytes` as a reply of each protocol.
pub fn fuzz_replies(bytes: &[u8]) {
    crate::tcp::fuzz(bytes);
    crate::socketmap::fuzz(bytes);
    crate::memcache::fuzz(bytes);
}
