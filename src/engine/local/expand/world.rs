//! What an expansion asks: tables, and where addresses go.
//!
//! Answered by the delivery of one recipient, which rehearses it, and by tests.

use mail::Address;
use mail::queue_id::QueueId;

/// What an alias table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alias {
    /// There is one: its value, and which of the tables it comes from.
    Found(Vec<u8>, usize),
    /// There is none.
    NotFound,
    /// This table cannot tell now.
    Retry(String),
}

/// Where an address of a list is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By this service; the address in its final form.
    Here(Address),
    /// By another one.
    Elsewhere(Address),
    /// Nowhere: its domain is not one.
    BadSyntax,
    /// This table cannot tell now.
    Unknown(String),
}

/// What the expansion asks.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The alias of a name.
    pub alias: &'a dyn Fn(&[u8]) -> Alias,
    /// Where an address goes that is not qualified yet.
    pub resolve: &'a dyn Fn(&Address) -> Place,
    /// An address in canonical form.
    pub canonical: &'a dyn Fn(&Address) -> Address,
    /// Whether the message has been delivered to an address before.
    pub has_been_at: &'a dyn Fn(&Address) -> bool,
    /// The message, for warnings.
    pub id: QueueId,
}
