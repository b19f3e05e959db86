//! A simulated disk: files that keep written and durable bytes apart, for crash tests.
//!
//! Used by tests and by the engine's simulator. Each storage operation is made of the steps that
//! the real one takes (make a name, allocate, write, sync, rename, sync the directory); a
//! `Picture` can be had after every step, and gives every image that a power cut there may leave:
//! sectors, lengths and names since the last sync are there or not, each by itself. Any step can
//! be made to fail (`Fault`). One seed makes everything repeatable.
//!
//! Limits: directories exist as soon as they are named. `create` does not write its zeros.

mod fault;
mod file;
mod names;
mod picture;
mod rng;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

pub use fault::{Failure, Fault, Op};
pub use picture::{Picture, Tear};
pub use rng::Rng;

use crate::{
    map::Map,
    segment::PAGE,
    storage::{Access, Lock, Space, Storage, StoredFile},
};
use file::File;
use names::{FileId, Names};

#[derive(Debug)]
struct Disk {
    files: BTreeMap<FileId, Arc<File>>,
    names: Arc<Names>,
    next_id: FileId,
    locks: BTreeSet<PathBuf>,
    rng: Rng,
    total: u64,
    faults: Vec<Fault>,
    /// Pictures taken after each step, when they are wanted.
    watched: Option<Vec<Picture>>,
}

impl Disk {
    fn new(files: BTreeMap<FileId, Arc<File>>, names: Names, rng: Rng, total: u64) -> Disk {
        let next_id = files.keys().last().map_or(1, |id| id + 1);
        let (names, locks) = (Arc::new(names), BTreeSet::new());
        Disk { files, names, next_id, locks, rng, total, faults: Vec::new(), watched: None }
    }

    fn used(&self) -> u64 {
        self.names.seen.values().map(|id| self.files[id].seen.len() as u64).sum()
    }

    fn room_for(&self, bytes: u64) -> io::Result<()> {
        let fits = self.used() + bytes <= self.total;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn picture(&self) -> Picture {
        let names = Arc::clone(&self.names);
        Picture { files: self.files.clone(), names, total: self.total }
    }

    /// Something was changed.
    fn stepped(&mut self) {
        let picture = self.watched.is_some().then(|| self.picture());
        if let Some(watched) = &mut self.watched {
            watched.extend(picture);
        }
    }

    fn fault(&mut self, op: Op) -> Option<Failure> {
        self.faults.iter_mut().find_map(|fault| fault.count(op))
    }

    fn check(&mut self, op: Op) -> io::Result<()> {
        self.fault(op).map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn id(&self, path: &Path) -> io::Result<FileId> {
        self.names.seen.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, id: FileId) -> &mut File {
        Arc::make_mut(self.files.get_mut(&id).expect("names and handles keep files"))
    }

    /// A new, empty file.
    fn link(&mut self, path: &Path) -> io::Result<FileId> {
        self.check(Op::Name)?;
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, Arc::default());
        Arc::make_mut(&mut self.names).link(path, id);
        self.stepped();
        Ok(id)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.check(Op::Name)?;
        Arc::make_mut(&mut self.names).unlink(path);
        self.stepped();
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.id(from)?;
        self.check(Op::Name)?;
        Arc::make_mut(&mut self.names).rename(from, to, id);
        self.stepped();
        Ok(())
    }

    fn set_len(&mut self, id: FileId, len: usize) -> io::Result<()> {
        self.check(Op::Write)?;
        self.room_for((len - len.min(self.files[&id].seen.len())) as u64)?;
        self.file(id).set_len(len);
        self.stepped();
        Ok(())
    }

    /// Writes, and says how much: a device error leaves any part, a short write the first half.
    fn write(&mut self, id: FileId, offset: usize, bytes: &[u8]) -> io::Result<usize> {
        let failure = self.fault(Op::Write);
        let taken = match failure {
            Some(Failure::NoSpace) => return Err(Failure::NoSpace.error()),
            Some(Failure::Short) => bytes.len() / 2 / PAGE * PAGE,
            _ => bytes.len(),
        };
        self.file(id).write(offset, &bytes[..taken]);
        self.stepped();
        if failure == Some(Failure::Device) { Err(Failure::Device.error()) } else { Ok(taken) }
    }

    fn sync(&mut self, id: FileId) -> io::Result<()> {
        if let Some(failure) = self.fault(Op::Sync) {
            let mut dice = Rng::new(self.rng.next_u64());
            self.file(id).sync_failed(&mut |_| dice.one_in(2));
            self.stepped();
            return Err(failure.error());
        }
        if self.files[&id].units() > 0 {
            self.file(id).sync();
            self.stepped();
        }
        Ok(())
    }

    fn sync_parent(&mut self, path: &Path) -> io::Result<()> {
        self.check(Op::Sync)?;
        if let Some(dir) = path.parent() {
            Arc::make_mut(&mut self.names).sync(dir);
            self.stepped();
        }
        Ok(())
    }
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
}

impl SimDisk {
    /// An empty disk of `total` bytes.
    #[must_use]
    pub fn new(seed: u64, total: u64) -> SimDisk {
        SimDisk::with(Disk::new(BTreeMap::new(), Names::default(), Rng::new(seed), total))
    }

    fn with(disk: Disk) -> SimDisk {
        SimDisk { disk: Arc::new(Mutex::new(disk)) }
    }

    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no disk operation panics half way")
    }

    /// The disk at this moment.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.lock_disk().picture()
    }

    /// The disk as a crash at this moment would leave it; this one goes on.
    #[must_use]
    pub fn crashed(&self, tear: Tear, rng: &mut Rng) -> SimDisk {
        self.picture().torn(tear, rng)
    }

    /// From here on takes a picture after every step.
    pub fn watch(&self) {
        self.lock_disk().watched = Some(Vec::new());
    }

    /// The pictures since `watch`, which ends.
    #[must_use]
    pub fn watched(&self) -> Vec<Picture> {
        self.lock_disk().watched.take().unwrap_or_default()
    }

    /// Orders failures; `heal` takes all orders back.
    pub fn fail(&self, fault: Fault) {
        self.lock_disk().faults.push(fault);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.lock_disk().faults.clear();
    }

    /// Changes the size of the volume.
    pub fn resize(&self, total: u64) {
        self.lock_disk().total = total;
    }

    /// Paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock_disk().names.seen.keys().cloned().collect()
    }

    /// All bytes of a file, if it is there.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.lock_disk();
        let id = disk.id(path).ok()?;
        Some(disk.files[&id].seen.to_vec())
    }

    /// Puts a file there whole, durably: damage and fuzzing.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.lock_disk();
        let id = disk.id(path).unwrap_or(disk.next_id);
        disk.next_id = disk.next_id.max(id + 1);
        disk.files.insert(id, Arc::new(File::solid(&bytes)));
        Arc::make_mut(&mut disk.names).put(path, id);
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimLock").field(&self.path).finish()
    }
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock_disk().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: FileId,
    len: u64,
    access: Access,
}

impl StoredFile for SimFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk.lock_disk();
        disk.check(Op::Read)?;
        let seen = &disk.files[&self.id].seen;
        if offset as usize + into.len() > seen.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.read(offset as usize, into);
        Ok(())
    }

    fn write_at(&self, offset: u64, pages: &[u8]) -> io::Result<usize> {
        assert!(self.access != Access::Read, "opened for writing");
        assert!(offset.is_multiple_of(PAGE as u64), "direct writes start on pages");
        assert!(pages.len().is_multiple_of(PAGE), "direct writes are whole pages");
        assert!(pages.as_ptr().addr().is_multiple_of(PAGE), "direct writes are aligned");
        assert!(offset + pages.len() as u64 <= self.len, "a segment never grows");
        let mut disk = self.disk.lock_disk();
        let written = disk.write(self.id, offset as usize, pages)?;
        if self.access == Access::WriteDsync {
            disk.sync(self.id)?;
        }
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock_disk().sync(self.id)
    }

    fn view(&self) -> io::Result<Option<Map>> {
        Ok(None)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn needs_fdatasync(&self) -> bool {
        self.access == Access::WriteLinked
    }
}

impl Storage for SimDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.lock_disk();
        let below = disk.names.seen.keys().filter_map(|path| path.strip_prefix(dir).ok());
        let first = |path: &Path| path.iter().next()?.to_str().map(str::to_string);
        let names: BTreeSet<String> = below.filter_map(first).collect();
        Ok(names.into_iter().collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        if !self.lock_disk().locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf() }))
    }

    fn create(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut disk = self.lock_disk();
        if disk.id(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.link(path)?;
        // Allocation can be cut short, so it takes two steps.
        let made = [size / 2, size].into_iter().try_for_each(|len| disk.set_len(id, len as usize));
        let made = made.and_then(|()| disk.sync(id)).and_then(|()| disk.sync_parent(path));
        if made.is_err() {
            // As the real storage: the first error is the one to report.
            let _ = disk.unlink(path);
        }
        made
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let disk = self.lock_disk();
        let id = disk.id(path)?;
        let len = disk.files[&id].seen.len() as u64;
        Ok(Arc::new(SimFile { disk: self.clone(), id, len, access }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock_disk();
        if disk.id(path).is_ok() {
            disk.unlink(path)?;
        }
        disk.sync_parent(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.rename(from, to)?;
        disk.sync_parent(from)?;
        disk.sync_parent(to)
    }

    fn save(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let (bytes, temporary) = (parts.concat(), path.with_extension("tmp"));
        let mut disk = self.lock_disk();
        let id = disk.link(&temporary)?;
        let written = disk.set_len(id, bytes.len()).and_then(|()| disk.write(id, 0, &bytes));
        let saved = written.and_then(|len| match len == bytes.len() {
            true => disk.sync(id),
            false => Err(io::ErrorKind::WriteZero.into()),
        });
        let saved = saved.and_then(|()| disk.rename(&temporary, path));
        if saved.is_err() {
            let _ = disk.unlink(&temporary);
        }
        saved.and_then(|()| disk.sync_parent(path))
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let disk = self.lock_disk();
        Ok(Space { total: disk.total, free: disk.total.saturating_sub(disk.used()) })
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.lock_disk().rng.next_u64())
    }
}
