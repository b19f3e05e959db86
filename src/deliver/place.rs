//! Where a user's mail goes, and with whose rights it is written.
//!
//! In a home everything is done as the user. In a spool directory it depends on who may make files
//! there: everybody (as the user), a group (as the user, with that group), or root alone (root
//! opens and locks, the user writes).
//!
//! **Standards**: `home_mailbox`, `mail_spool_directory` of postconf(5); rights as local(8) has
//! them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use privsep::Service;

use crate::account::Account;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// A mailbox's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Maildir(PathBuf),
    /// A file.
    Mbox {
        /// Its name.
        path: PathBuf,
        /// Who may make it.
        rights: Rights,
    },
}

/// Who opens an mbox and locks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The user, with this group.
    Group(u32),
    /// root.
    Root,
}

impl Place {
    /// Where `service` delivers mail for `account`.
    pub fn of(service: &Service, account: &Account) -> Place {
        let Service { home_mailbox, mail_spool_directory: spool, .. } = service;
        if !home_mailbox.is_empty() {
            let path = below(&account.home, home_mailbox);
            return match home_mailbox.ends_with('/') {
                true => Place::Maildir(path),
                false => Place::Mbox { path, rights: Rights::Group(account.gid) },
            };
        }
        let path = below(Path::new(spool.trim_end_matches('/')), &account.name);
        match spool.ends_with('/') {
            true => Place::Maildir(path),
            false => Place::Mbox { path, rights: rights(Path::new(spool), account) },
        }
    }
}

/// `directory/name`, also when the name begins with a slash.
fn below(directory: &Path, name: &str) -> PathBuf {
    let mut path = OsString::from(directory);
    path.push("/");
    path.push(name);
    path.into()
}

fn rights(spool: &Path, account: &Account) -> Rights {
    match fs::metadata(spool) {
        Ok(data) if data.mode() & (OTHERS_WRITE | GROUP_WRITES) == 0 => Rights::Root,
        Ok(data) if data.mode() & OTHERS_WRITE == 0 => Rights::Group(data.gid()),
        _ => Rights::Group(account.gid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::service;
    use std::os::unix::fs::PermissionsExt;

    fn alice() -> Account {
        Account { name: "alice".into(), uid: 1001, gid: 1002, home: "/home/alice".into() }
    }

    #[test]
    fn a_home_or_a_spool_and_a_file_or_a_directory() {
        let place = |home: &str, spool: &str| {
            let (home_mailbox, mail_spool_directory) = (home.into(), spool.into());
            Place::of(&Service { home_mailbox, mail_spool_directory, ..service() }, &alice())
        };
        let rights = Rights::Group(1002);
        assert_eq!(place("Maildir/", "/x"), Place::Maildir("/home/alice/Maildir/".into()));
        let path = "/home/alice/Mail/inbox".into();
        assert_eq!(place("Mail/inbox", "/x"), Place::Mbox { path, rights });
        assert_eq!(place("", "/none/spool/"), Place::Maildir("/none/spool/alice".into()));
        let path = "/none/spool/alice".into();
        assert_eq!(place("", "/none/spool"), Place::Mbox { path, rights });
    }

    #[test]
    fn who_may_make_files_in_the_spool_decides_who_opens_the_mailbox() {
        let dir = tempfile::tempdir().unwrap();
        let group = fs::metadata(dir.path()).unwrap().gid();
        for (mode, expected) in
            [(0o755, Rights::Root), (0o2775, Rights::Group(group)), (0o1777, Rights::Group(1002))]
        {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(rights(dir.path(), &alice()), expected, "{mode:o}");
        }
    }
}
