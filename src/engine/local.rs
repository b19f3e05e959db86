//! local(8): delivers mail to the users of this machine.
//!
//! The queue manager hands a request to [`deliver`] within a task and gets an outcome with one
//! result for each recipient. A recipient is expanded ([`expand`]) and everything it becomes is
//! done, one thing after the other. What needs a user's rights is done by the delivery helper: this
//! module names the user or the place in an alias and hands over the message, it opens nothing
//! itself. Before a mailbox and in its absence another transport may be asked (`handover`).
//!
//! | step | ends with |
//! | --- | --- |
//! | the message has been here before | 5.4.6, bounced |
//! | a table cannot tell | 4.3.0, deferred |
//! | a file, a command, an include file, a user's own file | what the helper says |
//! | other addresses | forwarded, once all else is done and nothing of it waits |
//! | `mailbox_transport` and its maps | what that transport's agent says |
//! | the helper: the user's mailbox | what the helper says |
//! | no such user: `fallback_transport` and its maps | what that transport's agent says |
//! | no such user: `luser_relay` | as that address does |
//! | no such user: postmaster, mailer-daemon | 2.0.0, discarded with a warning |
//! | no such user | 5.1.1, bounced |
//!
//! **Diagnostics**: a helper that is not there or dies is a deferral (4.3.0) and a warning, never a
//! bounce. **Limits**: [`crate::limits::HELPER_ANSWER`], [`crate::limits::HELPER_ROOM`],
//! [`content::PIECE_MAX`], those of [`expand`], `handover` and `forward`.
//! **Standards**: local(8) of Postfix 3.7.

pub mod content;
mod environment;
pub mod expand;
mod forward;
mod handover;
pub mod helper;
pub mod recipient;
pub mod report;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::bounce::{self, Action, Entry, Occasion, Reader};
use crate::core::Core;
use crate::delivery::{DeliverRequest, Disposition, Outcome, RecipientResult};
use crate::error;
use crate::lookup::servers;
use crate::maillog::{Daemon, Event};
use crate::parcel::Notice;
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::Resolved;
use expand::{Alias, Branch, Expanded, Expansion, Place, Step, World};
use helper::{Answer, Trouble};
use mail::dsn::Diagnostic;
use mail::{Address, Dsn, Recipient, Status};
use privsep::alias::Target;
use privsep::{Code, Request};
use recipient::User;
use report::{Report, Tally};
use runtime::Instant;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::Lookup;

pub use settings::{Settings, Transports};

/// Delivers to the users that the recipients name.
pub async fn deliver(core: &Rc<Core>, request: DeliverRequest) -> Outcome {
    let snapshot = core.snapshot();
    let found = snapshot.local.iter().find(|(name, _)| **name == *request.transport);
    let Some((_, settings)) = found else { return error::unavailable(core, request) };
    let mut report = Report::new(core, Daemon::Local, settings.soft_bounce, &request);
    let delivered_to = content::delivered_to(&request.content);
    for (index, recipient) in request.recipients() {
        let (snapshot, request, delivered_to) = (&snapshot, &request, &delivered_to);
        let started = core.rt.now();
        let delivery =
            Delivery { core, snapshot, settings, request, delivered_to, index, recipient, started };
        let (tally, expanded) = delivery.run(&mut report).await;
        report.conclude(index, tally, expanded);
    }
    report.finish()
}

/// How a recipient's delivery ended.
pub struct Ending {
    /// What is said of it.
    pub dsn: Dsn,
    /// Set when nobody could be delivered to.
    pub out_of_service: bool,
}

impl From<Dsn> for Ending {
    fn from(dsn: Dsn) -> Ending {
        Ending { dsn, out_of_service: false }
    }
}

/// What a step has come to.
enum Taken {
    /// There is more to be done now.
    More,
    /// There is not: what is known already goes on.
    Same,
    /// Sent on, once all else is done.
    Forward(Box<Branch>),
    /// Another transport has it, and has said so.
    Handed(Box<Branch>, RecipientResult),
    /// It is over.
    Ended(Box<Branch>, Ending),
}

/// What a mailbox has come to.
enum Mailed {
    /// It is over.
    Ended(Ending),
    /// Another transport has taken it.
    Handed(RecipientResult),
    /// It goes to this address in the place of a user that is nobody.
    Relayed(Address),
}

struct Delivery<'a> {
    core: &'a Rc<Core>,
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    request: &'a DeliverRequest,
    delivered_to: &'a BTreeSet<Vec<u8>>,
    index: u32,
    recipient: &'a Recipient,
    started: Instant,
}

impl Delivery<'_> {
    async fn run(&self, report: &mut Report<'_>) -> (Tally, Option<Expanded>) {
        let alias = |name: &[u8]| self.alias(name);
        let resolve = |address: &Address| self.resolve(address);
        let canonical = |address: &Address| self.snapshot.resolver.canonical(address);
        let has_been_at = |address: &Address| {
            let address = address.external().to_ascii_lowercase();
            self.delivered_to.contains(&address)
        };
        let (alias, resolve, canonical) = (&alias, &resolve, &canonical);
        let id = self.request.message.id;
        let world = World { alias, resolve, canonical, has_been_at: &has_been_at, id };
        let mut expansion = Expansion::new(self.settings, world, self.recipient);
        let (mut tally, mut forwarded) = (Tally::default(), Vec::new());
        self.rehearse(&expansion).await;
        while let Some(step) = expansion.next_step() {
            for warning in expansion.warnings.drain(..) {
                self.core.log.warn(Daemon::Local, &warning);
            }
            match self.take(&mut expansion, step).await {
                Taken::Same => {}
                Taken::More => self.rehearse(&expansion).await,
                Taken::Forward(branch) => forwarded.push(*branch),
                Taken::Handed(branch, result) => {
                    if result.disposition == Disposition::Deferred {
                        expansion.deferred();
                    }
                    report.count_handed(&mut tally, &branch.recipient, result);
                }
                Taken::Ended(branch, ending) => {
                    let settled = self.settle(report, &mut tally, &branch, ending).await;
                    if settled == Disposition::Deferred {
                        expansion.deferred();
                    }
                }
            }
        }
        if !tally.is_deferred() {
            self.forward(report, &mut tally, forwarded).await;
        }
        (tally, expansion.expanded)
    }

    /// Does what a step says.
    async fn take(&self, expansion: &mut Expansion<'_>, step: Step) -> Taken {
        match step {
            Step::Forward(branch) => Taken::Forward(branch),
            Step::Ended(branch, dsn) => Taken::Ended(branch, dsn.into()),
            Step::Include(branch, path) => match self.include(&branch, &path).await {
                Err(ending) => Taken::Ended(branch, ending),
                Ok(text) => {
                    expansion.included(branch, path, &text);
                    Taken::More
                }
            },
            Step::Dotforward(branch) => match self.dotforward(&branch).await {
                Err(ending) => Taken::Ended(branch, ending),
                Ok(found) => match expansion.forwarded(branch, found) {
                    true => Taken::More,
                    false => Taken::Same,
                },
            },
            Step::Mailbox(branch) => match self.mailbox(&branch).await {
                Mailed::Ended(ending) => Taken::Ended(branch, ending),
                Mailed::Handed(result) => Taken::Handed(branch, result),
                Mailed::Relayed(address) => {
                    expansion.relayed(branch, address);
                    Taken::More
                }
            },
            Step::File(branch, path) => {
                let ending = self.listed(&branch, Target::File(path)).await;
                Taken::Ended(branch, ending)
            }
            Step::Command(branch, text) => {
                let ending = self.listed(&branch, Target::Command(text)).await;
                Taken::Ended(branch, ending)
            }
        }
    }

    async fn rehearse(&self, expansion: &Expansion<'_>) {
        let asker = self.core.agents.asker(&Daemon::Local);
        servers::rehearse(asker, || expansion.clone().run_through()).await;
    }

    fn alias(&self, name: &[u8]) -> Alias {
        match self.snapshot.alias_maps.find_at(name) {
            (Lookup::NotFound, _) => Alias::NotFound,
            (Lookup::Found(value), place) => Alias::Found(value.into_owned(), place),
            (Lookup::Retry(_), place) => {
                let maps = &self.snapshot.alias_maps;
                self.core.log.warn(Daemon::Local, &maps.unavailable(place));
                Alias::Retry(maps.name(place))
            }
        }
    }

    /// Where an address of a list goes.
    fn resolve(&self, address: &Address) -> Place {
        let resolver = &self.snapshot.resolver;
        let sender = &self.request.message.envelope.sender;
        match resolver.resolve(sender, address) {
            Resolved::BadSyntax => Place::BadSyntax,
            Resolved::Unknown(why) => Place::Unknown(why),
            Resolved::Route(route) => match route.transport == *self.request.transport {
                true => Place::Here(route.recipient),
                false => Place::Elsewhere(route.recipient),
            },
        }
    }

    /// Logs an ending and counts it. What fails in the name of a list's owner is reported to that
    /// owner at once: the queue manager would tell the sender. What it has come to.
    async fn settle(
        &self,
        report: &mut Report<'_>,
        tally: &mut Tally,
        branch: &Branch,
        ending: Ending,
    ) -> Disposition {
        let (mut disposition, mut dsn) = report.log(&branch.recipient, self.started, ending);
        if let (Disposition::Bounced, Some(owner)) = (disposition, &branch.sender) {
            let told = self.tell_owner(owner, branch, &dsn).await;
            (disposition, dsn) = match told {
                true => (Disposition::Sent, Dsn::local(Status::new(2, 0, 0), "returned to owner")),
                false => (Disposition::Deferred, Dsn::local(Status::new(4, 3, 0), dsn.reason)),
            };
        }
        report.count(tally, &branch.recipient, (disposition, dsn));
        disposition
    }

    /// Whether the owner's notice is durable.
    async fn tell_owner(&self, owner: &Address, branch: &Branch, dsn: &Dsn) -> bool {
        let part = Some(Arc::new(branch.recipient.clone()));
        let dsn = Arc::new(dsn.clone());
        let notice = Notice {
            about: self.request.message.clone(),
            content: self.request.content.clone(),
            occasion: Occasion::Failure,
            reader: Reader::Sender,
            entries: vec![Entry { index: self.index, part, dsn, action: Action::Failed }],
            owner: Some(owner.clone()),
        };
        bounce::post_now(self.core, &notice).await
    }

    /// Sends everything on that is not delivered here.
    async fn forward(&self, report: &mut Report<'_>, tally: &mut Tally, branches: Vec<Branch>) {
        for letter in forward::letters(branches) {
            let sent = forward::send(self.core, self.request, self.settings, letter).await;
            let dsn = sent.map_or_else(
                |dsn| dsn,
                |id| Dsn::local(Status::new(2, 0, 0), format!("forwarded as {id}")),
            );
            let counted = report.log(self.recipient, self.started, dsn.into());
            report.count(tally, self.recipient, counted);
        }
    }

    /// The user's mailbox, or who takes it in its place.
    async fn mailbox(&self, branch: &Branch) -> Mailed {
        let user = User::of(&branch.recipient.address, self.settings);
        if let Some(mailed) = self.before_mailbox(branch, &user).await {
            return mailed;
        }
        let sender = &self.request.message.envelope.sender;
        let service = self.settings.service.clone().into_bytes();
        let from_line = recipient::from_line(sender, self.core);
        let asked = Request { service, user: user.name.clone(), from_line };
        // A name too long, or with control characters, is nobody's.
        if !asked.is_valid() {
            return self.unknown(branch, &user).await;
        }
        let (frame, wait) = match self.settings.mailbox_command {
            false => (asked.encode(), self.settings.lock_wait),
            true => match self.of_user(branch, &user, Target::Mailbox, asked.from_line) {
                Some(frame) => (frame, self.settings.lock_wait + self.settings.command_time_limit),
                None => return self.unknown(branch, &user).await,
            },
        };
        let headed = self.settings.delivered_header;
        let headed = if self.settings.mailbox_command { headed.command } else { headed.file };
        match self.ask(frame, branch, headed, wait).await {
            Ok((verdict, _)) if verdict.code == Code::NoUser => self.unknown(branch, &user).await,
            Ok(answer) => Mailed::Ended(self.ending(answer).into()),
            Err(trouble) => Mailed::Ended(self.in_trouble(&trouble)),
        }
    }

    /// A request about the user.
    fn of_user(
        &self,
        branch: &Branch,
        user: &User,
        target: Target,
        from: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let envelope = &self.request.message.envelope;
        let values = environment::values(envelope, &envelope.sender, branch, user);
        let request = environment::of_user(&self.settings.service, user, target, from, values)?;
        Some(request.encode())
    }

    /// The user's own file; none when there is no such user, whom the mailbox finds out about.
    async fn dotforward(&self, branch: &Branch) -> Result<Option<expand::Forward>, Ending> {
        let user = User::of(&branch.recipient.address, self.settings);
        let frame = self.of_user(branch, &user, Target::Forward, Vec::new());
        let Some(frame) = frame else { return Ok(None) };
        match helper::forward(&self.core.rt, frame).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(verdict)) if verdict.code == Code::NoUser => Ok(None),
            Ok(Err(verdict)) => Err(self.ending((verdict, None)).into()),
            Err(trouble) => Err(self.in_trouble(&trouble)),
        }
    }

    async fn include(&self, branch: &Branch, path: &[u8]) -> Result<Vec<u8>, Ending> {
        let target = Target::Include(path.to_vec());
        let Some(frame) = self.frame(branch, target) else { return Err(too_long().into()) };
        match helper::read(&self.core.rt, frame).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(verdict)) => Err(self.ending((verdict, None)).into()),
            Err(trouble) => Err(self.in_trouble(&trouble)),
        }
    }

    /// A file or a command of a list.
    async fn listed(&self, branch: &Branch, target: Target) -> Ending {
        let headed = self.settings.delivered_header;
        let (headed, wait) = match target {
            Target::Command(_) => (headed.command, self.settings.command_time_limit),
            _ => (headed.file, self.settings.lock_wait),
        };
        let Some(frame) = self.frame(branch, target) else { return too_long().into() };
        match self.ask(frame, branch, headed, wait).await {
            Ok(answer) => self.ending(answer).into(),
            Err(trouble) => self.in_trouble(&trouble),
        }
    }

    fn frame(&self, branch: &Branch, target: Target) -> Option<Vec<u8>> {
        let envelope = &self.request.message.envelope;
        let sender = branch.sender.as_ref().unwrap_or(&envelope.sender);
        let user = User::of(&branch.recipient.address, self.settings);
        let values = environment::values(envelope, sender, branch, &user);
        let from_line = match target {
            Target::Include(_) => Vec::new(),
            _ => recipient::from_line(sender, self.core),
        };
        let service = &self.settings.service;
        let request = environment::request(service, branch, target, from_line, values);
        request.map(|request| request.encode())
    }

    async fn ask(
        &self,
        frame: Vec<u8>,
        branch: &Branch,
        headed: bool,
        wait: Duration,
    ) -> Result<Answer, Trouble> {
        let sender = branch.sender.as_ref().unwrap_or(&self.request.message.envelope.sender);
        let delivered = headed.then_some(&branch.delivered);
        let original = self.core.snapshot().shown_original(&branch.recipient.original).cloned();
        let header = recipient::header(sender, original.as_ref(), delivered);
        let content = content::Pieces::new(header, &self.request.content);
        helper::ask(&self.core.rt, frame, content, wait).await
    }

    fn ending(&self, (verdict, said): Answer) -> Dsn {
        for warning in &verdict.warnings {
            match warning.strip_prefix("fatal: ") {
                // A process of Postfix's would have ended with it.
                Some(text) => self.core.log.log(&Event::Fatal { daemon: Daemon::Local, text }),
                None => self.core.log.warn(Daemon::Local, warning),
            }
        }
        let dsn = helper::dsn(verdict);
        match said {
            Some(said) => Dsn { diagnostic: Diagnostic::Unix, diagnostic_text: Some(said), ..dsn },
            None => dsn,
        }
    }

    fn in_trouble(&self, trouble: &Trouble) -> Ending {
        self.core.log.warn(Daemon::Local, &trouble.to_string());
        trouble.ending()
    }
}

/// A path or a command has more than its bound.
fn too_long() -> Dsn {
    Dsn::local(Status::new(4, 3, 0), "a destination of the alias is too long")
}
