//! What becomes of a recipient: aliases and lists, taken apart until only deliveries are left.
//!
//! Called by the delivery of one recipient, which does what each [`Step`] says and asks for the
//! next one. Nothing here waits, reads files or writes: tables are asked through [`World`], and the
//! text of a file comes back by [`Expansion::included`] and [`Expansion::forwarded`].
//!
//! | a recipient here | becomes |
//! | --- | --- |
//! | it has an alias, with or without its extension | what the alias lists |
//! | its alias lists itself | the user of that name |
//! | its alias has an owner, or it stands in an include file | forwarded, with its own status |
//! | it stands in another user's `.forward` file | the same |
//! | it has a `.forward` file that lists something | what that lists |
//! | its `.forward` file lists itself | a mailbox |
//! | otherwise | a mailbox |
//! | there is no mailbox, and `luser_relay` is set | that address, once |
//!
//! | it begins with a backslash | the mailbox of the rest, whatever lists there are |
//!
//! | an address of a list | becomes |
//! | --- | --- |
//! | delivered by this service | a recipient here, one level deeper |
//! | anywhere else | forwarded |
//!
//! **Diagnostics**: [`Step::Ended`], and [`Expansion::warnings`] for the administrator.
//! **Limits**: [`LEVELS_MAX`], [`ENTRIES_MAX`], [`INCLUDES_MAX`]; `duplicate_filter_limit` results
//! are remembered, later ones may come twice.
//! **Standards**: local(8), aliases(5) of Postfix 3.7.

mod alias;
mod branch;
mod world;

use super::recipient::User;
use super::settings::{Origin, Settings};
use mail::address::Printable;
use mail::destination::{self, Destination};
use mail::{Address, Dsn, Recipient, Status};
use std::collections::BTreeSet;

use branch::Owner;
pub use branch::{Branch, Proof};
pub use world::{Alias, Place, World};

/// How deep aliases and users' files may lead to more of them, in `HOP`s and `INCLUDE`s; then the
/// recipient is bounced. 25 aliases of aliases, as in Postfix.
pub const LEVELS_MAX: u32 = 100;
/// What an alias counts.
const HOP: u32 = 4;
/// What an include file counts: who is in one and beside it stands at different levels.
const INCLUDE: u32 = 2;
/// Entries one recipient may become; then it is deferred.
pub const ENTRIES_MAX: usize = 1 << 20;
/// How deep include files may name include files; then the entry is deferred.
pub const INCLUDES_MAX: usize = privsep::alias::INCLUDES_MAX;

/// What is remembered of a user's file when all of it is done.
const FORWARDED: &[u8] = b"forward-done";

/// A file of a user's that `forward_path` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Its name.
    pub path: Vec<u8>,
    /// Whether the address extension is a part of the name.
    pub extended: bool,
    /// What it says; nothing when it is not obeyed.
    pub text: Vec<u8>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Deliver to the user's mailbox, if there is such a user.
    Mailbox(Box<Branch>),
    /// Append to a file.
    File(Box<Branch>, Vec<u8>),
    /// Run a command.
    Command(Box<Branch>, Vec<u8>),
    /// Read a list; it comes back by [`Expansion::included`].
    Include(Box<Branch>, Vec<u8>),
    /// Read the user's own file; it comes back by [`Expansion::forwarded`].
    Dotforward(Box<Branch>),
    /// Send to an address.
    Forward(Box<Branch>),
    /// This is what became of it.
    Ended(Box<Branch>, Dsn),
}

/// An alias whose sender wants to know that it was expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expanded {
    /// A list with an owner: reports end here.
    ByOwner,
    /// An alias.
    Plain,
}

#[derive(Clone)]
enum Work {
    Recipient(Box<Branch>),
    Entry(Box<Branch>, Destination),
    /// Lines of a file, the next one last; no more of them once something waits that did not when
    /// the file was begun.
    Lines(Box<Branch>, Vec<Vec<Destination>>, usize),
    Mailbox(Box<Branch>),
    /// Everything that this user's file lists is done.
    Forwarded(Vec<u8>),
    Ended(Box<Branch>, Dsn),
}

/// The expansion of one recipient.
#[derive(Clone)]
pub struct Expansion<'a> {
    settings: &'a Settings,
    world: World<'a>,
    /// What is left to do, next last.
    work: Vec<Work>,
    seen: BTreeSet<Vec<u8>>,
    entries: usize,
    /// How much of it waits.
    deferred: usize,
    /// Set once an alias was expanded that is to be reported.
    pub expanded: Option<Expanded>,
    /// What an administrator should know; the caller takes them.
    pub warnings: Vec<String>,
}

impl<'a> Expansion<'a> {
    /// Begins with a recipient of the message.
    pub fn new(settings: &'a Settings, world: World<'a>, recipient: &Recipient) -> Expansion<'a> {
        Expansion {
            settings,
            world,
            work: vec![Work::Recipient(Box::new(Branch::new(recipient)))],
            seen: BTreeSet::new(),
            entries: 0,
            deferred: 0,
            expanded: None,
            warnings: Vec::new(),
        }
    }

    /// What is to be done next; nothing when all is.
    pub fn next_step(&mut self) -> Option<Step> {
        while let Some(work) = self.work.pop() {
            let step = match work {
                Work::Recipient(branch) => self.recipient(branch),
                Work::Entry(branch, destination) => self.entry(branch, destination),
                Work::Lines(branch, lines, before) => {
                    self.line(branch, lines, before);
                    None
                }
                Work::Mailbox(branch) => self.mailbox(branch),
                Work::Forwarded(path) => {
                    self.been_here(FORWARDED, &path);
                    None
                }
                Work::Ended(branch, dsn) => Some(Step::Ended(branch, dsn)),
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// Goes to the end without doing anything: all tables have been asked then.
    pub fn run_through(mut self) {
        while self.next_step().is_some() {}
    }

    /// The text of the include file that [`Step::Include`] asked for.
    pub fn included(&mut self, mut branch: Box<Branch>, path: Vec<u8>, text: &[u8]) {
        branch.origin = Origin::Include;
        branch.level += INCLUDE;
        if branch.owner == Owner::None {
            branch.owner = Owner::List;
        }
        branch.expanding = branch.recipient.address.local_part().to_ascii_lowercase();
        branch.proof.iter_mut().for_each(|proof| proof.includes.push(path.clone()));
        if !self.settings.propagates_include {
            branch.unmatched.clear();
        }
        let lines = destination::by_line(text).collect();
        self.file(branch, lines);
    }

    /// What came of [`Step::Dotforward`]: a file, or none. Whether that lists something new.
    pub fn forwarded(&mut self, branch: Box<Branch>, found: Option<Forward>) -> bool {
        let before = self.entries;
        match found {
            Some(found) => self.own_file(branch, found),
            None => self.work.push(Work::Mailbox(branch)),
        }
        self.entries > before
    }

    fn own_file(&mut self, mut branch: Box<Branch>, found: Forward) {
        let Forward { path, extended, text, warnings } = found;
        if self.been_here(b"forward", &path) {
            // Who stands in it before all is done is the user; after that, a duplicate.
            if !self.seen.contains(&key(FORWARDED, &path)) {
                self.work.push(Work::Mailbox(branch));
            }
            return;
        }
        self.warnings.extend(warnings);
        let lines: Vec<Vec<Destination>> = destination::by_line(&text).collect();
        if lines.is_empty() {
            return self.work.push(Work::Mailbox(branch));
        }
        if branch.level > LEVELS_MAX {
            let text = format!("mail forwarding loop for {}", branch.recipient.address);
            let dsn = Dsn::local(Status::new(5, 4, 6), text);
            return self.work.push(Work::Ended(branch, dsn));
        }
        self.work.push(Work::Forwarded(path));
        let user = User::of(&branch.recipient.address, self.settings);
        branch.unmatched.clear();
        if self.settings.propagates_forward && !extended {
            branch.unmatched = user.local[user.name.len()..].to_vec();
        }
        branch.origin = Origin::Forward;
        branch.owner = Owner::User(user.name.clone());
        branch.expanding = user.local;
        branch.proof = Some(Proof { table: None, name: user.name, includes: Vec::new() });
        self.note_success(&mut branch, false);
        self.thaw(&mut branch);
        self.file(branch, lines);
    }

    /// Something of it waits: the rest of the files that have led there is left for the next
    /// attempt, which would do it twice otherwise.
    pub fn deferred(&mut self) {
        self.deferred += 1;
    }

    /// A recipient that is nobody goes to another address, which is that of `luser_relay`.
    pub fn relayed(&mut self, mut branch: Box<Branch>, address: Address) {
        branch.relayed = true;
        branch.unmatched.clear();
        self.work.push(Work::Entry(branch, Destination::Address(address)));
    }

    fn file(&mut self, branch: Box<Branch>, mut lines: Vec<Vec<Destination>>) {
        self.entries += lines.iter().map(Vec::len).sum::<usize>();
        lines.reverse();
        self.work.push(Work::Lines(branch, lines, self.deferred));
    }

    fn line(&mut self, branch: Box<Branch>, mut lines: Vec<Vec<Destination>>, before: usize) {
        let Some(line) = lines.pop().filter(|_| self.deferred == before) else { return };
        self.work.push(Work::Lines(branch.clone(), lines, before));
        self.push(&branch, line);
    }

    /// Puts entries before what is left to do; whether there are any.
    fn list(&mut self, branch: &Branch, entries: Vec<Destination>) -> bool {
        let any = !entries.is_empty();
        self.entries += entries.len();
        self.push(branch, entries);
        any
    }

    fn push(&mut self, branch: &Branch, entries: Vec<Destination>) {
        let work = entries.into_iter().rev().map(|it| Work::Entry(Box::new(branch.clone()), it));
        self.work.extend(work);
    }

    /// Whether this was done before; it is from now on.
    fn been_here(&mut self, what: &[u8], name: &[u8]) -> bool {
        let key = key(what, name);
        let limit = self.settings.duplicate_filter_limit;
        if self.seen.contains(&key) {
            return true;
        }
        if limit == 0 || self.seen.len() < limit {
            self.seen.insert(key);
        }
        false
    }

    fn entry(&mut self, branch: Box<Branch>, destination: Destination) -> Option<Step> {
        if self.entries > ENTRIES_MAX {
            self.work.clear();
            return branch.ended((4, 3, 0), "the list is too long");
        }
        let settings = self.settings;
        match destination {
            Destination::Address(address) => self.address(branch, &address),
            Destination::Include(path) => self.include(branch, path),
            Destination::File(path) => {
                let twice = self.been_here(&[b"file ", &*branch.rights()].concat(), &path);
                match settings.files.allow(branch.origin) {
                    _ if twice => None,
                    false => branch.ended((5, 7, 1), "mail to file is restricted"),
                    true => Some(Step::File(branch, path)),
                }
            }
            Destination::Command(text) => {
                if !settings.commands.allow(branch.origin) {
                    return branch.ended((5, 7, 1), "mail to command is restricted");
                }
                let twice = self.been_here(&[b"command ", &*branch.rights()].concat(), &text);
                (!twice).then_some(Step::Command(branch, text))
            }
        }
    }

    fn include(&mut self, branch: Box<Branch>, path: Vec<u8>) -> Option<Step> {
        if self.been_here(&[b"include ", &*branch.rights()].concat(), &path) {
            return None;
        }
        if path.first() != Some(&b'/') {
            let path = Printable(&path);
            self.warnings.push(format!(":include:{path} uses a relative path"));
            return branch.ended((5, 3, 5), "mail system configuration error");
        }
        let depth = branch.proof.as_ref().map_or(0, |proof| proof.includes.len());
        if depth >= INCLUDES_MAX {
            return branch.ended((4, 3, 0), "include files are nested too deeply");
        }
        Some(Step::Include(branch, path))
    }

    fn address(&mut self, mut branch: Box<Branch>, address: &Address) -> Option<Step> {
        let (found, here) = match (self.world.resolve)(address) {
            Place::Here(found) => (found, true),
            Place::Elsewhere(found) => (found, false),
            Place::BadSyntax => {
                let whole = (self.world.canonical)(address);
                let text = format!("bad recipient address syntax: {whole}");
                return branch.ended((5, 1, 3), text);
            }
            Place::Unknown(why) => {
                self.warnings.push(why);
                return branch.ended((4, 3, 0), "address resolver failure");
            }
        };
        branch.recipient.address = extended(found, &branch.unmatched);
        match here {
            true => self.recipient(branch),
            false => self.forward(branch),
        }
    }

    fn forward(&mut self, branch: Box<Branch>) -> Option<Step> {
        let twice = self.been_here(b"indirect", branch.recipient.address.as_bytes());
        (!twice).then_some(Step::Forward(branch))
    }

    fn recipient(&mut self, mut branch: Box<Branch>) -> Option<Step> {
        branch.level += HOP;
        let address = &branch.recipient.address;
        let what = format!("recipient {}", branch.level);
        if self.been_here(what.as_bytes(), address.as_bytes()) {
            return None;
        }
        if (self.world.has_been_at)(address) {
            return self.been_at(branch);
        }
        if let [b'\\', _, ..] = address.as_bytes() {
            branch.recipient.address = Address::from_internal(&address.as_bytes()[1..]);
            return self.mailbox(branch);
        }
        let user = User::of(address, self.settings);
        if user.name.is_empty() {
            let text = format!("null username in \"{address}\"");
            return branch.ended((5, 1, 3), text);
        }
        if let Some(whole) = &user.illegal {
            let (id, whole) = (self.world.id, Printable(whole));
            self.warnings.push(format!("{id}: address with illegal extension: {whole}"));
        }
        branch.unmatched.clear();
        if let Some(end) = self.alias(&mut branch, &user.local) {
            return end;
        }
        if user.delimiter().is_some() {
            if self.settings.propagates_alias {
                branch.unmatched = user.local[user.name.len()..].to_vec();
            }
            if let Some(end) = self.alias(&mut branch, &user.name) {
                return end;
            }
        }
        if branch.owner.is_other_than(&user.name) || branch.origin == Origin::Include {
            return self.forward(branch);
        }
        match self.settings.looks_at_homes {
            true => Some(Step::Dotforward(branch)),
            false => self.mailbox(branch),
        }
    }

    fn mailbox(&mut self, mut branch: Box<Branch>) -> Option<Step> {
        let user = User::of(&branch.recipient.address, self.settings);
        self.thaw(&mut branch);
        let twice = self.been_here(b"mailbox", &user.local);
        (!twice).then_some(Step::Mailbox(branch))
    }
}

/// Under which name something is remembered.
fn key(what: &[u8], name: &[u8]) -> Vec<u8> {
    [what, b" ", name].concat().to_ascii_lowercase()
}

/// An address with an extension at the end of its local part.
fn extended(address: Address, extension: &[u8]) -> Address {
    if extension.is_empty() {
        return address;
    }
    let domain = address.domain().map(|domain| [b"@", domain].concat());
    let parts = [address.local_part(), extension, domain.as_deref().unwrap_or_default()];
    Address::from_internal(&parts.concat())
}

#[cfg(test)]
mod tests;
