//! Whether a text may be a host name.
//!
//! Used for `myhostname` and `mydomain`, which go into greetings and headers.
//!
//! **Diagnostics**: [`BadName`], worded as Postfix words it.
//! **Limits**: [`NAME_MAX`], [`LABEL_MAX`].
//! **Standards**: RFC 1123 section 2.1; `_` is allowed, as in Postfix.

use core::fmt;

/// Bytes of a name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;
/// Bytes between two dots.
const LABEL_MAX: usize = 63;

/// What is wrong with a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadName {
    Empty,
    Character(u8),
    Delimiter,
    Hyphen,
    LabelTooLong,
    TooLong,
    Numeric,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty hostname"),
            Self::Character(byte) => write!(f, "invalid character {byte}(decimal)"),
            Self::Delimiter => f.write_str("misplaced delimiter"),
            Self::Hyphen => f.write_str("misplaced hyphen"),
            Self::LabelTooLong => f.write_str("hostname label too long"),
            Self::TooLong => f.write_str("hostname too long"),
            Self::Numeric => f.write_str("numeric hostname"),
        }
    }
}

/// Checks `name` byte by byte; the first mistake counts.
pub(super) fn check(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    let bytes = name.as_bytes();
    let (mut label, mut numeric) = (0, true);
    for (at, &byte) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1);
        match byte {
            b'.' if label == 0 || next.is_none() => return Err(BadName::Delimiter),
            b'.' => label = 0,
            b'-' if label == 0 || matches!(next, None | Some(b'.')) => return Err(BadName::Hyphen),
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') => {
                label += 1;
                numeric &= byte.is_ascii_digit();
                if label > LABEL_MAX {
                    return Err(BadName::LabelTooLong);
                }
            }
            _ => return Err(BadName::Character(byte)),
        }
    }
    if numeric {
        return Err(BadName::Numeric);
    }
    if name.len() > NAME_MAX { Err(BadName::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_letters_digits_hyphens_and_underscores_are_good() {
        for name in ["localhost", "mx.example.test", "a_b.test", "xn--n3h.test", "1a.2"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_first_mistake_is_told() {
        let long = std::format!("{}.test", "a".repeat(64));
        let cases = [
            ("", BadName::Empty),
            ("bad_name!", BadName::Character(b'!')),
            ("a..b!", BadName::Delimiter),
            (".a", BadName::Delimiter),
            ("a.test.", BadName::Delimiter),
            ("-a", BadName::Hyphen),
            ("a.-b", BadName::Hyphen),
            ("a-.b", BadName::Hyphen),
            ("127.0.0.1", BadName::Numeric),
            ("12", BadName::Numeric),
            (&long, BadName::LabelTooLong),
        ];
        for (name, bad) in cases {
            assert_eq!(check(name), Err(bad), "{name}");
        }
    }
}
