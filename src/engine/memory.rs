//! [`Memory`]: how much memory the process has, and the word for it when little is left.
//!
//! | state | when | what clients see |
//! | --- | --- | --- |
//! | plenty | less than [`PLENTY_SHARE`] of the limit is used | - |
//! | scarce | from [`SCARCE_SHARE`] on, until there is plenty again | `452 4.3.1` at MAIL |
//!
//! Who is in the middle of a message goes on: that is what frees memory. Deliveries go on for the
//! same reason. Everything else a client can make us keep is bounded by itself; this is for many
//! of them at once, so that the system never has to choose whom to kill.
//!
//! Core 0 looks every [`MEMORY_INTERVAL`]; the cores share what it found. While memory is scarce
//! each has the allocator give back what it freed: by itself that waits for allocations.

use crate::core::Core;
use crate::limits::{MEMORY_INTERVAL, PLENTY_SHARE, SCARCE_SHARE};
use crate::maillog::Daemon;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of its own that the process uses now: pages of files, which the kernel may take back, are
/// not counted.
pub type Gauge = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// What the process may use, and whether it nearly does.
pub struct Memory {
    limit: u64,
    used: Gauge,
    /// Gives back to the system what the calling thread has freed.
    collect: fn(),
    scarce: AtomicBool,
}

impl Default for Memory {
    /// Without a limit.
    fn default() -> Memory {
        Memory::new(u64::MAX, Box::new(|| Ok(0)), || {})
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Memory {
    /// At most `limit` bytes, of which `used` says how many are used; `collect` gives back to the
    /// system what the calling thread has freed.
    pub fn new(limit: u64, used: Gauge, collect: fn()) -> Memory {
        Memory { limit, used, collect, scarce: AtomicBool::new(false) }
    }

    /// Whether no new mail is taken.
    pub fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Relaxed)
    }

    /// Looks: what is to be said, if the state has changed.
    fn look(&self) -> io::Result<Option<String>> {
        let used = (self.used)()?;
        let was = self.is_scarce();
        let share = if was { PLENTY_SHARE } else { SCARCE_SHARE };
        let is = used >= self.limit / 100 * share;
        self.scarce.store(is, Ordering::Relaxed);
        let (used, limit) = (used >> 20, self.limit >> 20);
        Ok(match (was, is) {
            (false, true) => Some(format!("{used} of {limit} MiB of memory are used: no new mail")),
            (true, false) => Some(format!("{used} of {limit} MiB of memory are used: mail again")),
            _ => None,
        })
    }
}

/// Keeps looking, as a task of every core, where there is a limit.
pub fn watch(core: &Rc<Core>) {
    // What reading the log took is free by now, and nothing that comes would need as much.
    (core.memory.collect)();
    if core.memory.limit == u64::MAX {
        return;
    }
    let task = core.clone();
    core.rt.spawn(async move {
        while !task.is_stopping() {
            let looked = if task.qmgr.is_some() { task.memory.look() } else { Ok(None) };
            match looked {
                Ok(said) => said.iter().for_each(|text| task.log.warn(Daemon::Smtpd, text)),
                Err(error) => {
                    let text = format!("memory is not watched any more: {error}");
                    return task.log.warn(Daemon::Smtpd, &text);
                }
            }
            if task.memory.is_scarce() {
                (task.memory.collect)();
            }
            task.rt.sleep_until(task.rt.now() + MEMORY_INTERVAL).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn memory_is_scarce_from_one_mark_until_another() {
        let used = Arc::new(AtomicU64::new(0));
        let gauge = used.clone();
        let memory =
            Memory::new(100 << 20, Box::new(move || Ok(gauge.load(Ordering::Relaxed))), || {});
        let after = |mib: u64| {
            used.store(mib << 20, Ordering::Relaxed);
            (memory.look().unwrap(), memory.is_scarce())
        };
        assert_eq!(after(89), (None, false));
        let text = "91 of 100 MiB of memory are used: no new mail".to_string();
        assert_eq!(after(91), (Some(text), true));
        assert_eq!(after(85), (None, true));
        let text = "79 of 100 MiB of memory are used: mail again".to_string();
        assert_eq!(after(79), (Some(text), false));
        assert_eq!(after(85), (None, false));
    }
}
