//! Rules as Postfix 3.7.11 reads and answers them.

use super::*;
use alloc::string::ToString;
use core::cell::RefCell;

const RULES: &str = r"/^a(.*)$/ x$1 y${1}z $(1) $$
/^b(.*)$/ $2_$1
/^c(.*)$/ $2
/^d/
/^e
!/^f(.)/ $1
/^g/q x
if /^h/
/i/ hi
endif extra
endif
if !/^j/
/^k(/ x
nonsense
/^l\/m/ slash
m|^n|i pipe
/^o(a|ab)(c|bcd)(d*)$/ <$1><$2><$3>
";

const MORE: &str = r"if /^a/ extra
/^ab/ x
 /^ac/ y
endif
if
endif
/^d/ $9x ${1} a
/^e(.)/ a${1b
/^f(.)/ a$(1b
/^g(.)/ a$ b$-
!!/^h/ two
! /^i/ blank
";

fn open<P: Pattern>(text: &str) -> (Patterns<P>, Vec<String>) {
    let said = RefCell::new(Vec::new());
    let table = Patterns::parse("t", text.as_bytes(), &|text| said.borrow_mut().push(text));
    (table, said.into_inner())
}

fn ask<P: Pattern>(text: &str, key: &str) -> Option<String> {
    let (value, _) = open::<P>(text).0.find(key.as_bytes())?;
    Some(String::from_utf8(value).unwrap())
}

fn said<P: Pattern>(text: &str) -> Vec<String> {
    let prefix = alloc::format!("{} map t, ", P::KIND);
    let lines = open::<P>(text).1.into_iter();
    lines.map(|line| line.strip_prefix(&prefix).map_or(line.clone(), ToString::to_string)).collect()
}

#[test]
fn the_first_rule_that_matches_gives_the_value() {
    for (key, value) in [
        ("abc", Some("xbc ybcz bc $")),
        ("ABC", Some("xBC yBCz BC $")),
        ("d", Some("")),
        ("l/m", Some("slash")),
        ("hi", Some("hi")),
        ("h", None),
        ("i", None),
        ("b", None),
    ] {
        assert_eq!(ask::<Posix>(RULES, key).as_deref(), value, "{key}");
        assert_eq!(ask::<Perl>(RULES, key).as_deref(), value, "{key}");
    }
    // The longest of the leftmost, and the first that succeeds.
    assert_eq!(ask::<Posix>(RULES, "oabcd").as_deref(), Some("<a><bcd><>"));
    assert_eq!(ask::<Perl>(RULES, "oabcd").as_deref(), Some("<a><bcd><>"));
    for (key, value) in [("ab", "x /^ac/ y"), ("ac", "blank"), ("h", "two"), ("k1", "blank")] {
        assert_eq!(ask::<Posix>(MORE, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(ask::<Posix>(MORE, "i"), None);
}

#[test]
fn rules_that_cannot_be_used_are_named() {
    let common = |kind: &str, error: &str| {
        let kind = kind.to_string();
        let text = "line 2: non-numeric replacement index \"2_\"
line 2: bad replacement syntax: skipping this rule
line 3: out of range replacement index \"2\": skipping this rule
line 4: no replacement text: using empty string
line 5: no closing regexp delimiter \"/\": KIND this rule
line 6: $number found in negative match replacement text: skipping this rule
line 7: unknown regexp option \"q\": skipping this rule
line 10: ignoring extra text after ENDIF
line 11: ignoring ENDIF without matching IF
line 13: ERROR
line 14: ignoring unrecognized request
line 16: ignoring unrecognized request
line 12: IF has no matching ENDIF";
        text.replace("KIND", &kind).replace("ERROR", error)
    };
    assert_eq!(said::<Posix>(RULES).join("\n"), common("skipping", "Unmatched ( or \\("));
    let perl = "error in regex at offset 3: missing closing parenthesis";
    assert_eq!(said::<Perl>(RULES).join("\n"), common("ignoring", perl));
    let more = "line 1: ignoring extra text after IF statement: \"extra\"
line 1: do not prepend whitespace to statements between IF and ENDIF
line 5: no regexp: skipping this rule
line 6: ignoring ENDIF without matching IF
line 7: non-numeric replacement index \"9x\"
line 7: bad replacement syntax: skipping this rule
truncated macro reference: \"a${1b\"
line 8: bad replacement syntax: skipping this rule
truncated macro reference: \"a$(1b\"
line 9: bad replacement syntax: skipping this rule
empty macro name: \"a$ b$-\"
line 10: bad replacement syntax: skipping this rule";
    assert_eq!(said::<Posix>(MORE).join("\n"), more);
}

#[test]
fn sets_that_others_read_otherwise_are_not_filtered() {
    for (rule, key) in [("/[a[b]cd/", "[cd"), ("/[\\]|]zz/", "\\"), ("/[a&&b]yy/", "&yy")] {
        assert_eq!(ask::<Posix>(rule, key).as_deref(), Some(""), "{rule}");
    }
    for (rule, key) in [("/[a[b]cd/", "[cd"), ("/xx[a::[:b]c*|]/", "]"), ("/x[[:a]yy/", "x:yy")] {
        assert_eq!(ask::<Perl>(rule, key).as_deref(), Some(""), "{rule}");
    }
    assert_eq!(ask::<Perl>("/[[:alpha:]]xy/", "1xy axy").as_deref(), Some(""));
}

#[test]
fn a_table_knows_the_line_of_a_rule() {
    let table = open::<Posix>(RULES).0;
    let lines = ["abc", "hi", "zz"].map(|key| table.line(key.as_bytes()));
    assert_eq!(lines, [Some(1), Some(9), None]);
}

#[test]
fn options_turn_things_over() {
    let rules = "/^a(?=b)(.*)$/ look $1\n/^c/E e\n/^C/i nocase\n/^d/AXUsmx opts\n/^c/ insens\n\
                 /^g(a)?(b)?/ <$1><$2>\nif /^h/\n!/h$/ notend\nendif\n/o.p/s dot\n/^q(.*?)r/U lazy $1\n/b/A first\n";
    for (key, value) in [
        ("abq", Some("look bq")),
        ("C", Some("e")),
        ("d", Some("opts")),
        ("g", Some("<><>")),
        ("ga", Some("<a><>")),
        ("gb", Some("<><b>")),
        ("hx", Some("notend")),
        ("h", None),
        ("o\np", None),
        ("qarar", Some("lazy ara")),
        ("bx", Some("first")),
        ("xb", None),
    ] {
        assert_eq!(ask::<Perl>(rules, key).as_deref(), value, "{key}");
    }
    assert_eq!(said::<Perl>(rules), ["line 4: ignoring obsolete regexp option \"X\""]);
    assert_eq!(ask::<Posix>("/A/i one\n/a/ two\n", "a").as_deref(), Some("two"));
    assert_eq!(ask::<Posix>("/a\\(b\\)c/x one $1\n", "abc").as_deref(), Some("one b"));
    assert_eq!(ask::<Posix>("/^b$/m inner\n", "a\nb\nc").as_deref(), Some("inner"));
    assert_eq!(ask::<Posix>("/[]()]([[:alpha:](]+)[^]]/ $1\n", "(a)").as_deref(), Some("a"));
}

#[test]
fn a_posix_class_outside_brackets_is_a_set_of_letters_or_an_error() {
    let rules = "/[:alpha:]<!--.*-->[:alpha:]/ REJECT\n";
    assert_eq!(ask::<Posix>(rules, "a<!--x-->h").as_deref(), Some("REJECT"));
    assert_eq!(ask::<Posix>(rules, "b<!--x-->b"), None);
    assert_eq!(ask::<Perl>(rules, "a<!--x-->h"), None);
    assert_eq!(said::<Perl>(rules).len(), 1);
}

/// Rules with and without literals.
const RULE: &str = "[!]?/[\\^]?\
                    (ab|bc|[ab]c|a+b|\\(ab\\|cd\\)|b\\?c|abc[.]|Ab|c\\{2\\}|a\\*bc|\\\\.b)\
                    (ab|ca|[.]|b+)?[$]?/i? [x]";

proptest::proptest! {
    #[test]
    fn the_prefilter_changes_nothing(
        rules in proptest::collection::vec(RULE, 1..12),
        keys in proptest::collection::vec("[abcd.]{0,8}", 1..12),
    ) {
        let text = rules.join("\n");
        let posix = open::<Posix>(&text).0;
        let perl = open::<Perl>(&text).0;
        for key in &keys {
            let key = key.as_bytes();
            let quick = [posix.find(key), perl.find(key)];
            let quick = quick.map(|found| found.map(|(value, _)| value));
            let slow = [posix.find_slowly(key), perl.find_slowly(key)];
            proptest::prop_assert_eq!(quick, slow, "{}", text);
        }
    }
}

use perl::Perl;
use posix::Posix;

#[test]
fn results_may_be_kept_free_of_parts_of_the_key() {
    let said = RefCell::new(Vec::new());
    let warn = |text| said.borrow_mut().push(text);
    let table = Patterns::<Perl>::parse_fixed("t", b"/^(a)/ x$1\n/^a/ $$y\n", &warn);
    assert_eq!(table.find(b"a"), Some((b"$y".to_vec(), 2)));
    let text = "pcre map t, line 1: regular expression substitution is not allowed: skipping this \
                rule";
    assert_eq!(said.into_inner(), [text]);
}

/// A pair of braces within one ended it, and a number that is too large was none.
#[test]
fn values_are_read_as_postfix_reads_them() {
    let text = "  /a/ blank\n/(b)/ $0\n/(c)/ ${1?{x}:{y}}\n/(d)/ $4294967297\n/(e)/ $99999999999\n";
    let common = "t: logical line must not start with whitespace: \"  /a/ blank\"
line 2: RANGE replacement index \"0\"
line 2: bad replacement syntax: skipping this rule
line 3: non-numeric replacement index \"1?{x}:{y}\"
line 3: bad replacement syntax: skipping this rule
line 5: out of range replacement index \"1215752191\": skipping this rule";
    assert_eq!(said::<Posix>(text).join("\n"), common.replace("RANGE", "out-of-range"));
    assert_eq!(said::<Perl>(text).join("\n"), common.replace("RANGE", "out of range"));
    assert_eq!((ask::<Posix>(text, "a"), ask::<Posix>(text, "d")), (None, Some("d".to_string())));
}

/// A negated rule held where the library had given up.
#[test]
fn where_the_library_gives_up_no_rule_holds() {
    let text = "if /^(a+)+$/\n/./ within\nendif\nif !/^(a+)+$/\n/./ within\nendif\n\
                !/^(a+)+$/ not\n/^(a+)+$/ x\n/^a/ other\n";
    let key = "a".repeat(40) + "b";
    assert_eq!(ask::<Perl>(text, &key).as_deref(), Some("other"));
    assert_eq!(ask::<Perl>(text, "aab").as_deref(), Some("within"));
}
