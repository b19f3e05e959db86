//! The real file system: fallocate and written zeros, O_DIRECT where it is taken, flock.
//!
//! Called by `Store` and by the side thread's `SegmentRequest::prepare`.
//!
//! Limits: Linux. Where O_DIRECT is refused, writes are buffered and need an fdatasync.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    sync::Arc,
};

use rustix::fs::{FallocateFlags, OFlags};

use crate::{
    map::{Aligned, Map},
    storage::{Access, Lock, Space, Storage, StoredFile},
};

/// How much is zeroed by one write.
const ZERO_BYTES: usize = 1 << 20;
/// Owner may read and write; mail is nobody else's business.
const MODE: u32 = 0o600;

/// The file system of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealStorage;

#[derive(Debug)]
struct RealLock(
    #[expect(dead_code, reason = "held for its lock, which ends when it is closed")] File,
);

impl Lock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    len: u64,
    needs_fdatasync: bool,
}

impl StoredFile for RealFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, pages: &[u8]) -> io::Result<usize> {
        self.file.write_at(pages, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn view(&self) -> io::Result<Option<Map>> {
        Map::of(&self.file).map(Some)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn needs_fdatasync(&self) -> bool {
        self.needs_fdatasync
    }
}

impl Storage for RealStorage {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        sync_parent(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let name = |e: io::Result<fs::DirEntry>| Ok(e?.file_name());
        let names = entries.map(name).collect::<io::Result<Vec<OsString>>>()?;
        Ok(names.into_iter().filter_map(|n| n.into_string().ok()).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(MODE);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(MODE).open(path)?;
        let filled = fill(&file, size).and_then(|()| sync_parent(path));
        if filled.is_err() {
            // The first error is the one to report; a file left behind is found at next start.
            let _ = fs::remove_file(path);
        }
        filled
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let (file, needs_fdatasync) = match access {
            Access::Read => (File::open(path)?, false),
            Access::WriteDsync => open_direct(path, OFlags::DIRECT | OFlags::DSYNC)?,
            Access::WriteLinked => open_direct(path, OFlags::DIRECT)?,
        };
        let len = file.metadata()?.len();
        let needs_fdatasync = needs_fdatasync || access == Access::WriteLinked;
        Ok(Arc::new(RealFile { file, len, needs_fdatasync }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_parent(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_parent(from)?;
        sync_parent(to)
    }

    fn save(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let saved = write_new(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
        if saved.is_err() {
            // The first error is the one to report; what stays is written over by the next one.
            let _ = fs::remove_file(&temporary);
        }
        saved?;
        sync_parent(path)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(dir)?;
        let unit = volume.f_frsize;
        Ok(Space { total: volume.f_blocks * unit, free: volume.f_bavail * unit })
    }

    fn random(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
        assert_eq!(got, bytes.len(), "getrandom(2) never cuts requests up to 256 bytes short");
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Opens with `flags`, or without them, and then with the need of an fdatasync.
fn open_direct(path: &Path, flags: OFlags) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => Ok((file, false)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Ok((options.open(path)?, true))
        }
        Err(error) => Err(error),
    }
}

/// Writes a whole file in place of any older one, durably but for its name.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(MODE).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Allocates and writes `size` zeros: a commit must never change file metadata.
fn fill(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = Aligned::new(ZERO_BYTES);
    let mut at = 0;
    while at < size {
        let len = (size - at).min(ZERO_BYTES as u64) as usize;
        file.write_all_at(&zeros.bytes()[..len], at)?;
        at += len as u64;
    }
    file.sync_all()
}

/// Makes a name durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
