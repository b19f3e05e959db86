//! Folding of keys: a table holds them in lower case, and is asked in lower case.
//!
//! **Diagnostics**: [`NotUtf8`], when keys are text and these bytes are none.
//! **Standards**: Unicode's full case folding.

use alloc::borrow::Cow;
use alloc::string::String;
use core::ops::RangeInclusive;

/// A small letter that is not the one of its capital letter.
const DOTLESS_I: char = '\u{131}';
/// Letters of which the small ones came later.
const CHEROKEE: [RangeInclusive<char>; 2] = ['\u{13a0}'..='\u{13fd}', '\u{ab70}'..='\u{abbf}'];

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

/// Full case folding is the small letters of the capital letters, but for a few.
fn fold_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            DOTLESS_I => out.push(c),
            // Here capital letters are what others are folded to.
            c if CHEROKEE.iter().any(|range| range.contains(&c)) => out.extend(c.to_uppercase()),
            _ => {
                let capitals = c.to_lowercase().flat_map(char::to_uppercase);
                out.extend(capitals.flat_map(char::to_lowercase));
            }
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
    fn folding_is_more_than_small_letters() {
        let folded = |text: &str| {
            let folded = fold(text.as_bytes(), Folding::Utf8).unwrap().into_owned();
            String::from_utf8(folded).unwrap()
        };
        for (text, expected) in [
            ("\u{fb01}n", "fin"),
            ("Stra\u{df}e", "strasse"),
            ("\u{1e9e}", "ss"),
            ("\u{3a3}\u{3c2}", "\u{3c3}\u{3c3}"),
            ("\u{130}", "i\u{307}"),
            ("\u{131}I", "\u{131}i"),
            ("\u{212a}", "k"),
            ("\u{13a0}\u{ab70}\u{13f8}", "\u{13a0}\u{13a0}\u{13f0}"),
        ] {
            assert_eq!(folded(text), expected);
        }
    }

    #[test]
    fn only_text_is_a_key_when_keys_are_text() {
        assert_eq!(fold(b"\xff", Folding::Utf8), Err(NotUtf8));
        assert_eq!(fold(b"\xffA", Folding::Ascii).unwrap(), b"\xffa".as_slice());
    }
}
