//! One recipient on its way through an expansion, and how it came about.
//!
//! Made and changed by [`super::Expansion`]; read by who does what a step says.

use super::Step;
use crate::local::settings::Origin;
use mail::{Address, Dsn, Recipient, Status};

/// By what an entry may ask for a file or a command: where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which of `alias_maps`; none for a user's own file.
    pub table: Option<usize>,
    /// The name that was looked up there, or the user's.
    pub name: Vec<u8>,
    /// The include files that lead from there to the entry.
    pub includes: Vec<Vec<u8>>,
}

/// One recipient on its way, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The address now; what it was; how reports about it are wanted.
    pub recipient: Recipient,
    /// For `Delivered-To:`.
    pub delivered: Address,
    /// The sender from here on, when an `owner-` alias has changed it.
    pub sender: Option<Address>,
    /// Set where other local recipients are to be forwarded, not delivered.
    pub(super) owner: Owner,
    /// The list it stands in.
    pub origin: Origin,
    /// Where files and commands have their rights from.
    pub proof: Option<Proof>,
    /// The name whose value is being expanded.
    pub(super) expanding: Vec<u8>,
    /// An extension that goes on to what is listed, with its delimiter.
    pub(super) unmatched: Vec<u8>,
    /// `luser_relay` has been asked already.
    pub relayed: bool,
    pub(super) level: u32,
}

/// In whose name a list is expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's.
    None,
    /// A list's.
    List,
    /// This user's, who may have it delivered.
    User(Vec<u8>),
}

impl Owner {
    pub(super) fn is_other_than(&self, name: &[u8]) -> bool {
        match self {
            Owner::None => false,
            Owner::List => true,
            Owner::User(owner) => !owner.eq_ignore_ascii_case(name),
        }
    }
}

impl Branch {
    pub(super) fn new(recipient: &Recipient) -> Branch {
        Branch {
            delivered: recipient.address.clone(),
            recipient: recipient.clone(),
            sender: None,
            owner: Owner::None,
            origin: Origin::Message,
            proof: None,
            expanding: Vec::new(),
            unmatched: Vec::new(),
            relayed: false,
            level: 0,
        }
    }

    /// A branch somewhere in an expansion.
    #[cfg(test)]
    pub fn for_tests(recipient: Recipient, delivered: Address, sender: Option<Address>) -> Branch {
        Branch { delivered, sender, ..Branch::new(&recipient) }
    }

    /// Whose rights it has, as far as that matters for twice the same.
    pub(super) fn rights(&self) -> Vec<u8> {
        let Some(proof) = &self.proof else { return Vec::new() };
        let first = proof.includes.first().map(Vec::as_slice).unwrap_or_default();
        // A user's rights are the same in whatever list that user has.
        match proof.table {
            Some(table) => [table.to_string().as_bytes(), b" ", first].concat(),
            None => [b"user ", proof.name.as_slice()].concat(),
        }
    }

    pub(super) fn ended(
        self: Box<Self>,
        status: (u8, u16, u16),
        text: impl Into<String>,
    ) -> Option<Step> {
        let (class, subject, detail) = status;
        let dsn = Dsn::local(Status::new(class, subject, detail), text);
        Some(Step::Ended(self, dsn))
    }
}
