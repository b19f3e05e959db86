//! VRFY and ETRN: commands that ask about a name and leave the transaction alone.

use super::super::command::BAD_RECIPIENT;
use super::super::reply::Reply;
use super::replies::{
    BAD_ETRN, HELO_FIRST, IN_TRANSACTION, SYNTAX_ETRN, SYNTAX_VRFY, SYNTAX_VRFY_UTF8, VRFY_DISABLED,
};
use super::{Event, Session, Settings};
use alloc::format;
use mail::address::{self, Address, Printable};

impl Session {
    pub(super) fn vrfy(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if settings.vrfy_disabled {
            return Err(VRFY_DISABLED);
        }
        if self.helo.is_none() && settings.helo_required {
            return Err(HELO_FIRST);
        }
        let offered = self.offered(settings);
        let utf8 = offered.smtputf8;
        let words = match args {
            [words @ .., last] if utf8 && last.eq_ignore_ascii_case(b"SMTPUTF8") => words,
            words => words,
        };
        if words.is_empty() {
            return Err(if utf8 { SYNTAX_VRFY_UTF8 } else { SYNTAX_VRFY });
        }
        let path = words.join(&b' ');
        let address = Address::parse_path(&path, false).ok();
        let address = address.filter(|address| !address.is_null()).ok_or(BAD_RECIPIENT)?;
        Ok(self.ask(Event::Vrfy(address, path)))
    }

    pub(super) fn etrn(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if self.helo.is_none() && settings.helo_required {
            return Err(HELO_FIRST);
        }
        if self.in_mail {
            return Err(IN_TRANSACTION);
        }
        let [domain] = args else { return Err(SYNTAX_ETRN) };
        let domain = domain.strip_prefix(b"@").or(domain.strip_prefix(b"#")).unwrap_or(domain);
        if !address::is_valid_hostname(domain) {
            return Err(BAD_ETRN);
        }
        let domain = format!("{}", Printable(domain));
        Ok(self.ask(Event::Etrn(domain)))
    }
}
