//! [`Faults`]: what kinds of trouble a session has had, as `notify_classes` names them.
//!
//! Standards: postconf(5) `notify_classes`.

use core::ops::{BitOr, BitOrAssign};

/// A set of kinds of trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u8);

impl Faults {
    /// Nothing.
    pub const NONE: Faults = Faults(0);
    /// A recipient that nobody has, or a message that would come back.
    pub const BOUNCE: Faults = Faults(1);
    /// A table that cannot answer.
    pub const DATA: Faults = Faults(2);
    /// Something is not allowed.
    pub const POLICY: Faults = Faults(4);
    /// The client does not speak the protocol.
    pub const PROTOCOL: Faults = Faults(8);
    /// No room.
    pub const RESOURCE: Faults = Faults(16);
    /// A mistake in the configuration, or in the program.
    pub const SOFTWARE: Faults = Faults(32);

    /// By its name in `notify_classes`; nothing for a class of other notices.
    pub fn named(word: &str) -> Faults {
        let known = [
            ("bounce", Faults::BOUNCE),
            ("data", Faults::DATA),
            ("policy", Faults::POLICY),
            ("protocol", Faults::PROTOCOL),
            ("resource", Faults::RESOURCE),
            ("software", Faults::SOFTWARE),
        ];
        let found = known.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map_or(Faults::NONE, |(_, fault)| fault)
    }

    /// Whether any of `others` is among them.
    pub fn has_any(self, others: Faults) -> bool {
        self.0 & others.0 != 0
    }
}

impl BitOr for Faults {
    type Output = Faults;

    fn bitor(self, other: Faults) -> Faults {
        Faults(self.0 | other.0)
    }
}

impl BitOrAssign for Faults {
    fn bitor_assign(&mut self, other: Faults) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_sets() {
        let both = Faults::named("Policy") | Faults::named("data");
        assert!(both.has_any(Faults::DATA) && both.has_any(Faults::POLICY));
        assert!(!both.has_any(Faults::BOUNCE | Faults::SOFTWARE));
        assert_eq!((Faults::named("delay"), Faults::named("2bounce")), Default::default());
    }
}
