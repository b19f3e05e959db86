//! The queue directory and what must be in it before anything starts.
//!
//! Called at start, before the lock is taken. Missing directories are made with Postfix's owners
//! and modes; existing ones are left alone, whatever their owners are.
//!
//! **Diagnostics**: a missing `queue_directory` and what cannot be made are [`Fatal`].
//! **Standards**: the `postfix-files` list of Postfix 3.7. Its `active`, `deferred` and so on are
//! not made: messages live in `log`, and empty directories would tell monitors a lie.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;

use crate::Fatal;
use crate::accounts::Accounts;

/// Whose a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// root.
    Root,
    /// `mail_owner`.
    Mail,
    /// `mail_owner`, with the group `setgid_group`.
    MailSetgid,
}

/// Directories below the queue directory, as in Postfix, and the queue log's own.
const DIRECTORIES: &[(&str, Owner, u32)] = &[
    ("pid", Owner::Root, 0o755),
    ("corrupt", Owner::Mail, 0o700),
    ("log", Owner::Mail, 0o700),
    ("private", Owner::Mail, 0o700),
    ("maildrop", Owner::MailSetgid, 0o730),
    ("public", Owner::MailSetgid, 0o710),
];

/// Makes what is missing in `queue`, and `data`.
pub fn create_missing(queue: &Path, data: &Path, accounts: &Accounts) -> Result<(), Fatal> {
    for (name, owner, mode) in DIRECTORIES {
        create(&queue.join(name), *owner, *mode, accounts)?;
    }
    create(data, Owner::Mail, 0o700, accounts)
}

fn create(path: &Path, owner: Owner, mode: u32, accounts: &Accounts) -> Result<(), Fatal> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |error| Fatal::system(format!("mkdir {}", path.display()), error);
    DirBuilder::new().mode(mode).create(path).map_err(failed)?;
    if accounts.root {
        let (uid, gid) = match owner {
            Owner::Root => (0, None),
            Owner::Mail => (accounts.uid, None),
            Owner::MailSetgid => (accounts.uid, Some(accounts.setgid)),
        };
        chown(path, Some(uid), gid).map_err(failed)?;
    }
    // The umask took bits away, and chown(2) may have.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn me() -> Accounts {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Accounts { root: false, uid, gid, setgid: gid }
    }

    #[test]
    fn missing_directories_are_made_with_postfix_modes_and_existing_ones_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let own = DirBuilder::new().mode(0o750).create(dir.path().join("public"));
        own.unwrap();
        create_missing(dir.path(), &dir.path().join("data"), &me()).unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode("public"), 0o750);
        assert_eq!(mode("maildrop"), 0o730);
        assert_eq!(mode("log"), 0o700);
        assert_eq!(mode("pid"), 0o755);
        assert_eq!(mode("data"), 0o700);
    }

    #[test]
    fn a_missing_queue_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = create_missing(&dir.path().join("none"), dir.path(), &me()).unwrap_err();
        assert!(error.0.ends_with("none/pid: No such file or directory"), "{error}");
    }
}
