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
    parsed(MAIN, MASTER)
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

fn parsed(main: &str, master: &str) -> (Params, MasterCf) {
    let main = MainCf::parse("main.cf", main.as_bytes()).expect("a good main.cf");
    let master = MasterCf::parse("master.cf", master.as_bytes()).expect("a good master.cf");
    (Params::new(main, Host::default()), master)
}

fn unused(main: &str, master: &str) -> Vec<String> {
    let (params, master) = parsed(main, master);
    findings(&params, &master, &|_| true).iter().map(ToString::to_string).collect()
}

#[test]
fn classes_and_tables_may_be_named_by_other_parameters() {
    let main = "smtpd_restriction_classes = a1 $a2\na1 = permit\na2 = a3\na3 = reject\n\
                alias_maps = mysql:$m\nm = m1\nm1_hosts = x\nown = mysql:m2\nm2_hosts = y\n";
    let master = "smtp inet n - n - - smtpd -o foo=mysql:m3 -o alias_maps=mysql:m4\n";
    let main = main.to_string() + "m3_hosts = z\nm4_hosts = z\n";
    let expected = [
        "main.cf: unused parameter: m2_hosts=y",
        "main.cf: unused parameter: m3_hosts=z",
        "main.cf: unused parameter: own=mysql:m2",
        "master.cf: unused parameter: foo=mysql:m3",
    ];
    assert_eq!(unused(&main, master), expected);
}

#[test]
fn what_a_service_has_depends_on_its_program() {
    let main = "a_time_limit = 1\na_destination_rate_delay = 1\nb_time_limit = 1\n\
                b_destination_rate_delay = 1\nc_destination_rate_delay = 1\n";
    let master =
        "a unix - n n - - spawn user=x argv=y\nb inet n - n - - smtp\nc unix - - n - - discard\n";
    let expected = [
        "main.cf: unused parameter: a_destination_rate_delay=1",
        "main.cf: unused parameter: b_time_limit=1",
        "main.cf: unused parameter: c_destination_rate_delay=1",
    ];
    assert_eq!(unused(main, master), expected);
}

#[test]
fn values_that_cannot_be_expanded_are_found() {
    let main = "relayhost = ${x y}\nown = ${\nother = ${x y}\nloop = $loop\nmailbox_command = $(\n";
    let master =
        "smtp inet n - n - - smtpd -o { myorigin = $a$ } -o loop=$loop -o relayhost=$loop\n";
    let (params, master) = parsed(main, master);
    let text =
        |errors: Vec<ExpandError>| -> Vec<_> { errors.iter().map(ToString::to_string).collect() };
    let (bad_name, loop_) = (
        "attribute name syntax error at: \"...x>>> y\"",
        "unreasonable macro call nesting: \"loop\"",
    );
    let (truncated, empty) = ("truncated macro reference: \"${\"", "empty macro name: \"$a$\"");
    let fatal = malformed(&params, &master).into_iter().map(|(_, error)| error).collect();
    assert_eq!(text(fatal), [bad_name, empty, loop_]);
    assert_eq!(text(misread(&params, &master)), [bad_name, truncated, bad_name, empty]);
}

#[test]
fn a_setting_of_a_service_is_for_itself_and_for_main_cf() {
    let master = "a inet n - n - - smtpd -o relayhost=$own -o x=$main\n\
                  b inet n - n - - smtpd -o own=1 -o for_main=2 -o alias_maps=mysql:m -o m_hosts=x\n\
                  c inet n - n - - smtpd -o m_hosts=x -o alias_maps=ldap:/f,ldap:m\n";
    let (params, master) = parsed("myorigin = $for_main\nmain = x\n", master);
    let unused = findings(&params, &master, &|_| true);
    let unused: Vec<_> = unused.iter().map(ToString::to_string).collect();
    let expected = ["x=$main", "own=1", "m_hosts=x"];
    assert_eq!(unused, expected.map(|text| std::format!("master.cf: unused parameter: {text}")));
    let names = undefined(&params, &master);
    assert_eq!(names, [("master.cf".to_string(), "own".to_string())]);
    let tables = tables(&params, &master).into_iter().map(|table| (table.kind, table.name));
    let tables: Vec<_> = tables.map(|(kind, name)| std::format!("{kind}:{name}")).collect();
    assert_eq!(tables, ["ldap:/f", "ldap:m", "mysql:m"]);
}
