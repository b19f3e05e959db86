//! Policy's questions and what comes of its judgements: lines in the log, orders for the message, a
//! pause before the answer is sent, or a refusal.
//!
//! Judging changes nothing, so that it can be rehearsed; [`Task::take`] is the rest.

use super::super::restrictions::{Judgement, Question, Refusal};
use super::super::unlisted::Known;
use super::{End, Task};
use crate::cleanup::orders::Orders;
use crate::maillog::{Daemon, Event as LogEvent};
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::Resolved;
use mail::Address;
use mail::queue_id::QueueId;
use protocol::smtp::faults::Faults;
use protocol::smtp::reply::Reply;

/// What a command is about, for the log.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    /// The command, or what stands for one.
    pub(super) stage: &'a str,
    pub(super) sender: Option<&'a Address>,
    pub(super) recipient: Option<&'a Address>,
}

/// What is thought of a recipient.
pub(super) struct Judged {
    pub(super) judgement: Judgement,
    /// As it is queued.
    pub(super) queued: Address,
}

impl Task {
    /// Whether the client may stay.
    pub(super) fn judge_client(&self) -> Judgement {
        let snapshot = self.core.snapshot();
        let orders = Orders::default();
        self.service.restrictions.connect(&self.question(&snapshot, &orders))
    }

    /// Whether HELO is accepted.
    pub(super) fn judge_helo(&self) -> Judgement {
        let snapshot = self.core.snapshot();
        let orders = Orders::default();
        self.service.restrictions.helo(&self.question(&snapshot, &orders))
    }

    /// Whether MAIL is accepted.
    pub(super) fn judge_sender(&self, sender: &Address) -> Judgement {
        let snapshot = self.core.snapshot();
        let orders = Orders::default();
        let question = Question { sender: Some(sender), ..self.question(&snapshot, &orders) };
        self.service.restrictions.mail(&question)
    }

    /// The restrictions' verdict, and the recipient as it is queued.
    pub(super) fn judge_recipient(&self, sender: &Address, recipient: &Address) -> Judged {
        let snapshot = self.core.snapshot();
        let orders = self.orders();
        let resolved = snapshot.resolver.resolve(sender, recipient);
        let question = Question {
            sender: Some(sender),
            recipient: Some((recipient, &resolved)),
            ..self.question(&snapshot, &orders)
        };
        // A bare postmaster is always welcome (RFC 5321 section 4.5.1).
        let welcome = recipient.as_bytes().eq_ignore_ascii_case(b"postmaster");
        let judgement = if welcome {
            Judgement::default()
        } else {
            self.service.restrictions.recipient(&question)
        };
        if judgement.asks.is_none() {
            self.warn_of_route(&snapshot, &resolved);
        }
        Judged { judgement, queued: snapshot.resolver.queued(recipient, resolved) }
    }

    /// Asks the system for an account that a judgement needs to know of.
    pub(super) async fn ask(&mut self, name: String) {
        let verdict = self.core.accounts.has(&self.core, &name).await;
        self.accounts.push((name, verdict));
    }

    fn warn_of_route(&self, snapshot: &Snapshot, resolved: &Resolved) {
        let warning = match resolved {
            Resolved::Unknown(why) => Some(why.clone()),
            Resolved::Route(route) => snapshot.resolver.doubly_listed(route),
            Resolved::BadSyntax => None,
        };
        self.core.log.warn(Daemon::TrivialRewrite, warning.as_deref().unwrap_or_default());
    }

    /// `smtpd_data_restrictions` and `smtpd_end_of_data_restrictions`, which know a recipient when
    /// there is but one.
    pub(super) fn judge_message(&self, content_has_come: bool) -> Judgement {
        let Some(transaction) = &self.transaction else { return Judgement::default() };
        let snapshot = self.core.snapshot();
        let envelope = &transaction.envelope;
        let only = self.only_recipient();
        let resolved = only.map(|only| snapshot.resolver.resolve(&envelope.sender, only));
        let question = Question {
            sender: Some(transaction.mail_from.as_ref().unwrap_or(&envelope.sender)),
            recipient: only.zip(resolved.as_ref()),
            content_has_come,
            ..self.question(&snapshot, &transaction.orders)
        };
        match content_has_come {
            true => self.service.restrictions.end_of_data(&question),
            false => self.service.restrictions.data(&question),
        }
    }

    /// The recipient of a message that has one, as the client named it.
    pub(super) fn only_recipient(&self) -> Option<&Address> {
        match self.transaction.as_ref()?.envelope.recipients.as_slice() {
            [only] => Some(&only.original),
            _ => None,
        }
    }

    /// What has been ordered for the message so far.
    fn orders(&self) -> Orders {
        self.transaction.as_ref().map(|it| it.orders.clone()).unwrap_or_default()
    }

    fn question<'a>(&'a self, snapshot: &'a Snapshot, orders: &'a Orders) -> Question<'a> {
        Question {
            client: self.address,
            client_name: &self.client,
            service: &self.service,
            snapshot,
            helo: self.session.helo(),
            sender: None,
            recipient: None,
            orders,
            is_esmtp: self.session.is_esmtp(),
            sends_on: self.sends_on,
            content_has_come: false,
            accounts: Known { core: &self.core, told: &self.accounts },
        }
    }

    /// Logs what a judgement says, keeps what it orders, and remembers the pause that it asks for.
    /// The reply, when it refuses.
    ///
    /// # Errors
    /// The client is to be hung up on.
    pub(super) fn take(
        &mut self,
        judgement: Judgement,
        about: About<'_>,
    ) -> Result<Option<Reply>, End> {
        self.say(&judgement, about);
        let Judgement { refusal, faults, orders, prepends, pause, .. } = judgement;
        self.session.blame(faults);
        if let Some(transaction) = &mut self.transaction {
            transaction.orders.add(orders);
            transaction.prepends.extend(prepends);
        }
        self.pause = self.pause.max(pause.as_millis() as u32);
        match refusal {
            None => Ok(None),
            Some(Refusal::Reply(reply)) => Ok(Some(reply)),
            Some(Refusal::HangUp) => Err(End::HungUp),
        }
    }

    fn say(&self, judgement: &Judgement, about: About<'_>) {
        for warning in &judgement.warnings {
            self.core.log.warn(Daemon::Smtpd, warning);
        }
        for note in &judgement.notes {
            self.log_verdict(note.action, &note.text, about);
        }
    }

    /// A line about a command: refused, or something was ordered.
    pub(super) fn log_verdict(&self, action: &str, text: &str, about: About<'_>) {
        let id: Option<QueueId> = self.transaction.as_ref().and_then(|it| it.id());
        let greets = matches!(about.stage, "HELO" | "EHLO");
        self.core.log.log(&LogEvent::Verdict {
            id,
            action,
            stage: about.stage,
            client: &self.client,
            text,
            sender: about.sender,
            recipient: about.recipient,
            // The client has not said what it speaks before its greeting is accepted.
            protocol: if greets { "SMTP" } else { self.protocol() },
            helo: self.session.helo(),
        });
    }
}

/// What the refusal of a message's content is about.
pub(super) fn fault_of_content(reply: &Reply) -> Faults {
    match reply.0.as_ref() {
        "552 5.3.4 Error: message file too big" | "554 5.4.0 Error: too many hops" => {
            Faults::BOUNCE
        }
        "451 4.3.0 Error: queue file write error" | "452 4.3.1 Insufficient system storage" => {
            Faults::RESOURCE
        }
        text if text.ends_with(" bare <LF> received") => Faults::PROTOCOL,
        _ => Faults::POLICY,
    }
}
