//! master.cf: transcripts of what master(8) says about the same lines, and properties.

use proptest::prelude::*;
use std::string::ToString;
use std::vec;

use super::*;

fn parse(text: &str) -> MasterCf {
    MasterCf::parse("master.cf", text.as_bytes()).expect("a good file")
}

fn error(text: &str) -> String {
    MasterCf::parse("master.cf", text.as_bytes()).expect_err("a bad file").to_string()
}

#[test]
fn dashes_are_defaults() {
    let master = parse("smtp inet n - - - - smtpd\nflush unix - - y 1000? 0 flush\n");
    let smtp = master.find("smtp", Transport::Inet).expect("there");
    assert!(!smtp.private && smtp.unprivileged);
    assert!(smtp.chroot(Level::default()) && !smtp.chroot(Level::new(1, 0)));
    assert_eq!((smtp.wakeup, smtp.max_proc), (None, None));
    let flush = master.find("flush", Transport::Unix).expect("there");
    assert!(flush.private && flush.chroot(Level::new(3, 6)));
    assert_eq!(flush.wakeup, Some(Wakeup { seconds: 1000, only_if_used: true }));
    assert_eq!(flush.max_proc, Some(0));
}

#[test]
fn settings_come_from_options_before_the_first_argument() {
    let master = parse(
        "smtp inet n - n - - smtpd\n  -o a=b -o { c = d e } -v\n# c\n\n -voq=1,2 -oz=w {-o x=y}\n\
         p unix - n n - - pipe\n  flags=R user=vmail argv=/bin/x -o n=v { a b } ${recipient}\n",
    );
    let pairs: vec::Vec<_> =
        master.services()[0].overrides.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("a", "b"), ("c", "d e"), ("q", "1,2"), ("z", "w"), ("x", "y")]);
    let pipe = master.find("p", Transport::Unix).expect("there");
    assert!(pipe.overrides.is_empty());
    assert_eq!(pipe.args[2..], ["argv=/bin/x", "-o", "n=v", "a b", "${recipient}"]);
}

#[test]
fn inet_names_are_endpoints() {
    let cases = [
        ("smtp", None, "smtp"),
        ("127.0.0.1:2525", Some("127.0.0.1"), "2525"),
        ("[::1]:25", Some("::1"), "25"),
        (":2525", None, "2525"),
        ("localhost:smtp", Some("localhost"), "smtp"),
    ];
    for (name, host, port) in cases {
        let master = parse(&alloc::format!("{name} inet n - n - - smtpd"));
        let expected = Endpoint { host: host.map(ToString::to_string), port: port.to_string() };
        assert_eq!(master.services()[0].endpoint, Some(expected));
    }
}

#[test]
fn the_last_entry_of_a_name_and_type_wins_with_a_warning() {
    let master =
        parse(" x unix\na unix n - n - - smtpd\na inet n - n - - smtpd\na unix n - n - - b");
    assert_eq!(master.services().len(), 2);
    assert_eq!(master.find("a", Transport::Unix).map(|s| &*s.command), Some("b"));
    let warnings: vec::Vec<_> = master.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "master.cf: logical line must not start with whitespace: \" x unix\"",
            "duplicate master.cf entry for service \"a\" (unix) -- using the last entry",
        ]
    );
}

#[test]
fn bad_entries_are_worded_as_in_postfix() {
    let cases = [
        ("a unix n - n - -", "missing \"command\" field"),
        ("a", "missing \"transport type\" field"),
        ("a foo n - n - - smtpd", "bad transport type: foo"),
        ("a unix x - n - - smtpd", "field \"private\": bad value: \"x\""),
        ("a inet y - n - - smtpd", "inet service cannot be private"),
        ("a unix n x n - - smtpd", "field \"unprivileged\": bad value: \"x\""),
        ("a unix n - x - - smtpd", "field \"chroot\": bad value: \"x\""),
        ("a unix n - n -5 - smtpd", "field \"wakeup_time\": bad value: \"-5\""),
        ("a unix n - n - -1 smtpd", "field \"max_proc\": bad value: \"-1\""),
        ("a unix n - n - - smtpd -o { foo", "missing '}' in \"{ foo\""),
        ("a unix n - n - - smtpd -o { f }x", "syntax error after '}' in \"{ f }x\""),
        ("1.2.3: inet n - n - - smtpd", "missing service information in \"1.2.3:\""),
        ("[::1 inet n - n - - smtpd", "missing \"]\" in \"[::1\""),
        ("a unix n - n - - smtpd -o foo", "missing '=' after attribute name: \"foo\""),
        ("a unix n - n - - smtpd -o", "option requires an argument -- 'o'"),
    ];
    for (line, expected) in cases {
        let text = alloc::format!("# comment\n\n{line}\n");
        assert_eq!(error(&text), alloc::format!("fatal: master.cf: line 3: {expected}"), "{line}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(data: vec::Vec<u8>) {
        crate::fuzz_master_cf(&data);
    }

    #[test]
    fn entries_of_the_right_words_are_read_or_refused(
        words in proptest::collection::vec("a|inet|unix|n|y|-|0|5\\?|\\{|\\}|-o|b=c|\n |\n", 0..40),
    ) {
        crate::fuzz_master_cf(words.join(" ").as_bytes());
    }
}
