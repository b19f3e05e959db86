//! Becoming the recipient: one function, one order, no way back.
//!
//! Called by the child once it knows whose mailbox it is, before it opens anything of that user's.
//! A process that is not root stays who it is.
//!
//! root's own mailbox belongs to root, in Postfix too: such a child keeps the user id 0 but not one
//! capability, so that it may do what the owner of root's files may do and no more.

use nix::unistd::{Gid, Uid, geteuid, getresgid, getresuid, setgroups, setresgid, setresuid};
use privsep::Code;
use rustix::process::{Resource, Rlimit, setrlimit, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};
use std::io;

use crate::account::Account;
use crate::failure::{Failure, SYSTEM};

/// What the helper keeps of root's powers: to become somebody, and to make a mailbox for somebody
/// in a directory of somebody else.
const KEPT: CapabilitySet = CapabilitySet::SETUID
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE);

/// Gives up every capability but those the helper needs; once, at its start.
///
/// # Errors
/// When the system refuses.
pub fn keep_what_is_needed() -> io::Result<()> {
    let kept = capabilities(None)?.permitted & KEPT;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    Ok(())
}

/// Whether this process may become somebody else.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Who writes: the account's user, or the caller when there is no choice.
pub fn writer(account: &Account) -> u32 {
    if is_root() { account.uid } else { geteuid().as_raw() }
}

/// Becomes the user of `account` with `gid` as the group and the login group beside it, for good.
///
/// # Errors
/// When the system refuses a step: the process must end.
pub fn become_user(account: &Account, gid: u32) -> Result<(), Failure> {
    // Nothing that is executed from here on gains rights by its set-id bits.
    let switched =
        set_no_new_privs(true).map_err(io::Error::from).and_then(|()| switch(account, gid));
    switched.map_err(|error| cannot_become(account, &error))
}

/// The same for a process that runs a command of that user's: what it executes may be set-gid, as
/// the programs that submit mail are.
///
/// # Errors
/// As [`become_user`].
pub fn become_user_for_commands(account: &Account) -> Result<(), Failure> {
    switch(account, account.gid).map_err(|error| cannot_become(account, &error))
}

fn cannot_become(account: &Account, error: &io::Error) -> Failure {
    let warning = format!("cannot become user {}: {error}", account.name);
    Failure::new(Code::OsErr, SYSTEM, "mail system configuration error").warn(warning)
}

fn switch(account: &Account, gid: u32) -> io::Result<()> {
    // Signals to the helper's process group are not for this process any more.
    let _leader_already = setsid();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if !is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(gid));
    setgroups(&[Gid::from_raw(account.gid)])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    drop_capabilities()?;
    check(uid, gid)
}

/// setresuid(2) has taken them from everybody but root.
fn drop_capabilities() -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// The system did what it said.
fn check(uid: Uid, gid: Gid) -> io::Result<()> {
    let (users, groups) = (getresuid()?, getresgid()?);
    let user = [users.real, users.effective, users.saved] == [uid; 3];
    let group = [groups.real, groups.effective, groups.saved] == [gid; 3];
    let way_back = !uid.is_root() && setresuid(Uid::from_raw(0), uid, uid).is_ok();
    if user && group && !way_back { Ok(()) } else { Err(io::Error::other("still another user")) }
}
