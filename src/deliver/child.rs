//! One delivery, in a process of its own: request, identity, mailbox, content, answer.
//!
//! | step | as | answer when it fails |
//! | --- | --- | --- |
//! | read the request | root | EX_USAGE |
//! | find the service's rules, the user, the place | root | EX_USAGE, EX_NOUSER |
//! | open and lock, where only root may | root (the guardian) | EX_CANTCREAT, EX_TEMPFAIL |
//! | become the user | - | EX_OSERR |
//! | open and lock | the user | EX_CANTCREAT, EX_TEMPFAIL |
//! | say `Go`, write, sync | the user | EX_IOERR |
//!
//! **Diagnostics**: an `io::Error` when the engine is not there any more to be answered; nothing of
//! the message stays then. The process ends either way.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use privsep::{Asked, Code, Reply, Request, Rules, Service, Verdict};
use rustix::process::{WaitOptions, waitpid};

use crate::account::Account;
use crate::as_user::{become_user, is_root, writer};
use crate::copy::unfinished;
use crate::failure::{Failure, SYSTEM};
use crate::fork::fork;
use crate::mailbox::{Mailbox, Recipient};
use crate::open::Owner;
use crate::place::{Place, Rights};
use crate::wire::Wire;
use crate::{alias, maildir, vmailbox};

const TO_MAILBOX: &str = "delivered to mailbox";
const TO_MAILDIR: &str = "delivered to maildir";

/// What the steps share.
struct Delivery<'a> {
    request: &'a Request,
    service: &'a Service,
    account: &'a Account,
}

/// What is said of a success.
type Success = &'static str;

/// Makes the delivery that `connection` asks for.
///
/// # Errors
/// When the engine is gone.
pub fn serve(connection: OwnedFd, rules: &Rules) -> io::Result<()> {
    let mut wire = Wire::new(connection)?;
    let request = match wire.request() {
        Ok(Asked::Local(request)) => request,
        Ok(Asked::Virtual(request)) => return vmailbox::serve(wire, &request, rules),
        Ok(Asked::Alias(request)) => return alias::serve(&request, rules, wire),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return wire.done(usage().into());
        }
        Err(error) => return Err(error),
    };
    deliver(&request, rules, wire)
}

/// Delivers to a user's mailbox.
///
/// # Errors
/// When the engine is gone.
pub(crate) fn deliver(request: &Request, rules: &Rules, mut wire: Wire) -> io::Result<()> {
    match prepare(request, rules) {
        Err(failure) => wire.done(failure.into()),
        Ok((service, account)) => Delivery { request, service, account: &account }.run(wire),
    }
}

/// Says who and by which rules.
fn prepare<'a>(request: &Request, rules: &'a Rules) -> Result<(&'a Service, Account), Failure> {
    let service = rules.service(&request.service).ok_or_else(usage)?;
    let account = Account::find(&request.user)?;
    Ok((service, account))
}

pub(crate) fn usage() -> Failure {
    Failure::new(Code::Usage, SYSTEM, "mail system configuration error")
}

impl Delivery<'_> {
    fn run(&self, mut wire: Wire) -> io::Result<()> {
        match Place::of(self.service, self.account) {
            Place::Maildir(path) => {
                let result = become_user(self.account, self.account.gid)
                    .and_then(|()| maildir::deliver(&path, self.service, &mut wire))
                    .map(|()| TO_MAILDIR);
                answer(wire, result)
            }
            Place::Mbox { path, rights: Rights::Root } if is_root() => {
                let Account { uid, gid, .. } = *self.account;
                let to = Recipient { uid, give_to: Some(Owner { uid, gid }) };
                match Mailbox::open(&path, to, self.service) {
                    Ok(mailbox) => self.guard(&path, mailbox, wire),
                    Err(failure) => answer(wire, Err(self.cannot_update(&path, failure))),
                }
            }
            Place::Mbox { path, rights } => {
                let gid = match rights {
                    Rights::Group(gid) => gid,
                    Rights::Root => self.account.gid,
                };
                let result = become_user(self.account, gid).and_then(|()| {
                    let to = Recipient { uid: writer(self.account), give_to: None };
                    Mailbox::open(&path, to, self.service)
                        .and_then(|mailbox| self.append(&mailbox, &mut wire))
                        .map_err(|failure| self.cannot_update(&path, failure))
                        .map(|()| TO_MAILBOX)
                });
                answer(wire, result)
            }
        }
    }

    /// The mailbox is open, the locks are this process's; another one writes as the user. What it
    /// says goes to the engine once the locks are gone: the next delivery may come at once.
    fn guard(&self, path: &Path, mailbox: Mailbox, mut wire: Wire) -> io::Result<()> {
        let (mut from_writer, mut to_guardian) = io::pipe()?;
        let Some(writer) = fork()? else {
            let result = become_user(self.account, self.account.gid).and_then(|()| {
                self.append(&mailbox, &mut wire)
                    .map_err(|failure| self.cannot_update(path, failure))
                    .map(|()| TO_MAILBOX)
            });
            // The locks are not this process's to release.
            std::mem::forget(mailbox);
            return to_guardian.write_all(&Reply::Done(verdict(result)).encode());
        };
        drop(to_guardian);
        let mut said = Vec::new();
        // Until the writer's end, with or without a word; an answer is smaller than a pipe.
        from_writer.read_to_end(&mut said)?;
        waitpid(Some(writer), WaitOptions::empty())?;
        drop(mailbox);
        wire.pass_on(&said)
    }

    fn append(&self, mailbox: &Mailbox, wire: &mut Wire) -> Result<(), Failure> {
        wire.go().map_err(|_| unfinished())?;
        mailbox.append(&self.request.from_line, wire)
    }

    fn cannot_update(&self, path: &Path, failure: Failure) -> Failure {
        let name = &self.account.name;
        failure.within(&format!("cannot update mailbox {} for user {name}. ", path.display()))
    }
}

fn answer(mut wire: Wire, result: Result<Success, Failure>) -> io::Result<()> {
    wire.done(verdict(result))
}

fn verdict(result: Result<Success, Failure>) -> Verdict {
    match result {
        Ok(text) => {
            let (text, warnings) = (text.into(), Vec::new());
            Verdict { code: Code::Ok, status: (2, 0, 0), text, warnings }
        }
        Err(failure) => failure.into(),
    }
}
