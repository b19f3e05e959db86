//! Loading a system call filter without giving up set-id programs.
//!
//! The library that assembles filters also sets no_new_privs when it loads one; a user's commands,
//! which deliver starts, need the set-gid postdrop. As root the kernel asks for no such thing.

use std::io;

use seccompiler::BpfProgram;

/// Binds this thread and all that come from it.
///
/// # Errors
/// The kernel has no filters, or this process may not load one.
pub fn load(program: &BpfProgram) -> io::Result<()> {
    let instructions = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: instructions,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions during the call; `program` borrows a slice of
    // that length whose elements have the kernel's layout (both are `struct sock_filter`).
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
