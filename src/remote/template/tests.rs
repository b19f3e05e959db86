//! What Postfix 3.7 makes of the same templates, keys and values.

use super::*;
use crate::quote;
use proptest::prelude::*;

fn query(template: &str, key: &str) -> Option<String> {
    let template = Template::parse(template, Role::Query).unwrap();
    let filled = template.fill(key.as_bytes(), b"", &plain);
    template.key_needs().are_met(key.as_bytes()).then(|| String::from_utf8(filled).unwrap())
}

fn result(template: &str, key: &str, value: &str) -> Option<String> {
    let template = Template::parse(template, Role::Result).unwrap();
    let met = template.key_needs().are_met(key.as_bytes())
        && template.value_needs().are_met(value.as_bytes());
    let filled = template.fill(key.as_bytes(), value.as_bytes(), &plain);
    met.then(|| String::from_utf8(filled).unwrap())
}

#[test]
fn queries_are_made_of_keys() {
    for (template, key, expected) in [
        ("%u|%s", "foo", Some("foo|foo")),
        ("%u|%s", "foo@", Some("foo|foo@")),
        ("%u|%s", "@bar", None),
        ("%u|%s", "@", None),
        ("%d|%s", "foo", None),
        ("%d|%s", "foo@", None),
        ("%d|%s", "@bar", Some("bar|@bar")),
        ("%d|%s", "a@b@c", Some("c|a@b@c")),
        ("%D%U%S", "a@b", Some("baa@b")),
        ("%2|%1|%3", "a@b.c", None),
        ("%2|%1|%3", "a@x.b.c.d", Some("c|d|b")),
        ("%2|%1|%3", "a@.b.c.d", Some("c|d|b")),
        ("%2|%1|%3", "a@b.c.d.", Some("c|d|b")),
        ("%2|%1|%3", "a@..d", None),
        ("%2|%1|%3", ".b.c.d", None),
        ("100%% of %s", "x", Some("100% of x")),
    ] {
        assert_eq!(query(template, key).as_deref(), expected, "{template} {key}");
    }
}

#[test]
fn results_are_made_of_values_and_keys() {
    for (template, key, value, expected) in [
        ("%d", "k", "foo", None),
        ("%d", "k", "foo@", None),
        ("%d", "k", "@bar", Some("bar")),
        ("%u", "k", "foo@", Some("foo")),
        ("%u", "k", "@bar", None),
        ("%U|%u", "foo", "r@s", Some("foo|r")),
        ("%U|%u", "@bar", "r@s", None),
        ("<%s|%S|%D|%1|%%>", "a@b.c", "v", Some("<v|a@b.c|b.c|c|%>")),
        ("x", "k", "v", Some("x")),
        ("%s", "k", "", None),
    ] {
        assert_eq!(result(template, key, value).as_deref(), expected, "{template} {key} {value}");
    }
}

#[test]
fn other_escapes_are_mistakes() {
    for text in ["%x", "%", "%s %", "%0", "%-s"] {
        assert_eq!(Template::parse(text, Role::Query), None, "{text}");
    }
    assert!(Template::parse("fixed %%", Role::Query).unwrap().is_fixed());
}

/// Reads a string in quotes as a server does; what it says, and what follows it.
fn unquote(sql: &[u8], backslash: bool) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = sql.strip_prefix(b"'")?;
    let mut out = Vec::new();
    loop {
        match rest {
            [b'\'', b'\'', more @ ..] => (out.push(b'\''), rest = more).1,
            [b'\'', more @ ..] => return Some((out, more)),
            [b'\\', escape, more @ ..] if backslash => {
                out.push(match escape {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'Z' => 26,
                    other => *other,
                });
                rest = more;
            }
            [byte, more @ ..] => (out.push(*byte), rest = more).1,
            [] => return None,
        }
    }
}

proptest! {
    #[test]
    fn a_quoted_key_is_one_string_with_the_key_in_it(
        key in "[a'\"\\\\@\\n\\r%\u{0}\u{1a}\u{e9}-]{0,12}"
    ) {
        let template = Template::parse("'%s' end", Role::Query).unwrap();
        for (quote, backslash) in [
            (quote::mysql as fn(&[u8], &mut Vec<u8>), true),
            (quote::doubled, false),
            (quote::doubled_with_backslashes, true),
        ] {
            let sql = template.fill(key.as_bytes(), b"", &quote);
            let (found, rest) = unquote(&sql, backslash).expect("an end");
            prop_assert_eq!(found, key.as_bytes());
            prop_assert_eq!(rest, b" end");
        }
    }

    #[test]
    fn any_template_is_read_and_filled(text in "[%sudSUD0-9@. a]{0,12}", key in "[a-c@.]{0,9}") {
        for role in [Role::Query, Role::Result] {
            let Some(template) = Template::parse(&text, role) else { continue };
            let filled = template.fill(key.as_bytes(), b"v@w", &plain);
            prop_assert!(!template.is_fixed() || filled == text.replace("%%", "%").into_bytes());
        }
    }
}
