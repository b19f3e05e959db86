//! The files under the log, as a trait: the real file system, and a simulated one for tests.
//!
//! Called by `Store`, `Log` and `Reader`. Everything here may block: the hot path touches only
//! maps, and hands its writes to the engine as `Flush`es.
//!
//! Diagnostics: `io::Error` as the system gave it; `StorageFull` for a full volume.

mod real;
pub mod sim;

use std::{fmt::Debug, io, os::fd::BorrowedFd, path::Path, sync::Arc};

pub(crate) use real::RealStorage;

use crate::map::Map;

/// How a segment is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading and mapping.
    Read,
    /// For whole-page writes that are durable when they return.
    WriteDsync,
    /// For whole-page writes followed by a sync of the file's data.
    WriteLinked,
}

/// Bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What an unprivileged process may still take.
    pub free: u64,
}

/// A held lock; dropping it lets go.
pub trait Lock: Send + Sync + Debug {}

/// One file of the queue directory.
pub trait StoredFile: Send + Sync + Debug {
    /// Its length in bytes when it was opened.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// What the system said; `UnexpectedEof` past the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes whole pages at a page boundary; returns how many bytes were taken.
    ///
    /// # Errors
    /// What the system said.
    fn write_at(&self, offset: u64, pages: &[u8]) -> io::Result<usize>;

    /// Makes everything written durable.
    ///
    /// # Errors
    /// What the system said; after that nothing written before can be relied on.
    fn sync(&self) -> io::Result<()>;

    /// A map of the whole file, or none where there are no maps (simulation).
    ///
    /// # Errors
    /// What mmap said.
    fn view(&self) -> io::Result<Option<Map>>;

    /// The descriptor for the engine's ring; none in simulation.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether a write needs a sync before it counts.
    fn needs_fdatasync(&self) -> bool;
}

/// The file system as the queue needs it. Paths are absolute or relative to the process.
pub trait Storage: Send + Sync + Debug {
    /// Makes a directory and its parents, durably.
    ///
    /// # Errors
    /// What the system said.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Names in a directory; empty when it does not exist.
    ///
    /// # Errors
    /// What the system said.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Takes the lock file without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when somebody holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Makes a new file of `size` zeros with every block allocated and written; durable, name
    /// included, when it returns. A failure leaves no file behind.
    ///
    /// # Errors
    /// `StorageFull` when the volume is full, `AlreadyExists`, or what the system said.
    fn create(&self, path: &Path, size: u64) -> io::Result<()>;

    /// Opens a segment.
    ///
    /// # Errors
    /// What the system said.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>>;

    /// Removes a file, durably; one that is not there is removed already.
    ///
    /// # Errors
    /// What the system said.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, durably.
    ///
    /// # Errors
    /// What the system said.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Writes a small whole file in place of any older one, durably.
    ///
    /// # Errors
    /// What the system said.
    fn save(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()>;

    /// Size and free space of the volume that holds `dir`.
    ///
    /// # Errors
    /// What the system said.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// 64 bits nobody outside can guess (simulation: repeatable).
    ///
    /// # Errors
    /// What the system said.
    fn random(&self) -> io::Result<u64>;
}

/// Size and free space of the volume that holds `dir`, for `queue_minfree`.
///
/// # Errors
/// What statvfs(3) said.
pub fn free_space(dir: &Path) -> io::Result<Space> {
    RealStorage.space(dir)
}
