//! Parameters with tables: their order, and what is said of those that cannot be used.

use super::*;
use config::{Host, MainCf};

fn open(main_cf: &str) -> (Maps, Vec<String>) {
    let main = MainCf::parse("main.cf", main_cf.as_bytes()).unwrap();
    let params = Params::new(main, Host::default());
    let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
    let maps = opener.maps(&params, "alias_maps").unwrap();
    (maps, texts(opener))
}

fn texts(opener: Opener) -> Vec<String> {
    opener.finish().0.into_iter().map(|remark| remark.text).collect()
}

#[test]
fn tables_are_asked_in_order() {
    let (maps, said) = open("alias_maps = inline:{a=1} inline:{a=2, b=3}\n");
    assert_eq!(maps.lookup(b"A"), Lookup::Found(Cow::Borrowed(b"1")));
    assert_eq!(maps.lookup(b"b"), Lookup::Found(Cow::Borrowed(b"3")));
    assert_eq!(maps.lookup(b"c"), Lookup::NotFound);
    assert!(said.is_empty() && !maps.is_empty());
}

#[test]
fn an_empty_answer_is_a_mistake_in_the_table() {
    let (maps, _) = open("alias_maps = inline:{a=}\n");
    assert!(matches!(maps.find(b"a", Part::Whole), Lookup::Retry(_)));
    // Who asks for the place decides for himself.
    assert_eq!(maps.find_at(b"a").0, Lookup::Found(Cow::Borrowed(b"")));
    let expected = [
        "alias_maps lookup of a returns an empty string result",
        "alias_maps should return NO RESULT in case of NOT FOUND",
    ];
    assert_eq!(maps.complaints(b"a"), expected);
    let titled = maps.titled("inline:x").complaints(b"a");
    assert_eq!(titled[0], "inline:x lookup of a returns an empty string result");
}

#[test]
fn a_broken_table_is_named_once() {
    let main = b"header_checks = regexp:/nowhere\nbody_checks = regexp:/nowhere\n";
    let params = Params::new(MainCf::parse("main.cf", main).unwrap(), Host::default());
    let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
    for parameter in ["header_checks", "body_checks"] {
        let maps = opener.raw_maps(&params, parameter).unwrap();
        assert!(matches!(maps.lookup(b"x"), Lookup::Retry(_)));
    }
    assert_eq!(texts(opener), ["open /nowhere: No such file or directory"]);
}

#[test]
fn content_is_asked_for_letter_by_letter() {
    let main = MainCf::parse("main.cf", b"body_checks = inline:{Ab=1} regexp:{{/x/ 2}}\n");
    let params = Params::new(main.unwrap(), Host::default());
    let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
    let maps = opener.raw_maps(&params, "body_checks").unwrap();
    assert_eq!(maps.lookup(b"ab"), Lookup::NotFound);
    assert_eq!(maps.lookup(b"Ab"), Lookup::Found(Cow::Borrowed(b"1")));
    assert_eq!(maps.lookup(b"\xffX"), Lookup::Found(Cow::Borrowed(b"2")));
}

#[test]
fn a_broken_table_never_means_not_found() {
    let (maps, said) = open("alias_maps = inline:{a=1} hash:/nowhere/aliases\n");
    assert_eq!(maps.lookup(b"a"), Lookup::Found(Cow::Borrowed(b"1")));
    assert!(matches!(maps.lookup(b"b"), Lookup::Retry(_)));
    let why = "open database /nowhere/aliases.db: No such file or directory";
    assert_eq!(said, [why]);
}

#[test]
fn a_table_that_cannot_be_opened_may_be_fatal() {
    let insist = |main_cf: &str| {
        let main = MainCf::parse("main.cf", main_cf.as_bytes()).unwrap();
        let params = Params::new(main, Host::default());
        let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
        drop(opener.maps(&params, "alias_maps").unwrap());
        drop(opener.networks(&params, "mynetworks").unwrap());
        opener.insist().map_err(|bad| bad.to_string())
    };
    let fatal = "daemon_table_open_error_is_fatal = yes\nmynetworks = 127.0.0.1\n";
    let broken = "alias_maps = hash:/nowhere/a\n";
    let why = "fatal: open database /nowhere/a.db: No such file or directory";
    assert_eq!(insist(&format!("{fatal}{broken}")), Err(why.into()));
    assert_eq!(insist(&format!("mynetworks = 127.0.0.1\n{broken}")), Ok(()));
    assert_eq!(insist(&format!("{fatal}alias_maps = inline:{{a=b}}\n")), Ok(()));
    let listed = "mynetworks = cidr:/nowhere/c\nalias_maps =\n";
    let why = "fatal: open /nowhere/c: No such file or directory";
    let only = "daemon_table_open_error_is_fatal = yes\n";
    assert_eq!(insist(&format!("{only}{listed}")), Err(why.into()));
}

#[test]
fn what_is_wrong_with_a_table_is_said_by_each_program_that_opens_it() {
    let main = b"alias_maps = hash:/nowhere\ncanonical_maps = hash:/nowhere\n";
    let params = Params::new(MainCf::parse("main.cf", main).unwrap(), Host::default());
    let opener = Opener::new(&params, crate::testing::tables(), Tables::default()).unwrap();
    for (daemon, parameter) in [(Daemon::Local, "alias_maps"), (Daemon::Cleanup, "canonical_maps")]
    {
        opener.speak_as(daemon);
        let maps = opener.maps(&params, parameter).unwrap();
        let why = "open database /nowhere.db: No such file or directory";
        assert_eq!(maps.unavailable(0), format!("hash:/nowhere is unavailable. {why}"));
    }
    let said = opener.finish().0;
    assert!(said.iter().all(|remark| remark.is_error));
    let daemons: Vec<&Daemon> = said.iter().map(|remark| &remark.daemon).collect();
    assert_eq!(daemons, [&Daemon::Cleanup, &Daemon::Local]);
}
