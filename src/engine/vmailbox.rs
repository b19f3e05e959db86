//! virtual(8): delivers mail for `virtual_mailbox_domains` to mailboxes below one directory.
//!
//! The queue manager hands a request to [`deliver`] within a task and gets an outcome with one
//! result for each recipient. This module looks up where the mailbox is and whose it is
//! ([`owner`]); the delivery helper writes, within rules that it has from master.
//!
//! | step | ends with |
//! | --- | --- |
//! | the service's parameters have no meaning | 4.3.0, deferred, the transport rests |
//! | a table cannot tell; no such user or group id | 4.3.5, deferred |
//! | no mailbox | 5.1.1, bounced |
//! | the helper: the mailbox | what the helper says |
//!
//! **Diagnostics**: a helper that is not there or dies is a deferral (4.3.0) and a warning, never a
//! bounce. **Limits**: those of [`crate::local::helper`].
//! **Standards**: virtual(8) of Postfix 3.7, except that a mailbox path with `..` is refused.

pub mod owner;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::core::Core;
use crate::delivery::{DeliverRequest, Outcome};
use crate::error;
use crate::local::content::Pieces;
use crate::local::helper::{self, Trouble};
use crate::local::report::Report;
use crate::local::{Ending, recipient};
use crate::lookup::servers;
use crate::maillog::{Daemon, Event};
use crate::snapshot::Snapshot;
use mail::address::Printable;
use mail::{Dsn, Recipient, Status};
use owner::{Mailbox, NoMailbox};
use privsep::{Verdict, VirtualRequest};
use std::rc::Rc;
use std::sync::Arc;

pub use settings::Settings;

/// What is said where only the administrator can help.
const MISCONFIGURED: &str = "mail system configuration error";

/// Delivers to the mailboxes of the recipients.
pub async fn deliver(core: &Rc<Core>, request: DeliverRequest) -> Outcome {
    let snapshot = core.snapshot();
    let found = snapshot.virtuals.iter().find(|(name, _)| **name == *request.transport);
    let Some((_, settings)) = found else { return error::unavailable(core, request) };
    if let Some(why) = &settings.unusable {
        core.log.log(&Event::Fatal { daemon: Daemon::Virtual, text: why });
        return error::unavailable(core, request);
    }
    let mut report = Report::new(core, Daemon::Virtual, settings.soft_bounce, &request);
    for (index, recipient) in request.recipients() {
        let started = core.rt.now();
        let delivery =
            Delivery { core, snapshot: &snapshot, settings, request: &request, recipient };
        let result = delivery.run().await;
        report.settle(index, started, result);
    }
    report.finish()
}

struct Delivery<'a> {
    core: &'a Rc<Core>,
    snapshot: &'a Arc<Snapshot>,
    settings: &'a Settings,
    request: &'a DeliverRequest,
    recipient: &'a Recipient,
}

impl Delivery<'_> {
    async fn run(&self) -> Ending {
        let (address, resolver) = (&self.recipient.address, &self.snapshot.resolver);
        let user = self.settings.tables.folded(address);
        let find = || self.settings.tables.find(resolver, &user);
        let asker = self.core.agents.asker(&Daemon::Virtual);
        servers::rehearse(asker, || drop(find())).await;
        let mailbox = match find() {
            Ok(mailbox) => mailbox,
            Err(NoMailbox::Unknown) => return unknown(user.as_bytes()).into(),
            Err(NoMailbox::Misconfigured(why)) => return self.misconfigured(&why).into(),
        };
        let asked = self.asked(mailbox);
        if !asked.is_valid() {
            let shown = Printable(user.as_bytes());
            let why = format!("recipient {shown}: the mailbox path is too long or no text");
            return self.misconfigured(&[why]).into();
        }
        match self.ask(&asked).await {
            Ok(verdict) => self.ending(user.as_bytes(), verdict).into(),
            Err(trouble) => {
                self.core.log.warn(Daemon::Virtual, &trouble.to_string());
                trouble.ending()
            }
        }
    }

    fn asked(&self, mailbox: Mailbox) -> VirtualRequest {
        let Mailbox { path, uid, gid } = mailbox;
        let sender = &self.request.message.envelope.sender;
        let from_line = recipient::from_line(sender, self.core);
        let service = self.settings.service.clone().into_bytes();
        VirtualRequest { service, path, uid, gid, from_line }
    }

    async fn ask(&self, asked: &VirtualRequest) -> Result<Verdict, Trouble> {
        let sender = &self.request.message.envelope.sender;
        let Recipient { address, original, .. } = self.recipient;
        let snapshot = self.core.snapshot();
        let header = recipient::header(sender, snapshot.shown_original(original), Some(address));
        let content = Pieces::new(header, &self.request.content);
        let wait = self.settings.lock_wait;
        let answer = helper::ask(&self.core.rt, asked.encode(), content, wait).await;
        answer.map(|(verdict, _)| verdict)
    }

    fn misconfigured(&self, why: &[String]) -> Dsn {
        why.iter().for_each(|text| self.core.log.warn(Daemon::Virtual, text));
        Dsn::local(Status::new(4, 3, 5), MISCONFIGURED)
    }

    fn ending(&self, user: &[u8], verdict: Verdict) -> Dsn {
        for warning in &verdict.warnings {
            // The helper does not know who the recipient is.
            let text = match warning.starts_with("destination ") {
                true => format!("recipient {}: {warning}", Printable(user)),
                false => warning.clone(),
            };
            self.core.log.warn(Daemon::Virtual, &text);
        }
        helper::dsn(verdict)
    }
}

/// Nobody of that name.
fn unknown(user: &[u8]) -> Dsn {
    Dsn::local(Status::new(5, 1, 1), format!("unknown user: \"{}\"", Printable(user)))
}
