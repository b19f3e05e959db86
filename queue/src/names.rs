//! The three numbers everything in this crate is named by: core, message number, log sequence.
//!
//! Called by everybody. Pure values; no I/O.
//!
//! Limits: `CORES_MAX` cores (the low six bits of a message number), 2^58 messages per core.

use std::fmt;

/// How many cores one queue directory can have: the low six bits of a `Number` name one.
pub const CORES_MAX: u8 = 64;

/// Bits of a `Number` that name the core.
const CORE_BITS: u32 = 6;

const _: () = assert!(1 << CORE_BITS == CORES_MAX as u32);

/// A core's index, 0..`CORES_MAX`; names the log that owns a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Core(u8);

impl Core {
    /// The core with this index, if it is below `CORES_MAX`.
    #[must_use]
    pub fn new(index: u8) -> Option<Core> {
        (index < CORES_MAX).then_some(Core(index))
    }

    /// The index, 0..`CORES_MAX`.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The index as the byte it was made from.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A message number: unique for the life of the queue directory, also across crashes.
///
/// The low six bits are the owning core, the rest a counter from 1. It stands where Postfix has
/// an inode number in its queue ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(u64);

impl Number {
    /// Below every number there is.
    pub(crate) const MIN: Number = Number(0);

    /// The number with this counter value on this core. The counter starts at 1.
    ///
    /// # Panics
    /// When the counter is 0 or does not fit 58 bits: our bug.
    #[must_use]
    pub fn new(counter: u64, core: Core) -> Number {
        assert!(counter > 0, "counters start at 1");
        assert!(counter <= u64::MAX >> CORE_BITS, "58 bits of messages");
        Number(counter << CORE_BITS | u64::from(core.0))
    }

    /// A number from outside (a queue id, a record); none when its counter is 0.
    #[must_use]
    pub fn from_u64(value: u64) -> Option<Number> {
        (value >> CORE_BITS > 0).then_some(Number(value))
    }

    /// The whole number, core bits included.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The counter part.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 >> CORE_BITS
    }

    /// The core whose log owns the message.
    #[must_use]
    pub fn core(self) -> Core {
        Core((self.0 & u64::from(CORES_MAX - 1)) as u8)
    }
}

impl fmt::Display for Number {
    /// Upper-case hexadecimal, as in short queue ids and in `corrupt/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", self.0)
    }
}

/// A log sequence number: one per record, rising by one, per core. 0 is "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lsn(pub(crate) u64);

impl Lsn {
    /// After everything.
    pub const MAX: Lsn = Lsn(u64::MAX);

    /// The plain value.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_its_core_and_grows_from_one() {
        let core = Core::new(5).unwrap();
        let first = Number::new(1, core);
        assert_eq!(first.get(), 64 + 5);
        assert_eq!(first.core(), core);
        assert_eq!(first.counter(), 1);
        assert_eq!(Number::from_u64(first.get()), Some(first));
    }

    #[test]
    fn a_number_without_a_counter_is_none() {
        assert_eq!(Number::from_u64(63), None);
        assert_eq!(Core::new(64), None);
    }
}
