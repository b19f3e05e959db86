//! Why a name has no answer, in Postfix's words.

use std::fmt;

/// A record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the record type of that name")]
pub enum Kind {
    Mx,
    A,
    Aaaa,
    Ptr,
}

impl Kind {
    /// As in zone files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mx => "MX",
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Ptr => "PTR",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The name does not exist.
    NotFound,
    /// It exists without records of this type.
    NoData,
    /// No server answered, or one said so: it may work later.
    TryAgain,
    /// A server refused or sent nonsense.
    Refused,
    /// The system's own look-up knows no such host.
    UnknownHost,
    /// The system's own look-up may know it later.
    UnknownHostForNow,
    /// This is not a host name.
    InvalidName,
    /// RFC 7505.
    NullMx,
}

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsError {
    /// What was asked for.
    pub name: String,
    /// Which records.
    pub kind: Kind,
    /// Why not.
    pub cause: Cause,
}

impl DnsError {
    /// Whether a retry may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self.cause, Cause::TryAgain | Cause::UnknownHostForNow)
    }

    /// Whether the name simply has no such record.
    pub fn is_absent(&self) -> bool {
        use Cause::{InvalidName, NoData, NotFound, UnknownHost};
        matches!(self.cause, NotFound | NoData | InvalidName | UnknownHost)
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let what = match self.cause {
            Cause::NotFound => "Host not found",
            Cause::NoData => "Host found but no data record of requested type",
            Cause::TryAgain => "Host not found, try again",
            Cause::Refused => "Non-recoverable error",
            Cause::UnknownHost => {
                return write!(f, "unable to look up host {name}: Name or service not known");
            }
            Cause::UnknownHostForNow => {
                let why = "Temporary failure in name resolution";
                return write!(f, "unable to look up host {name}: {why}");
            }
            Cause::InvalidName => {
                return write!(f, "Name service error for {name}: invalid host or domain name");
            }
            Cause::NullMx => return write!(f, "Domain {name} does not accept mail (nullMX)"),
        };
        let kind = self.kind.name();
        write!(f, "Host or domain name not found. ")?;
        write!(f, "Name service error for name={name} type={kind}: {what}")
    }
}
