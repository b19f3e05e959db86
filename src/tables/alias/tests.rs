//! What postalias(1) of Postfix 3.7.11 was seen to do.

use alloc::string::String;
use alloc::vec::Vec;

use crate::source::{BadLine, LogicalLine};

fn read(text: &str) -> Result<(String, String), BadLine> {
    let line = LogicalLine { number: 1, text: text.as_bytes().to_vec() };
    let show = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    super::entry(&line, true).map(|entry| (show(entry.key), show(entry.value)))
}

#[test]
fn values_are_written_again_with_uniform_space() {
    let cases = [
        ("h(comment) i", "h (comment) i"),
        (":include:/x, \\foo", ":include:/x, foo"),
        ("grp: a, b;", "grp:a, b;"),
        ("\"a\\\"b\"@c", "\"a\\\"b\"@c"),
        ("a , , b", "a, , b"),
        (",", ", "),
        ("\"unbalanced", "\"unbalanced\""),
        ("a <b> c@d (x) \"q r\" [lit] . e", "a <b>c@d (x) \"q r\" [lit].e"),
        ("e | f ! g % h ; i", "e|f!g%h;i"),
        ("<a> <b>", "<a> <b>"),
        ("a[b]c [x\\y] [a b]", "a [b] c [xy] [a b]"),
        ("(a (b) c) (d\\)e)", "(a (b) c) (d\\)e)"),
        ("\"a\\\\b\" a\\\\b a\\ b \\\"x", "\"a\\\\b\" \"a\\\\b\" \"a b\" \"\\\"x\""),
        ("a\\,b a.b. .c d..e", "\"a,b\" a.b..c d..e"),
        ("\"a\tb\"", "\"a b\""),
        ("a \\", "a "),
        ("[a", "[a]"),
        ("[a\\\\\\]b]", "[a\\\\]b]"),
        ("a . < b, <c>; <d>", "a. <b, <c>; <d>"),
        ("\"%\\\t\" \\\tb", "\"% \" \" b\""),
        ("\"a(b\" c(d", "\"a(b\" c (d"),
    ];
    for (given, written) in cases {
        let line = [String::from("k: ").as_str(), given].concat();
        assert_eq!(read(&line).unwrap().1, written, "{given}");
    }
}

#[test]
fn names_lose_their_quotes() {
    let cases = [
        ("c ", "c"),
        ("\"q q\"", "q q"),
        ("\"q@x y\"", "q@x y"),
        ("j k", "j k"),
        ("<z>", "<z>"),
        ("(c) l", "(c) l"),
        ("\\v", "v"),
        ("k\\:34", "k:34"),
        ("\"\" ", ""),
        ("[k\\\\l]", "[k\\l]"),
        ("\"k37\"x\"y\"", "k37 x y"),
        ("k38 . a ; b | c", "k38.a;b|c"),
    ];
    for (given, stored) in cases {
        let line = [given, ": x"].concat();
        assert_eq!(read(&line).unwrap().0, stored, "{given}");
    }
}

#[test]
fn names_are_one_local_part() {
    assert_eq!(read("f@dom: g"), Err(BadLine::NotLocal));
    assert_eq!(read("f%dom: g"), Err(BadLine::NotLocal));
    for line in ["g: ", "j,k: y", "n o p", ": nokey", "\"bad: alice"] {
        assert_eq!(read(line), Err(BadLine::NoPair), "{line}");
    }
}
