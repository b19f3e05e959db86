//! Typed look-ups: defaults, overrides, families, error texts of Postfix 3.7.

use std::string::ToString;

use super::*;

fn params(main: &str) -> Params {
    let main = MainCf::parse("main.cf", main.as_bytes()).expect("a good file");
    Params::new(main, Host { hostname: "vm".to_string(), ..Host::default() })
}

fn complaint(main: &str, name: &str) -> String {
    params(main).check(name).expect_err("a bad value").to_string()
}

#[test]
fn defaults_depend_on_the_compatibility_level() {
    let (old, new) = (params(""), params("compatibility_level = 3.6"));
    for (name, before, after) in [
        ("append_dot_mydomain", true, false),
        ("smtputf8_enable", false, true),
        ("smtpd_relay_before_recipient_restrictions", false, true),
    ] {
        assert_eq!((old.flag(name), new.flag(name)), (Ok(before), Ok(after)), "{name}");
    }
    assert_eq!(new.level(), Ok(Level::new(3, 6)));
    assert_eq!(old.text("smtpd_tls_fingerprint_digest").as_deref(), Ok("md5"));
}

#[test]
fn names_of_the_host_are_computed() {
    assert_eq!(params("").text("myhostname").as_deref(), Ok("vm.localdomain"));
    assert_eq!(params("").text("mydomain").as_deref(), Ok("localdomain"));
    let set = params("myhostname = mx.example.test");
    assert_eq!(set.text("mydomain").as_deref(), Ok("example.test"));
    assert_eq!(params("mydomain = a.test").text("myhostname").as_deref(), Ok("vm.a.test"));
}

/// Found by fuzzing: each of these made the computed default look up itself until the stack was
/// used up. The values are those of Postfix 3.7.11's postconf -x.
#[test]
fn a_computed_default_may_be_made_from_itself() {
    let own = params("myhostname = mail.$mydomain");
    assert_eq!(own.text("myhostname").as_deref(), Ok("mail."));
    assert_eq!(own.value_of("mydomain").as_deref(), Some(""));
    for name in ["inet_interfaces", "mynetworks_style", "inet_protocols"] {
        let own = params(&std::format!("{name} = $mynetworks\nmyhostname = $mynetworks"));
        assert_eq!(own.expand("<$mynetworks>").as_deref(), Ok("<>"), "{name}");
    }
}

#[test]
fn overrides_go_before_main_cf_and_leave_the_rest() {
    let base = params("syslog_name = a\nrelayhost = $own\nown = b");
    let pairs = [("syslog_name".to_string(), "postfix/$service_name".to_string())];
    let service = base.with_overrides(&pairs);
    let service = service.with_overrides(&[("service_name".to_string(), "relay".to_string())]);
    assert_eq!(service.text("syslog_name").as_deref(), Ok("postfix/relay"));
    assert_eq!(service.text("relayhost").as_deref(), Ok("b"));
    assert_eq!(base.text("syslog_name").as_deref(), Ok("a"));
    assert_eq!(base.user_defined().map(|s| (s.name, s.line)).next(), Some(("own", 3)));
}

#[test]
fn stress_changes_defaults() {
    let calm = params("");
    let stressed = calm.with_overrides(&[("stress".to_string(), "yes".to_string())]);
    assert_eq!(
        (calm.seconds("smtpd_timeout"), stressed.seconds("smtpd_timeout")),
        (Ok(300), Ok(10))
    );
    assert_eq!(stressed.int("smtpd_hard_error_limit"), Ok(1));
}

#[test]
fn a_bare_time_has_the_unit_of_the_default() {
    let set = params(
        "delay_warning_time = 1\nmaximal_queue_lifetime = 2\nqueue_run_delay = 3\n\
         bsmtp_recipient_refill_delay = 4\nsmtpd_timeout = 5",
    );
    assert_eq!(set.seconds("delay_warning_time"), Ok(3600));
    assert_eq!(set.seconds("maximal_queue_lifetime"), Ok(172_800));
    assert_eq!(set.seconds("queue_run_delay"), Ok(3));
    assert_eq!(set.transport_seconds("bsmtp", "_recipient_refill_delay"), Ok(4));
    assert_eq!(set.seconds("smtpd_timeout"), Ok(5));
}

#[test]
fn families_fall_back_to_their_base() {
    let set = params("default_destination_concurrency_limit = 7\nx_destination_rate_delay = 1m");
    assert_eq!(set.transport_int("x", "_destination_concurrency_limit"), Ok(7));
    assert_eq!(set.transport_int("local", "_destination_concurrency_limit"), Ok(2));
    assert_eq!(set.transport_seconds("x", "_destination_rate_delay"), Ok(60));
    assert_eq!(set.transport_seconds("y", "_destination_rate_delay"), Ok(0));
    assert_eq!(set.transport_int("y", "_extra_recipient_limit"), Ok(1000));
    assert_eq!(set.transport_seconds("y", "_time_limit"), Ok(1000));
}

#[test]
fn raw_text_keeps_its_references() {
    let set = params("mailbox_command = /x $EXTENSION");
    assert_eq!(set.raw("mailbox_command").as_deref(), Ok("/x $EXTENSION"));
    assert!(set.raw("forward_path").is_ok_and(|text| text.starts_with("$home/")));
}

#[test]
fn bad_values_are_worded_as_in_postfix() {
    let cases = [
        ("ipc_timeout=5x", "parameter ipc_timeout: bad time value or unit: 5x"),
        ("ipc_timeout=0", "invalid ipc_timeout: 0 (min 1)"),
        ("in_flow_delay=5m", "invalid in_flow_delay: 300 (max 10)"),
        ("fork_attempts=0", "invalid fork_attempts parameter value 0 < 1"),
        ("fork_attempts=", "bad numerical configuration: fork_attempts = "),
        (
            "delay_logging_resolution_limit=9",
            "invalid delay_logging_resolution_limit parameter value 9 > 6",
        ),
        ("message_size_limit=abc", "bad numerical configuration: message_size_limit = abc"),
        ("soft_bounce=1", "bad boolean configuration: soft_bounce = 1"),
        ("compatibility_level=$foo", "malformed compatibility level syntax: \"\""),
        ("mail_owner=", "bad string length 0 < 1: mail_owner = "),
        ("default_verp_delimiters=abc", "bad string length 3 > 2: default_verp_delimiters = abc"),
        ("myorigin=$myorigin", "dictionary mail_dict: macro processing error"),
    ];
    for (line, expected) in cases {
        let name = line.split('=').next().expect("a name");
        assert_eq!(complaint(line, name), alloc::format!("fatal: {expected}"));
    }
    let style = "fatal: unknown mynetworks mask style value \"foo\" in \"foo\"";
    assert_eq!(complaint("mynetworks_style=foo", "mynetworks"), style);
    let host = "fatal: config variable inet_interfaces: host not found: nosuch.invalid";
    assert_eq!(complaint("inet_interfaces=nosuch.invalid", "mynetworks"), host);
}

#[test]
fn a_bad_value_knows_where_it_stands() {
    let error = params("# c\nsoft_bounce = 1\n").flag("soft_bounce").expect_err("bad");
    assert_eq!((&*error.file, error.line), ("main.cf", 2));
}

#[test]
#[should_panic(expected = "no_such_parameter is not a Postfix parameter")]
fn asking_for_an_unknown_name_is_our_bug() {
    let _ = params("").text("no_such_parameter");
}
