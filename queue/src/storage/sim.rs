//! A simulated disk: files that keep written and durable bytes apart, for crash tests.
//!
//! Used by tests and by the engine's simulator. A crash image keeps, of everything written and
//! not synced, any choice of 512-byte sectors. One seed makes everything repeatable.
//!
//! Limits: directories exist as soon as they are named; names are durable at once (the real
//! storage syncs directories before it says so).

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    map::Map,
    segment::PAGE,
    storage::{Access, Lock, Space, Storage, StoredFile},
};

/// What the device writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// A small repeatable random generator (splitmix64), for tests that print their seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        self.next_u64() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a crash does to sectors that were written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// All are lost.
    Lose,
    /// All made it.
    Keep,
    /// Those before a random point made it.
    Cut,
    /// Each made it or not, by itself.
    Shuffle,
}

#[derive(Clone, Debug, Default)]
struct File {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors in which the two differ.
    dirty: std::collections::BTreeSet<usize>,
}

impl File {
    fn solid(bytes: Vec<u8>) -> File {
        File { durable: bytes.clone(), written: bytes, ..File::default() }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.written[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    fn keep(&mut self, sector: usize) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.written.len());
        self.durable[range.clone()].copy_from_slice(&self.written[range]);
    }

    /// What is on the disk after a crash.
    fn crash(mut self, tear: Tear, rng: &mut Rng) -> File {
        let dirty: Vec<usize> = std::mem::take(&mut self.dirty).into_iter().collect();
        let cut = rng.below(dirty.len() as u64 + 1) as usize;
        for (at, sector) in dirty.into_iter().enumerate() {
            let made_it = match tear {
                Tear::Lose => false,
                Tear::Keep => true,
                Tear::Cut => at < cut,
                Tear::Shuffle => rng.one_in(2),
            };
            if made_it {
                self.keep(sector);
            }
        }
        File::solid(self.durable)
    }
}

#[derive(Debug)]
struct Disk {
    files: BTreeMap<PathBuf, File>,
    locks: std::collections::BTreeSet<PathBuf>,
    rng: Rng,
    total: u64,
    /// Writes that still succeed; none for no limit.
    writes_left: Option<u64>,
    /// Writes until the picture is taken, and the picture.
    capture: Option<u64>,
    captured: Option<BTreeMap<PathBuf, File>>,
}

impl Disk {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.written.len() as u64).sum()
    }

    fn room_for(&self, bytes: u64) -> io::Result<()> {
        let fits = self.used() + bytes <= self.total;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn spend_write(&mut self) -> io::Result<()> {
        match &mut self.writes_left {
            Some(0) => Err(io::Error::other("simulated write error")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes the picture when its write has come.
    fn count_down(&mut self) {
        let Some(left) = self.capture else { return };
        self.capture = left.checked_sub(1).filter(|left| *left > 0);
        if self.capture.is_none() {
            self.captured = Some(self.files.clone());
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut File> {
        self.files.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
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
        SimDisk::with(BTreeMap::new(), Rng::new(seed), total)
    }

    fn with(files: BTreeMap<PathBuf, File>, rng: Rng, total: u64) -> SimDisk {
        let locks = std::collections::BTreeSet::new();
        let disk =
            Disk { files, locks, rng, total, writes_left: None, capture: None, captured: None };
        SimDisk { disk: Arc::new(Mutex::new(disk)) }
    }

    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no disk operation panics half way")
    }

    /// The disk as a crash at this moment would leave it; this one goes on.
    #[must_use]
    pub fn crashed(&self, tear: Tear, rng: &mut Rng) -> SimDisk {
        let disk = self.lock_disk();
        let seed = rng.next_u64();
        let files = disk.files.iter().map(|(p, f)| (p.clone(), f.clone().crash(tear, rng)));
        SimDisk::with(files.collect(), Rng::new(seed), disk.total)
    }

    /// Takes a picture right after the `nth` write from now (1 is the next), before any sync.
    pub fn capture_after(&self, nth: u64) {
        let mut disk = self.lock_disk();
        (disk.capture, disk.captured) = ((nth > 0).then_some(nth), None);
    }

    /// The disk as a crash at the moment of the picture would leave it, if it was taken.
    #[must_use]
    pub fn captured(&self, tear: Tear, rng: &mut Rng) -> Option<SimDisk> {
        let mut disk = self.lock_disk();
        disk.capture = None;
        let picture = disk.captured.take()?;
        let seed = rng.next_u64();
        let files = picture.into_iter().map(|(p, f)| (p, f.crash(tear, rng)));
        Some(SimDisk::with(files.collect(), Rng::new(seed), disk.total))
    }

    /// Changes the size of the volume.
    pub fn resize(&self, total: u64) {
        self.lock_disk().total = total;
    }

    /// Lets `count` more writes succeed, then none; `None` lifts the limit.
    pub fn fail_after(&self, count: Option<u64>) {
        self.lock_disk().writes_left = count;
    }

    /// Paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock_disk().files.keys().cloned().collect()
    }

    /// All bytes of a file, if it is there.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.lock_disk().files.get(path).map(|file| file.written.clone())
    }

    /// Puts a file there whole, durably: damage and fuzzing.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.lock_disk().files.insert(path.to_path_buf(), File::solid(bytes));
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
    path: PathBuf,
    len: u64,
    access: Access,
}

impl StoredFile for SimFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk.lock_disk();
        let bytes = &disk.file(&self.path)?.written;
        let at = offset as usize;
        let range = bytes.get(at..at + into.len());
        into.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, pages: &[u8]) -> io::Result<usize> {
        assert!(self.access != Access::Read, "opened for writing");
        assert!(offset.is_multiple_of(PAGE as u64), "direct writes start on pages");
        assert!(pages.len().is_multiple_of(PAGE), "direct writes are whole pages");
        assert!(pages.as_ptr().addr().is_multiple_of(PAGE), "direct writes are aligned");
        assert!(offset + pages.len() as u64 <= self.len, "a segment never grows");
        let mut disk = self.disk.lock_disk();
        disk.spend_write()?;
        disk.file(&self.path)?.write(offset as usize, pages);
        disk.count_down();
        let file = disk.file(&self.path)?;
        if self.access == Access::WriteDsync {
            file.sync();
        }
        Ok(pages.len())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock_disk();
        disk.file(&self.path)?.sync();
        Ok(())
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
        let below = disk.files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        let first = |path: &Path| path.iter().next()?.to_str().map(str::to_string);
        let names: std::collections::BTreeSet<String> = below.filter_map(first).collect();
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
        disk.room_for(size)?;
        if disk.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.files.insert(path.to_path_buf(), File::solid(vec![0; size as usize]));
        Ok(())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let len = self.lock_disk().file(path)?.written.len() as u64;
        let (disk, path) = (self.clone(), path.to_path_buf());
        Ok(Arc::new(SimFile { disk, path, len, access }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock_disk().files.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let file = disk.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.files.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn save(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let bytes = parts.concat();
        let mut disk = self.lock_disk();
        disk.room_for(bytes.len() as u64)?;
        disk.files.insert(path.to_path_buf(), File::solid(bytes));
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let disk = self.lock_disk();
        Ok(Space { total: disk.total, free: disk.total.saturating_sub(disk.used()) })
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.lock_disk().rng.next_u64())
    }
}
