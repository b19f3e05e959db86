//! Recipients and senders that nobody has: refused by smtpd, so that no bounce has to be made for
//! them, or to them.
//!
//! Asked by `restrictions`, where a list says so and after the lists. Who is in canonical_maps,
//! recipient_canonical_maps or virtual_alias_maps is somebody. Anybody else is looked up in the
//! table of the address's class; `unix:passwd.byname` in it is the system's accounts. What is
//! routed to the error or retry transport is refused with the transport's words. The postmaster and
//! those whom notices are from are users of every local domain.
//!
//! **Standards**: smtpd(8), LOCAL_RECIPIENT_README, postconf(5) `smtpd_reject_unlisted_recipient`,
//! `smtpd_reject_unlisted_sender`; RFC 3463 for the status codes.

use crate::accounts::Verdict;
use crate::cleanup::receive::Receive;
use crate::core::Core;
use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::Finder;
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::{Class, Resolved, Route};
use config::Params;
use config::params::BadValue;
use mail::address::Printable;
use mail::{Address, Status};
use protocol::smtp::reply::Reply;

/// How the system's accounts are named in `local_recipient_maps`.
const ACCOUNTS: [&str; 2] = ["proxy:unix:passwd.byname", "unix:passwd.byname"];
/// Local users there always are; `double_bounce_sender` is another.
const RESERVED: [&str; 2] = ["postmaster", "MAILER-DAEMON"];
/// Who is in one of these is somebody, whatever becomes of it.
const REWRITING: [&str; 3] = ["recipient_canonical_maps", "canonical_maps", "virtual_alias_maps"];

/// What an address is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Where it comes from.
    Sender,
    /// Where it goes.
    Recipient,
}

/// Whether somebody has an address.
#[derive(Debug, PartialEq, Eq)]
pub enum Listed {
    /// Somebody has, or nobody can tell.
    Yes,
    /// Nobody has.
    No(Reply),
    /// It cannot be told now: why, for the log.
    Unknown(String),
    /// The system must be asked whether it has this account.
    Ask(String),
}

/// The system's accounts, as far as they are known without waiting.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// It remembers some.
    pub core: &'a Core,
    /// What has been asked for this command.
    pub told: &'a [(String, Verdict)],
}

impl Known<'_> {
    fn has(&self, name: &str) -> Option<Verdict> {
        let told = self.told.iter().find(|(asked, _)| asked == name);
        let cached = || self.core.accounts.cached(self.core.rt.now(), name).map(Ok);
        told.map(|(_, verdict)| verdict.clone()).or_else(cached)
    }
}

/// Who is listed.
#[derive(Debug)]
pub struct Recipients {
    /// `smtpd_reject_unlisted_recipient`.
    pub rejects_recipients: bool,
    /// `smtpd_reject_unlisted_sender`.
    pub rejects_senders: bool,
    /// Nothing is checked without it (`receive_override_options`).
    checks: bool,
    rewriting: [Maps; 3],
    local: ClassTable,
    accounts: bool,
    /// `double_bounce_sender`.
    double_bounce: String,
    virtual_mailbox: ClassTable,
    relay: ClassTable,
    /// `unknown_virtual_alias_reject_code`.
    virtual_alias_code: u16,
    finder: Finder,
    /// `show_user_unknown_table_name`.
    shows_table: bool,
}

/// The recipients of one class.
#[derive(Debug)]
struct ClassTable {
    maps: Maps,
    /// The parameter is not empty: who is not there is nobody.
    complete: bool,
    /// What the reply calls it.
    name: &'static str,
    /// The code of the reply.
    code: u16,
}

impl Recipients {
    /// Reads the parameters and opens the tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Recipients, BadValue> {
        let is_accounts = |word: &String| ACCOUNTS.contains(&word.as_str());
        let table = |parameter, name, code: &str| -> Result<ClassTable, BadValue> {
            let words = params.list(parameter)?;
            let complete = !words.is_empty();
            let others: Vec<String> = words.into_iter().filter(|word| !is_accounts(word)).collect();
            let maps = opener.maps_of(parameter, &others);
            Ok(ClassTable { maps, complete, name, code: params.int(code)? as u16 })
        };
        let [recipient_canonical, canonical, aliases] = REWRITING;
        Ok(Recipients {
            rejects_recipients: params.flag("smtpd_reject_unlisted_recipient")?,
            rejects_senders: params.flag("smtpd_reject_unlisted_sender")?,
            checks: Receive::new(params)?.checks_recipients,
            rewriting: [
                opener.maps(params, recipient_canonical)?,
                opener.maps(params, canonical)?,
                opener.maps(params, aliases)?,
            ],
            local: table(
                "local_recipient_maps",
                "local recipient",
                "unknown_local_recipient_reject_code",
            )?,
            accounts: params.list("local_recipient_maps")?.iter().any(is_accounts),
            double_bounce: params.text("double_bounce_sender")?,
            virtual_mailbox: table(
                "virtual_mailbox_maps",
                "virtual mailbox",
                "unknown_virtual_mailbox_reject_code",
            )?,
            relay: table(
                "relay_recipient_maps",
                "relay recipient",
                "unknown_relay_recipient_reject_code",
            )?,
            virtual_alias_code: params.int("unknown_virtual_alias_reject_code")? as u16,
            finder: Finder::new(params)?,
            shows_table: params.flag("show_user_unknown_table_name")?,
        })
    }

    /// Whether somebody has the address, as far as that is known without waiting.
    pub fn check(
        &self,
        (party, address): (Party, &Address),
        resolved: &Resolved,
        snapshot: &Snapshot,
        known: Known<'_>,
    ) -> Listed {
        let route = match resolved {
            _ if !self.checks => return Listed::Yes,
            Resolved::Route(route) => route,
            Resolved::BadSyntax => return Listed::Yes,
            Resolved::Unknown(why) => return Listed::Unknown(why.clone()),
        };
        match self.is_rewritten(snapshot, &route.recipient) {
            Ok(true) => return Listed::Yes,
            Ok(false) => {}
            Err(why) => return Listed::Unknown(why),
        }
        if let "error" | "retry" = route.transport.as_str() {
            return Listed::No(self.refused_by_transport(party, address, route));
        }
        let table = match route.class {
            Class::Local if self.is_reserved(&route.recipient) => return Listed::Yes,
            Class::Local => &self.local,
            Class::VirtualMailbox => &self.virtual_mailbox,
            Class::Relay => &self.relay,
            Class::VirtualAlias | Class::Default => return Listed::Yes,
        };
        if !table.complete {
            return Listed::Yes;
        }
        let is_account = route.class == Class::Local && self.accounts;
        match self.has(snapshot, &table.maps, &route.recipient) {
            Ok(false) if is_account => self.account(known, &route.recipient),
            Ok(found) => Ok(found),
            Err(why) => Err(Listed::Unknown(why)),
        }
        .map_or_else(|listed| listed, |found| self.verdict(found, table, (party, address)))
    }

    fn verdict(&self, found: bool, table: &ClassTable, who: (Party, &Address)) -> Listed {
        if found { Listed::Yes } else { Listed::No(self.unknown(table, who)) }
    }

    /// Whether it is a local user that no table has to name.
    fn is_reserved(&self, address: &Address) -> bool {
        let mut names = RESERVED.into_iter().chain([self.double_bounce.as_str()]);
        names.any(|name| address.local_part().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether a mapping makes somebody else of it.
    fn is_rewritten(&self, snapshot: &Snapshot, address: &Address) -> Result<bool, String> {
        for maps in &self.rewriting {
            if self.has(snapshot, maps, address)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has(&self, snapshot: &Snapshot, maps: &Maps, address: &Address) -> Result<bool, String> {
        let found = self.finder.find(&snapshot.resolver, maps, address, &mut Vec::new());
        found.map(|found| found.is_some())
    }

    /// Whether the system has such a user.
    ///
    /// # Errors
    /// It cannot tell, or has not been asked.
    fn account(&self, known: Known<'_>, address: &Address) -> Result<bool, Listed> {
        let mut open = None;
        for name in self.names(address) {
            match known.has(&name) {
                Some(Ok(true)) => return Ok(true),
                Some(Ok(false)) => {}
                Some(Err(why)) => return Err(Listed::Unknown(why)),
                None => open = open.or(Some(name)),
            }
        }
        open.map_or(Ok(false), |name| Err(Listed::Ask(name)))
    }

    /// The user's names: with extension and without. A name that is no text is nobody's.
    fn names(&self, address: &Address) -> impl Iterator<Item = String> {
        let local = address.local_part();
        let name = self.finder.splitting.name(local);
        let short = (name.len() < local.len()).then_some(name);
        let names = std::iter::once(local).chain(short);
        names.filter_map(|name| std::str::from_utf8(name).ok().map(str::to_ascii_lowercase))
    }

    fn unknown(&self, table: &ClassTable, (party, address): (Party, &Address)) -> Reply {
        let name = match self.shows_table {
            true => format!(" in {} table", table.name),
            false => String::new(),
        };
        let text = format!("User unknown{name}");
        party.refusal(address, table.code, party.unknown(), &text)
    }

    /// error refuses for good, retry for now.
    fn refused_by_transport(&self, party: Party, address: &Address, route: &Route) -> Reply {
        let code = match route.transport.as_str() {
            "error" if route.class == Class::VirtualAlias => self.virtual_alias_code,
            "error" => 550,
            _ => 450,
        };
        let (status, text) = match Status::parse_prefix(route.nexthop.as_bytes()) {
            Some((status, used)) => (party.fitting(status), route.nexthop[used..].trim_start()),
            None => (party.unknown(), route.nexthop.as_str()),
        };
        party.refusal(address, code, status, text)
    }
}

impl Party {
    /// The status of an address that nobody has.
    fn unknown(self) -> Status {
        match self {
            Party::Sender => Status::new(5, 1, 0),
            Party::Recipient => Status::new(5, 1, 1),
        }
    }

    /// A status is about a sender or a recipient: the one of the other is made its counterpart.
    fn fitting(self, status: Status) -> Status {
        let detail = match (self, status.subject, status.detail) {
            (Party::Sender, 1, 1 | 3 | 4 | 6) => 7,
            (Party::Sender, 1, 2) => 8,
            (Party::Recipient, 1, 7) => 3,
            (Party::Recipient, 1, 8) => 2,
            (_, _, detail) => detail,
        };
        Status { detail, ..status }
    }

    fn refusal(self, address: &Address, code: u16, status: Status, text: &str) -> Reply {
        let status = Status { class: (code / 100) as u8, ..status };
        // As Postfix names an address in its replies: without the quotes.
        let (address, role) = (Printable(address.as_bytes()), self.role());
        Reply::from(format!("{code} {status} <{address}>: {role} address rejected: {text}"))
    }

    fn role(self) -> &'static str {
        match self {
            Party::Sender => "Sender",
            Party::Recipient => "Recipient",
        }
    }
}

/// What is said of an address that cannot be told about now.
pub fn not_now(address: &Address) -> Reply {
    let address = Printable(address.as_bytes());
    Reply::from(format!("451 4.3.0 <{address}>: Temporary lookup failure"))
}
