//! `pcre:` patterns: Perl's regular expressions, by PCRE2, compiled to machine code where it can.
//!
//! | option | turns over |
//! | --- | --- |
//! | `i` | letter case does not matter (it does not by default) |
//! | `s` | `.` matches line ends too (by default) |
//! | `m` | `^` and `$` match at line ends inside the key |
//! | `x` | blanks and comments in the pattern are ignored |
//! | `A` | matches at the start of the key only |
//! | `U` | quantifiers are lazy unless `?` follows |
//! | `E` | nothing: `$` before a last line end is its end here as well |
//!
//! **Diagnostics**: PCRE2's words, with the place in the pattern.
//! **Standards**: pcre_table(5), pcre2pattern(3).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pcre2::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;

use super::{Case, Pattern, Spans};
use crate::source::printable;

/// A compiled pattern.
#[derive(Debug)]
pub struct Perl {
    program: Regex,
}

#[derive(Clone, Copy, Debug)]
/// What the letters behind a pattern say.
pub struct Options {
    caseless: bool,
    dotall: bool,
    multi_line: bool,
    extended: bool,
    anchored: bool,
    ungreedy: bool,
}

impl Options {
    fn read(options: &[u8], warn: &mut dyn FnMut(String)) -> Result<Options, String> {
        let mut out = Options {
            caseless: true,
            dotall: true,
            multi_line: false,
            extended: false,
            anchored: false,
            ungreedy: false,
        };
        for option in options {
            match option {
                b'i' => out.caseless ^= true,
                b's' => out.dotall ^= true,
                b'm' => out.multi_line ^= true,
                b'x' => out.extended ^= true,
                b'A' => out.anchored ^= true,
                b'U' => out.ungreedy ^= true,
                b'E' => {}
                b'X' => warn("ignoring obsolete regexp option \"X\"".into()),
                other => {
                    let other = printable(&[*other]);
                    return Err(format!("unknown regexp option \"{other}\": skipping this rule"));
                }
            }
        }
        Ok(out)
    }

    /// The pattern with what the builder has no switch for.
    fn prefixed(&self, pattern: &str) -> (String, usize) {
        let lazy = if self.ungreedy { "(?U)" } else { "" };
        match self.anchored {
            true => (format!("\\G(?:{lazy}{pattern})"), 5 + lazy.len()),
            false => (format!("{lazy}{pattern}"), lazy.len()),
        }
    }
}

impl Pattern for Perl {
    const KIND: &'static str = "pcre";
    const OUT_OF_RANGE: &'static str = "out of range";
    const UNCLOSED: &'static str = "ignoring";
    const HAS_OLD_FORMS: bool = false;

    type Options = Options;

    fn options(letters: &[u8], warn: &mut dyn FnMut(String)) -> Result<Options, String> {
        Options::read(letters, warn)
    }

    fn compile(pattern: &[u8], options: &Options) -> Result<Perl, String> {
        let text = String::from_utf8_lossy(pattern);
        let (text, shift) = options.prefixed(&text);
        let built = RegexBuilder::new()
            .caseless(options.caseless)
            .dotall(options.dotall)
            .multi_line(options.multi_line)
            .extended(options.extended)
            .jit_if_available(true)
            .build(&text);
        let program = built.map_err(|error| {
            let offset = error.offset().unwrap_or(0).saturating_sub(shift);
            let text = error.to_string();
            let words = text.rsplit(": ").next().unwrap_or_default();
            format!("error in regex at offset {offset}: {words}")
        })?;
        Ok(Perl { program })
    }

    fn groups(&self) -> usize {
        self.program.captures_len() - 1
    }

    fn matches(&self, key: &[u8]) -> Option<bool> {
        self.program.is_match(key).ok()
    }

    fn spans(&self, key: &[u8]) -> Option<Spans> {
        let captures = self.program.captures(key).ok()??;
        let span = |group| captures.get(group).map(|found| (found.start(), found.end()));
        Some((0..captures.len()).map(span).collect::<Vec<_>>())
    }

    fn syntax(pattern: &[u8], options: &Options, case: Case) -> Option<Hir> {
        // Vertical blanks, where others have a control character; a brace that follows a word's
        // edge, or that has no lower bound, is text to some versions.
        let has = |text: &[u8]| pattern.windows(text.len()).any(|window| window == text);
        let unlike = has(b"\\v") || has(b"\\b{") || has(b"\\B{") || has(b"{,");
        if unlike || !super::prefilter::sets_are_plain(pattern, false) {
            return None;
        }
        let pattern = plain_angles(pattern);
        let mut parser = super::prefilter::parser();
        parser.ignore_whitespace(options.extended).dot_matches_new_line(options.dotall);
        parser.case_insensitive(options.caseless && case == Case::AsWritten);
        parser.build().parse(core::str::from_utf8(&pattern).ok()?).ok()
    }
}

/// The pattern without backslashes before angle brackets, which would be edges of words elsewhere.
fn plain_angles(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, if byte == b'\\' { bytes.next() } else { None }) {
            (b'\\', Some(angle @ (b'<' | b'>'))) => out.push(angle),
            (byte, escaped) => {
                out.push(byte);
                out.extend(escaped);
            }
        }
    }
    out
}
