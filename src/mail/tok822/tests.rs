//! Address lists as Postfix reads and writes them.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};

fn list(text: &str) -> AddressList {
    AddressList::parse_header(text.as_bytes(), 81_920)
}

fn addresses(text: &str) -> Vec<String> {
    list(text).addresses().map(ToString::to_string).collect()
}

fn rewritten(text: &str) -> String {
    let mut list = list(text);
    list.rewrite(|address, _| Some(Address::from_internal(format!("{address}!").as_bytes())));
    let mut out = Vec::new();
    list.write(b' ', &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn addresses_are_found_in_every_form() {
    for (text, found) in [
        ("a@b", &["a@b"][..]),
        (" a@b , c@d", &["a@b", "c@d"]),
        ("Name <a@b>, \"Last, First\" <c@d>", &["a@b", "c@d"]),
        ("a@b (comment (nested, deep) \\) still)", &["a@b"]),
        ("Group: a@b, Name <c@d>; e@f", &["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", &[]),
        ("@relay.example:a@b, <@x,@y:c@d>", &["@relay.example:a@b", "@x, @y:c@d"]),
        ("a @ b . c", &["a@b.c"]),
        ("a@b c@d (e) f", &["a@b", "c@d", "f"]),
        ("\"a b\"@c", &["\"a b\"@c"]),
        ("a@[192.0.2.1]", &["a@[192.0.2.1]"]),
        ("John Doe, <foo bar@x>", &["John", "Doe", "foobar@x"]),
        ("\"a\"+b@c", &["a", "+b@c"]),
        ("a!b%c", &["a!b%c"]),
        ("<>", &[""]),
        ("", &[]),
        ("<a@b", &["\"<a\"@b"]),
        ("a@b>", &["a@b"]),
        ("<<a@b>>", &["a@b>"]),
        ("us:er@x", &["\"us:er\"@x"]),
        (":include:/a", &["\":include:/a\""]),
        ("a: b; c:d", &["b", "\"c:d\""]),
        ("a;b c@d", &["a", "b", "c@d"]),
        ("<a b>", &["ab"]),
        ("<\"a\"b> <a\"b\"> <\"a b\" c@d>", &["\"a b\"", "\"a b\"", "\"a b c\"@d"]),
        ("x@[y", &["x@[y]"]),
        ("x\r\n\ty@z", &["x", "y@z"]),
        ("a\\ b@c", &["\"a b\"@c"]),
    ] {
        assert_eq!(addresses(text), found, "{text}");
    }
}

#[test]
fn what_is_no_address_stays_as_it_was_written() {
    for (text, out) in [
        ("a@b", "a@b!"),
        ("\"Quoted, Name\"   <u@b>", "\"Quoted, Name\" <u@b!>"),
        ("Group: a@b, c@d;", "Group: a@b!, c@d!;"),
        ("a@b (a comment), c@d", "a@b! (a comment), c@d!"),
        ("Just (who) <a@b> (here)", "Just (who) <a@b!>(here)"),
        ("none:;,a:;,b: c;", "none: ;, a: ;, b: c!;"),
        ("a: ; b: c;", "a:;b: c!;"),
        ("<a>b", "<a!>, b!"),
        ("\"x y", "\"\\\"x y\\\"!\""),
        ("A.  Name <a@b>,c@d", "A.Name <a@b!>, c@d!"),
        ("J. R.  \"R.\" (who) T <a>", "J.R.\"R.\" (who) T <a!>"),
        ("a:b;c <d> e", "a: b!;c <d!>, e!"),
        ("N : x <a>, b:;", "N: x <a!>, b: ;"),
        ("Gr\u{fc}\u{df}e <a@b>", "Gr\u{fc}\u{df}e <a@b!>"),
        ("A < B <u>", "A <B <u!>"),
        ("A <(c) <u>", "A <(c) <u!>"),
        ("SPAM: Joe <u>", "SPAM!:Joe <u!>"),
        ("a: (c) <u>", "a!:(c) <u!>"),
        ("<u> \"J\" <v>", "<u!>\"J\" <v!>"),
        ("<u> <v>", "<u!> <v!>"),
        ("<u>,", "<u!>, "),
        ("u >, v", "u!>, v!"),
        ("a\\ b <u>", "\"a b\" <u!>"),
        ("\"a(b\\)c\" <u>", "\"a(b)c\" <u!>"),
        ("100% sure! <u>", "100%sure! <u!>"),
    ] {
        assert_eq!(rewritten(text), out, "{text}");
    }
}

#[test]
fn an_empty_address_is_left_alone() {
    let mut out = Vec::new();
    list("Nobody <>").write(b' ', &mut out);
    assert_eq!(out, b"Nobody <>");
}

#[test]
fn only_a_change_counts_as_one() {
    let mut same = list("a@b, c@d");
    assert!(!same.rewrite(|address, _| Some(address.clone())));
    assert!(!same.rewrite(|_, _| None));
    assert!(same.rewrite(|address, _| (address.to_string() == "c@d").then(Address::null)));
    for (text, changed) in [
        ("\"a\"@b", true),
        ("\\a@b", false),
        ("a b@c", false),
        ("\"a\\ b\"@c", false),
        ("a@[b", false),
        ("\"a b\"@c", false),
        ("a @ b", false),
        ("<@x:a@b>", false),
    ] {
        assert_eq!(list(text).rewrite(|address, _| Some(address.clone())), changed, "{text}");
    }
}

#[test]
fn what_is_over_the_limit_is_left_out() {
    let text = "a@b, ".repeat(1000);
    assert_eq!(AddressList::parse(text.as_bytes(), 40).addresses().count(), 10);
}

proptest::proptest! {
    #[test]
    fn a_list_is_read_back_as_it_was_made(
        made in proptest::collection::vec(("[a-z .,\"\\\\]{1,9}", "[a-z.]{1,9}", 0..4u8), 1..9)
    ) {
        let address = |local: &str, domain: &str| {
            Address::from_internal(format!("{local}@{domain}").as_bytes())
        };
        let made_of = |(local, domain, _): &(String, String, u8)| address(local, domain);
        let addresses: Vec<Address> = made.iter().map(made_of).collect();
        let forms = made.iter().zip(&addresses).map(|((_, _, form), address)| match form {
            0 => format!("{address}"),
            1 => format!("A \"b, <c>\" <{address}>"),
            2 => format!("{address} (a, (b))"),
            _ => format!("G: {address};"),
        });
        let text = forms.collect::<Vec<_>>().join(",\r\n\t");
        let found: Vec<Address> = list(&text).addresses().cloned().collect();
        proptest::prop_assert_eq!(found, addresses, "{}", text);
    }

    #[test]
    fn any_bytes_are_some_list(bytes in proptest::collection::vec(0..=255u8, 0..60)) {
        let mut out = Vec::new();
        AddressList::parse(&bytes, usize::MAX).write(b' ', &mut out);
        proptest::prop_assert!(out.len() <= 4 * bytes.len() && !out.contains(&b'\n'));
    }
}

/// What routes an address is what stands outside of quotes.
#[test]
fn operators_are_told_as_they_are_written() {
    let operators = |text: &str| list(text).written().next().unwrap().1;
    let plain = Operators::default();
    assert_eq!(operators("<\"a!b\">"), plain);
    assert_eq!(operators("<a!\"b c\">"), Operators { first_bang: Some(1), ..plain });
    assert_eq!(operators("<\"a%b\"%c>"), Operators { last_percent: Some(3), ..plain });
    assert_eq!(operators("<\"a@b\">"), plain);
    let routed = Operators { route_end: 3, has_at: true, has_dot: true, ..plain };
    assert_eq!(operators("<@x:a@b.c>"), routed);
    assert_eq!(operators("<a@\"b.c\">"), Operators { has_at: true, ..plain });
}

/// Where nothing else changes it, an address in empty quotes stays.
#[test]
fn empty_quotes_are_not_empty_brackets() {
    let mut it = list("\"\", <>, a@b");
    let asked = core::cell::Cell::new(0);
    it.rewrite(|address, _| {
        asked.set(asked.get() + 1);
        Some(address.clone())
    });
    let mut out = Vec::new();
    it.write(b' ', &mut out);
    assert_eq!((asked.get(), out.as_slice()), (2, &b"\"\", <>, a@b"[..]));
}

#[test]
fn a_literal_with_backslashes_and_line_ends_is_on_one_line() {
    let mut out = Vec::new();
    AddressList::parse_header(b"[a\\\r\n b\n] <u@x>", usize::MAX).write(b' ', &mut out);
    assert_eq!(out, b"[a b] <u@x>");
}
