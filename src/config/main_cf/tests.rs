//! main.cf: transcripts of what postconf says about the same bytes, and properties.

use proptest::prelude::*;
use std::string::ToString;
use std::vec;

use super::*;

fn parse(text: &str) -> MainCf {
    MainCf::parse("main.cf", text.as_bytes()).expect("a good file")
}

fn value(text: &str, name: &str) -> String {
    parse(text).get(name).expect("set").value.clone()
}

#[test]
fn comments_and_blank_lines_may_stand_between_continuations() {
    let text = "myorigin = a,\n   # comment\n\n\tb\n  \n# c\n d\nmydomain=x\n";
    assert_eq!(value(text, "myorigin"), "a,\tb d");
    assert_eq!(value(text, "mydomain"), "x");
}

#[test]
fn names_end_at_white_space_or_equals() {
    assert_eq!(value("a=b=c\r\n", "a"), "b=c");
    assert_eq!(value("na$me =  1  ", "na$me"), "1");
    assert_eq!(value("a =", "a"), "");
    assert_eq!(value("a = \0b", "a"), "");
}

#[test]
fn lines_are_numbered_from_their_start() {
    let main = parse("# c\n\na = 1\n  2\nb = 3\n");
    assert_eq!(main.get("a").map(|e| e.line), Some(3));
    assert_eq!(main.get("b").map(|e| e.line), Some(5));
}

#[test]
fn the_last_entry_wins_with_a_warning_that_shows_the_lost_value() {
    let main = parse("  leading = ws\nmydomain=x.y\nmydomain =  z.w\nmydomain=z.w\n");
    let warnings: vec::Vec<_> = main.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "main.cf: logical line must not start with whitespace: \"  leading = ws\"",
            "main.cf, line 3: overriding earlier entry: mydomain=x.y",
        ]
    );
    assert_eq!(main.get("mydomain").map(|e| &*e.value), Some("z.w"));
}

#[test]
fn bad_lines_are_worded_as_in_postfix() {
    let cases = [
        ("novalue", "fatal: main.cf, line 1: missing '=' after attribute name: \"novalue\""),
        ("\n= x", "fatal: main.cf, line 2: missing attribute name: \"= x\""),
        ("a b = c", "fatal: main.cf, line 1: missing '=' after attribute name: \"a b = c\""),
        (
            "# c\na = b\n\nbad\n  line\n# x\n  z\n",
            "fatal: main.cf, line 4: missing '=' after attribute name: \"bad  line  z\"",
        ),
        ("relay\0host=x", "fatal: main.cf, line 1: missing '=' after attribute name: \"relay\""),
    ];
    for (text, expected) in cases {
        let error = MainCf::parse("main.cf", text.as_bytes()).expect_err("a bad file");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn latin_1_is_refused_outside_comments_only() {
    assert!(MainCf::parse("main.cf", b"# \xe9\na = b\n").is_ok());
    let error = MainCf::parse("main.cf", b"a = \xe9\n").expect_err("not UTF-8");
    assert!(error.to_string().starts_with("fatal: main.cf, line 1: non-UTF-8 input"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    struct Nothing;
    impl Source for Nothing {
        fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
            let reason = "No such file or directory".to_string();
            Err(SourceError { path: path.to_string(), reason })
        }
    }
    let error = MainCf::read(&Nothing, "/x/main.cf").expect_err("no file");
    assert_eq!(error.to_string(), "fatal: open /x/main.cf: No such file or directory");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(data: vec::Vec<u8>) {
        crate::fuzz_main_cf(&data);
    }

    #[test]
    fn settings_of_the_right_letters_are_read_or_refused(
        text in "([a-z_]{0,4}[ =$\n\t#{}?:]{0,4}){0,30}",
    ) {
        crate::fuzz_main_cf(text.as_bytes());
    }

    #[test]
    fn what_is_written_plainly_is_read_back(name in "[a-z_0-9]{1,20}", value in "[!-~]{1,40}") {
        let text = alloc::format!("{name} = {value}\n");
        prop_assert_eq!(super::tests::value(&text, &name), value);
    }
}
