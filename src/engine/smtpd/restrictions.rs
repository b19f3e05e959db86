//! Access restrictions: who may send where.
//!
//! Lists are evaluated in Postfix's order, all at RCPT TO (`smtpd_delay_reject = yes`): client,
//! helo, sender, relay, recipient. A restriction this engine does not know yet fails closed: 451,
//! and a line in the log at start. Without any restriction that refuses strangers nobody may send.
//!
//! Standards: SMTPD_ACCESS_README, postconf(5).

use crate::lookup::Opener;
use crate::maillog::Client;
use crate::smtpd::Service;
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::{Class, Resolved};
use config::Params;
use config::params::BadValue;
use mail::Address;
use protocol::smtp::reply::Reply;
use std::net::IpAddr;

/// One word of a restriction list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Restriction {
    Permit,
    Reject,
    Defer,
    PermitMynetworks,
    PermitInetInterfaces,
    PermitAuthDestination,
    RejectUnauthDestination,
    DeferUnauthDestination,
    /// Nobody can be authenticated yet, so this decides nothing.
    PermitSaslAuthenticated,
    Unknown,
}

/// All lists of one service.
#[derive(Clone, Debug)]
pub struct Restrictions {
    client: Vec<Restriction>,
    helo: Vec<Restriction>,
    sender: Vec<Restriction>,
    relay: Vec<Restriction>,
    recipient: Vec<Restriction>,
    data: Vec<Restriction>,
    relay_before_recipient: bool,
    relay_code: u16,
    reject_code: u16,
    defer_code: u16,
    unsafe_lists: bool,
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
    /// The return path.
    pub sender: &'a Address,
    /// The recipient.
    pub recipient: &'a Address,
    /// Where it goes.
    pub resolved: &'a Resolved,
}

/// What a restriction list is about; spelled out only when something is refused.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Client,
    Helo,
    Sender,
    Recipient,
    Data,
}

impl Subject {
    fn describe(self, question: &Question<'_>) -> String {
        match self {
            Subject::Client => format!("<{}>: Client host", question.client_name),
            Subject::Helo => format!("<{}>: Helo command", question.helo.unwrap_or_default()),
            Subject::Sender => format!("<{}>: Sender address", question.sender),
            Subject::Recipient => format!("<{}>: Recipient address", question.recipient),
            Subject::Data => "<DATA>: Data command".into(),
        }
    }
}

enum Step {
    Next,
    Ok,
    Refuse(Reply),
}

const CONFIGURATION: Reply = Reply::fixed("451 4.3.5 Server configuration error");

impl Restrictions {
    /// Reads the lists.
    ///
    /// # Errors
    /// A parameter whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Restrictions, BadValue> {
        let list = |name: &str| -> Result<Vec<Restriction>, BadValue> {
            Ok(parse(name, &params.list(name)?, opener))
        };
        let relay = list("smtpd_relay_restrictions")?;
        let recipient = list("smtpd_recipient_restrictions")?;
        let unsafe_lists = !relay.iter().chain(&recipient).any(refuses_strangers);
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
            relay,
            recipient,
            relay_before_recipient: params.flag("smtpd_relay_before_recipient_restrictions")?,
            relay_code: params.int("relay_domains_reject_code")? as u16,
            reject_code: params.int("reject_code")? as u16,
            defer_code: params.int("defer_code")? as u16,
            unsafe_lists,
        })
    }

    /// Whether the recipient is accepted.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub fn recipient(&self, question: &Question<'_>) -> Result<(), Reply> {
        if self.unsafe_lists || question.snapshot.closed {
            return Err(CONFIGURATION);
        }
        self.evaluate(&self.client, question, Subject::Client)?;
        if question.helo.is_some() {
            self.evaluate(&self.helo, question, Subject::Helo)?;
        }
        self.evaluate(&self.sender, question, Subject::Sender)?;
        let (first, second) = match self.relay_before_recipient {
            true => (&self.relay, &self.recipient),
            false => (&self.recipient, &self.relay),
        };
        self.evaluate(first, question, Subject::Recipient)?;
        self.evaluate(second, question, Subject::Recipient)
    }

    /// Whether DATA is accepted, for the last recipient's question.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub fn data(&self, question: &Question<'_>) -> Result<(), Reply> {
        self.evaluate(&self.data, question, Subject::Data)
    }

    fn evaluate(
        &self,
        list: &[Restriction],
        question: &Question<'_>,
        subject: Subject,
    ) -> Result<(), Reply> {
        for restriction in list {
            match self.step(restriction, question, subject) {
                Step::Next => {}
                Step::Ok => return Ok(()),
                Step::Refuse(reply) => return Err(reply),
            }
        }
        Ok(())
    }

    fn step(&self, restriction: &Restriction, question: &Question<'_>, subject: Subject) -> Step {
        use crate::match_list::Match;
        let permit = |permitted: bool| if permitted { Step::Ok } else { Step::Next };
        let code = |code: u16, rest: &str| Step::Refuse(Reply::from(format!("{code} {rest}")));
        match restriction {
            Restriction::Permit => Step::Ok,
            Restriction::PermitSaslAuthenticated => Step::Next,
            Restriction::Unknown => Step::Refuse(CONFIGURATION),
            Restriction::Reject => {
                let subject = subject.describe(question);
                code(self.reject_code, &format!("5.7.1 {subject} rejected: Access denied"))
            }
            Restriction::Defer => {
                let subject = subject.describe(question);
                code(self.defer_code, &format!("4.3.2 {subject} rejected: Try again later"))
            }
            Restriction::PermitMynetworks => {
                match question
                    .service
                    .mynetworks
                    .contains(question.client, &question.client_name.name)
                {
                    Match::Yes => Step::Ok,
                    Match::No => Step::Next,
                    Match::Unknown => Step::Refuse(temporary(&question.client_name.to_string())),
                }
            }
            Restriction::PermitInetInterfaces => {
                permit(question.snapshot.own_addresses.contains(&question.client.to_canonical()))
            }
            Restriction::PermitAuthDestination => self.destination(question, None),
            Restriction::RejectUnauthDestination => {
                self.destination(question, Some((self.relay_code, "5.7.1")))
            }
            Restriction::DeferUnauthDestination => {
                let code = self.relay_code.saturating_sub(100);
                self.destination(question, Some((code, "4.7.1")))
            }
        }
    }

    /// Whether we are responsible for the recipient; otherwise refused with `refusal`, if any.
    fn destination(&self, question: &Question<'_>, refusal: Option<(u16, &str)>) -> Step {
        let recipient = question.recipient;
        match question.resolved {
            Resolved::Route(route) if route.class != Class::Default && !route.routed => {
                match refusal {
                    None => Step::Ok,
                    Some(_) => Step::Next,
                }
            }
            Resolved::Route(_) => match refusal {
                None => Step::Next,
                Some((code, dsn)) => {
                    let shown = Shown(recipient);
                    let text = format!("{code} {dsn} <{shown}>: Relay access denied");
                    Step::Refuse(Reply::from(text))
                }
            },
            Resolved::BadSyntax => {
                Step::Refuse(Reply::fixed("501 5.1.3 Bad recipient address syntax"))
            }
            Resolved::Unknown(_) => Step::Refuse(temporary(&recipient.to_string())),
        }
    }
}

/// A recipient as refusals print it: the internal form.
struct Shown<'a>(&'a Address);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        mail::address::write_printable(f, self.0.as_bytes())
    }
}

fn temporary(subject: &str) -> Reply {
    Reply::from(format!("451 4.3.0 <{subject}>: Temporary lookup failure"))
}

fn refuses_strangers(restriction: &Restriction) -> bool {
    matches!(
        restriction,
        Restriction::Reject
            | Restriction::Defer
            | Restriction::RejectUnauthDestination
            | Restriction::DeferUnauthDestination
    )
}

fn parse(parameter: &str, words: &[String], opener: &Opener) -> Vec<Restriction> {
    words
        .iter()
        .map(|word| match word.to_ascii_lowercase().as_str() {
            "permit" => Restriction::Permit,
            "reject" => Restriction::Reject,
            "defer" => Restriction::Defer,
            "permit_mynetworks" => Restriction::PermitMynetworks,
            "permit_inet_interfaces" => Restriction::PermitInetInterfaces,
            "permit_auth_destination" => Restriction::PermitAuthDestination,
            "reject_unauth_destination" => Restriction::RejectUnauthDestination,
            "defer_unauth_destination" => Restriction::DeferUnauthDestination,
            "permit_sasl_authenticated" => Restriction::PermitSaslAuthenticated,
            _ => {
                opener.warn(format!(
                    "{parameter}: smtpd restriction \"{word}\" is not supported yet"
                ));
                Restriction::Unknown
            }
        })
        .collect()
}
