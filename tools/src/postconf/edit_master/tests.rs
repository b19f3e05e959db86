//! master.cf before and after.

use super::super::tests::{directory, ours};
use std::fs;

const BEFORE: &str = "# c\nsmtp inet n - n - - smtpd -o a=1\n  -o b=2\n# in\n\
    relay unix - - n - - smtp\ndrop unix - n n - - pipe\n flags=x argv=/y\n# end\n";

fn edited(args: &[&str]) -> (String, Vec<String>) {
    let directory = directory("", BEFORE);
    let (out, result) = ours(directory.path(), args);
    assert_eq!(result, Ok(()), "{args:?}");
    (fs::read_to_string(directory.path().join("master.cf")).unwrap(), out.warnings)
}

#[test]
fn entries_are_replaced_in_place_removed_commented_out_and_appended() {
    let (text, _) = edited(&["-Me", "smtp/inet=smtp inet n - y - - smtpd -o c=d"]);
    assert!(text.starts_with(
        "# c\nsmtp       inet  n       -       y       -       -       smtpd\n    -o c=d\n# in\n"
    ));
    let (text, _) = edited(&["-MX", "*/unix"]);
    assert!(text.ends_with("# in\n# end\n"), "{text}");
    let (text, _) = edited(&["-M#", "smtp/inet"]);
    assert!(text.contains("#smtp inet n - n - - smtpd -o a=1\n#  -o b=2\n"), "{text}");
    let (text, _) = edited(&["-M", "new/unix=new unix - - - - - lmtp"]);
    let line = "new        unix  -       -       -       -       -       lmtp\n";
    assert_eq!(text, [BEFORE, line].concat());
}

#[test]
fn a_changed_entry_is_written_behind_the_comments_within() {
    let (text, _) = edited(&["-F", "smtp/inet/chroot=y"]);
    let new = "# c\n# in\nsmtp       inet  n       -       y       -       -       smtpd\n    \
        -o a=1\n    -o b=2\nrelay unix";
    assert!(text.starts_with(new), "{text}");
}

#[test]
fn settings_are_replaced_added_and_taken_away() {
    let (text, _) = edited(&["-P", "smtp/inet/a=9", "smtp/inet/c=3"]);
    assert!(text.contains("smtpd\n    -o a=9\n    -o b=2\n    -o c=3\n"), "{text}");
    let (text, _) = edited(&["-P", "drop/unix/a=9"]);
    assert!(text.contains("pipe\n    -o a=9\n    flags=x argv=/y\n"), "{text}");
    let (text, _) = edited(&["-PX", "smtp/inet/a", "smtp/inet/b"]);
    assert!(text.contains("smtpd\nrelay"), "{text}");
    let (text, warnings) = edited(&["-P", "nosuch/unix/a=b"]);
    assert_eq!(text, BEFORE);
    assert_eq!(warnings, ["warning: unmatched service_name/type: \"nosuch/unix/a=b\""]);
}

#[test]
fn bad_requests_leave_the_file_alone() {
    let cases: &[(&[&str], &str)] = &[
        (&["-Me", "x=a b"], "-Me, -MX or -M# requires service_name/type"),
        (&["-Me", "x/unix=a b"], "bad field count: \"x/unix=a b\""),
        (&["-F", "smtp/inet/zz=a"], "invalid service attribute name: \"zz\""),
        (&["-F", "smtp/inet/chroot=q"], "invalid chroot field \"q\" in \"q\""),
        (&["-F", "smtp/inet=q"], "-Fe or -FX requires service_name/type/field_name"),
        (&["-P", "smtp/inet/a=b c"], "-Pe does not accept whitespace in parameter value"),
        (&["-PX", "smtp/inet/*"], "-Pe does not accept wild-card parameter name"),
        (&["-FX", "smtp/inet/chroot"], "with option -F, do not specify -X"),
        (&["-P#", "smtp/inet/a"], "with option -P, do not specify -#"),
    ];
    for (args, expected) in cases {
        let directory = directory("", BEFORE);
        let (_, result) = ours(directory.path(), args);
        assert_eq!(result.unwrap_err().0, *expected, "{args:?}");
        assert_eq!(fs::read_to_string(directory.path().join("master.cf")).unwrap(), BEFORE);
    }
}
