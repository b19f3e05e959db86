//! Mistakes in common parameters, in Postfix's words and order.

use std::string::ToString;

use super::*;
use crate::{Host, MainCf};

struct Few;

impl Accounts for Few {
    fn user(&self, name: &str) -> Option<(u32, u32)> {
        match name {
            "root" => Some((0, 0)),
            "postfix" => Some((100, 105)),
            "nobody" => Some((65534, 65534)),
            _ => None,
        }
    }

    fn group(&self, name: &str) -> Option<u32> {
        match name {
            "root" => Some(0),
            "postfix" => Some(105),
            "postdrop" => Some(106),
            _ => None,
        }
    }
}

fn told(main: &str) -> (Vec<String>, String) {
    let text = ["myhostname = a.test\n", main].concat();
    let main = MainCf::parse("main.cf", text.as_bytes()).unwrap();
    let interfaces = [("127.0.0.1".parse().unwrap(), 8)].into();
    let host = Host { hostname: "a.test".to_string(), interfaces, ..Host::default() };
    match common(&Params::new(main, host), Some(&Few)) {
        Ok(warnings) => (warnings, String::new()),
        Err(refusal) => (refusal.warnings, refusal.fatal),
    }
}

#[test]
fn a_good_file_is_taken() {
    for main in ["", "message_size_limit = -5", "inet_interfaces = 127.0.0.1", "biff = maybe"] {
        assert_eq!(told(main), (Vec::new(), String::new()), "{main}");
    }
}

#[test]
fn mistakes_are_worded_as_in_postfix() {
    let cases = [
        ("message_size_limit = abc", "bad numerical configuration: message_size_limit = abc"),
        ("compatibility_level = x", "malformed compatibility level syntax: \"x\""),
        ("mail_name =", "bad string length 0 < 1: mail_name = "),
        ("inet_protocols = ipv9", "unknown inet_protocols value \"ipv9\" in \"ipv9\""),
        ("syslog_facility = x", "file main.cf: parameter syslog_facility: unrecognized value: x"),
        ("mail_owner = x", "file main.cf: parameter mail_owner: unknown user name value: x"),
        (
            "mail_owner = root",
            "file main.cf: parameter mail_owner: user root has privileged user ID",
        ),
        ("setgid_group = x", "file main.cf: parameter setgid_group: unknown group name: x"),
        (
            "relayhost = A.test",
            "myhostname and relayhost parameter settings must not be identical: a.test",
        ),
        (
            "inet_interfaces = 192.0.2.1",
            "parameter inet_interfaces: no local interface found for 192.0.2.1",
        ),
        (
            "inet_interfaces = all, 127.0.0.1",
            "config variable inet_interfaces: host not found: all",
        ),
    ];
    for (main, fatal) in cases {
        assert_eq!(told(main), (Vec::new(), fatal.to_string()));
    }
}

#[test]
fn the_earlier_mistake_of_two_is_told() {
    let (_, fatal) = told("ipc_ttl = x\nmail_owner = x\n");
    assert_eq!(fatal, "parameter ipc_ttl: bad time value or unit: x");
    let (warnings, fatal) = told("myhostname = a!\nmail_name =\n");
    assert!(warnings.last().unwrap().ends_with("invalid character 33(decimal): a!"));
    assert_eq!(fatal, "file main.cf: parameter myhostname: bad parameter value: a!");
}

#[test]
fn ports_that_cannot_be_used_are_warned_about() {
    let (warnings, fatal) = told("known_tcp_ports = abc,a=b, =2,a=, x=y=25,25=smtp,smtp=-1\n");
    assert_eq!(fatal, "");
    let expected = [
        "known_tcp_ports: in \"abc\" is not in \"name = value\" form",
        "known_tcp_ports: in \"a=b\": non-numerical service port",
        "known_tcp_ports: in \" =2\": missing service name before \"=\"",
        "known_tcp_ports: in \"a=\": missing port value after \"=\"",
        "known_tcp_ports: in \"25=smtp\": numerical service name",
        "known_tcp_ports: in \"smtp=-1\": non-numerical service port",
    ];
    assert_eq!(warnings, expected);
}
