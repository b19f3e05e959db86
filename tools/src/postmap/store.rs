//! Files of tables, of our own format and of others': read whole and checked, replaced at once.
//!
//! A new file is made beside the old one, synced, and renamed over it; a lock on the directory
//! orders those who read, change and write. All names are relative to one open directory, so that
//! its owner cannot lead root elsewhere in between.
//!
//! **Diagnostics**: [`Fatal`] as Postfix words it, `open database FILE: why`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FlockOperation, Gid, Mode, OFlags, Stat, Uid};

use master::Fatal;
use tables::catalog::{Entries, Name, database};
use tables::{cdb, constant};

use super::lmdb;

/// Mode of a file that inherits none, and the most that one inherits.
const MODE_DEFAULT: u32 = 0o644;
const MODE_OWNER: u32 = 0o600;

/// Whose the new file is, who may read it, and one thing about what is in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rights {
    /// The source's mode.
    pub(super) mode: Option<u32>,
    /// The source's owner and group.
    pub(super) owner: Option<(u32, u32)>,
    /// Whether keys and values end with a NUL byte, in the formats of others.
    pub(super) nul: Option<bool>,
}

/// A place for a database, locked against other writers.
pub(super) struct Place {
    directory: OwnedFd,
    path: PathBuf,
    name: String,
    kind: String,
}

impl Place {
    /// The place of the database of table `table`.
    pub(super) fn lock(table: &Name) -> Result<Self, Fatal> {
        let path = PathBuf::from(table.database());
        let failed = |error: rustix::io::Errno| open_error(&path, &error.into());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = parent.unwrap_or(Path::new("."));
        let directory = fs::open(parent, flags, Mode::empty()).map_err(failed)?;
        fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { directory, path, name, kind: table.kind.clone() })
    }

    /// What the database holds; nothing, when there is none.
    pub(super) fn read(&self) -> Result<Option<Entries>, Fatal> {
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(open_error(&self.path, &error)),
            Ok(file) => {
                let db = database(&self.kind, self.load(file)?).map_err(|why| {
                    Fatal(format!("open database {}: {why}", self.path.display()))
                })?;
                Ok(Some(db.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()))
            }
        }
    }

    fn load(&self, mut file: File) -> Result<Vec<u8>, Fatal> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| open_error(&self.path, &error))?;
        Ok(bytes)
    }

    fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(File::from(fs::openat(&self.directory, &self.name, flags, Mode::empty())?))
    }

    /// Replaces the database; it keeps the mode of one that is there, under the same owner.
    pub(super) fn write(&self, entries: &Entries, rights: Rights) -> Result<(), Fatal> {
        let bytes = self.encode(entries, rights.nul).map_err(|why| {
            let path = self.path.display();
            Fatal(match self.kind.as_str() {
                "lmdb" => {
                    format!("error updating lmdb:{}: {why}", self.path.with_extension("").display())
                }
                _ => format!("{path}: {why}"),
            })
        })?;
        let temporary = format!(".{}.{}", self.name, std::process::id());
        let done = self.create(&temporary, &bytes, rights).and_then(|()| {
            fs::renameat(&self.directory, &temporary, &self.directory, &self.name)?;
            fs::fsync(&self.directory)
        });
        done.map_err(|error| {
            // The first error is the one to report.
            let _absent = fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
            open_error(&self.path, &error.into())
        })
    }

    /// The file's bytes. Postfix writes keys of some formats with a NUL byte at their end, of
    /// others without, and reads both.
    fn encode(&self, entries: &Entries, nul: Option<bool>) -> Result<Vec<u8>, String> {
        match self.kind.as_str() {
            "cdb" => cdb::encode(entries, nul.unwrap_or(false)).map_err(|bad| bad.to_string()),
            "lmdb" => lmdb::encode(&self.directory, entries, nul.unwrap_or(true)),
            _ => constant::encode(entries).map_err(|error| format!("write error: {error}")),
        }
    }

    fn create(&self, name: &str, bytes: &[u8], rights: Rights) -> rustix::io::Result<()> {
        // Left behind by a process of the same number that was killed.
        let _absent = fs::unlinkat(&self.directory, name, AtFlags::empty());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(MODE_OWNER);
        let mut file = File::from(fs::openat(&self.directory, name, flags, mode)?);
        file.write_all(bytes).map_err(errno)?;
        let before = fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok();
        give(&file, rights, before.as_ref())?;
        file.sync_all().map_err(errno)
    }
}

/// Sets owner and mode. Only root gives files away.
fn give(file: &File, rights: Rights, before: Option<&Stat>) -> rustix::io::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let mut owner = rustix::process::geteuid().as_raw();
    let existing = before.map(|stat| (stat.st_uid, stat.st_gid));
    if let Some((uid, gid)) = rights.owner.or(existing).filter(|_| root) {
        fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        owner = uid;
    }
    let kept = before.filter(|stat| stat.st_uid == owner).map(|stat| stat.st_mode & 0o777);
    let inherited = rights.mode.map(|mode| MODE_OWNER | (mode & MODE_DEFAULT));
    let mode = kept.or(inherited).unwrap_or(MODE_DEFAULT);
    fs::fchmod(file, Mode::from_raw_mode(mode))
}

fn errno(error: io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}

fn open_error(path: &Path, error: &io::Error) -> Fatal {
    Fatal(format!("open database {}: {}", path.display(), crate::system::reason(error)))
}
