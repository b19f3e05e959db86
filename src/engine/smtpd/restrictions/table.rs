//! Access tables in an evaluation: asking them, and what their actions come to.
//!
//! An action that concerns the whole message is an order, kept for whoever queues it; one that is
//! malformed is a warning and nothing else.
//!
//! **Standards**: access(5): ACTIONS.

use super::evaluate::{Evaluation, Step};
use super::word::{Restriction, simple};
use super::{Checked, Refusal, Subject};
use crate::cleanup::orders;
use crate::smtpd::access::action::{Action, Code, Text};
use crate::smtpd::access::{Access, Unanswered};
use crate::trivial_rewrite::Resolved;
use mail::{Address, header};
use protocol::smtp::faults::Faults;
use protocol::smtp::reply::Reply;

impl Evaluation<'_> {
    /// Asks an access table.
    pub(super) fn access(&mut self, checked: Checked, access: &Access) -> Step {
        let (question, keys) = (self.question, &self.lists.keys);
        let canonical = |address| question.snapshot.resolver.canonical(address);
        let answer = match checked {
            Checked::Client => {
                let client = question.client_name;
                access.client(keys, &client.name, &client.address)
            }
            Checked::Helo => match question.helo {
                Some(helo) => access.domain(keys, helo.as_bytes(), crate::lookup::Part::Whole),
                None => return Step::Next,
            },
            Checked::Sender => match question.sender {
                Some(sender) => access.mail(keys, &canonical(sender)),
                None => return Step::Next,
            },
            Checked::Recipient => match question.recipient {
                Some((_, Resolved::Route(route))) => access.mail(keys, &route.recipient),
                Some((recipient, _)) => access.mail(keys, &canonical(recipient)),
                None => return Step::Next,
            },
        };
        match answer {
            Ok(None) => Step::Next,
            Ok(Some(value)) => self.act(checked, access, &String::from_utf8_lossy(&value)),
            Err(Unanswered(complaints)) => {
                self.judgement.warnings.extend(complaints);
                let subject = checked.subject().describe(question);
                let text = format!("451 4.3.5 {subject} rejected: Server configuration error");
                self.fail(Reply::from(text), Faults::POLICY)
            }
        }
    }

    /// Does what a table says.
    fn act(&mut self, checked: Checked, access: &Access, value: &str) -> Step {
        let subject = checked.subject();
        let reply = |code: u16, text: Text<'_>| {
            Reply::from(text.reply(code, &subject.describe(self.question)))
        };
        let codes = &self.lists.codes;
        match Action::parse(value) {
            Action::Permit => Step::Ok,
            Action::Dunno => Step::Next,
            Action::Refuse(Code::Reject, text) => self.refuse(reply(codes.map_reject, text)),
            Action::Refuse(Code::Defer, text) => self.refuse(reply(codes.map_defer, text)),
            Action::Refuse(Code::Given(code), text) => self.refuse(reply(code, text)),
            Action::DeferIfPermit(text) => {
                let reply = reply(codes.map_defer, text);
                self.defer_if_permit(reply)
            }
            Action::DeferIfReject(text) => {
                let reply = reply(codes.map_defer, text);
                self.defer_if_reject(reply)
            }
            Action::HangUp(text) => {
                self.judgement.note("hangup", text.into());
                self.judgement.refusal = Some(Refusal::HangUp);
                Step::End
            }
            Action::Info(text) => self.judgement.note("info", text.into()),
            Action::Warn(text) => self.judgement.note("warn", text.into()),
            Action::Restrictions(words) => self.restrictions(access, words, subject),
            order => self.order(checked, access, order),
        }
    }

    /// Keeps what is ordered for the message.
    fn order(&mut self, checked: Checked, access: &Access, order: Action<'_>) -> Step {
        if self.question.sender.is_none() {
            let name = &access.name;
            self.judgement.warnings.push(format!(
                "access table {name}: with smtpd_delay_reject=no, action {} is always skipped in \
                 Client host or Helo command restrictions",
                word_of(order)
            ));
            return Step::Next;
        }
        let subject = checked.subject().describe(self.question);
        match order {
            Action::Hold(_) if self.judgement.orders.hold || self.question.orders.hold => {
                Step::Next
            }
            Action::Hold(text) => {
                self.judgement.orders.hold = true;
                self.judgement.note("hold", triggers(&subject, text, "HOLD"))
            }
            Action::Discard(text) => {
                self.judgement.orders.discard = true;
                self.judgement.note("discard", triggers(&subject, text, "DISCARD"));
                Step::End
            }
            Action::Prepend(text) => self.prepend(checked, access, text),
            Action::Filter("") => self.useless(checked, access, "has FILTER entry without value"),
            Action::Filter(text) if orders::is_filter(text) => {
                self.judgement.orders.filter = Some(text.into());
                self.judgement.note("filter", format!("{subject} triggers FILTER {text}"))
            }
            Action::Filter(_) => self.useless(checked, access, "requires transport:destination"),
            Action::Redirect(text) | Action::Bcc(text) => match orders::address(text) {
                Some(address) => self.readdress(&subject, order, (text, address)),
                None => self.useless(checked, access, "requires user@domain target"),
            },
            _ => Step::Next,
        }
    }

    fn readdress(
        &mut self,
        subject: &str,
        order: Action<'_>,
        (text, address): (&str, Address),
    ) -> Step {
        let judgement = &mut self.judgement;
        if let Action::Redirect(_) = order {
            judgement.orders.redirect = Some(address);
            return judgement.note("redirect", format!("{subject} triggers REDIRECT {text}"));
        }
        judgement.orders.bcc.push(address);
        judgement.note("bcc", format!("{subject} triggers BCC {text}"))
    }

    fn prepend(&mut self, checked: Checked, access: &Access, text: &str) -> Step {
        if self.question.content_has_come {
            let name = &access.name;
            self.judgement.warnings.push(format!(
                "access table {name}: action PREPEND must be used before \
                 smtpd_end_of_data_restrictions"
            ));
        } else if header::name(text.as_bytes()).is_none() {
            return self.useless(checked, access, "requires header: text");
        } else {
            self.judgement.prepends.push(text.into());
        }
        Step::Next
    }

    /// Says what is wrong with an entry, and goes on.
    fn useless(&mut self, checked: Checked, access: &Access, what: &str) -> Step {
        let (name, entry) = (&access.name, checked.entry(self.question));
        self.judgement.warnings.push(format!("access table {name} entry \"{entry}\" {what}"));
        Step::Next
    }

    /// A list of restrictions in a table: no tables, which nobody would have opened.
    fn restrictions(&mut self, access: &Access, words: &str, subject: Subject) -> Step {
        if words.contains(':') {
            let name = &access.name;
            self.judgement.warnings.extend([
                format!("access table {name} has entry with lookup table: {words}"),
                "do not specify lookup tables inside SMTPD access maps".into(),
                "define a restriction class and specify its name instead.".into(),
            ]);
            return self.misconfigured();
        }
        let mut list = Vec::new();
        let mut split = config::params::split(words).into_iter();
        while let Some(word) = split.next() {
            let name = word.to_ascii_lowercase();
            let class = || {
                let known = self.lists.classes.contains_key(&name);
                known.then(|| Restriction::Class(name.clone()))
            };
            list.push(if word.eq_ignore_ascii_case("sleep") {
                Restriction::sleep(split.next().as_deref())
            } else {
                simple(&word).or_else(class).unwrap_or(Restriction::Foreign(word))
            });
        }
        self.walk(&list, subject)
    }
}

/// What is said of an order that comes without a text.
fn triggers(subject: &str, text: &str, action: &str) -> String {
    match text {
        "" => format!("{subject} triggers {action} action"),
        text => format!("{subject} {text}"),
    }
}

/// The name of an order, as tables have it.
fn word_of(order: Action<'_>) -> &'static str {
    match order {
        Action::Hold(_) => "HOLD",
        Action::Discard(_) => "DISCARD",
        Action::Filter(_) => "FILTER",
        Action::Redirect(_) => "REDIRECT",
        Action::Bcc(_) => "BCC",
        _ => "PREPEND",
    }
}
