//! Watching the files of lookup tables, so that a table that was built anew is used without a
//! reload.
//!
//! The kernel tells of everything that ends a change in the directories of the files, and a thread
//! passes it on; whoever is told looks at the files themselves. Where the kernel cannot tell, as
//! with file systems of other machines, the thread says every [`PERIOD`] that something may have
//! changed.
//!
//! **Diagnostics**: a directory that cannot be watched is left to [`PERIOD`], and so is everything
//! where the kernel has no watches left.
//! **Limits**: at most one word in [`PAUSE`].

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a change may go unnoticed where the kernel does not tell.
pub const PERIOD: Duration = Duration::from_secs(60);
/// Between two words, however much changes in a directory.
pub const PAUSE: Duration = Duration::from_millis(100);
/// How long a file that is written in place must have stayed as it is.
pub const SETTLED: Duration = Duration::from_millis(200);

/// What the kernel tells at once; more follows in the next.
const EVENT_BYTES: usize = 4096;

/// The directories that are watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// None where the kernel had none left.
    kernel: Option<Arc<OwnedFd>>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new()
    }
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Watch {
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        Watch { kernel: kernel.ok().map(Arc::new) }
    }

    /// Watches the directories of `files` and of what they are links to; those watched before
    /// stay.
    pub fn follow<'a>(&self, files: impl Iterator<Item = &'a str>) {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let Some(kernel) = &self.kernel else { return };
        for directory in files.flat_map(homes) {
            // What cannot be watched is looked at every `PERIOD`.
            let _unwatched = inotify::add_watch(kernel, directory, flags);
        }
    }

    /// Waits until something may have changed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self) -> io::Result<()> {
        let Some(kernel) = &self.kernel else {
            std::thread::sleep(PERIOD);
            return Ok(());
        };
        let timeout = Timespec { tv_sec: PERIOD.as_secs() as i64, tv_nsec: 0 };
        let mut ready = [PollFd::new(kernel, PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut events = inotify::Reader::new(kernel, &mut buffer);
        loop {
            match events.next() {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn homes(path: &str) -> impl Iterator<Item = PathBuf> {
    let target = fs::canonicalize(path).ok();
    let home = |path: &Path| path.parent().map(Path::to_path_buf);
    [home(Path::new(path)), target.as_deref().and_then(home)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_written_or_removed_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("table"), "1").unwrap();
        let watch = Watch::new();
        watch.follow([path("table").to_str().unwrap()].into_iter());
        fs::write(path("new"), "2").unwrap();
        watch.wait().unwrap();
        fs::rename(path("new"), path("table")).unwrap();
        watch.wait().unwrap();
        fs::write(path("table"), "3").unwrap();
        watch.wait().unwrap();
        fs::remove_file(path("table")).unwrap();
        watch.wait().unwrap();
    }

    #[test]
    fn a_link_is_watched_at_both_ends() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, file) = (here.path().join("table"), there.path().join("file"));
        fs::write(&file, "1").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let watch = Watch::new();
        watch.follow([link.to_str().unwrap()].into_iter());
        fs::write(&file, "2").unwrap();
        watch.wait().unwrap();
        fs::remove_file(&link).unwrap();
        watch.wait().unwrap();
    }
}
