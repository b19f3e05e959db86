//! What a client's address is called, and whether the name may be believed (smtpd_peer of
//! smtpd(8)).

use super::{Cause, DnsError};
use std::net::IpAddr;

/// Why a client is `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameProblem {
    /// The address has no name; whether that may change.
    NoName {
        /// A retry may help.
        temporary: bool,
    },
    /// The name has no address.
    NoAddress(DnsError),
    /// The name has addresses, but not this one.
    Mismatch,
}

impl NameProblem {
    /// Whether a retry may help: a rejection for it is a 450.
    pub fn is_temporary(&self) -> bool {
        match self {
            NameProblem::NoName { temporary } => *temporary,
            NameProblem::NoAddress(error) => error.is_temporary(),
            NameProblem::Mismatch => false,
        }
    }
}

/// A client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// The name of the address, checked or not.
    pub reverse: Option<String>,
    /// Why the name is not to be believed; nothing when it is.
    pub problem: Option<NameProblem>,
}

impl PeerName {
    /// The name that may be believed, or `unknown`.
    pub fn verified(&self) -> &str {
        match (&self.reverse, &self.problem) {
            (Some(name), None) => name,
            _ => "unknown",
        }
    }

    pub(super) fn unnamed(cause: Cause) -> PeerName {
        let temporary = cause == Cause::TryAgain;
        PeerName { reverse: None, problem: Some(NameProblem::NoName { temporary }) }
    }

    pub(super) fn checked(
        name: String,
        address: IpAddr,
        forward: Result<Vec<IpAddr>, DnsError>,
    ) -> PeerName {
        let problem = match forward {
            Ok(addresses) if addresses.contains(&address) => None,
            Ok(_) => Some(NameProblem::Mismatch),
            Err(error) => Some(NameProblem::NoAddress(error)),
        };
        PeerName { reverse: Some(name), problem }
    }
}
