//! Template files: what is taken, what is left out with a warning, what becomes of `$name`.

use std::vec;

use super::*;
use crate::{Host, MainCf};

fn params(main: &str) -> Params {
    let main = MainCf::parse("main.cf", main.as_bytes()).unwrap();
    Params::new(main, Host { hostname: "mx.test".into(), ..Host::default() })
}

fn read(text: &str) -> (Vec<Template>, Vec<String>) {
    let mut warnings = Vec::new();
    let templates = parse("f", text, &mut |warning| warnings.push(warning)).unwrap();
    (templates, warnings)
}

#[test]
fn a_file_replaces_what_it_names() {
    let text = "# c\nfailure_template = <<EOF\nCharset: utf-8\nSubject: s\n\nb $myhostname\nEOF\n";
    let (templates, warnings) = read(text);
    assert!(warnings.is_empty());
    assert_eq!((templates[0].charset.as_str(), templates[0].subject.as_str()), ("utf-8", "s"));
    assert_eq!(templates[0].postmaster_subject, defaults()[0].postmaster_subject);
    assert_eq!(templates[0].expanded(&params("")), Ok(vec!["b mx.test".to_string()]));
    assert_eq!(templates[1..], defaults()[1..]);
}

#[test]
fn what_cannot_be_used_is_left_out_with_a_warning() {
    let cases = [
        ("a_template = <<EOF\nb\nEOF\n", "f, line 4: unknown template name: a_template"),
        (
            "failure_template = <<EOF\nB: x\n\nb\nEOF\n",
            "f: unknown \"B\" header label in failure template",
        ),
        (
            "failure_template = <<EOF\nFrom: x\n\nEOF\n",
            "f: missing message text in failure template",
        ),
        (
            "verify_template = <<EOF\nPostmaster-Subject: x\n\nb\nEOF\n",
            "f: inapplicable \"Postmaster-Subject\" header label in verify template",
        ),
    ];
    for (text, warning) in cases {
        let (templates, warnings) = read(text);
        assert_eq!(templates, defaults());
        assert_eq!(warnings, [format!("{warning} -- ignoring this template")]);
    }
    let (templates, warnings) = read("failure_template = <<EOF\nx\n");
    assert_eq!(warnings, ["f, line 3: missing \"EOF\" end marker"]);
    assert_eq!(templates[0].text, ["x"]);
}

#[test]
fn a_line_that_is_no_template_ends_it_all() {
    for (text, error) in [
        ("# c\nabc\n", "f, line 3: missing '=' after attribute name: \"abc\""),
        ("delay_template = <<EOF\nb\nEOF\n= x\n", "f, line 5: missing attribute name: \"= x\""),
    ] {
        let no_warning = &mut |warning| panic!("{warning}");
        assert_eq!(parse("f", text, no_warning), Err(error.to_string()));
    }
}

#[test]
fn times_are_told_in_the_unit_asked_for() {
    let text = defaults()[1].expanded(&params("delay_warning_time = 4h\n")).unwrap();
    assert!(text.iter().any(|line| line.ends_with("more than 4 hour(s).")));
    assert!(text.iter().any(|line| line.ends_with("it is 5 day(s) old.")));
}

#[test]
fn what_has_no_value_is_an_error() {
    let (templates, _) = read("failure_template = <<EOF\nx $nope y\nEOF\n");
    let error = templates[0].expanded(&params("")).unwrap_err().to_string();
    assert_eq!(error, "f: undefined $name in failure template: x $nope y");
    let (templates, _) = read("failure_template = <<EOF\nx ${nope y\nEOF\n");
    let error = templates[0].expanded(&params("")).unwrap_err().to_string();
    assert_eq!(error, "f: bad $name syntax in failure template: x ${nope y");
}
