//! What no program can work with.

use super::{Step, compare, installed, none_differs};

/// Lines of main.cf that no program can work with, or warns about; in root's eyes only after `!`.
static BROKEN: &[&str] = &[
    "message_size_limit=abc",
    "message_size_limit=-5",
    "message_size_limit=1e3",
    "line_length_limit=-1",
    "delay_logging_resolution_limit=7",
    "in_flow_delay=1h30m",
    "in_flow_delay=5x",
    "in_flow_delay=9sx",
    "ipc_timeout=0",
    "ipc_timeout=9999999d",
    "soft_bounce=maybe",
    "biff=maybe",
    "mail_name=",
    "mail_name=${",
    "mail_name=${x y}",
    "myhostname=bad_name!",
    "myhostname=a..b",
    "myhostname=-a",
    "myhostname=127.0.0.1",
    "myhostname=a.",
    "myhostname=.",
    "myhostname=$myhostname",
    "mydomain=b!",
    "compatibility_level=x",
    "compatibility_level=",
    "compatibility_level=3.1024",
    "inet_protocols=ipv9",
    "inet_protocols=ipv4,IPv6",
    "inet_interfaces=nohost.invalid",
    "inet_interfaces=all, 127.0.0.1",
    "inet_interfaces=192.0.2.1",
    "inet_interfaces=*",
    "syslog_facility=local9",
    "relayhost=$myhostname",
    "default_verp_delimiters=ab",
    "default_verp_delimiters=abc",
    "verp_delimiter_filter=+",
    "maillog_file=/srv/x",
    "known_tcp_ports=abc, a=b, =2, a=, x=y=25, 25=smtp",
    "import_environment==x",
    "import_environment={A",
    "mynetworks_style=x",
    "mynetworks=${",
    "mydestination=$(x",
    "foo",
    "=x",
    "default_database_type=nosuch",
    "!mail_owner=root",
    "!mail_owner=nosuchuser",
    "!mail_owner=nobody",
    "!default_privs=root",
    "!setgid_group=root",
    "!setgid_group=postfix",
    "!setgid_group=nosuchgroup",
    "mail_name=\nmyhostname=a!",
    "inet_protocols=x\nmyhostname=a!",
    "ipc_ttl=x\nmessage_size_limit=x",
];

#[test]
fn broken_parameters_end_every_program_as_in_postfix() {
    if !installed() {
        return;
    }
    let root = rustix::process::geteuid().is_root();
    none_differs(BROKEN, |line, found| {
        if line.starts_with('!') && !root {
            return;
        }
        let line = line.trim_start_matches('!');
        let name = line.split('=').next().unwrap_or_default();
        let mut main = format!("{line}\n");
        for (other, value) in [("compatibility_level", "3.6"), ("myhostname", "a.test")] {
            if name != other && !line.contains(&format!("\n{other}")) {
                main.push_str(&format!("{other} = {value}\n"));
            }
        }
        compare(&main, &[("postmap", &["-q", "x", "static:y"], "")], found);
    });
}

#[test]
fn each_program_has_its_own_exit_code_for_a_broken_main_cf() {
    if !installed() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: set-gid commands take -c from root only");
        return;
    }
    let broken = [
        "myhostname = a!\n",
        "myhostname = a.test\nmail_name = ${\n",
        "myhostname = a.test\nimport_environment = =\nmaillog_file = /srv/x\n",
    ];
    none_differs(&broken, |broken, found| {
        let main = format!("compatibility_level = 3.6\n{broken}");
        let all: [Step<'_>; 5] = [
            ("postqueue", &["-p"], ""),
            ("postsuper", &["-s"], ""),
            ("postcat", &["-q", "x"], ""),
            ("sendmail", &["-q"], ""),
            ("postalias", &["-q", "x", "static:y"], ""),
        ];
        compare(&main, &all, found);
    });
}
