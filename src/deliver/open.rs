//! Opening a mailbox that may be a trap.
//!
//! The name may lead to a symbolic link, a hard link, a device or a pipe that somebody has put
//! there. What is opened is a regular file with one name; a symbolic link is followed only when
//! root has made it in a directory where nobody else can.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use privsep::Code;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown};
use rustix::io::Errno;

use crate::failure::{Failure, MAILBOX, MAILBOX_BUSY};

/// Who gets a file that is made by root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Never waits for the other end of a pipe, never gets a terminal, never truncates.
const FLAGS: OFlags = OFlags::WRONLY
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const PERMISSION_TO_WRITE: u32 = 0o022;

/// Opens the mailbox at `path` for appending; a missing one is made and given to `owner`.
pub fn open(path: &Path, owner: Option<Owner>) -> Result<File, Failure> {
    let file = match rustix::fs::open(path, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => create(path, owner)?,
        Err(Errno::LOOP) => follow(path)?,
        Err(errno) => return Err(cannot("cannot open file", errno)),
    };
    let file = File::from(file);
    check(&file, path)?;
    Ok(file)
}

fn create(path: &Path, owner: Option<Owner>) -> Result<OwnedFd, Failure> {
    let flags = FLAGS | OFlags::CREATE | OFlags::EXCL;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| cannot("cannot create file exclusively", errno))?;
    if let Some(Owner { uid, gid }) = owner {
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|errno| cannot("cannot change file ownership", errno))?;
    }
    Ok(file)
}

/// Opens what root's own link leads to.
fn follow(path: &Path) -> Result<OwnedFd, Failure> {
    let directory = path.parent().unwrap_or(path);
    let safe = |data: fs::Metadata| data.uid() == 0 && data.mode() & PERMISSION_TO_WRITE == 0;
    let made_by_root = fs::symlink_metadata(path).is_ok_and(|link| link.uid() == 0);
    if !made_by_root || !fs::symlink_metadata(directory).is_ok_and(safe) {
        return Err(Failure::new(Code::CantCreate, MAILBOX, "file is a symbolic link"));
    }
    rustix::fs::open(path, FLAGS, Mode::empty()).map_err(|errno| cannot("cannot open file", errno))
}

/// What is open is one file with one name; called again when it is locked, because who cleans up
/// mailboxes may have replaced it meanwhile.
pub fn check(file: &File, path: &Path) -> Result<(), Failure> {
    let open = file.metadata().map_err(|error| cannot("cannot stat open file", error))?;
    if !open.is_file() {
        let text = format!("destination {} is not a regular file", path.display());
        return Err(Failure::new(Code::CantCreate, MAILBOX, text));
    }
    let named = fs::metadata(path).ok();
    if named.is_none_or(|named| (named.dev(), named.ino()) != (open.dev(), open.ino())) {
        let text = "target file status changed unexpectedly";
        return Err(Failure::new(Code::TempFail, MAILBOX_BUSY, text));
    }
    if open.nlink() != 1 {
        let text = format!("file has {} hard links", open.nlink());
        return Err(Failure::new(Code::CantCreate, MAILBOX, text));
    }
    Ok(())
}

fn cannot(what: &str, error: impl Into<std::io::Error>) -> Failure {
    Failure::system(Code::CantCreate, MAILBOX, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_new_mailbox_is_private_and_an_old_one_is_opened_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice");
        let made = open(&path, None).unwrap().metadata().unwrap();
        assert_eq!(made.mode() & 0o7777, 0o600);
        fs::write(&path, "old").unwrap();
        assert_eq!(open(&path, None).unwrap().metadata().unwrap().len(), 3);
    }

    #[test]
    fn traps_are_refused_in_postfix_words() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let at = |name: &str| dir.path().join(name);
        let why = |name: &str| open(&at(name), None).unwrap_err();
        fs::write(at("target"), "x").unwrap();
        symlink(at("target"), at("link")).unwrap();
        assert_eq!(why("link").text, "file is a symbolic link");
        symlink(at("nowhere"), at("dangling")).unwrap();
        assert_eq!(why("dangling").text, "file is a symbolic link");
        fs::hard_link(at("target"), at("second")).unwrap();
        assert_eq!(why("second").text, "file has 2 hard links");
        fs::create_dir(at("directory")).unwrap();
        assert_eq!(why("directory").text, "cannot open file: Is a directory");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(why("pipe").text, "cannot open file: No such device or address");
        let missing = why("none/alice");
        assert_eq!(missing.text, "cannot create file exclusively: No such file or directory");
        assert_eq!(missing.status, MAILBOX);
    }

    #[test]
    fn a_mailbox_that_was_replaced_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice");
        let file = open(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(check(&file, &path).unwrap_err().status, MAILBOX_BUSY);
        fs::write(&path, "").unwrap();
        assert_eq!(check(&file, &path).unwrap_err().status, MAILBOX_BUSY);
    }
}
