//! The words of a restriction list.
//!
//! A word that takes an argument has it behind it. What this engine does not know is
//! [`Restriction::Unknown`], argument included.
//!
//! **Standards**: postconf(5) `smtpd_recipient_restrictions` and the lists it names; old names of
//! restrictions as Postfix 3.7 takes them.

use super::{Checked, Codes};
use crate::lookup::Opener;
use crate::smtpd::access::Access;
use crate::smtpd::unlisted::Party;
use std::sync::Arc;
use std::time::Duration;

/// The longest pause a restriction makes.
const SLEEP_MAX: u64 = 600;

/// One restriction.
#[derive(Clone, Debug)]
pub(super) enum Restriction {
    Permit,
    Reject,
    Defer,
    DeferIfPermit,
    DeferIfReject,
    WarnIfReject,
    PermitMynetworks,
    PermitInetInterfaces,
    PermitAuthDestination,
    RejectUnauthDestination,
    DeferUnauthDestination,
    RejectInvalidHelo,
    RejectNonFqdnHelo,
    RejectNonFqdnSender,
    RejectNonFqdnRecipient,
    RejectPlaintextSession,
    RejectUnauthPipelining,
    /// Somebody must have the address.
    RejectUnlisted(Party),
    /// Nobody can log in or show a certificate yet, so this decides nothing.
    Never,
    Sleep(Duration),
    /// A table, and what it is asked about.
    Access(Checked, Arc<Access>),
    /// A table that is asked about what the list is about.
    Bare(Arc<Access>),
    /// One of `smtpd_restriction_classes`, in lower case.
    Class(String),
    Unknown,
    /// A word in a table that is no restriction.
    Foreign(String),
}

/// Reads lists.
pub(super) struct Parser<'a> {
    /// Opens tables and takes warnings.
    pub(super) opener: &'a Opener,
    /// `smtpd_restriction_classes`, in lower case.
    pub(super) classes: Vec<String>,
}

impl Parser<'_> {
    /// Reads the words of `parameter`.
    pub(super) fn list(&self, parameter: &str, words: &[String]) -> Vec<Restriction> {
        let mut out = Vec::with_capacity(words.len());
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            if let Some(known) = simple(word) {
                out.push(known);
            } else if self.classes.contains(&word.to_ascii_lowercase()) {
                out.push(Restriction::Class(word.to_ascii_lowercase()));
            } else if word.contains(':') {
                out.push(Restriction::Bare(self.table(parameter, word)));
            } else if let Some(checked) = Checked::named(word) {
                out.push(match words.next_if(|next| next.contains(':')) {
                    Some(table) => Restriction::Access(checked, self.table(parameter, table)),
                    None => self.unknown(parameter, word, "needs a lookup table"),
                });
            } else if word.eq_ignore_ascii_case("sleep") {
                out.push(Restriction::sleep(words.next()));
            } else {
                if takes_argument(word) {
                    words.next();
                }
                out.push(self.unknown(parameter, word, "is not supported yet"));
            }
        }
        out
    }

    /// A class that main.cf does not define: whoever names it fails closed.
    pub(super) fn undefined(&self, name: &str) -> Vec<Restriction> {
        self.opener.warn(format!("restriction class `{name}' needs a definition"));
        vec![Restriction::Unknown]
    }

    fn table(&self, parameter: &str, name: &str) -> Arc<Access> {
        Arc::new(Access::open(parameter, name, self.opener))
    }

    fn unknown(&self, parameter: &str, word: &str, why: &str) -> Restriction {
        self.opener.warn(format!("{parameter}: smtpd restriction \"{word}\" {why}"));
        Restriction::Unknown
    }
}

/// A restriction without an argument.
pub(super) fn simple(word: &str) -> Option<Restriction> {
    Some(match word.to_ascii_lowercase().as_str() {
        "permit" => Restriction::Permit,
        "reject" => Restriction::Reject,
        "defer" => Restriction::Defer,
        "defer_if_permit" => Restriction::DeferIfPermit,
        "defer_if_reject" => Restriction::DeferIfReject,
        "warn_if_reject" => Restriction::WarnIfReject,
        "permit_mynetworks" => Restriction::PermitMynetworks,
        "permit_inet_interfaces" => Restriction::PermitInetInterfaces,
        "permit_auth_destination" => Restriction::PermitAuthDestination,
        "reject_unauth_destination" => Restriction::RejectUnauthDestination,
        "defer_unauth_destination" => Restriction::DeferUnauthDestination,
        "reject_invalid_helo_hostname" | "reject_invalid_hostname" => {
            Restriction::RejectInvalidHelo
        }
        "reject_non_fqdn_helo_hostname" | "reject_non_fqdn_hostname" => {
            Restriction::RejectNonFqdnHelo
        }
        "reject_non_fqdn_sender" => Restriction::RejectNonFqdnSender,
        "reject_non_fqdn_recipient" => Restriction::RejectNonFqdnRecipient,
        "reject_plaintext_session" => Restriction::RejectPlaintextSession,
        "reject_unauth_pipelining" => Restriction::RejectUnauthPipelining,
        "reject_unlisted_recipient" | "check_recipient_maps" => {
            Restriction::RejectUnlisted(Party::Recipient)
        }
        "reject_unlisted_sender" => Restriction::RejectUnlisted(Party::Sender),
        "permit_sasl_authenticated" | "permit_tls_clientcerts" | "permit_tls_all_clientcerts" => {
            Restriction::Never
        }
        _ => return None,
    })
}

/// Whether a restriction that is not known here has an argument.
fn takes_argument(word: &str) -> bool {
    const NAMES: [&str; 9] = [
        "permit_dnswl_client",
        "permit_rhswl_client",
        "reject_rbl",
        "reject_rbl_client",
        "reject_rhsbl_client",
        "reject_rhsbl_helo",
        "reject_rhsbl_recipient",
        "reject_rhsbl_reverse_client",
        "reject_rhsbl_sender",
    ];
    let word = word.to_ascii_lowercase();
    NAMES.contains(&word.as_str()) || word.starts_with("check_") && word != "check_relay_domains"
}

impl Restriction {
    /// A pause of so many seconds, within bounds; none when it is not a number.
    pub(super) fn sleep(seconds: Option<&str>) -> Restriction {
        let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
        Restriction::Sleep(Duration::from_secs(u64::min(seconds, SLEEP_MAX)))
    }

    /// Whether it keeps strangers from sending through us.
    pub(super) fn refuses_strangers(&self) -> bool {
        matches!(
            self,
            Restriction::Reject
                | Restriction::Defer
                | Restriction::DeferIfPermit
                | Restriction::RejectUnauthDestination
                | Restriction::DeferUnauthDestination
        )
    }
}

impl Codes {
    /// The pause of a list that asks for one again and again is bounded too.
    pub(super) const PAUSE_MAX: Duration = Duration::from_secs(SLEEP_MAX);
}
