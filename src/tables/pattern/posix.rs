//! `regexp:` patterns: POSIX extended regular expressions, by the system's own regcomp(3).
//!
//! | option | turns over |
//! | --- | --- |
//! | `i` | letter case does not matter (it does not by default) |
//! | `m` | `^` and `$` match at line ends inside the key |
//! | `x` | extended syntax (by default) |
//!
//! **Diagnostics**: regerror(3)'s words. A key with a NUL byte matches nothing.
//! **Standards**: regexp_table(5), regex(7).

use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;
use core::mem::MaybeUninit;

use regex_syntax::hir::Hir;

use super::{Case, Pattern, Spans};
use crate::source::printable;

/// Bytes of an error's text.
const ERROR_BYTES: usize = 256;

/// A compiled pattern.
pub struct Posix {
    program: libc::regex_t,
    groups: usize,
}

// SAFETY: regexec(3) takes a pattern that it does not change as far as a caller can see, from any
// number of threads (MT-Safe in the manual); nothing else touches the program until it is dropped.
unsafe impl Send for Posix {}
// SAFETY: as above.
unsafe impl Sync for Posix {}

impl fmt::Debug for Posix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posix").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Drop for Posix {
    fn drop(&mut self) {
        // SAFETY: the program was compiled, and is freed once.
        unsafe { libc::regfree(&raw mut self.program) };
    }
}

fn flags(options: &[u8]) -> Result<i32, String> {
    let mut flags = libc::REG_EXTENDED | libc::REG_ICASE;
    for option in options {
        flags ^= match option {
            b'i' => libc::REG_ICASE,
            b'm' => libc::REG_NEWLINE,
            b'x' => libc::REG_EXTENDED,
            other => {
                let other = printable(&[*other]);
                return Err(format!("unknown regexp option \"{other}\": skipping this rule"));
            }
        };
    }
    Ok(flags)
}

/// How many parentheses a pattern that compiles has.
fn groups(pattern: &[u8], extended: bool) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => {
                count += usize::from(!extended && pattern.get(at + 1) == Some(&b'('));
                at += 1;
            }
            b'[' => at = bracket_end(pattern, at),
            b'(' => count += usize::from(extended),
            _ => {}
        }
        at += 1;
    }
    count
}

/// The closing bracket of the expression that opens at `start`; a first `]` is one of its members.
fn bracket_end(pattern: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    at += usize::from(pattern.get(at) == Some(&b'^'));
    at += usize::from(pattern.get(at) == Some(&b']'));
    while at < pattern.len() && pattern[at] != b']' {
        let class = pattern[at] == b'[' && matches!(pattern.get(at + 1), Some(b':' | b'.' | b'='));
        if class {
            let close = [pattern[at + 1], b']'];
            let rest = &pattern[at + 2..];
            let end = rest.windows(2).position(|pair| pair == close).unwrap_or(rest.len());
            at += 3 + end;
        }
        at += 1;
    }
    at
}

/// What regerror(3) says of a code.
fn error_text(code: i32, program: &libc::regex_t) -> String {
    let mut text = [0u8; ERROR_BYTES];
    // SAFETY: regerror writes at most as many bytes as it is told, a NUL at their end.
    unsafe { libc::regerror(code, program, text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text)
        .map_or_else(|_| String::new(), |text| text.to_string_lossy().to_string())
}

impl Posix {
    /// Whether it matches; nothing when the library cannot tell.
    fn execute(&self, key: &[u8], places: &mut [libc::regmatch_t]) -> Option<bool> {
        let Ok(key) = CString::new(key) else { return Some(false) };
        // SAFETY: the program is compiled, the key ends with NUL, and `places` has as many entries
        // as the call is told.
        let result = unsafe {
            libc::regexec(
                &raw const self.program,
                key.as_ptr(),
                places.len(),
                places.as_mut_ptr(),
                0,
            )
        };
        match result {
            0 => Some(true),
            libc::REG_NOMATCH => Some(false),
            _ => None,
        }
    }
}

impl Pattern for Posix {
    const KIND: &'static str = "regexp";
    const OUT_OF_RANGE: &'static str = "out-of-range";
    const UNCLOSED: &'static str = "skipping";
    const HAS_OLD_FORMS: bool = true;

    /// Flags of regcomp(3).
    type Options = i32;

    fn options(letters: &[u8], _warn: &mut dyn FnMut(String)) -> Result<i32, String> {
        flags(letters)
    }

    fn compile(pattern: &[u8], flags: &i32) -> Result<Posix, String> {
        let text = CString::new(pattern).map_err(|_| "NUL in regexp: skipping this rule")?;
        let mut program = MaybeUninit::<libc::regex_t>::zeroed();
        // SAFETY: the pattern ends with NUL; the program is written before it is read.
        let code = unsafe { libc::regcomp(program.as_mut_ptr(), text.as_ptr(), *flags) };
        // SAFETY: a structure of integers and pointers: zeroes are a value, and regcomp has made
        // it what it should be.
        let program = unsafe { program.assume_init() };
        if code != 0 {
            // A pattern that was refused has nothing to be freed.
            return Err(error_text(code, &program));
        }
        Ok(Posix { groups: groups(pattern, flags & libc::REG_EXTENDED != 0), program })
    }

    fn groups(&self) -> usize {
        self.groups
    }

    fn matches(&self, key: &[u8]) -> Option<bool> {
        self.execute(key, &mut [])
    }

    fn spans(&self, key: &[u8]) -> Option<Spans> {
        let mut places: Vec<libc::regmatch_t> =
            vec![libc::regmatch_t { rm_so: -1, rm_eo: -1 }; self.groups + 1];
        if self.execute(key, &mut places) != Some(true) {
            return None;
        }
        let span = |place: &libc::regmatch_t| {
            Some((usize::try_from(place.rm_so).ok()?, usize::try_from(place.rm_eo).ok()?))
        };
        Some(places.iter().map(span).collect())
    }

    /// Extended patterns whose backslashes mean the same here.
    fn syntax(pattern: &[u8], flags: &i32, case: Case) -> Option<Hir> {
        // Backslashes that mean something else there. Where words end may be seen in other ways.
        let other = |byte: u8| match byte {
            b's' | b'S' | b'w' | b'W' => false,
            b'b' | b'B' | b'<' | b'>' => case == Case::AsWritten,
            byte => byte.is_ascii_alphanumeric() || matches!(byte, b'\'' | b'`'),
        };
        let escapes = pattern.windows(2).any(|pair| pair[0] == b'\\' && other(pair[1]));
        let alike = super::prefilter::sets_are_plain(pattern, true);
        if escapes || !alike || flags & libc::REG_EXTENDED == 0 {
            return None;
        }
        let caseless = flags & libc::REG_ICASE != 0;
        let mut parser = super::prefilter::parser();
        parser.dot_matches_new_line(true);
        parser.case_insensitive(caseless && case == Case::AsWritten);
        parser.build().parse(core::str::from_utf8(pattern).ok()?).ok()
    }
}
