//! What an alias does to an expansion: its entries, its owner, and who is told of them.
//!
//! Called by [`super`] for each name of a recipient.
//!
//! **Diagnostics**: a table that cannot tell is a deferral (4.3.0) with a warning.
//! **Standards**: local(8), aliases(5), RFC 3461 (reports of success end at a list).

use super::branch::Owner;
use super::{Alias, Branch, Expanded, Expansion, LEVELS_MAX, Proof, Step};
use crate::local::recipient::User;
use crate::local::settings::Origin;
use mail::address::Printable;
use mail::envelope::notify;
use mail::{Address, destination};

impl Expansion<'_> {
    /// A loop; an owner of the alias that it goes through is told in the sender's place.
    pub(super) fn been_at(&mut self, mut branch: Box<Branch>) -> Option<Step> {
        let address = branch.recipient.address.clone();
        let user = User::of(&address, self.settings);
        let names = if self.settings.splitting.owner_request_special {
            &[&user.local, &user.name][..]
        } else {
            &[]
        };
        for name in names {
            let owner = [b"owner-", name.as_slice()].concat();
            match (self.world.alias)(&owner) {
                Alias::Found(members, _) => {
                    let told = if self.settings.expand_owner_alias { members } else { owner };
                    branch.sender = Some((self.world.canonical)(&Address::from_internal(&told)));
                    break;
                }
                Alias::NotFound => {}
                Alias::Retry(table) => {
                    return self.unavailable(branch, owner_unknown(&table, &owner));
                }
            }
        }
        branch.ended((5, 4, 6), format!("mail forwarding loop for {address}"))
    }

    /// Expands the alias `name`; `None` when there is none. What was listed is next then.
    pub(super) fn alias(&mut self, branch: &mut Box<Branch>, name: &[u8]) -> Option<Option<Step>> {
        // Who lists itself means the user.
        if !name.is_empty() && branch.expanding.eq_ignore_ascii_case(name) {
            return None;
        }
        let (value, table) = match (self.world.alias)(name) {
            Alias::Found(value, table) => (value, table),
            Alias::NotFound => return None,
            Alias::Retry(table) => {
                let why = format!("{table}: lookup of '{}' failed", Printable(name));
                return Some(self.unavailable(branch.clone(), why));
            }
        };
        if branch.level > LEVELS_MAX {
            let text = format!("alias database loop for {}", Printable(name));
            self.warnings.push(text.clone());
            return Some(branch.clone().ended((5, 4, 6), text));
        }
        let mut branch = branch.clone();
        branch.expanding = name.to_vec();
        branch.origin = Origin::Alias;
        branch.proof =
            Some(Proof { table: Some(table), name: name.to_vec(), includes: Vec::new() });
        let owned = match self.owner(&mut branch, name) {
            Ok(owned) => owned,
            Err(why) => return Some(self.unavailable(branch, why)),
        };
        self.note_success(&mut branch, owned);
        self.thaw(&mut branch);
        if self.list(&branch, destination::list(&value)) {
            return Some(None);
        }
        let why = format!("no recipient in alias lookup result for {}", Printable(name));
        Some(self.unavailable(branch, why))
    }

    /// `Delivered-To:` follows the recipient, unless it is to stay what it was at first.
    pub(super) fn thaw(&self, branch: &mut Branch) {
        if !self.settings.frozen_delivered_to {
            branch.delivered = branch.recipient.address.clone();
        }
    }

    fn unavailable(&mut self, branch: Box<Branch>, why: String) -> Option<Step> {
        self.warnings.push(why);
        branch.ended((4, 3, 0), "alias database unavailable")
    }

    /// The alias's owner gets the reports of its members from here on: whether there is one.
    ///
    /// Errors: why nobody can tell.
    fn owner(&mut self, branch: &mut Branch, name: &[u8]) -> Result<bool, String> {
        let settings = self.settings;
        if !settings.splitting.owner_request_special {
            return Ok(false);
        }
        let owner = [b"owner-", name].concat();
        let members = match (self.world.alias)(&owner) {
            Alias::Found(members, _) => members,
            Alias::NotFound => {
                if settings.reset_owner_alias {
                    branch.owner = Owner::None;
                }
                return Ok(false);
            }
            Alias::Retry(table) => return Err(owner_unknown(&table, &owner)),
        };
        let sender = if settings.expand_owner_alias { members } else { owner };
        branch.sender = Some((self.world.canonical)(&Address::from_internal(&sender)));
        branch.owner = Owner::List;
        branch.recipient.original = Address::null();
        branch.recipient.dsn_orcpt = None;
        Ok(true)
    }

    /// Who wants to know of success is told of the expansion, and of nothing behind it.
    pub(super) fn note_success(&mut self, branch: &mut Branch, owned: bool) {
        let bits = &mut branch.recipient.notify;
        if *bits & notify::SUCCESS != 0 {
            self.expanded = Some(if owned { Expanded::ByOwner } else { Expanded::Plain });
            *bits = if *bits == notify::SUCCESS { notify::NEVER } else { *bits & !notify::SUCCESS };
        }
    }
}

/// Owners are asked for in another way than aliases, with other words when that fails.
fn owner_unknown(table: &str, owner: &[u8]) -> String {
    format!("{table} lookup error for \"{}\"", Printable(owner))
}
