//! The lock that says "the mail system is running": `$queue_directory/pid/master.pid`.
//!
//! The supervisor holds an exclusive flock(2) for its life and writes its process id, right-aligned
//! in 32 columns. The lock dies with the process; the number alone proves nothing.
//!
//! **Diagnostics**: a lock that somebody else holds is [`Fatal`] in Postfix's words.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Fatal;

/// Postfix prints the process id in four columns per byte of a `long`.
const WIDTH: usize = 32;

/// The held lock.
#[derive(Debug)]
pub struct PidFile {
    _file: File,
}

/// The file's path below the queue directory; `process_id_directory` is usually `pid`.
pub fn path(queue: &Path, process_id_directory: &str) -> PathBuf {
    queue.join(process_id_directory).join("master.pid")
}

impl PidFile {
    /// Takes the lock and writes this process's id.
    pub fn take(path: &Path) -> Result<Self, Fatal> {
        let shown = shown(path);
        let failed = |what: &str, error| {
            Fatal::system(format!("open lock file {shown}: {what}"), std::io::Error::from(error))
        };
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = opened
            .open(path)
            .map_err(|error| Fatal::system(format!("open lock file {shown}"), error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed("unable to set exclusive lock", error))?;
        let text = format!("{:>WIDTH$}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(|error| Fatal::system(format!("write lock file {shown}"), error))?;
        Ok(Self { _file: file })
    }
}

/// The process id of the running supervisor; nothing when the lock is free.
///
/// # Errors
/// When the file is there and cannot be read, or holds no process id.
pub fn running(path: &Path) -> Result<Option<u32>, Fatal> {
    let failed = |error| Fatal::system(format!("open lock file {}", shown(path)), error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.map(Some).ok_or_else(|| Fatal(format!("lock file {} holds no process id", shown(path))))
}

/// The path as Postfix shows it: below the queue directory.
fn shown(path: &Path) -> String {
    let mut parts: Vec<_> = path.iter().rev().take(2).collect();
    parts.reverse();
    parts.iter().collect::<PathBuf>().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_in_postfix_words_and_the_first_names_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pid")).unwrap();
        let path = path(dir.path(), "pid");
        assert_eq!(running(&path), Ok(None));
        let first = PidFile::take(&path).unwrap();
        let refused = PidFile::take(&path).unwrap_err().0;
        let reason = "unable to set exclusive lock: Resource temporarily unavailable";
        assert_eq!(refused, format!("open lock file pid/master.pid: {reason}"));
        assert_eq!(running(&path), Ok(Some(std::process::id())));
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), WIDTH + 1);
        drop(first);
        assert_eq!(running(&path), Ok(None));
    }
}
