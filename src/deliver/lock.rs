//! Locks on an mbox, as `mailbox_delivery_lock` asks for them.
//!
//! The dotlock comes first and goes last; it is a file beside the mailbox, so it needs the right to
//! make one there. One that has not changed for `stale_lock_time` belongs to nobody any more.
//!
//! Tables are read under the locks that their writers take.
//!
//! **Limits**: `deliver_lock_attempts`, `deliver_lock_delay`; then the mail waits (4.2.0).
//! [`TABLE_PATIENCE`] for a table.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use privsep::{Code, Service};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

use crate::failure::{Failure, MAILBOX, MAILBOX_BUSY};

/// How long a table may be locked by who writes it, before it counts as one that cannot be read.
/// The engine waits longer for this process.
pub const TABLE_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is tried.
const TABLE_PAUSE: Duration = Duration::from_millis(20);

/// All bytes of a table's file, once nobody writes to it: Postfix's postmap(1) and postalias(1)
/// change files in place, with a lock of one of two kinds on them.
///
/// # Errors
/// As open(2) and read(2); or it stays locked.
pub fn read_table(path: &str) -> io::Result<Vec<u8>> {
    read_unlocked(Path::new(path), TABLE_PATIENCE)
}

fn read_unlocked(path: &Path, patience: Duration) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    share(&file, Instant::now() + patience)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Shares the locks of those who read. They go when the file is closed.
fn share(file: &File, deadline: Instant) -> io::Result<()> {
    let shared = FlockOperation::NonBlockingLockShared;
    loop {
        match flock(file, shared).and_then(|()| fcntl_lock(file, shared)) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) if Instant::now() < deadline => {}
            // A kind of file that has no locks has nobody who holds one.
            Err(Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        sleep(TABLE_PAUSE);
    }
}

/// A dotlock; dropping it removes the file.
#[derive(Debug)]
pub struct DotLock(PathBuf);

impl DotLock {
    /// Locks the mailbox at `mailbox`.
    ///
    /// # Errors
    /// When somebody else keeps it, or no file can be made there.
    pub fn take(mailbox: &Path, service: &Service) -> Result<DotLock, Failure> {
        let mut path = mailbox.as_os_str().to_owned();
        path.push(".lock");
        let lock = PathBuf::from(path);
        let result = attempts(service, || match create(&lock) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_stale(&lock, service);
                Ok(Err(error))
            }
            made => made.map(Ok),
        });
        result.map(|()| DotLock(lock.clone())).map_err(|error| {
            let what = format!("unable to create lock file {}", lock.display());
            let busy = error.kind() == ErrorKind::AlreadyExists;
            let (code, status) =
                if busy { (Code::TempFail, MAILBOX_BUSY) } else { (Code::CantCreate, MAILBOX) };
            Failure::system(code, status, &what, error)
        })
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        // What is gone is gone.
        let _removed = fs::remove_file(&self.0);
    }
}

fn create(lock: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(lock).map(drop)
}

/// Judged by the change of the inode, which its owner cannot set back.
fn remove_stale(lock: &Path, service: &Service) {
    let Ok(data) = fs::symlink_metadata(lock) else { return };
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() as i64;
    if now >= data.ctime().saturating_add(i64::from(service.stale_lock_s)) {
        let _removed = fs::remove_file(lock);
    }
}

/// Locks an open mailbox in the kernel; the locks go when this process closes it or ends.
///
/// # Errors
/// When somebody else keeps one.
pub fn lock(file: &File, service: &Service) -> Result<(), Failure> {
    let kernel = |wanted: bool, lock: &dyn Fn() -> rustix::io::Result<()>| match lock {
        _ if !wanted => Ok(()),
        lock => attempts(service, || match lock() {
            Err(errno @ (Errno::AGAIN | Errno::ACCESS)) => Ok(Err(errno.into())),
            other => other.map(Ok).map_err(io::Error::from),
        }),
    };
    let operation = FlockOperation::NonBlockingLockExclusive;
    kernel(service.locks.flock, &|| flock(file, operation))
        .and_then(|()| kernel(service.locks.fcntl, &|| fcntl_lock(file, operation)))
        .map_err(|error| {
            let what = "unable to lock for exclusive access";
            Failure::system(Code::TempFail, MAILBOX_BUSY, what, error)
        })
}

/// Tries until it works: an inner error may pass, an outer one does not.
fn attempts(
    service: &Service,
    mut try_it: impl FnMut() -> io::Result<io::Result<()>>,
) -> io::Result<()> {
    let mut left = service.lock_attempts.max(1);
    loop {
        left -= 1;
        match try_it()? {
            Err(_) if left > 0 => sleep(Duration::from_secs(service.lock_delay_s.into())),
            last => return last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::service;

    #[test]
    fn a_dotlock_is_exclusive_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = dir.path().join("alice");
        let service = service();
        let first = DotLock::take(&mailbox, &service).unwrap();
        let failure = DotLock::take(&mailbox, &service).unwrap_err();
        let expected =
            format!("unable to create lock file {}.lock: File exists", mailbox.display());
        assert_eq!((failure.text, failure.status), (expected, MAILBOX_BUSY));
        drop(first);
        DotLock::take(&mailbox, &service).unwrap();
        assert!(!dir.path().join("alice.lock").exists());
    }

    #[test]
    fn a_table_is_read_once_nobody_writes_it_and_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aliases.db");
        fs::write(&path, "table").unwrap();
        let writer = File::options().read(true).write(true).open(&path).unwrap();
        flock(&writer, FlockOperation::LockExclusive).unwrap();
        let refused = read_unlocked(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(Errno::from_io_error(&refused), Some(Errno::AGAIN));
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || read_unlocked(&path, TABLE_PATIENCE).unwrap())
        };
        drop(writer);
        assert_eq!(reader.join().unwrap(), b"table");
    }

    #[test]
    fn a_stale_dotlock_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = dir.path().join("alice");
        fs::write(dir.path().join("alice.lock"), "").unwrap();
        let stale = Service { stale_lock_s: 0, lock_attempts: 2, ..service() };
        DotLock::take(&mailbox, &stale).unwrap();
    }

    #[test]
    fn a_dotlock_where_no_file_can_be_made_is_a_bounce() {
        let dir = tempfile::tempdir().unwrap();
        let failure = DotLock::take(&dir.path().join("none/inbox"), &service()).unwrap_err();
        assert_eq!(failure.status, MAILBOX);
        assert!(failure.text.ends_with("none/inbox.lock: No such file or directory"));
    }

    #[test]
    fn another_descriptor_with_a_kernel_lock_is_waited_for_and_then_the_mail_waits() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("alice")).unwrap();
        let (mine, theirs) = (open(), open());
        let mut service = service();
        service.locks.flock = true;
        lock(&theirs, &service).unwrap();
        let failure = lock(&mine, &service).unwrap_err();
        assert!(failure.text.starts_with("unable to lock for exclusive access: "));
        assert_eq!(failure.status, MAILBOX_BUSY);
    }
}
