//! Tables that live in memory: `inline:`, `static:`, `fail:`, and any ordered map.
//!
//! **Diagnostics**: [`BadSyntax`], worded as Postfix words it after `fatal: `.
//! **Standards**: DATABASE_README of Postfix 3.7.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{Lookup, Table};

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
        let bad = |what: &str| BadSyntax(format!("bad static:name syntax: {what} in \"{name}\""));
        if !name.starts_with('{') {
            return Ok(Self(name.as_bytes().to_vec()));
        }
        match braced(name) {
            Ok(inner) => Ok(Self(inner.as_bytes().to_vec())),
            Err(Brace::Open) => Err(bad("missing '}'")),
            Err(Brace::Trailing) => Err(bad("syntax error after '}'")),
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
pub fn inline(name: &str) -> Result<Vec<(String, &str)>, BadSyntax> {
    let bad = |what: &str| {
        BadSyntax(format!("{what}: \"inline:{name}\"; need \"inline:{{name=value...}}\""))
    };
    let inner = list(name).ok_or_else(|| bad("bad syntax"))?;
    if inner.is_empty() {
        return Err(bad("empty table"));
    }
    let mut out = Vec::new();
    for word in inner {
        let pair = if word.starts_with('{') { braced(word) } else { Ok(word) };
        let pair = pair.map_err(|_| bad("syntax error after '}' or missing '}'"))?;
        let missing = || bad("missing '=' after attribute name");
        let (key, value) = quoted_name(pair).ok_or_else(missing)?;
        out.push((key, value.trim()));
    }
    Ok(out)
}

/// `name=value`; what the name has of blanks and `=` is in quotes.
fn quoted_name(pair: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let (mut quoted, mut ended) = (false, false);
    let mut characters = pair.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => name.extend(characters.next().map(|(_, c)| c)),
            '=' if !quoted => return Some((name, &pair[at + 1..])),
            c if !quoted && c.is_ascii_whitespace() => ended = true,
            _ if ended => return None,
            c => name.push(c),
        }
    }
    None
}

/// The words of `{word, word}`, which may hold white space and commas within braces of their own.
pub fn list(text: &str) -> Option<Vec<&str>> {
    let inner = braced(text).ok()?;
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
    Some(out)
}

/// What is wrong with braces.
enum Brace {
    /// There is no last one, or no first.
    Open,
    /// Something follows the last one.
    Trailing,
}

/// The text between braces, without white space at its ends.
fn braced(text: &str) -> Result<&str, Brace> {
    let mut depth = 0u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => {
                let rest = text[at + 1..].trim();
                return rest.is_empty().then(|| text[1..at].trim()).ok_or(Brace::Trailing);
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
        assert_eq!(found, expected.map(|(name, value)| (String::from(name), value)));
        let quoted = inline(r#"{{"q p"@x = v}, {"a\"=b"=c}}"#).unwrap();
        assert_eq!(quoted, [("q p@x".into(), "v"), ("a\"=b".into(), "c")]);
        let words = ["{k1=v1, k2 = v2}", "{{k 4=four}}", "{{a=b} x}"];
        for name in words {
            assert!(inline(name).unwrap_err().0.starts_with("missing '=' after attribute name: "));
        }
        assert_eq!(
            inline("x=y").unwrap_err().0,
            "bad syntax: \"inline:x=y\"; need \"inline:{name=value...}\""
        );
        assert!(inline("{ }").unwrap_err().0.starts_with("empty table: "));
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
