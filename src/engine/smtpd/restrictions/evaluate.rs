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

use super::word::{Restriction, simple};
use super::{Checked, Judgement, Note, Question, Refusal, Restrictions, Subject, temporary};
use crate::cleanup::orders;
use crate::match_list::Match;
use crate::smtpd::access::action::{Action, Code, Text};
use crate::smtpd::access::{Access, Unanswered};
use crate::trivial_rewrite::{Class, Resolved};
use mail::{Address, header};
use protocol::smtp::reply::Reply;

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
    lists: &'a Restrictions,
    question: &'a Question<'a>,
    judgement: Judgement,
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

    /// The end of all lists.
    pub(super) fn finish(mut self) -> Judgement {
        let permits = self.judgement.refusal.is_none() && !self.judgement.orders.discard;
        if let Some(reply) = self.defer_if_permit.take().filter(|_| permits) {
            self.judgement.refusal = Some(Refusal::Reply(reply));
        }
        self.judgement
    }

    /// Refuses because of a mistake in the configuration.
    pub(super) fn misconfigured(&mut self, reply: Reply) -> Step {
        self.judgement.refusal = Some(Refusal::Reply(reply));
        Step::End
    }

    fn walk(&mut self, list: &[Restriction], subject: Subject) -> Step {
        if self.depth == DEPTH_MAX {
            let text = "restriction classes are nested too deep".to_string();
            self.judgement.warnings.push(text);
            return self.misconfigured(CONFIGURATION);
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
            Restriction::Unknown => self.misconfigured(CONFIGURATION),
            Restriction::Foreign(word) => {
                let text = format!("unknown smtpd restriction: \"{word}\"");
                self.judgement.warnings.push(text);
                self.misconfigured(CONFIGURATION)
            }
            Restriction::Bare(table) => self.bare(table, subject),
            Restriction::Class(name) => match self.lists.classes.get(name) {
                Some(list) => self.walk(list, subject),
                None => self.misconfigured(CONFIGURATION),
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
                self.defer_if_reject.get_or_insert(reply);
                Step::Next
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
            Restriction::RejectInvalidHelo => self.invalid_helo(),
            Restriction::RejectNonFqdnHelo => self.non_fqdn_helo(),
            Restriction::RejectNonFqdnSender => self.non_fqdn(Checked::Sender),
            Restriction::RejectNonFqdnRecipient => self.non_fqdn(Checked::Recipient),
        }
    }

    /// Refuses what the list is about.
    fn word(&mut self, subject: Subject, code: u16, status: &str, text: &str) -> Step {
        let subject = subject.describe(self.question);
        self.refuse(Reply::from(format!("{code} {status} {subject} rejected: {text}")))
    }

    fn requested(&self, subject: Subject, text: &str) -> Reply {
        let (code, subject) = (self.lists.codes.map_defer, subject.describe(self.question));
        Reply::from(format!("{code} 4.7.0 {subject} rejected: {text}"))
    }

    fn refuse(&mut self, reply: Reply) -> Step {
        if self.warns {
            self.judgement.note("reject_warning", reply.0.into_owned());
            return Step::Next;
        }
        let deferred = self.defer_if_reject.take().filter(|_| reply.0.starts_with('5'));
        self.judgement.refusal = Some(Refusal::Reply(deferred.unwrap_or(reply)));
        Step::End
    }

    fn defer_if_permit(&mut self, reply: Reply) -> Step {
        if self.warns {
            self.judgement.note("reject_warning", reply.0.into_owned());
        } else {
            self.defer_if_permit.get_or_insert(reply);
        }
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
        self.misconfigured(CONFIGURATION)
    }

    fn mynetworks(&mut self) -> Step {
        let Question { service, client, client_name, .. } = self.question;
        match service.mynetworks.contains(*client, &client_name.name) {
            Match::Yes => Step::Ok,
            Match::No => Step::Next,
            Match::Unknown => self.misconfigured(temporary(&client_name.to_string())),
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
            (Resolved::Unknown(_), _) => self.misconfigured(temporary(&recipient.to_string())),
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

    fn invalid_helo(&mut self) -> Step {
        let Some(helo) = self.question.helo else { return Step::Next };
        let code = self.lists.codes.invalid_hostname;
        if let Some(literal) = helo.strip_prefix('[') {
            let literal = literal.strip_suffix(']').unwrap_or_default();
            return match mail::address::parse_literal(literal.as_bytes()).is_some() {
                true => Step::Next,
                false => self.word(Subject::Helo, code, "5.5.2", "invalid ip address"),
            };
        }
        let name = without_last_dot(helo.as_bytes());
        let is_address = helo.parse::<std::net::IpAddr>().is_ok();
        match is_address || mail::address::is_valid_hostname(name) {
            true => Step::Next,
            false => self.word(Subject::Helo, code, "5.5.2", "Invalid name"),
        }
    }

    fn non_fqdn_helo(&mut self) -> Step {
        let Some(helo) = self.question.helo else { return Step::Next };
        match helo.starts_with('[') || is_fqdn(helo.as_bytes()) {
            true => Step::Next,
            false => {
                let code = self.lists.codes.non_fqdn;
                self.word(Subject::Helo, code, "5.5.2", "need fully-qualified hostname")
            }
        }
    }

    fn non_fqdn(&mut self, checked: Checked) -> Step {
        let address = match checked {
            Checked::Sender => self.question.sender,
            _ => self.question.recipient.map(|(recipient, _)| recipient),
        };
        let Some(address) = address.filter(|address| !address.is_null()) else {
            return Step::Next;
        };
        let domain = address.domain().unwrap_or_default();
        match domain.starts_with(b"[") || is_fqdn(domain) {
            true => Step::Next,
            false => {
                let (code, text) = (self.lists.codes.non_fqdn, "need fully-qualified address");
                self.word(checked.subject(), code, "5.5.2", text)
            }
        }
    }

    /// Asks an access table.
    fn access(&mut self, checked: Checked, access: &Access) -> Step {
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
                self.misconfigured(Reply::from(text))
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
                self.defer_if_reject.get_or_insert(reply);
                Step::Next
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
            return self.misconfigured(CONFIGURATION);
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

impl Judgement {
    fn note(&mut self, action: &'static str, text: String) -> Step {
        self.notes.push(Note { action, text });
        Step::Next
    }
}

/// What is said of an order that comes without a text.
fn triggers(subject: &str, text: &str, action: &str) -> String {
    match text {
        "" => format!("{subject} triggers {action} action"),
        text => format!("{subject} {text}"),
    }
}

fn permit(permitted: bool) -> Step {
    if permitted { Step::Ok } else { Step::Next }
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

fn without_last_dot(name: &[u8]) -> &[u8] {
    match name {
        [rest @ .., b'.'] if !rest.ends_with(b".") => rest,
        name => name,
    }
}

fn is_fqdn(name: &[u8]) -> bool {
    let name = without_last_dot(name);
    name.contains(&b'.') && mail::address::is_valid_hostname(name)
}
