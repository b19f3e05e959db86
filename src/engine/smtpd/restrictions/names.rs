//! Restrictions on names: what clients call themselves, and the domains of addresses.
//!
//! **Standards**: postconf(5) `reject_invalid_helo_hostname`, `reject_non_fqdn_helo_hostname`,
//! `reject_non_fqdn_sender`, `reject_non_fqdn_recipient`.

use super::evaluate::{Evaluation, Step};
use super::{Checked, Subject};

impl Evaluation<'_> {
    pub(super) fn invalid_helo(&mut self) -> Step {
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

    pub(super) fn non_fqdn_helo(&mut self) -> Step {
        let Some(helo) = self.question.helo else { return Step::Next };
        match helo.starts_with('[') || is_fqdn(helo.as_bytes()) {
            true => Step::Next,
            false => {
                let code = self.lists.codes.non_fqdn;
                self.word(Subject::Helo, code, "5.5.2", "need fully-qualified hostname")
            }
        }
    }

    pub(super) fn non_fqdn(&mut self, checked: Checked) -> Step {
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
