//! The command against expected text, and against Postfix's own where that is installed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::*;

const POSTFIX: &str = "/usr/sbin/postconf";

pub(super) fn directory(main: &str, master: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("main.cf"), main).expect("main.cf");
    fs::write(directory.path().join("master.cf"), master).expect("master.cf");
    directory
}

pub(super) fn ours(directory: &Path, args: &[&str]) -> (Output, Result<(), Fatal>) {
    let directory = directory.display().to_string();
    let mut words = vec!["-c".to_owned(), directory];
    words.extend(args.iter().map(|arg| (*arg).to_owned()));
    let mut out = Output::default();
    let result = run(&words, &mut out);
    (out, result)
}

fn edited(main: &str, args: &[&str]) -> (String, Vec<String>) {
    let directory = directory(main, "");
    let (out, result) = ours(directory.path(), args);
    assert_eq!(result, Ok(()));
    let text = fs::read_to_string(directory.path().join("main.cf")).expect("main.cf");
    (text, out.warnings)
}

const EDITED: &str =
    "# top\nmyorigin = a\n  # in\n  b\n# mid\nmyorigin = dup\nrelayhost=x\n\n# end";

#[test]
fn set_replaces_lines_in_place_and_appends_new_ones() {
    let (text, warnings) = edited(EDITED, &["-e", "myorigin= new ", "own=a  b", "relayhost="]);
    let expected = "# top\nmyorigin = new\n  # in\n# mid\nmyorigin = new\nrelayhost = \n\n\
        # end\nown = a  b\n";
    assert_eq!(text, expected);
    assert!(warnings[0].ends_with("main.cf: multiple entries for \"myorigin\""), "{warnings:?}");
}

#[test]
fn an_argument_with_equals_is_an_edit_without_e() {
    let (text, warnings) = edited("a = 1\n", &["a=2", "a=3"]);
    assert_eq!(text, "a = 3\n");
    assert_eq!(warnings, ["warning: ignoring earlier request: 'a = 2'"]);
}

#[test]
fn remove_and_comment_out_take_the_continuation_lines_along() {
    let (text, _) = edited(EDITED, &["-X", "myorigin", "nosuch"]);
    assert_eq!(text, "# top\n  # in\n# mid\nrelayhost=x\n\n# end");
    let (text, _) = edited(EDITED, &["-#", "myorigin"]);
    let expected =
        "# top\n#myorigin = a\n  # in\n#  b\n# mid\n#myorigin = dup\nrelayhost=x\n\n# end";
    assert_eq!(text, expected);
}

#[test]
fn an_edit_keeps_the_mode_and_leaves_no_other_file() {
    let directory = directory("a = 1\n", "");
    let path = directory.path().join("main.cf");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    fs::set_permissions(&path, mode).expect("chmod");
    assert_eq!(ours(directory.path(), &["-e", "a=2"]).1, Ok(()));
    let meta = fs::metadata(&path).expect("main.cf");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&meta) & 0o777, 0o640);
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 2);
}

#[test]
fn bad_requests_are_worded_as_in_postfix_and_change_nothing() {
    let cases: &[(&[&str], &str)] = &[
        (&["-e", "bad"], "missing '=' after attribute name: \"bad\""),
        (&["-e", "=x"], "missing attribute name: \"=x\""),
        (&["-e", "a=b\nc"], "-e, -X, or -# accepts no multi-line input"),
        (&["-e", "#a=b"], "-e, -X, or -# accepts no comment input"),
        (&["-X", "a=b"], "specify one of -e -X"),
        (&["-e"], "-e requires name=value argument"),
        (&["-n", "-d"], "specify one of -d -n"),
        (&["-h", "-H", "x"], "specify one of -h -H"),
        (&["-d", "-o", "a=b"], "specify one of -d -o"),
        (&["-X", "-x", "a"], "specify one of -x -X"),
        (&["-m", "-p"], "specify one of -m -p"),
        (&["-M", "-n"], "with option -M, do not specify -n"),
        (&["-m", "-x"], "with option -m, do not specify -x"),
        (&["-C", "foo"], "unknown -C option value \"foo\" in \"foo\""),
        (&["-o", "foo"], "invalid parameter override: foo: missing '=' after attribute name"),
    ];
    for (args, expected) in cases {
        let directory = directory("a = 1\n", "");
        let (_, result) = ours(directory.path(), args);
        assert_eq!(result, Err(Fatal((*expected).to_owned())), "{args:?}");
        let text = fs::read_to_string(directory.path().join("main.cf")).expect("main.cf");
        assert_eq!(text, "a = 1\n");
    }
}

#[test]
fn columns_realign_after_a_long_name() {
    let master = "127.0.0.1:smtp inet n - n - - smtpd -o a=b -o { c = d e }\n";
    let directory = directory("", master);
    let expected = "127.0.0.1:smtp inet n    -       n       -       -       \
        smtpd -o a=b -o {c=d e}\n";
    assert_eq!(ours(directory.path(), &["-M"]).0.text, expected);
}

/// A configuration with everything that makes output differ.
const MAIN: &str = "# c\ncompatibility_level = 3.6\nmyhostname = mx.example.test\n\
    mydestination = $myhostname, localhost.$mydomain,\n    localhost\nmyown = custom $mydomain\n\
    relayhost =\nunused_parameter = foo\nsmtpd_banner =  $myhostname   ESMTP ${myown}\n\
    smtpd_restriction_classes = cls, cls2\ncls = permit\nforward_path = $home/x\n\
    local_destination_rate_delay = 1s\nrelay_destination_rate_delay = 2s\nusedm = $nope\n\
    nosvc_time_limit = 6\nvirtual_maps = hash:/x\nmydomain = a.test\nmydomain = b.test\n\
    header_checks = { a   b\n  c } 0123456789 0123456789 0123456789 0123456789 0123456789 01\n";
const MASTER: &str = "# c\nsmtp inet n - n - - smtpd -o myhostname=$usedm -o unk=$used\n  \
    -v -o { smtpd_banner = a b $nope }\n[::1]:2525 inet n - - - 1 smtpd\n\
    relay unix - - n - - smtp\n  -o syslog_name=postfix/$service_name\n\
    local unix - n n - - local\npl unix-dgram n - n 1000? 1 postlogd\n\
    maildrop unix - n n - - pipe\n flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}\n\
    policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy-with-a-long-name -x -y ${z}\n";

/// Lines without those that name a process.
fn steady(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("process_id = ")).collect()
}

#[test]
fn output_is_that_of_postfix() {
    if !Path::new(POSTFIX).exists() {
        println!("SKIPPED: {POSTFIX} is not installed, nothing to compare with");
        return;
    }
    let directory = directory(MAIN, MASTER);
    let all: &[&[&str]] = &[
        &[],
        &["-n"],
        &["-d"],
        &["-x"],
        &["-hn"],
        &["-H"],
        &["-f"],
        &["-nf"],
        &["-nx"],
        &["-xf"],
        &["-M"],
        &["-Mf"],
        &["-F"],
        &["-P"],
        &["-Px"],
        &["-l"],
        &["-a"],
        &["-A"],
        &["-C", "user"],
        &["-C", "service"],
        &["-C", "builtin"],
        &["-C", "builtin,user", "-n"],
        &["-d", "-C", "service"],
        &["relayhost", "nosuch", "myown", "unused_parameter", "cls", "cls2", "virtual_maps"],
        &["-xh", "smtpd_banner", "mydestination", "forward_path"],
        &["-o", "relayhost=$myown", "-x", "relayhost"],
        &["-n", "mynetworks", "relayhost"],
        &["-M", "smtp"],
        &["-M", "smtp/inet", "nosuch/unix"],
        &["-F", "*/unix/chroot"],
        &["-P", "smtp/inet/unk", "smtp/inet/zz"],
        &["-d", "nosuch", "mail_version"],
        &["-n", "-d"],
        &["-C", "foo"],
        &["-o", "foo"],
    ];
    for args in all {
        compare(directory.path(), args);
    }
    let plain = self::directory("mydomain = a.test\n", "");
    for value in ["${", "$relayhost", "${x y}", "${{a} == b}", "${{a} <level {3}}"] {
        let value = format!("relayhost={value}");
        compare(plain.path(), &["-x", "-o", &value, "relayhost"]);
    }
}

/// Same output, same exit code, same warnings and errors in any order and number. Postfix reads
/// main.cf several times and warns of overridden entries anew, in both directions: left out.
fn compare(directory: &Path, args: &[&str]) {
    let mut command = Command::new(POSTFIX);
    command.arg0("postconf").arg("-c").arg(directory).args(args);
    let theirs = command.output().expect("postconf runs");
    let (out, result) = ours(directory, args);
    let text = String::from_utf8_lossy(&theirs.stdout);
    for (ours, theirs) in steady(&out.text).iter().zip(steady(&text)) {
        assert_eq!(*ours, theirs, "{args:?}");
    }
    assert_eq!(out.text.lines().count(), text.lines().count(), "{args:?}");
    assert_eq!(result.is_ok(), theirs.status.success(), "{args:?}");
    let errors = String::from_utf8_lossy(&theirs.stderr);
    let once = |line: &&str| !line.contains("overriding earlier entry");
    let theirs = errors.lines().map(|line| line.strip_prefix("postconf: ").unwrap_or(line));
    let theirs: BTreeSet<_> = theirs.filter(once).collect();
    let fatal = result.err().map(|Fatal(text)| format!("fatal: {text}"));
    let ours: BTreeSet<_> =
        out.warnings.iter().map(String::as_str).filter(once).chain(fatal.as_deref()).collect();
    assert_eq!(ours, theirs, "{args:?}");
}
