//! The privileged helper: becomes the recipient and writes the mailbox.
//!
//! The program `deliver` runs as root beside the engine, which may not: master starts it with
//! [`privsep::Rules`] and a listening socket in `private/`. One connection is one delivery: the
//! parent accepts, checks who asks, forks; the child ([`child`], for virtual(8) `vmailbox`) reads
//! the request, becomes the user, writes, answers and ends. Blocking, one thread per process, no
//! network, no configuration files; started by anybody but root it does everything as that user.
//!
//! | who | does | never |
//! | --- | --- | --- |
//! | parent | accept, fork | reads a byte from a connection |
//! | child, before [`as_user`] | reads the request, getpwnam, stat of the spool | reads mail |
//! | child, after it | opens, locks, writes, syncs | is anybody else again |
//! | guardian | opens and locks where only root may, waits for the child that writes | reads mail |
//!
//! **Diagnostics**: what goes wrong with a delivery is a [`failure::Failure`], the reply; a
//! child that ends without a reply makes the engine defer. The parent ends when its socket fails;
//! master starts another one.
//! **Limits**: [`serve::CHILDREN_MAX`], [`wire::PATIENCE`], and those of `privsep`.
//! **Standards**: local(8) and virtual(8) of Postfix 3.7 (mailbox format, locks, rights),
//! maildir(5).
#![deny(unsafe_code)]

pub mod account;
mod alias;
pub mod as_user;
pub mod child;
mod command;
mod copy;
pub mod failure;
mod fork;
mod forward;
mod lock;
mod mailbox;
mod maildir;
mod open;
mod place;
mod quoting;
mod run;
pub mod serve;
mod spelled;
mod vmailbox;
pub mod wire;
