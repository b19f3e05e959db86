//! Tables that live in memory: `inline:`, `static:`, `fail:`, and any ordered map.
//!
//! **Diagnostics**: [`BadSyntax`], worded as Postfix words it after `fatal: `.
//! **Standards**: DATABASE_README of Postfix 3.7.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{Lookup, Table, source};

/// A table whose name cannot be read; the text of the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSyntax(pub String);

impl Table for BTreeMap<Vec<u8>, Vec<u8>> {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        self.get(key).map_or(Lookup::NotFound, |value| Lookup::Found(Cow::Borrowed(value)))
    }
}

/// `static:`, which has the same value for every key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Static(Vec<u8>);

impl Static {
    /// Of `value` or `{ value }`.
    pub fn parse(name: &str) -> Result<Self, BadSyntax> {
        if !name.starts_with('{') {
            return Ok(Self(name.as_bytes().to_vec()));
        }
        match braced(name) {
            Ok(inner) => Ok(Self(inner.as_bytes().to_vec())),
            Err(bad) => Err(BadSyntax(format!("bad static:name syntax: {}", bad.told(name)))),
        }
    }
}

impl Table for Static {
    fn lookup(&self, _key: &[u8]) -> Lookup<'_> {
        Lookup::Found(Cow::Borrowed(&self.0))
    }
}

/// `fail:`, which can never tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fail;

impl Table for Fail {
    fn lookup(&self, _key: &[u8]) -> Lookup<'_> {
        Lookup::Retry(Cow::Borrowed("Application error"))
    }
}

/// The keys and values of `inline:{key=value, { key = long value }}`, not folded, in their order.
pub fn inline(name: &str) -> Result<Vec<(&str, &str)>, BadSyntax> {
    let bad = |what: &str| {
        BadSyntax(format!("{what}: \"inline:{name}\"; need \"inline:{{name=value...}}\""))
    };
    if name.trim_end() == "{}" {
        return Err(bad("bad syntax"));
    }
    let inner = list(name).ok_or_else(|| bad("bad syntax"))?;
    if inner.is_empty() {
        return Err(bad("empty table"));
    }
    inner.into_iter().map(|word| pair(word).map_err(|what| bad(&what))).collect()
}

/// The key, which may have quoted parts, and the value of a word, or of what is in its braces.
fn pair(word: &str) -> Result<(&str, &str), String> {
    let inner = match word.starts_with('{') {
        true => braced(word).map_err(|bad| bad.told(word))?,
        false => word,
    };
    if inner.is_empty() {
        return Err("no key found; expected format: key = value".into());
    }
    let end = source::key_end(inner.as_bytes(), Some(b'='));
    let (key, rest) = inner.split_at(end.ok_or("unbalanced '\"'")?);
    let value = rest.trim_start().strip_prefix('=');
    Ok((key, value.ok_or("missing '=' after attribute name")?.trim()))
}

/// The rules in `{ {rule} {rule} }`, one a line.
///
/// # Errors
/// What is wrong with it.
pub fn rules_in_braces(text: &str) -> Result<Vec<u8>, String> {
    braced(text).map_err(|bad| bad.told(text))?;
    let mut rules = Vec::new();
    for word in words(text) {
        if !word.starts_with('{') {
            return Err(format!("no '{{' at start of text in \"{word}\""));
        }
        rules.push(braced(word).map_err(|bad| bad.told(word))?);
    }
    Ok(rules.join("\n").into_bytes())
}

/// The words of `{word, word}`, which may hold white space and commas within braces of their own.
pub fn list(text: &str) -> Option<Vec<&str>> {
    braced(text).ok()?;
    Some(words(text))
}

/// The same of a text that is known to be in braces.
fn words(text: &str) -> Vec<&str> {
    let inner = braced(text).unwrap_or_default();
    let mut out = Vec::new();
    let (mut depth, mut start) = (0u32, None);
    for (at, c) in inner.char_indices() {
        let separates = depth == 0 && matches!(c, ',' | ' ' | '\t' | '\r' | '\n');
        if separates {
            out.extend(start.take().map(|start| &inner[start..at]));
            continue;
        }
        start = start.or(Some(at));
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    out.extend(start.map(|start| &inner[start..]));
    out
}

/// What is wrong with braces.
enum Brace {
    /// There is no last one, or no first.
    Open,
    /// Something follows the last one.
    Trailing,
}

impl Brace {
    /// Postfix's words about it.
    fn told(self, text: &str) -> String {
        let what = match self {
            Brace::Open => "missing '}'",
            Brace::Trailing => "syntax error after '}'",
        };
        format!("{what} in \"{text}\"")
    }
}

/// The text between braces, without white space at its ends.
fn braced(text: &str) -> Result<&str, Brace> {
    let mut depth = 0u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => {
                let last = at + 1 == text.len();
                return last.then(|| text[1..at].trim()).ok_or(Brace::Trailing);
            }
            _ if depth == 0 => return Err(Brace::Open),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err(Brace::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inline_pairs_are_words_or_in_braces() {
        let found = inline("{a=b, { k3 = value with, comma }, c=}").unwrap();
        let expected = [("a", "b"), ("k3", "value with, comma"), ("c", "")];
        assert_eq!(found, expected);
        let quoted = inline(r#"{{"q p"@x = v}, {"a\"=b"=c}}"#).unwrap();
        assert_eq!(quoted, [("\"q p\"@x", "v"), (r#""a\"=b""#, "c")]);
        let words = ["{k1=v1, k2 = v2}", "{{k 4=four}}", "{{a=b} x}"];
        for name in words {
            assert!(inline(name).unwrap_err().0.starts_with("missing '=' after attribute name: "));
        }
        assert_eq!(
            inline("x=y").unwrap_err().0,
            "bad syntax: \"inline:x=y\"; need \"inline:{name=value...}\""
        );
        for (name, why) in [
            ("{ }", "empty table"),
            ("{}", "bad syntax"),
            ("{ {} }", "no key found; expected format: key = value"),
            ("{a\"=b}", "unbalanced '\"'"),
            ("{ {a=b}c }", "syntax error after '}' in \"{a=b}c\""),
        ] {
            let expected = format!("{why}: \"inline:{name}\"; need \"inline:{{name=value...}}\"");
            assert_eq!(inline(name).unwrap_err().0, expected);
        }
        assert_eq!(inline("{ {\"a b\" = c}, =d }").unwrap(), [("\"a b\"", "c"), ("", "d")]);
        assert!(inline("{a=b}{c=d}").is_err());
        assert!(inline("}").is_err());
    }

    #[test]
    fn static_has_one_value() {
        let of = |name| Static::parse(name).map(|table| table.0).map_err(|bad| bad.0);
        assert_eq!(of("fixed"), Ok(b"fixed".to_vec()));
        assert_eq!(of("{ fixed with spaces }"), Ok(b"fixed with spaces".to_vec()));
        let unclosed = "bad static:name syntax: missing '}' in \"{x\"";
        assert_eq!(of("{x"), Err(unclosed.into()));
        let trailing = "bad static:name syntax: syntax error after '}' in \"{x}y\"";
        assert_eq!(of("{x}y"), Err(trailing.into()));
    }

    #[test]
    fn words_may_nest() {
        let found = list("{static:{a b}, inline:{a=c} x}").unwrap();
        assert_eq!(found, ["static:{a b}", "inline:{a=c}", "x"]);
    }

    proptest! {
        #[test]
        fn any_name_is_read_without_a_panic(name in "[{}a=, \u{e9}]{0,20}") {
            let _ = inline(&name);
            let _ = list(&name);
            let _ = Static::parse(&name);
        }
    }
}
