//! Folding of keys: a table holds them in lower case, and is asked in lower case.
//!
//! **Diagnostics**: [`NotUtf8`], when keys are text and these bytes are none.
//! **Standards**: lower case by the simple rules of Unicode, with the two characters for which
//! folding is not lower case and that occur in names: sharp s and final sigma.

use alloc::borrow::Cow;
use alloc::string::String;

/// How keys are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// Not at all.
    Exact,
    /// ASCII letters only; any bytes are a key.
    Ascii,
    /// All letters; only UTF-8 is a key (`smtputf8_enable`).
    Utf8,
}

/// Bytes that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// `key` as a table holds it.
pub fn fold(key: &[u8], folding: Folding) -> Result<Cow<'_, [u8]>, NotUtf8> {
    match folding {
        Folding::Exact => Ok(Cow::Borrowed(key)),
        Folding::Utf8 if !key.is_ascii() => {
            let text = core::str::from_utf8(key).map_err(|_| NotUtf8)?;
            Ok(Cow::Owned(fold_text(text).into_bytes()))
        }
        Folding::Ascii | Folding::Utf8 if key.iter().any(u8::is_ascii_uppercase) => {
            Ok(Cow::Owned(key.to_ascii_lowercase()))
        }
        Folding::Ascii | Folding::Utf8 => Ok(Cow::Borrowed(key)),
    }
}

fn fold_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{df}' | '\u{1e9e}' => out.push_str("ss"),
            '\u{3c2}' => out.push('\u{3c3}'),
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_become_small() {
        assert_eq!(fold(b"aB", Folding::Ascii).unwrap(), b"ab".as_slice());
        assert_eq!(fold(b"aB", Folding::Exact).unwrap(), b"aB".as_slice());
        let umlaut = "\u{c4}B\u{df}".as_bytes();
        assert_eq!(fold(umlaut, Folding::Utf8).unwrap(), "\u{e4}bss".as_bytes());
        assert_eq!(fold(umlaut, Folding::Ascii).unwrap(), "\u{c4}b\u{df}".as_bytes());
    }

    #[test]
    fn only_text_is_a_key_when_keys_are_text() {
        assert_eq!(fold(b"\xff", Folding::Utf8), Err(NotUtf8));
        assert_eq!(fold(b"\xffA", Folding::Ascii).unwrap(), b"\xffa".as_slice());
    }
}
