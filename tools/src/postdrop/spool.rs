//! One file in the maildrop directory: written under a temporary name's permissions, then made
//! ready.
//!
//! The name is a queue id of time and inode, as Postfix makes it. Dropped before [`Spool::commit`],
//! the file is removed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mail::queue_id::QueueId;

/// Complete: its owner may execute it.
const READY: u32 = 0o744;
/// Being written.
const WRITING: u32 = 0o600;
/// How often a name may be taken.
const ATTEMPTS: u32 = 100;

/// A file being written.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
    directory: PathBuf,
    id: String,
    micros: u64,
    written: u64,
    ready: bool,
}

impl Spool {
    /// Makes a file in `directory`.
    pub(super) fn create(directory: &Path, long: bool) -> io::Result<Self> {
        let (file, temporary) = create_temporary(directory)?;
        let inode = file.metadata()?.ino();
        let micros = now_micros();
        let id = QueueId { micros, number: inode, long }.text();
        let path = directory.join(&id);
        let renamed = fs::rename(&temporary, &path);
        if let Err(error) = renamed {
            let _left = fs::remove_file(&temporary);
            return Err(error);
        }
        let file = BufWriter::new(file);
        let directory = directory.to_owned();
        Ok(Self { file, path, directory, id, micros, written: 0, ready: false })
    }

    /// The queue id, which is the file's name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Arrival time, as a time record has it.
    pub(super) fn time(&self) -> String {
        format!("{} {}", self.micros / 1_000_000, self.micros % 1_000_000)
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Makes the file durable, then ready, then its name durable.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_ref();
        file.set_permissions(Permissions::from_mode(READY))?;
        file.sync_all()?;
        self.ready = true;
        // Set-gid, we may write the directory but not read it; then the file's own sync must do.
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        match directory {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.ready {
            // It has no ready bit: what cannot be removed is not mail.
            let _left = fs::remove_file(&self.path);
        }
    }
}

fn create_temporary(directory: &Path) -> io::Result<(File, PathBuf)> {
    for _ in 0..ATTEMPTS {
        let name = format!("{}.{}", now_micros() % 1_000_000, std::process::id());
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(WRITING).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_ready_once_it_is_complete_and_gone_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path(), true).unwrap();
        spool.write(b"abc").unwrap();
        let path = dir.path().join(spool.id());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, WRITING);
        spool.commit().unwrap();
        drop(spool);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, READY);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        let other = Spool::create(dir.path(), false).unwrap();
        drop(other);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
