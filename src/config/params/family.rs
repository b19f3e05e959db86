//! Parameters that exist once per transport or service: `NAME` + suffix, falling back to a
//! `default_...` parameter.
//!
//! Used by [`crate::Params::transport_text`] and its typed siblings, and by postconf(1), which
//! shows the members for the services of master.cf.
//!
//! **Standards**: postconf(5), `transport_destination_concurrency_limit` and the like.

use super::table::Kind;

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// What follows the transport's name.
    pub suffix: &'static str,
    /// The parameter a member falls back to.
    pub base: &'static str,
    /// How a member is read.
    pub kind: Kind,
}

const fn member(suffix: &'static str, base: &'static str, kind: Kind) -> Family {
    Family { suffix, base, kind }
}

const COUNT: Kind = Kind::Int { min: 0, max: 0 };
const COUNT_1: Kind = Kind::Int { min: 1, max: 0 };
const TEXT_1: Kind = Kind::Text { min: 1, max: 0 };
const TIME: Kind = Kind::Time { min: 0, max: 0 };
const TIME_1: Kind = Kind::Time { min: 1, max: 0 };

/// Families that the queue manager reads per transport.
pub static QUEUE_MANAGER: &[Family] = &[
    member("_delivery_slot_cost", "default_delivery_slot_cost", COUNT),
    member(
        "_delivery_slot_discount",
        "default_delivery_slot_discount",
        Kind::Int { min: 0, max: 100 },
    ),
    member("_delivery_slot_loan", "default_delivery_slot_loan", COUNT),
    member(
        "_destination_concurrency_failed_cohort_limit",
        "default_destination_concurrency_failed_cohort_limit",
        COUNT,
    ),
    member("_destination_concurrency_limit", "default_destination_concurrency_limit", COUNT),
    member(
        "_destination_concurrency_negative_feedback",
        "default_destination_concurrency_negative_feedback",
        TEXT_1,
    ),
    member(
        "_destination_concurrency_positive_feedback",
        "default_destination_concurrency_positive_feedback",
        TEXT_1,
    ),
    member("_destination_rate_delay", "default_destination_rate_delay", TIME),
    member("_destination_recipient_limit", "default_destination_recipient_limit", COUNT),
    member("_extra_recipient_limit", "default_extra_recipient_limit", COUNT),
    member("_initial_destination_concurrency", "initial_destination_concurrency", COUNT_1),
    member("_minimum_delivery_slots", "default_minimum_delivery_slots", COUNT),
    member("_recipient_limit", "default_recipient_limit", COUNT),
    member("_recipient_refill_delay", "default_recipient_refill_delay", TIME_1),
    member("_recipient_refill_limit", "default_recipient_refill_limit", COUNT_1),
    member("_transport_rate_delay", "default_transport_rate_delay", TIME),
];

/// Families that pipe(8) and spawn(8) read per service.
pub static COMMAND: &[Family] = &[member("_time_limit", "command_time_limit", TIME_1)];

/// The families that services run by `program` have members of.
pub fn of_program(program: &str) -> impl Iterator<Item = &'static Family> {
    let (queue, command) = match program {
        "error" | "lmtp" | "local" | "smtp" | "virtual" => (true, false),
        "pipe" => (true, true),
        "spawn" => (false, true),
        _ => (false, false),
    };
    let queue = QUEUE_MANAGER.iter().filter(move |_| queue);
    queue.chain(COMMAND.iter().filter(move |_| command))
}

/// The family whose suffix is exactly `suffix`.
pub fn by_suffix(suffix: &str) -> Option<&'static Family> {
    QUEUE_MANAGER.iter().chain(COMMAND).find(|family| family.suffix == suffix)
}

/// The family `name` would belong to if some service had the rest of the name: the longest
/// suffix that leaves a service name.
pub fn of_name(name: &str) -> Option<&'static Family> {
    QUEUE_MANAGER
        .iter()
        .chain(COMMAND)
        .filter(|family| name.len() > family.suffix.len() && name.ends_with(family.suffix))
        .max_by_key(|family| family.suffix.len())
}
