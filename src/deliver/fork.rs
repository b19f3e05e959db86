//! fork(2) for a process with one thread.

use std::io;

use nix::unistd::ForkResult;
use rustix::process::Pid;

/// A new process: its id in the parent, nothing in the child.
///
/// # Errors
/// As fork(2).
#[allow(unsafe_code)]
pub fn fork() -> io::Result<Option<Pid>> {
    debug_assert!(is_alone(), "a lock that another thread holds would stay locked in the child");
    // SAFETY: this program never starts a thread (nothing in this crate does, and the assertion
    // above looks), so that the child has a consistent copy of every lock and of the allocator.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => Ok(Pid::from_raw(child.as_raw())),
    }
}

fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
