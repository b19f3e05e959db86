//! An mbox: messages one behind the other in a file.
//!
//! Opened and locked before any content is asked for. A message that cannot be written whole is
//! cut off again, so that the file ends as it did.
//!
//! **Limits**: `mailbox_size_limit` is the size of the file.
//! **Standards**: the format of local(8): a From_ line, `>From ` within the message, an empty line
//! behind it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use privsep::{Code, Service};

use crate::copy::{Copy, cannot_write, room, sync_directory};
use crate::failure::{Failure, MAILBOX_BUSY, reason};
use crate::lock::{self, DotLock};
use crate::open::{self, Owner};
use crate::quoting::Format;
use crate::wire::Wire;

/// An open, locked mbox.
#[derive(Debug)]
pub struct Mailbox {
    file: File,
    path: PathBuf,
    limit: u64,
    size: u64,
    /// Goes when the mailbox does.
    _dotlock: Option<DotLock>,
}

/// Whose mailbox it must be and becomes.
#[derive(Clone, Copy, Debug)]
pub struct Recipient {
    /// The user id that owns it.
    pub uid: u32,
    /// When root makes it: who gets it.
    pub give_to: Option<Owner>,
}

impl Mailbox {
    /// Opens and locks the mailbox at `path`.
    ///
    /// # Errors
    /// When it is not there and cannot be made, is not the recipient's, is a trap, or is in use.
    pub fn open(path: &Path, to: Recipient, service: &Service) -> Result<Mailbox, Failure> {
        let is_lockable = fs::metadata(path).map_or(true, |data| data.is_file());
        let dotlock = if service.locks.dotlock && is_lockable {
            Some(DotLock::take(path, service)?)
        } else {
            None
        };
        let file = open::open(path, to.give_to)?;
        lock::lock(&file, service)?;
        open::check(&file, path)?;
        let data = file.metadata().map_err(|error| {
            Failure::system(Code::IoErr, MAILBOX_BUSY, "cannot stat open file", error)
        })?;
        if service.strict_mailbox_ownership && data.uid() != to.uid {
            return Err(not_owned(path));
        }
        let (size, limit) = (data.len(), service.mailbox_size_limit);
        Ok(Mailbox { file, path: path.to_owned(), limit, size, _dotlock: dotlock })
    }

    /// Appends a message and makes it durable.
    ///
    /// # Errors
    /// When it cannot be written or does not come; nothing of it is left then.
    pub fn append(&self, from_line: &[u8], wire: &mut Wire) -> Result<(), Failure> {
        let head = [from_line, b"\n"].concat();
        let room = room(self.limit, self.size);
        let copy = Copy { file: &self.file, format: Format::Mbox, head: &head, room };
        copy.run(wire).and_then(|()| self.sync_name()).map_err(|failure| self.cut_off(failure))
    }

    /// A mailbox that was empty may be a new one.
    fn sync_name(&self) -> Result<(), Failure> {
        match self.path.parent() {
            Some(directory) if self.size == 0 => sync_directory(directory).map_err(cannot_write),
            _ => Ok(()),
        }
    }

    fn cut_off(&self, failure: Failure) -> Failure {
        match self.file.set_len(self.size).and_then(|()| self.file.sync_all()) {
            Ok(()) => failure,
            Err(error) => failure.warn(format!(
                "cannot truncate mailbox {} to {} bytes: {}",
                self.path.display(),
                self.size,
                reason(&error)
            )),
        }
    }
}

fn not_owned(path: &Path) -> Failure {
    let text = format!("destination {} is not owned by recipient", path.display());
    Failure::new(Code::CantCreate, MAILBOX_BUSY, text)
        .warn("specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::failure::MAILBOX_FULL;
    use crate::wire::tests::with_content;
    use privsep::Locks;

    /// Rules that try once.
    pub fn service() -> Service {
        Service {
            name: "local".into(),
            home_mailbox: String::new(),
            mail_spool_directory: "/var/mail".into(),
            forward_path: "$home/.forward".into(),
            locks: Locks { fcntl: true, flock: false, dotlock: true },
            lock_attempts: 1,
            lock_delay_s: 0,
            stale_lock_s: 500,
            mailbox_size_limit: 0,
            require_home_directory: false,
            strict_mailbox_ownership: true,
            aliases: privsep::alias::AliasRules::default(),
        }
    }

    fn me() -> Recipient {
        Recipient { uid: rustix::process::geteuid().as_raw(), give_to: None }
    }

    #[test]
    fn messages_stand_one_behind_the_other_and_no_lock_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice");
        fs::write(&path, "old").unwrap();
        for _ in 0..2 {
            let mailbox = Mailbox::open(&path, me(), &service()).unwrap();
            let mut wire = with_content(&[b"Subject: x\n\nFr", b"om here\n"], true);
            mailbox.append(b"From a@b  date", &mut wire).unwrap();
        }
        let message = "From a@b  date\nSubject: x\n\n>From here\n\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("old{message}{message}"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unfinished_message_or_one_too_many_leaves_the_mailbox_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice");
        fs::write(&path, "old").unwrap();
        let limited = Service { mailbox_size_limit: 30, ..service() };
        let mailbox = Mailbox::open(&path, me(), &limited).unwrap();
        let mut wire = with_content(&[b"0123456789\n", b"0123456789\n"], true);
        let failure = mailbox.append(b"From a", &mut wire).unwrap_err();
        assert_eq!(failure.text, "error writing message: File too large");
        assert_eq!(failure.status, MAILBOX_FULL);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        mailbox.append(b"From a", &mut with_content(&[b"x\n"], false)).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_mailbox_of_somebody_else_is_refused_unless_that_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice");
        fs::write(&path, "").unwrap();
        let other = Recipient { uid: me().uid + 1, give_to: None };
        let failure = Mailbox::open(&path, other, &service()).unwrap_err();
        assert_eq!(
            failure.text,
            format!("destination {} is not owned by recipient", path.display())
        );
        assert_eq!((failure.status, failure.warnings.len()), (MAILBOX_BUSY, 1));
        let lenient = Service { strict_mailbox_ownership: false, ..service() };
        Mailbox::open(&path, other, &lenient).unwrap();
        assert!(!dir.path().join("alice.lock").exists());
    }
}
