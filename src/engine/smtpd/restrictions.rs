//! Access restrictions: who may send where, and what is done with what they send.
//!
//! Lists are evaluated in Postfix's order: client, helo, sender, relay, recipient, all of them at
//! RCPT TO, or the first three as soon as what they are about is known (`smtpd_delay_reject = no`);
//! then data and end of data. A restriction this engine does not know yet fails closed: 451, and a
//! line in the log at start. Without any restriction that refuses strangers nobody may send.
//!
//! `word` reads lists, `evaluate` evaluates them; tables are `access`'s.
//!
//! Standards: SMTPD_ACCESS_README, access(5), postconf(5).

mod evaluate;
mod names;
mod table;
mod word;

use crate::cleanup::orders::Orders;
use crate::lookup::Opener;
use crate::maillog::Client;
use crate::smtpd::Service;
use crate::smtpd::access::Keys;
use crate::smtpd::unlisted::{Known, Party};
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::Resolved;
use config::Params;
use config::params::BadValue;
use evaluate::{CONFIGURATION, Evaluation};
use mail::Address;
use mail::address::Printable;
use protocol::smtp::faults::Faults;
use protocol::smtp::reply::Reply;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use word::{Parser, Restriction};

/// All lists of one service.
#[derive(Clone, Debug)]
pub struct Restrictions {
    client: Vec<Restriction>,
    helo: Vec<Restriction>,
    sender: Vec<Restriction>,
    relay: Vec<Restriction>,
    recipient: Vec<Restriction>,
    data: Vec<Restriction>,
    end_of_data: Vec<Restriction>,
    classes: BTreeMap<String, Vec<Restriction>>,
    /// `smtpd_delay_reject`.
    delays: bool,
    relay_before_recipient: bool,
    codes: Codes,
    keys: Keys,
    unsafe_lists: bool,
}

/// Reply codes of refusals, by the parameters that have them.
#[derive(Clone, Debug)]
struct Codes {
    /// `relay_domains_reject_code`
    relay: u16,
    /// `reject_code`
    reject: u16,
    /// `defer_code`
    defer: u16,
    /// `access_map_reject_code`
    map_reject: u16,
    /// `access_map_defer_code`
    map_defer: u16,
    /// `invalid_hostname_reject_code`
    invalid_hostname: u16,
    /// `non_fqdn_reject_code`
    non_fqdn: u16,
    /// `plaintext_reject_code`
    plaintext: u16,
}

/// What is asked.
pub struct Question<'a> {
    /// The client.
    pub client: IpAddr,
    /// What it is called in replies: `name[address]`.
    pub client_name: &'a Client,
    /// The service with its networks.
    pub service: &'a Service,
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// HELO's argument.
    pub helo: Option<&'a str>,
    /// The return path, once MAIL has come.
    pub sender: Option<&'a Address>,
    /// The recipient, and where it goes.
    pub recipient: Option<(&'a Address, &'a Resolved)>,
    /// What has been ordered for the message before.
    pub orders: &'a Orders,
    /// Whether the client has said EHLO.
    pub is_esmtp: bool,
    /// Whether more has come from it already.
    pub sends_on: bool,
    /// Whether the content has come.
    pub content_has_come: bool,
    /// What is known of the system's users.
    pub accounts: Known<'a>,
}

/// What comes of it.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Why it is refused, when it is.
    pub refusal: Option<Refusal>,
    /// What it is refused for, or would be without `warn_if_reject`.
    pub faults: Faults,
    /// What is ordered for the message.
    pub orders: Orders,
    /// Headers to be put on top of the message.
    pub prepends: Vec<String>,
    /// Lines about this command for the log.
    pub notes: Vec<Note>,
    /// Warnings for the log.
    pub warnings: Vec<String>,
    /// How long the client is to wait for the answer.
    pub pause: Duration,
    /// The system must be asked for this account first: all else is void.
    pub asks: Option<String>,
}

/// How a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With a reply.
    Reply(Reply),
    /// The connection is closed without one.
    HangUp,
}

/// A line for the log, such as `hold: RCPT from ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its first word.
    pub action: &'static str,
    /// What comes after the client.
    pub text: String,
}

/// What an access table is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    Client,
    Helo,
    Sender,
    Recipient,
}

/// What a restriction list is about; spelled out only when something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Client,
    Helo,
    Sender,
    Recipient,
    Data,
    EndOfData,
}

impl Checked {
    /// By the restriction's name.
    fn named(word: &str) -> Option<Checked> {
        Some(match word.to_ascii_lowercase().as_str() {
            "check_client_access" => Checked::Client,
            "check_helo_access" => Checked::Helo,
            "check_sender_access" => Checked::Sender,
            "check_recipient_access" => Checked::Recipient,
            _ => return None,
        })
    }

    fn subject(self) -> Subject {
        match self {
            Checked::Client => Subject::Client,
            Checked::Helo => Subject::Helo,
            Checked::Sender => Subject::Sender,
            Checked::Recipient => Subject::Recipient,
        }
    }

    /// What was looked up, as warnings show it.
    fn entry(self, question: &Question<'_>) -> String {
        match self {
            Checked::Client => question.client_name.name.clone(),
            Checked::Helo => question.helo.unwrap_or_default().into(),
            Checked::Sender => question.sender.map(Address::to_string).unwrap_or_default(),
            Checked::Recipient => {
                question.recipient.map(|(address, _)| address.to_string()).unwrap_or_default()
            }
        }
    }
}

impl Subject {
    fn describe(self, question: &Question<'_>) -> String {
        let printable = |address: Option<&Address>| {
            address.map(|address| Printable(address.as_bytes()).to_string()).unwrap_or_default()
        };
        match self {
            Subject::Client => format!("<{}>: Client host", question.client_name),
            Subject::Helo => format!("<{}>: Helo command", question.helo.unwrap_or_default()),
            Subject::Sender => format!("<{}>: Sender address", printable(question.sender)),
            Subject::Recipient => {
                let recipient = question.recipient.map(|(address, _)| address);
                format!("<{}>: Recipient address", printable(recipient))
            }
            Subject::Data => "<DATA>: Data command".into(),
            Subject::EndOfData => "<END-OF-MESSAGE>: End-of-data".into(),
        }
    }
}

impl Judgement {
    /// Whether it permits, and that is all.
    pub fn is_plain(&self) -> bool {
        let Judgement { refusal, orders, prepends, notes, warnings, pause, asks, .. } = self;
        let silent = prepends.is_empty() && notes.is_empty() && warnings.is_empty();
        let permits = refusal.is_none() && asks.is_none();
        permits && silent && pause.is_zero() && *orders == Orders::default()
    }

    /// What a mistake in the configuration leads to.
    pub fn misconfigured() -> Judgement {
        let (refusal, faults) = (Some(Refusal::Reply(CONFIGURATION)), Faults::SOFTWARE);
        Judgement { refusal, faults, ..Judgement::default() }
    }
}

impl Restrictions {
    /// Reads the lists.
    ///
    /// # Errors
    /// A parameter whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Restrictions, BadValue> {
        let classes = params.list("smtpd_restriction_classes")?;
        let lower = classes.iter().map(|name| name.to_ascii_lowercase()).collect();
        let parser = Parser { opener, classes: lower };
        let list = |name: &str| -> Result<Vec<Restriction>, BadValue> {
            Ok(parser.list(name, &params.list(name)?))
        };
        let class = |name: &String| {
            let list = match params.own_list(name)? {
                Some(words) => parser.list(name, &words),
                None => parser.undefined(name),
            };
            Ok((name.to_ascii_lowercase(), list))
        };
        let relay = list("smtpd_relay_restrictions")?;
        let recipient = list("smtpd_recipient_restrictions")?;
        let both = relay.iter().chain(&recipient);
        let unsafe_lists = !both.into_iter().any(Restriction::refuses_strangers);
        if unsafe_lists {
            let text = "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, \
                        specify at least one working instance of: reject_unauth_destination, \
                        defer_unauth_destination, reject, defer, defer_if_permit or \
                        check_relay_domains";
            opener.warn(text.into());
        }
        Ok(Restrictions {
            client: list("smtpd_client_restrictions")?,
            helo: list("smtpd_helo_restrictions")?,
            sender: list("smtpd_sender_restrictions")?,
            data: list("smtpd_data_restrictions")?,
            end_of_data: list("smtpd_end_of_data_restrictions")?,
            classes: classes.iter().map(class).collect::<Result<_, BadValue>>()?,
            relay,
            recipient,
            delays: params.flag("smtpd_delay_reject")?,
            relay_before_recipient: params.flag("smtpd_relay_before_recipient_restrictions")?,
            codes: Codes::new(params)?,
            keys: Keys::new(params)?,
            unsafe_lists,
        })
    }

    /// Whether a client may stay.
    pub fn connect(&self, question: &Question<'_>) -> Judgement {
        match self.delays {
            true => Judgement::default(),
            false => self.one(&self.client, question, Subject::Client),
        }
    }

    /// Whether HELO is accepted.
    pub fn helo(&self, question: &Question<'_>) -> Judgement {
        match self.delays {
            true => Judgement::default(),
            false => self.one(&self.helo, question, Subject::Helo),
        }
    }

    /// Whether MAIL is accepted.
    pub fn mail(&self, question: &Question<'_>) -> Judgement {
        if self.delays || question.orders.discard {
            return Judgement::default();
        }
        let mut evaluation = Evaluation::new(self, question);
        evaluation.sender(&self.sender);
        evaluation.finish()
    }

    /// Whether the recipient is accepted.
    pub fn recipient(&self, question: &Question<'_>) -> Judgement {
        if self.unsafe_lists || question.snapshot.closed {
            return Judgement::misconfigured();
        }
        // What is thrown away anyway may have any recipient.
        if question.orders.discard {
            return Judgement::default();
        }
        let early = [
            (&self.client, Subject::Client),
            (&self.helo, Subject::Helo),
            (&self.sender, Subject::Sender),
        ];
        let (first, second) = match self.relay_before_recipient {
            true => (&self.relay, &self.recipient),
            false => (&self.recipient, &self.relay),
        };
        let late = [(first, Subject::Recipient), (second, Subject::Recipient)];
        let wanted = |subject: Subject| match subject {
            Subject::Helo => question.helo.is_some(),
            _ => true,
        };
        let early = early.into_iter().filter(|(_, subject)| self.delays && wanted(*subject));
        let mut evaluation = Evaluation::new(self, question);
        for (list, subject) in early.chain(late) {
            let goes_on = match subject {
                Subject::Sender => evaluation.sender(list),
                _ => evaluation.list(list, subject),
            };
            if !goes_on {
                break;
            }
        }
        if evaluation.settle() && question.service.recipients.rejects_recipients {
            evaluation.unlisted(Party::Recipient);
        }
        evaluation.finish()
    }

    /// Whether DATA is accepted; a recipient is known when there is but one.
    pub fn data(&self, question: &Question<'_>) -> Judgement {
        self.one(&self.data, question, Subject::Data)
    }

    /// Whether the message is accepted.
    pub fn end_of_data(&self, question: &Question<'_>) -> Judgement {
        self.one(&self.end_of_data, question, Subject::EndOfData)
    }

    /// Whether there is anything to ask at the end of data.
    pub fn has_end_of_data(&self) -> bool {
        !self.end_of_data.is_empty()
    }

    fn one(&self, list: &[Restriction], question: &Question<'_>, subject: Subject) -> Judgement {
        if list.is_empty() || question.orders.discard {
            return Judgement::default();
        }
        let mut evaluation = Evaluation::new(self, question);
        evaluation.list(list, subject);
        evaluation.finish()
    }
}

impl Codes {
    fn new(params: &Params) -> Result<Codes, BadValue> {
        let code = |name: &str| params.int(name).map(|code| code as u16);
        Ok(Codes {
            relay: code("relay_domains_reject_code")?,
            reject: code("reject_code")?,
            defer: code("defer_code")?,
            map_reject: code("access_map_reject_code")?,
            map_defer: code("access_map_defer_code")?,
            invalid_hostname: code("invalid_hostname_reject_code")?,
            non_fqdn: code("non_fqdn_reject_code")?,
            plaintext: code("plaintext_reject_code")?,
        })
    }
}

fn temporary(subject: &str) -> Reply {
    Reply::from(format!("451 4.3.0 <{subject}>: Temporary lookup failure"))
}

#[cfg(test)]
mod tests;
