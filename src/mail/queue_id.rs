//! Queue ids in Postfix's two shapes.
//!
//! Short: five upper-case hex digits of the microsecond, then the number in hex. Long: the second
//! in at least six base-52 digits, the microsecond in four, `z`, and the number in base 51. The
//! number is the message's number in the queue log where Postfix has the inode, so an id names its
//! message exactly.
//!
//! Standards: postconf(5) `enable_long_queue_ids`.

use alloc::string::String;
use core::fmt;

const BASE52: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
const SECONDS_DIGITS_MIN: usize = 6;
const MICROS_DIGITS: usize = 4;
const SHORT_MICROS_DIGITS: usize = 5;

/// A queue id: when the message was created and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    /// Creation time in microseconds since 1970.
    pub micros: u64,
    /// The message's number in the queue log.
    pub number: u64,
    /// Which of the two shapes is shown.
    pub long: bool,
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.long {
            return write!(f, "{:05X}{:X}", self.micros % 1_000_000, self.number);
        }
        write_digits(f, self.micros / 1_000_000, 52, SECONDS_DIGITS_MIN)?;
        write_digits(f, self.micros % 1_000_000, 52, MICROS_DIGITS)?;
        f.write_str("z")?;
        write_digits(f, self.number, 51, 1)
    }
}

/// The message number an id of either shape names; `None` when it is not a queue id.
pub fn parse_number(id: &str) -> Option<u64> {
    match id.bytes().rposition(|byte| byte == b'z') {
        Some(z) if z >= SECONDS_DIGITS_MIN + MICROS_DIGITS => {
            parse_digits(&id.as_bytes()[..z], 52)?;
            parse_digits(&id.as_bytes()[z + 1..], 51)
        }
        _ => parse_short(id),
    }
}

fn parse_short(id: &str) -> Option<u64> {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte == b'+';
    let number = id.get(SHORT_MICROS_DIGITS..)?;
    if id.bytes().any(lower) || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(number, 16).ok()
}

fn write_digits(f: &mut fmt::Formatter<'_>, value: u64, base: u64, min: usize) -> fmt::Result {
    let mut digits = [b'0'; 16];
    let mut rest = value;
    let mut first = digits.len();
    while rest > 0 || digits.len() - first < min {
        first -= 1;
        digits[first] = BASE52[(rest % base) as usize];
        rest /= base;
    }
    digits[first..].iter().try_for_each(|digit| write!(f, "{}", *digit as char))
}

fn parse_digits(digits: &[u8], base: u64) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let place = BASE52.iter().position(|known| known == digit)? as u64;
        if place >= base {
            return None;
        }
        value.checked_mul(base)?.checked_add(place)
    })
}

impl QueueId {
    /// The id as text.
    pub fn text(&self) -> String {
        alloc::format!("{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_shapes_look_like_postfix_ones() {
        let id = |long| QueueId { micros: 1_795_347_846_682_605, number: 0xD9B60F3, long };
        assert_eq!(id(false).text(), "A6A6DD9B60F3");
        let long = id(true).text();
        assert_eq!(long.len(), 6 + 4 + 1 + 5);
        assert_eq!(&long[10..11], "z");
    }

    proptest! {
        #[test]
        fn an_id_names_its_message(
            micros in 1_000_000_000_000_000u64..4_000_000_000_000_000,
            number in any::<u64>(),
            long: bool,
        ) {
            let text = QueueId { micros, number, long }.text();
            prop_assert_eq!(parse_number(&text), Some(number));
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }

        #[test]
        fn any_text_is_an_id_or_not(text in "\\PC{0,30}") {
            let _either = parse_number(&text);
        }
    }
}
