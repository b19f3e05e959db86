//! Users, as getpwnam(3) knows them.
//!
//! The engine names a user, never an id: the ids come from here.

use std::path::PathBuf;

use nix::unistd::User;
use privsep::Code;

use crate::failure::Failure;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the login group.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl Account {
    /// Looks a user up.
    ///
    /// # Errors
    /// When there is none of that name, or nobody can tell now.
    pub fn find(name: &[u8]) -> Result<Account, Failure> {
        let unknown = || {
            let name = String::from_utf8_lossy(name);
            Failure::new(Code::NoUser, (5, 1, 1), format!("unknown user: \"{name}\""))
        };
        let name = std::str::from_utf8(name).map_err(|_| unknown())?;
        let user = User::from_name(name).map_err(|error| {
            let warning = format!("error looking up passwd info for {name}: {}", error.desc());
            Failure::new(Code::OsErr, (4, 0, 0), "user lookup error").warn(warning)
        })?;
        let user = user.filter(|user| is_file_name(&user.name)).ok_or_else(unknown)?;
        Ok(Account { name: user.name, uid: user.uid.into(), gid: user.gid.into(), home: user.dir })
    }

    /// The user with an id; nothing when nobody has it, or nobody can tell now.
    pub fn of_uid(uid: u32) -> Option<Account> {
        let user = User::from_uid(uid.into()).ok().flatten()?;
        let home = user.dir;
        Some(Account { name: user.name, uid: user.uid.into(), gid: user.gid.into(), home })
    }

    /// The login shell; nothing when it is not to be had.
    pub fn shell(&self) -> Option<PathBuf> {
        User::from_uid(self.uid.into()).ok().flatten().map(|user| user.shell)
    }
}

/// Names become names of mailboxes; the directory service has the last word on them, not on paths.
fn is_file_name(name: &str) -> bool {
    !name.contains('/') && !matches!(name, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_or_not() {
        assert_eq!(Account::find(b"root").unwrap().uid, 0);
        let failure = Account::find(b"no such user").unwrap_err();
        assert_eq!((failure.code, failure.status), (Code::NoUser, (5, 1, 1)));
        assert_eq!(failure.text, "unknown user: \"no such user\"");
        assert!(is_file_name("alice") && !is_file_name("..") && !is_file_name("a/b"));
        assert_eq!(Account::find(b"\xff").unwrap_err().code, Code::NoUser);
    }
}
