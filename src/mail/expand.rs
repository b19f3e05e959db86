//! `$name` in values that delivery agents fill in for each recipient: `forward_path`,
//! `luser_relay`, `command_execution_directory`.
//!
//! Called by the engine's local delivery and by deliver. What is filled in comes from outside: it
//! is never looked at for more names, and characters that a filter does not have become `_`.
//!
//! | written | becomes |
//! | --- | --- |
//! | `$name`, `${name}`, `$(name)` | its value; without one the whole is [`Expanded::undefined`] |
//! | `${name?text}`, `${name?{text}}` | the text when there is a value that is not empty |
//! | `${name:text}`, `${name:{text}}` | the text when there is none, or an empty one |
//! | `${name?{text}:{other}}` | one or the other |
//! | `$$` | `$` |
//!
//! **Diagnostics**: [`Malformed`], in the words of Postfix's warning.
//! **Limits**: [`NESTING_MAX`]; a result is as long as the caller's values make it.
//! **Standards**: postconf(5), without comparisons, which Postfix has for main.cf's sake.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Texts within texts.
pub const NESTING_MAX: usize = 20;

/// What a name is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Whether it has a value.
    Test,
    /// The value.
    Value,
}

/// A value with its names filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The result.
    pub text: Vec<u8>,
    /// A name without a value was to be filled in.
    pub undefined: bool,
}

/// Why a value has no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives a name's value.
pub type Values<'a> = dyn FnMut(&str, Use) -> Option<Vec<u8>> + 'a;

/// Fills in the names of `pattern`. `filter` has the characters that a value may have; without one
/// it may have any.
///
/// # Errors
/// It is not what the table above has.
pub fn expand(
    pattern: &str,
    filter: Option<&[u8]>,
    values: &mut Values<'_>,
) -> Result<Expanded, Malformed> {
    let mut work = Work { filter, values, out: Expanded::default() };
    work.text(pattern, 0)?;
    Ok(work.out)
}

struct Work<'a, 'v> {
    filter: Option<&'a [u8]>,
    values: &'a mut Values<'v>,
    out: Expanded,
}

impl Work<'_, '_> {
    fn text(&mut self, text: &str, depth: usize) -> Result<(), Malformed> {
        if depth > NESTING_MAX {
            return Err(malformed("unreasonable macro call nesting", text));
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            self.out.text.extend_from_slice(before.as_bytes());
            let truncated = || malformed("truncated macro reference", text);
            rest = match after.as_bytes().first() {
                Some(b'$') => {
                    self.out.text.push(b'$');
                    &after[1..]
                }
                Some(open @ (b'{' | b'(')) => {
                    let close = if *open == b'{' { '}' } else { ')' };
                    let end = balanced(after, char::from(*open), close).ok_or_else(truncated)?;
                    self.body(&after[1..end], text, depth)?;
                    &after[end + 1..]
                }
                _ => {
                    let (name, behind) = after.split_at(name_len(after));
                    if name.is_empty() {
                        return Err(malformed("empty macro name", text));
                    }
                    self.fill_in(name);
                    behind
                }
            };
        }
        self.out.text.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// What stands in braces.
    fn body(&mut self, body: &str, whole: &str, depth: usize) -> Result<(), Malformed> {
        let body = body.trim_start();
        let (name, behind) = body.split_at(name_len(body));
        if name.is_empty() {
            return Err(malformed("empty macro name", whole));
        }
        let behind = behind.trim_start();
        let Some(operator) = behind.chars().next() else {
            self.fill_in(name);
            return Ok(());
        };
        let bad = || malformed("bad macro operator", whole);
        let rest = behind.strip_prefix(['?', ':']).ok_or_else(bad)?;
        let has_value = (self.values)(name, Use::Test).is_some_and(|value| !value.is_empty());
        let (first, second) = choices(rest, operator == '?').ok_or_else(bad)?;
        match has_value == (operator == '?') {
            true => self.text(first, depth + 1),
            false => self.text(second, depth + 1),
        }
    }

    fn fill_in(&mut self, name: &str) {
        let Some(mut value) = (self.values)(name, Use::Value) else {
            self.out.undefined = true;
            return;
        };
        if let Some(allowed) = self.filter {
            value.iter_mut().filter(|byte| !allowed.contains(byte)).for_each(|byte| *byte = b'_');
        }
        self.out.text.append(&mut value);
    }
}

/// The text behind an operator, and the other one.
fn choices(rest: &str, may_have_other: bool) -> Option<(&str, &str)> {
    let trimmed = rest.trim_start();
    if !trimmed.starts_with('{') {
        return Some((rest, ""));
    }
    let end = balanced(trimmed, '{', '}')?;
    let (first, behind) = (&trimmed[1..end], trimmed[end + 1..].trim());
    match behind.strip_prefix(':') {
        None => behind.is_empty().then_some((first, "")),
        Some(_) if !may_have_other => None,
        Some(other) => {
            let other = other.trim_start();
            match other.starts_with('{') {
                false => Some((first, other)),
                true => {
                    let end = balanced(other, '{', '}').filter(|end| end + 1 == other.len())?;
                    Some((first, &other[1..end]))
                }
            }
        }
    }
}

/// Where the bracket closes that `text` begins with.
fn balanced(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0usize;
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn malformed(what: &str, text: &str) -> Malformed {
    Malformed(alloc::format!("{what}: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn value(name: &str, _: Use) -> Option<Vec<u8>> {
        match name {
            "user" => Some(b"alice".into()),
            "odd" => Some(b"a/$user;".into()),
            "empty" => Some(Vec::new()),
            _ => None,
        }
    }

    fn expanded(pattern: &str) -> Result<(String, bool), String> {
        let done = expand(pattern, Some(b"abceil/$"), &mut value);
        done.map(|it| (String::from_utf8(it.text).unwrap(), it.undefined))
            .map_err(|bad| bad.to_string())
    }

    #[test]
    fn names_are_filled_in_and_texts_chosen() {
        for (pattern, text, undefined) in [
            ("/x/$user.y${user}$(user)$$", "/x/alice.yalicealice$", false),
            ("$odd", "a/$__e__", false),
            ("$none-${empty}", "-", true),
            ("${user?yes $user}${none?no}", "yes alice", false),
            ("${user:no}${empty:$user}${none:x}", "alicex", false),
            ("${user?{a}:{b}}${none?{a}:{b$user}}${ empty ? {a} : {c}}", "abalicec", false),
            ("${none?$none}${user?{}}", "", false),
        ] {
            assert_eq!(expanded(pattern), Ok((text.into(), undefined)), "{pattern}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_said() {
        let why = |pattern| expanded(pattern).unwrap_err();
        assert_eq!(why("/x/${user"), "truncated macro reference: \"/x/${user\"");
        assert_eq!(why("a$/b"), "empty macro name: \"a$/b\"");
        assert_eq!(why("${}"), "empty macro name: \"${}\"");
        assert_eq!(why("${user=x}"), "bad macro operator: \"${user=x}\"");
        assert_eq!(why("${user?{a}b}"), "bad macro operator: \"${user?{a}b}\"");
        let deep = "${user?".repeat(NESTING_MAX + 1) + &"}".repeat(NESTING_MAX + 1);
        assert!(why(&deep).starts_with("unreasonable macro call nesting"));
    }

    #[test]
    fn a_test_is_told_from_a_use() {
        let mut used = Vec::new();
        let done = expand("${a?x}$b${c:y}", None, &mut |name, how| {
            used.push((name.to_string(), how));
            None
        });
        assert!(done.unwrap().undefined);
        let expected = [("a", Use::Test), ("b", Use::Value), ("c", Use::Test)];
        assert_eq!(used, expected.map(|(name, how)| (name.to_string(), how)));
    }

    proptest! {
        #[test]
        fn any_pattern_is_expanded_or_refused(pattern in "[${}()?: a-c]{0,40}") {
            let _either = expand(&pattern, None, &mut value);
        }
    }
}
