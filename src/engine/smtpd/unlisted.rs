//! Recipients that nobody has: refused at RCPT, so that no bounce has to be made for them.
//!
//! Called by `session` after the restrictions have accepted a recipient. Who is in canonical_maps,
//! recipient_canonical_maps or virtual_alias_maps is somebody. Anybody else is looked up in the
//! table of the recipient's class; `unix:passwd.byname` in it is the system's accounts. What is
//! routed to the error or retry transport is refused with the transport's words. The postmaster and
//! those whom notices are from are users of every local domain.
//!
//! **Standards**: smtpd(8), LOCAL_RECIPIENT_README, postconf(5) `smtpd_reject_unlisted_recipient`.

use crate::cleanup::receive::Receive;
use crate::core::Core;
use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::Finder;
use crate::maillog::Daemon;
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

/// Whether somebody has a recipient.
#[derive(Debug, PartialEq, Eq)]
pub enum Listed {
    /// Somebody has, or nobody can tell.
    Yes,
    /// Nobody has, or a table fails.
    No(Reply),
    /// The system's accounts must be asked, see [`Recipients::ask`].
    Ask,
}

/// Who is listed.
#[derive(Debug)]
pub struct Recipients {
    /// `smtpd_reject_unlisted_recipient`.
    asked: bool,
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
        Ok(Recipients {
            asked: params.flag("smtpd_reject_unlisted_recipient")?
                && Receive::new(params)?.checks_recipients,
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

    /// Whether somebody has the recipient, as far as that is known without waiting.
    pub fn check(&self, core: &Core, recipient: &Address, resolved: &Resolved) -> Listed {
        let route = match resolved {
            _ if !self.asked => return Listed::Yes,
            Resolved::Route(route) => route,
            Resolved::BadSyntax => return Listed::Yes,
            Resolved::Unknown(_) => return Listed::No(not_now(recipient)),
        };
        let snapshot = core.snapshot();
        match self.is_rewritten(&snapshot, &route.recipient) {
            Ok(true) => return Listed::Yes,
            Ok(false) => {}
            Err(why) => return Listed::No(temporary(core, recipient, &why)),
        }
        if let "error" | "retry" = route.transport.as_str() {
            return Listed::No(self.refused_by_transport(recipient, route));
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
        match self.has(&snapshot, &table.maps, &route.recipient) {
            Ok(true) => Listed::Yes,
            Ok(false) if route.class == Class::Local && self.accounts => {
                self.known_account(core, &route.recipient, recipient)
            }
            Ok(false) => Listed::No(self.unknown(table, recipient)),
            Err(why) => Listed::No(temporary(core, recipient, &why)),
        }
    }

    /// Whether it is a local user that no table has to name.
    fn is_reserved(&self, address: &Address) -> bool {
        let mut names = RESERVED.into_iter().chain([self.double_bounce.as_str()]);
        names.any(|name| address.local_part().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether a mapping makes somebody else of the recipient.
    fn is_rewritten(&self, snapshot: &Snapshot, address: &Address) -> Result<bool, String> {
        for maps in snapshot.mapping.of_recipients() {
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

    fn known_account(&self, core: &Core, address: &Address, recipient: &Address) -> Listed {
        let now = core.rt.now();
        let known = self.names(address).map(|name| core.accounts.cached(now, &name));
        let mut unknown = false;
        for found in known {
            match found {
                Some(true) => return Listed::Yes,
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown { Listed::Ask } else { Listed::No(self.unknown(&self.local, recipient)) }
    }

    /// The answer to [`Listed::Ask`], from the system.
    ///
    /// # Errors
    /// The refusal.
    pub async fn ask(
        &self,
        core: &Core,
        recipient: &Address,
        address: &Address,
    ) -> Result<(), Reply> {
        for name in self.names(address) {
            match core.accounts.has(core, &name).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(why) => return Err(temporary(core, recipient, &why)),
            }
        }
        Err(self.unknown(&self.local, recipient))
    }

    /// The user's names: with extension and without. A name that is no text is nobody's.
    fn names(&self, address: &Address) -> impl Iterator<Item = String> {
        let local = address.local_part();
        let name = self.finder.splitting.name(local);
        let short = (name.len() < local.len()).then_some(name);
        let names = std::iter::once(local).chain(short);
        names.filter_map(|name| std::str::from_utf8(name).ok().map(str::to_ascii_lowercase))
    }

    fn unknown(&self, table: &ClassTable, recipient: &Address) -> Reply {
        let (code, class) = (table.code, table.code / 100);
        let name = match self.shows_table {
            true => format!(" in {} table", table.name),
            false => String::new(),
        };
        Reply::from(format!(
            "{code} {class}.1.1 <{}>: Recipient address rejected: User unknown{name}",
            named(recipient)
        ))
    }

    /// error refuses for good, retry for now.
    fn refused_by_transport(&self, recipient: &Address, route: &Route) -> Reply {
        let (code, default) = match route.transport.as_str() {
            "error" if route.class == Class::VirtualAlias => {
                (self.virtual_alias_code, Status::new(5, 1, 1))
            }
            "error" => (550, Status::new(5, 1, 1)),
            _ => (450, Status::new(4, 3, 0)),
        };
        let class = (code / 100) as u8;
        let parsed = Status::parse_prefix(route.nexthop.as_bytes());
        let (status, text) = match parsed {
            Some((status, used)) => (status, route.nexthop[used..].trim_start()),
            None => (default, route.nexthop.as_str()),
        };
        let (status, recipient) = (Status { class, ..status }, named(recipient));
        Reply::from(format!("{code} {status} <{recipient}>: Recipient address rejected: {text}"))
    }
}

/// As Postfix names a recipient in its replies: without the quotes.
fn named(recipient: &Address) -> Printable<'_> {
    Printable(recipient.as_bytes())
}

fn temporary(core: &Core, recipient: &Address, why: &str) -> Reply {
    core.log.warn(Daemon::Smtpd, why);
    not_now(recipient)
}

fn not_now(recipient: &Address) -> Reply {
    Reply::from(format!("451 4.3.0 <{}>: Temporary lookup failure", named(recipient)))
}
