//! Recipients that nobody has: refused at RCPT, so that no bounce has to be made for them.
//!
//! Called by `session` after the restrictions have accepted a recipient. A local recipient is
//! looked up in `local_recipient_maps`, whose `unix:passwd.byname` is the system's accounts; one
//! that is routed to the error transport is refused with the transport's words. While a table that
//! could rewrite the recipient is configured and not acted upon, nobody can tell and nobody is
//! refused.
//!
//! **Standards**: smtpd(8), LOCAL_RECIPIENT_README, postconf(5) `smtpd_reject_unlisted_recipient`.

use crate::core::Core;
use crate::lookup::{Maps, Opener};
use crate::maillog::Daemon;
use crate::trivial_rewrite::{Class, Resolved};
use config::Params;
use config::params::BadValue;
use mail::extension::Splitting;
use mail::{Address, Status};
use protocol::smtp::reply::Reply;
use tables::{Lookup, Table};

/// How the system's accounts are named in `local_recipient_maps`.
const ACCOUNTS: [&str; 2] = ["proxy:unix:passwd.byname", "unix:passwd.byname"];
/// Tables that make another recipient of a recipient.
const REWRITING: [&str; 4] =
    ["canonical_maps", "recipient_canonical_maps", "virtual_alias_maps", "relocated_maps"];

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
    /// `smtpd_reject_unlisted_recipient`, and nothing stands in the way.
    asked: bool,
    /// `local_recipient_maps` is not empty.
    local: bool,
    accounts: bool,
    maps: Maps,
    splitting: Splitting,
    /// `unknown_local_recipient_reject_code`.
    code: u16,
    /// `show_user_unknown_table_name`.
    shows_table: bool,
}

impl Recipients {
    /// Reads the parameters and opens the tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Recipients, BadValue> {
        let words = params.list("local_recipient_maps")?;
        let is_accounts = |word: &String| ACCOUNTS.contains(&word.as_str());
        let tables: Vec<String> = words.iter().filter(|word| !is_accounts(word)).cloned().collect();
        let mut rewritten = false;
        for parameter in REWRITING {
            rewritten |= !params.list(parameter)?.is_empty();
        }
        Ok(Recipients {
            asked: params.flag("smtpd_reject_unlisted_recipient")? && !rewritten,
            local: !words.is_empty(),
            accounts: words.iter().any(is_accounts),
            maps: opener.maps_of("local_recipient_maps", &tables),
            splitting: Splitting {
                delimiters: params.text("recipient_delimiter")?,
                owner_request_special: params.flag("owner_request_special")?,
            },
            code: params.int("unknown_local_recipient_reject_code")? as u16,
            shows_table: params.flag("show_user_unknown_table_name")?,
        })
    }

    /// Whether somebody has the recipient, as far as that is known without waiting.
    pub fn check(&self, core: &Core, recipient: &Address, resolved: &Resolved) -> Listed {
        let Resolved::Route(route) = resolved else { return Listed::Yes };
        if !self.asked {
            return Listed::Yes;
        }
        if route.transport == "error" {
            return Listed::No(refused_by_transport(recipient, &route.nexthop));
        }
        if route.class != Class::Local || !self.local {
            return Listed::Yes;
        }
        match self.is_in_tables(&route.recipient) {
            Ok(true) => Listed::Yes,
            Ok(false) if !self.accounts => Listed::No(self.unknown(recipient)),
            Ok(false) => self.known_account(core, &route.recipient, recipient),
            Err(why) => Listed::No(temporary(core, recipient, &why)),
        }
    }

    /// The whole address, then the user with and without extension, then the domain.
    fn is_in_tables(&self, address: &Address) -> Result<bool, String> {
        if self.maps.is_empty() {
            return Ok(false);
        }
        let local = address.local_part();
        let name = self.splitting.name(local);
        let domain = [b"@", address.domain().unwrap_or_default()].concat();
        let without = [name, domain.as_slice()].concat();
        for key in [address.as_bytes(), &without, local, name, &domain] {
            match self.maps.lookup(key) {
                Lookup::Found(_) => return Ok(true),
                Lookup::NotFound => {}
                Lookup::Retry(why) => return Err(format!("local_recipient_maps: {why}")),
            }
        }
        Ok(false)
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
        if unknown { Listed::Ask } else { Listed::No(self.unknown(recipient)) }
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
        Err(self.unknown(recipient))
    }

    /// The user's names: with extension and without. A name that is no text is nobody's.
    fn names(&self, address: &Address) -> impl Iterator<Item = String> {
        let local = address.local_part();
        let name = self.splitting.name(local);
        let short = (name.len() < local.len()).then_some(name);
        let names = std::iter::once(local).chain(short);
        names.filter_map(|name| std::str::from_utf8(name).ok().map(str::to_ascii_lowercase))
    }

    fn unknown(&self, recipient: &Address) -> Reply {
        let (code, class) = (self.code, self.code / 100);
        let table = if self.shows_table { " in local recipient table" } else { "" };
        Reply::from(format!(
            "{code} {class}.1.1 <{recipient}>: Recipient address rejected: User unknown{table}"
        ))
    }
}

fn temporary(core: &Core, recipient: &Address, why: &str) -> Reply {
    core.log.warn(Daemon::Smtpd, why);
    Reply::from(format!("451 4.3.0 <{recipient}>: Temporary lookup failure"))
}

fn refused_by_transport(recipient: &Address, nexthop: &str) -> Reply {
    let parsed = Status::parse_prefix(nexthop.as_bytes());
    let (status, text) = match parsed {
        Some((status, used)) => (Status { class: 5, ..status }, nexthop[used..].trim_start()),
        None => (Status::new(5, 1, 1), nexthop),
    };
    Reply::from(format!("550 {status} <{recipient}>: Recipient address rejected: {text}"))
}
