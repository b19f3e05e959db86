//! A Maildir: every message a file of its own, made in `tmp` and linked into `new`.
//!
//! No locks. Missing directories are made. The file and the directory entry are on the disk before
//! success is said.
//!
//! **Limits**: `mailbox_size_limit` is the size of a message.
//! **Standards**: maildir(5); names as local(8) makes them, `time.VdeviceIinodeMmicros.host`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use privsep::{Code, Service};

use crate::copy::{Copy, room, sync_directory, unfinished};
use crate::failure::{Failure, MAILBOX};
use crate::quoting::Format;
use crate::wire::Wire;

/// Delivers into the Maildir at `directory`.
///
/// # Errors
/// When it cannot be made there, or does not come; nothing of it is left then.
pub fn deliver(directory: &Path, service: &Service, wire: &mut Wire) -> Result<(), Failure> {
    write(directory, service, wire).map_err(|failure| {
        let failure = if failure.text.ends_with(": Permission denied") {
            access_problem(failure)
        } else {
            failure
        };
        failure.within("maildir delivery failed: ")
    })
}

fn access_problem(failure: Failure) -> Failure {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let what = format!("maildir access problem for UID/GID={uid}/{gid}: {}", failure.text);
    failure.warn(what).warn("perhaps you need to create the maildirs in advance")
}

fn write(directory: &Path, service: &Service, wire: &mut Wire) -> Result<(), Failure> {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let temporary = Temporary::create(directory, now, &host)?;
    wire.go().map_err(|_| unfinished())?;
    let room = room(service.mailbox_size_limit, 0);
    Copy { file: &temporary.file, format: Format::Plain, head: b"", room }.run(wire)?;
    let data = temporary.file.metadata().map_err(|error| cannot_create(&temporary.path, error))?;
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let name = format!("{seconds}.V{:x}I{:x}M{micros}.{host}", data.dev(), data.ino());
    publish(&temporary.path, directory, &name)
}

/// A file in `tmp`; dropping it removes that name.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn create(directory: &Path, now: Duration, host: &str) -> Result<Temporary, Failure> {
        let name = format!("{}.P{}.{host}", now.as_secs(), std::process::id());
        let path = directory.join("tmp").join(name);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let made = match create() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_directories(directory).and_then(|()| create())
            }
            made => made,
        };
        let file = made.map_err(|error| cannot_create(&path, error))?;
        Ok(Temporary { file, path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whoever cleans up tmp does so too.
        let _removed = fs::remove_file(&self.path);
    }
}

fn make_directories(directory: &Path) -> io::Result<()> {
    let make = |name| DirBuilder::new().recursive(true).mode(0o700).create(directory.join(name));
    ["tmp", "new", "cur"].into_iter().try_for_each(make)?;
    sync_directory(directory)?;
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Gives a file in `tmp` its name in `new`, durably. A name that exists is never replaced.
fn publish(temporary: &Path, directory: &Path, name: &str) -> Result<(), Failure> {
    let new = directory.join("new");
    let path = new.join(name);
    let linked = match fs::hard_link(temporary, &path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_directories(directory).and_then(|()| fs::hard_link(temporary, &path))
        }
        linked => linked,
    };
    let synced = linked.and_then(|()| {
        sync_directory(&new).inspect_err(|_| {
            let _removed = fs::remove_file(&path);
        })
    });
    synced.map_err(|error| cannot_create(&path, error))
}

fn cannot_create(path: &Path, error: io::Error) -> Failure {
    let what = format!("create maildir file {}", path.display());
    Failure::system(Code::CantCreate, MAILBOX, &what, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::MAILBOX_FULL;
    use crate::mailbox::tests::service;
    use crate::wire::tests::with_content;

    fn names(directory: &Path, sub: &str) -> Vec<String> {
        let entries = fs::read_dir(directory.join(sub)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_message_is_a_private_file_with_a_unique_name_in_new() {
        let dir = tempfile::tempdir().unwrap();
        let maildir = dir.path().join("a/Maildir");
        for _ in 0..3 {
            let mut wire = with_content(&[b"Subject: x\n\nFrom here"], true);
            deliver(&maildir, &service(), &mut wire).unwrap();
        }
        let new = names(&maildir, "new");
        assert_eq!(new.len(), 3);
        let path = maildir.join("new").join(&new[0]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "Subject: x\n\nFrom here\n");
        let data = fs::metadata(&path).unwrap();
        assert_eq!((data.mode() & 0o7777, data.nlink()), (0o600, 1));
        let unique = format!(".V{:x}I{:x}M", data.dev(), data.ino());
        assert!(new[0].contains(&unique), "{}", new[0]);
        assert_eq!(fs::metadata(maildir.join("cur")).unwrap().mode() & 0o7777, 0o700);
        assert!(names(&maildir, "tmp").is_empty());
    }

    #[test]
    fn nothing_is_left_of_a_message_that_did_not_come_or_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        deliver(dir.path(), &service(), &mut with_content(&[b"x"], false)).unwrap_err();
        let limited = Service { mailbox_size_limit: 3, ..service() };
        let failure =
            deliver(dir.path(), &limited, &mut with_content(&[b"0123\n"], true)).unwrap_err();
        assert_eq!(failure.status, MAILBOX_FULL);
        let text = "maildir delivery failed: error writing message: File too large";
        assert_eq!(failure.text, text);
        assert!(names(dir.path(), "tmp").is_empty() && names(dir.path(), "new").is_empty());
    }

    #[test]
    fn a_file_in_the_place_of_the_maildir_is_a_bounce_in_postfix_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Maildir");
        fs::write(&path, "").unwrap();
        let failure = deliver(&path, &service(), &mut with_content(&[], true)).unwrap_err();
        let start = "maildir delivery failed: create maildir file ";
        assert!(failure.text.starts_with(start), "{}", failure.text);
        assert!(failure.text.ends_with(": Not a directory"), "{}", failure.text);
        assert_eq!(failure.status, MAILBOX);
    }
}
