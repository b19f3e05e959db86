//! Commands that move no mail: RSET, VRFY, ETRN, what is not served, and words that are no
//! command.
//!
//! **Standards**: RFC 5321 sections 4.1.1.5 and 4.1.1.6, RFC 1985; postconf(5)
//! `smtpd_junk_command_limit`, `smtpd_noop_commands`, `smtpd_forbidden_commands`.

use super::replies::{
    BAD_ETRN, BAD_SYNTAX, ETRN_HELO_FIRST, ETRN_IN_TRANSACTION, GOODBYE, HELO_FIRST,
    IN_TRANSACTION, NO_AUTH, NOT_AUTHORIZED, NOT_RECOGNIZED, OK, SYNTAX_ETRN, SYNTAX_RSET,
    SYNTAX_VRFY, SYNTAX_VRFY_UTF8, VRFY_DISABLED,
};
use super::{Closing, Event, Reply, Session, Settings, Verb, Vrfy};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use mail::address::{self, Printable};

impl Session {
    pub(super) fn unknown(&mut self, settings: &Settings, line: &[u8]) -> Event {
        let word: Vec<u8> = line
            .trim_ascii_start()
            .iter()
            .take_while(|byte| !byte.is_ascii_whitespace())
            .map(u8::to_ascii_uppercase)
            .collect();
        let listed = |list: &[String]| list.iter().any(|known| known.as_bytes() == word);
        if listed(&settings.noop) {
            self.say(&OK);
            return Event::Again;
        }
        if word.is_empty() {
            self.error(settings, BAD_SYNTAX);
            return Event::Again;
        }
        self.counters.give(Verb::Unknown);
        if listed(&settings.forbidden) {
            self.say(&GOODBYE);
            return Event::Close(Closing::Forbidden(line.to_vec()));
        }
        self.error(settings, NOT_RECOGNIZED);
        Event::Again
    }

    pub(super) fn rset_command(
        &mut self,
        settings: &Settings,
        args: &[&[u8]],
    ) -> Result<Event, Reply> {
        if !args.is_empty() {
            return Err(SYNTAX_RSET);
        }
        self.junk_command(settings, |session| {
            session.forget_transaction();
            session.succeed(OK);
            Ok(Event::Reset)
        })
    }

    pub(super) fn vrfy(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if settings.vrfy_disabled {
            return Err(VRFY_DISABLED);
        }
        if self.helo.is_none() && settings.helo_required {
            return Err(HELO_FIRST);
        }
        let offered = self.offered(settings).smtputf8;
        let (words, utf8) = match args {
            [words @ .., last] if offered && last.eq_ignore_ascii_case(b"SMTPUTF8") => {
                (words, true)
            }
            words => (words, false),
        };
        if words.is_empty() {
            return Err(if offered { SYNTAX_VRFY_UTF8 } else { SYNTAX_VRFY });
        }
        let path = words.join(&b' ');
        let address = settings.paths.relaxed().recipient(&path, utf8);
        let address = address.map_err(|fault| self.complain(fault))?;
        Ok(self.ask(Event::Vrfy(Box::new(Vrfy { address, path }))))
    }

    pub(super) fn etrn(&mut self, settings: &Settings, args: &[&[u8]]) -> Result<Event, Reply> {
        if self.helo.is_none() && settings.helo_required {
            return Err(ETRN_HELO_FIRST);
        }
        if self.in_mail {
            return Err(ETRN_IN_TRANSACTION);
        }
        let [domain] = args else { return Err(SYNTAX_ETRN) };
        let domain = domain.strip_prefix(b"@").or(domain.strip_prefix(b"#")).unwrap_or(domain);
        let literal = domain.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let is_site = match literal {
            Some(literal) => address::parse_literal(literal).is_some(),
            None => address::is_valid_hostname(domain),
        };
        if !is_site {
            return Err(BAD_ETRN);
        }
        let domain = format!("{}", Printable(domain));
        Ok(self.ask(Event::Etrn(domain)))
    }

    pub(super) fn auth(&mut self, settings: &Settings) -> Result<Event, Reply> {
        let is_early = self.helo.is_none() && settings.helo_required;
        Err(if is_early { HELO_FIRST } else { NO_AUTH })
    }

    /// XCLIENT and XFORWARD, which nobody may use.
    pub(super) fn not_authorized(&mut self, args: &[&[u8]], syntax: Reply) -> Result<Event, Reply> {
        Err(match args {
            _ if self.in_mail => IN_TRANSACTION,
            [] => syntax,
            _ => NOT_AUTHORIZED,
        })
    }

    /// A command that does nothing for mail: too many of them count as errors.
    pub(super) fn junk_command(
        &mut self,
        settings: &Settings,
        run: impl FnOnce(&mut Session) -> Result<Event, Reply>,
    ) -> Result<Event, Reply> {
        // One more than the limit is forgiven, as Postfix counts.
        if self.junk > settings.limits.junk_commands {
            self.errors += 1;
        }
        self.junk += 1;
        run(self)
    }
}
