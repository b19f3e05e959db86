//! The recipients of one delivery request: one is kept inline, more in a vector.
//!
//! Most mail has one recipient per message and destination; that case must not allocate.

use alloc::vec::Vec;
use core::ops::Deref;

/// Recipient indices in the order the caller gave them; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients(Kept);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    One([u32; 1]),
    Many(Vec<u32>),
}

impl Recipients {
    pub(crate) const fn one(index: u32) -> Self {
        Self(Kept::One([index]))
    }

    pub(crate) fn push(&mut self, index: u32) {
        match &mut self.0 {
            Kept::One([first]) => {
                let mut many = Vec::with_capacity(4);
                many.extend([*first, index]);
                self.0 = Kept::Many(many);
            }
            Kept::Many(many) => many.push(index),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.len()).expect("recipients are counted in 32 bits")
    }
}

impl Deref for Recipients {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        match &self.0 {
            Kept::One(one) => one,
            Kept::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        let mut recipients = Recipients::one(7);
        assert_eq!(&*recipients, [7]);
        recipients.push(3);
        recipients.push(9);
        assert_eq!((&*recipients, recipients.count()), (&[7, 3, 9][..], 3));
    }
}
