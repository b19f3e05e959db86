//! What is said about a configuration as a whole.

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::{Host, MainCf};

const MAIN: &str = "foo = $bar\nrelayhost = $used\nused = 1\nusedm = 2\nonlym = 3\n\
    smtpd_restriction_classes = cls, cls2\ncls = permit\nmaildrop_time_limit = 5\n\
    nosvc_time_limit = 6\nvirtual_maps = hash:/x\nmailbox_command = /x $EXTENSION\n";
const MASTER: &str = "smtp inet n - n - - smtpd -o myhostname=$usedm -o unk=$onlym -o \
    syslog_name=postfix/$service_name -o { smtpd_banner = a b $nope }\n\
    maildrop unix - n n - - pipe flags=D argv=/x ${recipient}\n";

fn files() -> (Params, MasterCf) {
    let main = MainCf::parse("main.cf", MAIN.as_bytes()).expect("a good main.cf");
    let master = MasterCf::parse("master.cf", MASTER.as_bytes()).expect("a good master.cf");
    (Params::new(main, Host::default()), master)
}

#[test]
fn only_what_nothing_mentions_is_unused() {
    let (params, master) = files();
    let said: Vec<_> =
        findings(&params, &master, &|_| true).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "main.cf: unused parameter: foo=$bar",
            "main.cf: unused parameter: nosvc_time_limit=6",
            "master.cf: unused parameter: unk=$onlym",
        ]
    );
}

#[test]
fn names_that_nothing_defines_are_listed_with_their_file() {
    let (params, master) = files();
    let expected = [("master.cf", "nope"), ("main.cf", "bar"), ("main.cf", "cls2")];
    let expected = expected.map(|(file, name)| (file.to_string(), name.to_string()));
    assert_eq!(undefined(&params, &master), expected);
}

#[test]
fn what_the_engine_does_not_act_upon_is_named_with_its_danger() {
    let main = "smtpd_sender_restrictions = reject\nbiff = yes\nmyorigin = x\n";
    let main = MainCf::parse("main.cf", main.as_bytes()).expect("a good main.cf");
    let params = Params::new(main, Host::default());
    let master = MasterCf::default();
    let found: Vec<_> = findings(&params, &master, &|name| name == "myorigin")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "main.cf, line 2: parameter not acted upon: biff=yes",
            "main.cf, line 1: parameter not acted upon: smtpd_sender_restrictions=reject; \
         mail may pass that it would stop",
        ]
    );
}

#[test]
fn a_feature_that_is_not_here_may_be_switched_off_without_a_word() {
    let main = MainCf::parse("main.cf", b"biff = no\n").expect("a good main.cf");
    let params = Params::new(main, Host::default());
    assert_eq!(findings(&params, &MasterCf::default(), &|_| false), []);
}

#[test]
fn restricting_names_exist_and_are_sorted() {
    assert!(RESTRICTING.is_sorted());
    for name in RESTRICTING {
        assert!(table::find(name).is_some(), "{name}");
    }
    assert!(restricts_senders("smtpd_data_restrictions") && !restricts_senders("biff"));
}

#[test]
fn bad_values_are_collected() {
    let main = MainCf::parse("main.cf", b"biff = x\nfork_attempts = y\nown = z\n").expect("good");
    let bad = bad_values(&Params::new(main, Host::default()));
    assert_eq!(bad.iter().map(|b| &*b.name).collect::<Vec<_>>(), ["biff", "fork_attempts"]);
}

#[test]
fn what_is_acted_upon_is_known_to_postfix_and_sorted() {
    let names = super::acted_upon::NAMES;
    assert!(names.is_sorted(), "binary search needs order");
    assert!(names.iter().all(|name| crate::params::is_known(name)));
    assert!(acted_upon("myhostname") && !acted_upon("nosuch"));
}
