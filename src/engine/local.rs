//! local(8): delivers mail to the users of this machine.
//!
//! The queue manager hands a request to [`deliver`] within a task and gets an outcome with one
//! result for each recipient. What needs a user's rights is done by the delivery helper: this
//! module names the user and hands over the message, it opens nothing itself.
//!
//! | step | ends with |
//! | --- | --- |
//! | the message has been here before | 5.4.6, bounced |
//! | there is an alias, which is not obeyed yet; the table cannot tell | 4.3.5, 4.3.0, deferred |
//! | a parameter would send it elsewhere and is not obeyed yet | 4.3.5, deferred |
//! | the helper: the user's mailbox | what the helper says |
//! | no such user: postmaster, mailer-daemon | 2.0.0, discarded with a warning |
//! | no such user | 5.1.1, bounced |
//!
//! **Diagnostics**: a helper that is not there or dies is a deferral (4.3.0) and a warning, never a
//! bounce. **Limits**: [`crate::limits::HELPER_ANSWER`], [`crate::limits::HELPER_ROOM`],
//! [`content::PIECE_MAX`]. **Standards**: local(8) of Postfix 3.7, without aliases, `.forward`
//! files and commands.

pub mod content;
pub mod helper;
pub mod recipient;
pub mod report;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::core::Core;
use crate::delivery::{DeliverRequest, Outcome};
use crate::error;
use crate::lookup::Maps;
use crate::lookup::servers;
use crate::maillog::Daemon;
use helper::Trouble;
use mail::address::Printable;
use mail::{Dsn, Recipient, Status};
use privsep::{Code, Request, Verdict};
use recipient::User;
use report::Report;
use std::rc::Rc;
use tables::{Lookup, Table};

pub use settings::Settings;

/// Names that must have an alias.
const REQUIRED: [&[u8]; 2] = [b"postmaster", b"mailer-daemon"];

/// Delivers to the users that the recipients name.
pub async fn deliver(core: &Rc<Core>, request: DeliverRequest) -> Outcome {
    let snapshot = core.snapshot();
    let found = snapshot.local.iter().find(|(name, _)| **name == *request.transport);
    let aliases = &snapshot.alias_maps;
    let Some((_, settings)) = found else { return error::unavailable(core, request) };
    let mut report = Report::new(core, Daemon::Local, settings.soft_bounce, &request);
    for (index, recipient) in request.recipients() {
        let started = core.rt.now();
        let delivery = Delivery { core, aliases, settings, request: &request, recipient };
        let result = delivery.run().await;
        report.settle(index, started, result);
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

struct Delivery<'a> {
    core: &'a Rc<Core>,
    aliases: &'a Maps,
    settings: &'a Settings,
    request: &'a DeliverRequest,
    recipient: &'a Recipient,
}

impl Delivery<'_> {
    async fn run(&self) -> Ending {
        let address = &self.recipient.address;
        if content::was_delivered_to(&self.request.content, address) {
            let text = format!("mail forwarding loop for {address}");
            return Dsn::local(Status::new(5, 4, 6), text).into();
        }
        let user = User::of(address, self.settings);
        let asker = self.core.agents.asker(&Daemon::Local);
        servers::rehearse(asker, || drop(self.alias(&user))).await;
        if let Some(dsn) = self.alias(&user) {
            return dsn.into();
        }
        if let Some(name) = self.settings.before_mailbox {
            return not_supported(name).into();
        }
        let asked = Request {
            service: self.settings.service.clone().into_bytes(),
            user: user.name.clone(),
            extension: user.extension.clone(),
            from_line: recipient::from_line(&self.request.message.envelope.sender, self.core),
        };
        // A name too long, or with control characters, is nobody's.
        if !asked.is_valid() {
            return self.unknown(&user).into();
        }
        match self.ask(&asked).await {
            Ok(verdict) => self.ending(&user, verdict).into(),
            Err(trouble) => self.in_trouble(&trouble),
        }
    }

    /// The whole local part is looked up, then the name without its extension.
    fn alias(&self, user: &User) -> Option<Dsn> {
        [&user.local, &user.name].iter().find_map(|key| match self.aliases.lookup(key) {
            Lookup::NotFound => None,
            Lookup::Found(_) => Some(not_supported(&format!("alias {}", Printable(key)))),
            Lookup::Retry(why) => {
                self.core.log.warn(Daemon::Local, &why);
                Some(Dsn::local(Status::new(4, 3, 0), "alias database unavailable"))
            }
        })
    }

    async fn ask(&self, asked: &Request) -> Result<Verdict, Trouble> {
        let sender = &self.request.message.envelope.sender;
        let header = recipient::header(sender, self.recipient, self.settings);
        let content = content::Pieces::new(header, &self.request.content);
        helper::ask(&self.core.rt, asked.encode(), content, self.settings.lock_wait).await
    }

    fn ending(&self, user: &User, verdict: Verdict) -> Dsn {
        for warning in &verdict.warnings {
            self.core.log.warn(Daemon::Local, warning);
        }
        if verdict.code == Code::NoUser {
            return self.unknown(user);
        }
        helper::dsn(verdict)
    }

    /// Nobody of that name.
    fn unknown(&self, user: &User) -> Dsn {
        if let Some(name) = self.settings.for_unknown {
            return not_supported(name);
        }
        let name = user.to_string();
        if REQUIRED.contains(&user.name.as_slice()) {
            self.core.log.warn(Daemon::Local, &format!("required alias not found: {name}"));
            return Dsn::local(Status::new(2, 0, 0), "discarded");
        }
        Dsn::local(Status::new(5, 1, 1), format!("unknown user: \"{name}\""))
    }

    fn in_trouble(&self, trouble: &Trouble) -> Ending {
        self.core.log.warn(Daemon::Local, &trouble.to_string());
        trouble.ending()
    }
}

/// The configuration wants something that is not there: the mail waits.
fn not_supported(name: &str) -> Dsn {
    Dsn::local(Status::new(4, 3, 5), format!("{name} is not supported yet"))
}
