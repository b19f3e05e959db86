//! The evaluation of restriction lists: one [`Evaluation`] for each command that is judged.
//!
//! | what comes | what is done |
//! | --- | --- |
//! | permit | the list ends; the next one is asked |
//! | refusal | all lists end, unless `warn_if_reject` stands before it: a line in the log |
//! | refusal for good after `defer_if_reject` in the same list | it is deferred |
//! | `defer_if_permit` | kept: what is not refused in the end is deferred |
//! | an order (hold, filter, ...) | kept for the message; the list goes on |
//! | discard | kept; everything ends and permits |
//!
//! Mistakes of the configuration refuse for now, `warn_if_reject` or not. Nothing is changed or
//! logged here: the session does that with the [`Judgement`], so that a list may be rehearsed.
//!
//! **Limits**: [`DEPTH_MAX`] lists within lists.
//! **Standards**: SMTPD_ACCESS_README, access(5).

use super::word::Restriction;
use super::{Checked, Judgement, Note, Question, Refusal, Restrictions, Subject, temporary};
use crate::match_list::Match;
use crate::smtpd::access::Access;
use crate::smtpd::unlisted::{Listed, Party, not_now};
use crate::trivial_rewrite::{Class, Resolved};
use mail::Address;
use protocol::smtp::faults::Faults;
use protocol::smtp::reply::Reply;
use std::borrow::Cow;

/// Restriction classes and lists in tables, at most so deep.
const DEPTH_MAX: usize = 100;

/// What clients hear of a mistake in the configuration.
pub(super) const CONFIGURATION: Reply = Reply::fixed("451 4.3.5 Server configuration error");

/// How a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// With the next restriction.
    Next,
    /// It is over, and permits.
    Ok,
    /// Everything is over.
    End,
}

/// An evaluation on its way.
pub(super) struct Evaluation<'a> {
    pub(super) lists: &'a Restrictions,
    pub(super) question: &'a Question<'a>,
    pub(super) judgement: Judgement,
    defer_if_permit: Option<Reply>,
    defer_if_reject: Option<Reply>,
    /// Whether refusals are only logged.
    warns: bool,
    depth: usize,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(lists: &'a Restrictions, question: &'a Question<'a>) -> Evaluation<'a> {
        Evaluation {
            lists,
            question,
            judgement: Judgement::default(),
            defer_if_permit: None,
            defer_if_reject: None,
            warns: false,
            depth: 0,
        }
    }

    /// Evaluates a list; whether others may follow.
    pub(super) fn list(&mut self, list: &[Restriction], subject: Subject) -> bool {
        self.defer_if_reject = None;
        self.walk(list, subject) != Step::End
    }

    /// Evaluates the sender's list, and whether somebody has the sender where that is asked for.
    pub(super) fn sender(&mut self, list: &[Restriction]) -> bool {
        let rejects = self.question.service.recipients.rejects_senders;
        self.list(list, Subject::Sender) && (!rejects || self.unlisted(Party::Sender) != Step::End)
    }

    /// The end of all lists; whether they permit.
    pub(super) fn settle(&mut self) -> bool {
        let judgement = &mut self.judgement;
        let permits = judgement.refusal.is_none() && !judgement.orders.discard;
        if let Some(reply) = self.defer_if_permit.take().filter(|_| permits) {
            judgement.faults |= Faults::POLICY;
            judgement.refusal = Some(Refusal::Reply(reply));
        }
        permits && judgement.refusal.is_none()
    }

    /// What comes of it all.
    pub(super) fn finish(mut self) -> Judgement {
        self.settle();
        self.judgement
    }

    /// Refuses because of a mistake in the configuration.
    pub(super) fn misconfigured(&mut self) -> Step {
        self.fail(CONFIGURATION, Faults::SOFTWARE)
    }

    /// Refuses because of what is wrong here, whatever `warn_if_reject` says.
    pub(super) fn fail(&mut self, reply: Reply, fault: Faults) -> Step {
        self.judgement.faults |= fault;
        self.judgement.refusal = Some(Refusal::Reply(reply));
        Step::End
    }

    pub(super) fn walk(&mut self, list: &[Restriction], subject: Subject) -> Step {
        if self.depth == DEPTH_MAX {
            let text = "restriction classes are nested too deep".to_string();
            self.judgement.warnings.push(text);
            return self.misconfigured();
        }
        self.depth += 1;
        let outer = self.warns;
        let mut step = Step::Next;
        for restriction in list {
            if matches!(restriction, Restriction::WarnIfReject) {
                self.warns = true;
                continue;
            }
            step = self.step(restriction, subject);
            self.warns = outer;
            if step != Step::Next {
                break;
            }
        }
        self.warns = outer;
        self.depth -= 1;
        step
    }

    fn step(&mut self, restriction: &Restriction, subject: Subject) -> Step {
        match restriction {
            Restriction::Permit => Step::Ok,
            Restriction::Never | Restriction::WarnIfReject => Step::Next,
            Restriction::Unknown => self.misconfigured(),
            Restriction::Foreign(word) => {
                let text = format!("unknown smtpd restriction: \"{word}\"");
                self.judgement.warnings.push(text);
                self.misconfigured()
            }
            Restriction::Bare(table) => self.bare(table, subject),
            Restriction::Class(name) => match self.lists.classes.get(name) {
                Some(list) => self.walk(list, subject),
                None => self.misconfigured(),
            },
            Restriction::Access(checked, access) => self.access(*checked, access),
            Restriction::Sleep(pause) => {
                let total = self.judgement.pause + *pause;
                self.judgement.pause = total.min(super::Codes::PAUSE_MAX);
                Step::Next
            }
            Restriction::Reject => {
                self.word(subject, self.lists.codes.reject, "5.7.1", "Access denied")
            }
            Restriction::Defer => {
                self.word(subject, self.lists.codes.defer, "4.3.2", "Try again later")
            }
            Restriction::DeferIfPermit => {
                let reply = self.requested(subject, "defer_if_permit requested");
                self.defer_if_permit(reply)
            }
            Restriction::DeferIfReject => {
                let reply = self.requested(subject, "defer_if_reject requested");
                self.defer_if_reject(reply)
            }
            Restriction::PermitMynetworks => self.mynetworks(),
            Restriction::PermitInetInterfaces => {
                let own = &self.question.snapshot.own_addresses;
                permit(own.contains(&self.question.client.to_canonical()))
            }
            Restriction::PermitAuthDestination => self.destination(None),
            Restriction::RejectUnauthDestination => {
                self.destination(Some((self.lists.codes.relay, "5.7.1")))
            }
            Restriction::DeferUnauthDestination => {
                let code = self.lists.codes.relay.saturating_sub(100);
                self.destination(Some((code, "4.7.1")))
            }
            Restriction::RejectPlaintextSession => {
                let (code, text) = (self.lists.codes.plaintext, "Session encryption is required");
                self.word(subject, code, "4.7.1", text)
            }
            Restriction::RejectUnauthPipelining => self.pipelining(subject),
            Restriction::RejectUnlisted(party) => self.unlisted(*party),
            Restriction::RejectInvalidHelo => self.invalid_helo(),
            Restriction::RejectNonFqdnHelo => self.non_fqdn_helo(),
            Restriction::RejectNonFqdnSender => self.non_fqdn(Checked::Sender),
            Restriction::RejectNonFqdnRecipient => self.non_fqdn(Checked::Recipient),
        }
    }

    /// Refuses what the list is about.
    pub(super) fn word(&mut self, subject: Subject, code: u16, status: &str, text: &str) -> Step {
        let subject = subject.describe(self.question);
        self.refuse(Reply::from(format!("{code} {status} {subject} rejected: {text}")))
    }

    fn requested(&self, subject: Subject, text: &str) -> Reply {
        let (code, subject) = (self.lists.codes.map_defer, subject.describe(self.question));
        Reply::from(format!("{code} 4.7.0 {subject} rejected: {text}"))
    }

    pub(super) fn refuse(&mut self, reply: Reply) -> Step {
        self.refuse_for(Faults::POLICY, reply)
    }

    fn refuse_for(&mut self, fault: Faults, reply: Reply) -> Step {
        // What would have been refused is held against the client as what is.
        self.judgement.faults |= fault;
        if self.warns {
            self.judgement.note("reject_warning", reply.0.into_owned());
            return Step::Next;
        }
        let deferred = self.defer_if_reject.take().filter(|_| reply.0.starts_with('5'));
        self.judgement.refusal = Some(Refusal::Reply(deferred.unwrap_or(reply)));
        Step::End
    }

    pub(super) fn defer_if_permit(&mut self, reply: Reply) -> Step {
        if self.warns {
            self.judgement.faults |= Faults::POLICY;
            self.judgement.note("reject_warning", reply.0.into_owned());
        } else {
            self.defer_if_permit.get_or_insert(reply);
        }
        Step::Next
    }

    pub(super) fn defer_if_reject(&mut self, reply: Reply) -> Step {
        self.defer_if_reject.get_or_insert(reply);
        Step::Next
    }

    /// Asks a table about what the list is about.
    fn bare(&mut self, access: &Access, subject: Subject) -> Step {
        let list = match subject {
            Subject::Client => return self.access(Checked::Client, access),
            Subject::Helo => return self.access(Checked::Helo, access),
            Subject::Sender => return self.access(Checked::Sender, access),
            Subject::Recipient => return self.access(Checked::Recipient, access),
            Subject::Data => "Data command",
            Subject::EndOfData => "End-of-data",
        };
        let table = &access.name;
        self.judgement.warnings.push(format!(
            "specify one of (check_client_access, check_reverse_client_hostname_access, \
             check_helo_access, check_sender_access, check_recipient_access, check_etrn_access) \
             before {list} restriction \"{table}\""
        ));
        self.misconfigured()
    }

    fn mynetworks(&mut self) -> Step {
        let Question { service, client, client_name, .. } = self.question;
        match service.mynetworks.contains(*client, &client_name.name) {
            Match::Yes => Step::Ok,
            Match::No => Step::Next,
            Match::Unknown => self.fail(temporary(&client_name.to_string()), Faults::DATA),
        }
    }

    /// Whether we are responsible for the recipient; otherwise refused with `refusal`, if any.
    fn destination(&mut self, refusal: Option<(u16, &str)>) -> Step {
        let Some((recipient, resolved)) = self.question.recipient else { return Step::Next };
        match (resolved, refusal) {
            (Resolved::Route(route), None) => {
                permit(route.class != Class::Default && !route.routed)
            }
            (Resolved::Route(route), Some(_)) if route.class != Class::Default && !route.routed => {
                Step::Next
            }
            (Resolved::Route(_), Some((code, status))) => {
                let shown = mail::address::Printable(recipient.as_bytes());
                let text = format!("{code} {status} <{shown}>: Relay access denied");
                self.refuse(Reply::from(text))
            }
            (Resolved::BadSyntax, _) => {
                self.refuse(Reply::fixed("501 5.1.3 Bad recipient address syntax"))
            }
            (Resolved::Unknown(_), _) => self.fail(temporary(&recipient.to_string()), Faults::DATA),
        }
    }

    /// Whether somebody has the sender or the recipient.
    pub(super) fn unlisted(&mut self, party: Party) -> Step {
        let Question { service, snapshot, accounts, .. } = self.question;
        let sender = self.question.sender.filter(|sender| !sender.is_null());
        let (address, resolved) = match (party, self.question.recipient, sender) {
            (Party::Recipient, Some((address, resolved)), _) => (address, Cow::Borrowed(resolved)),
            (Party::Sender, _, Some(sender)) => {
                (sender, Cow::Owned(snapshot.resolver.resolve(&Address::null(), sender)))
            }
            _ => return Step::Next,
        };
        match service.recipients.check((party, address), &resolved, snapshot, *accounts) {
            Listed::Yes => Step::Next,
            Listed::No(reply) => self.refuse_for(Faults::BOUNCE, reply),
            Listed::Unknown(why) => {
                // What resolving a recipient has met is said where it is resolved.
                if party == Party::Sender || !matches!(*resolved, Resolved::Unknown(_)) {
                    self.judgement.warnings.push(why);
                }
                self.fail(not_now(address), Faults::DATA)
            }
            Listed::Ask(name) => {
                // It goes on, so that a rehearsal asks all tables; nothing of it counts.
                self.judgement.asks.get_or_insert(name);
                Step::Next
            }
        }
    }

    /// Whether the client has sent more than it may before it has heard from us.
    fn pipelining(&mut self, subject: Subject) -> Step {
        let allowed = self.question.is_esmtp && subject != Subject::Data;
        match self.question.sends_on && !allowed {
            true => {
                let text = "Improper use of SMTP command pipelining";
                self.word(subject, 503, "5.5.0", text)
            }
            false => Step::Next,
        }
    }
}

impl Judgement {
    pub(super) fn note(&mut self, action: &'static str, text: String) -> Step {
        self.notes.push(Note { action, text });
        Step::Next
    }
}

fn permit(permitted: bool) -> Step {
    if permitted { Step::Ok } else { Step::Next }
}
