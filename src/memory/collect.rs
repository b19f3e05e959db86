//! Giving freed memory back to the system.

/// Has the allocator give back what the calling thread has freed, and what nobody uses.
pub fn collect() {
    // SAFETY: mi_collect may be called by any thread at any time; it frees nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
