//! Who owns the mail system: the accounts `mail_owner` and `setgid_group` name.
//!
//! Root looks both up; anybody else runs the whole system as himself and needs neither account.
//!
//! **Diagnostics**: an unknown name is [`Fatal`], worded as Postfix words it.

use nix::unistd::{Group, User};

use crate::Fatal;
use config::Params;

/// The accounts of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Whether this process is root and changes owners.
    pub root: bool,
    /// User id of `mail_owner`, or the caller's own.
    pub uid: u32,
    /// Group id of `mail_owner`, or the caller's own.
    pub gid: u32,
    /// Group id of `setgid_group`, or the caller's own.
    pub setgid: u32,
}

impl Accounts {
    /// The accounts `params` names.
    pub fn find(params: &Params) -> Result<Self, Fatal> {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if !uid.is_root() {
            let (uid, gid) = (uid.as_raw(), gid.as_raw());
            return Ok(Self { root: false, uid, gid, setgid: gid });
        }
        let owner = params.text("mail_owner").map_err(Fatal::config)?;
        let group = params.text("setgid_group").map_err(Fatal::config)?;
        let owner = match User::from_name(&owner) {
            Ok(Some(user)) => user,
            _ => return Err(unknown(params, "mail_owner", "user", &owner)),
        };
        let group = match Group::from_name(&group) {
            Ok(Some(group)) => group,
            _ => return Err(unknown(params, "setgid_group", "group", &group)),
        };
        Ok(Self {
            root: true,
            uid: owner.uid.as_raw(),
            gid: owner.gid.as_raw(),
            setgid: group.gid.as_raw(),
        })
    }
}

/// Whether the system has a user of this name.
///
/// # Errors
/// NSS cannot tell; text for the log.
pub fn exists(name: &str) -> Result<bool, String> {
    match User::from_name(name) {
        Ok(user) => Ok(user.is_some()),
        Err(error) => Err(format!("getpwnam(\"{name}\"): {}", error.desc())),
    }
}

/// Whether the user `uid` is the one `mail_owner` names.
pub fn is_mail_owner(params: &Params, uid: u32) -> bool {
    let owner = params.text("mail_owner").unwrap_or_default();
    matches!(User::from_name(&owner), Ok(Some(user)) if user.uid.as_raw() == uid)
}

/// The login name and full name (the GECOS field) of `uid`.
pub fn of_uid(uid: u32) -> Option<(String, String)> {
    let user = User::from_uid(uid.into()).ok()??;
    Some((user.name, user.gecos.to_string_lossy().into_owned()))
}

fn unknown(params: &Params, name: &str, what: &str, value: &str) -> Fatal {
    let file = params.main().file();
    Fatal(format!("file {file}: parameter {name}: unknown {what} name value: {value}"))
}
