//! What every program checks at its start, with the system's accounts.
//!
//! Called by every command; what is checked is in `config::check::common`.
//!
//! **Diagnostics**: [`Refusal`] in Postfix's words.
//! **Limits**: who is not root runs the whole system as himself, so that accounts are root's
//! matter only (Postfix checks them for everybody).

use config::Params;
use config::check::common::{self, Accounts, Refusal};
use nix::unistd::{Group, User};

/// Accounts as NSS has them.
struct System;

impl Accounts for System {
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        let user = User::from_name(name).ok().flatten()?;
        Some((user.uid.as_raw(), user.gid.as_raw()))
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }
}

/// Checks what all programs read; what is only warned about.
///
/// # Errors
/// The first mistake, in Postfix's order.
pub fn check(params: &Params) -> Result<Vec<String>, Refusal> {
    let accounts: Option<&dyn Accounts> =
        if rustix::process::geteuid().is_root() { Some(&System) } else { None };
    common::common(params, accounts)
}
