//! Rows of the seed material about configuration and tables, one test each, with our commands.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MAIN: &str = "# top\ncompatibility_level = 3.6\nmyhostname = mx.example.test\n\
    mydestination = $myhostname,\n    localhost\n# end\nmydestination = last.test\n";

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("main.cf"), MAIN).expect("main.cf");
    fs::write(directory.path().join("master.cf"), "smtp inet n - n - - smtpd\n")
        .expect("master.cf");
    directory
}

fn run(program: &str, directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.arg("-c").arg(directory).args(words).current_dir(directory);
    command.env_remove("MAIL_CONFIG").output().expect(program)
}

fn postconf(directory: &Path, words: &[&str]) -> (String, String) {
    let output = run(env!("CARGO_BIN_EXE_postconf"), directory, words);
    assert!(output.status.success(), "{words:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Standard output, standard error and exit code of postmap.
fn postmap(directory: &Path, words: &[&str]) -> (String, String, Option<i32>) {
    let output = run(env!("CARGO_BIN_EXE_postmap"), directory, words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn s35_the_last_line_of_a_name_wins() {
    let directory = directory();
    let (text, errors) = postconf(directory.path(), &["mydestination"]);
    assert_eq!(text, "mydestination = last.test\n");
    assert!(errors.contains("overriding earlier entry: mydestination=$myhostname,"), "{errors}");
}

#[test]
fn s36_postconf_e_edits_in_place() {
    let directory = directory();
    postconf(directory.path(), &["-e", "myhostname=nabsd.cs.nctu.edu.tw"]);
    let text = fs::read_to_string(directory.path().join("main.cf")).expect("main.cf");
    assert_eq!(text, MAIN.replace("mx.example.test", "nabsd.cs.nctu.edu.tw"));
}

#[test]
fn s37_postconf_d_shows_the_default() {
    let directory = directory();
    let (text, _) = postconf(directory.path(), &["-d", "relayhost", "mydestination"]);
    assert_eq!(text, "relayhost =\nmydestination = $myhostname, localhost.$mydomain, localhost\n");
    let (text, _) = postconf(directory.path(), &["-d", "myhostname"]);
    assert!(!text.contains("mx.example.test"), "{text}");
}

#[test]
fn s38_postconf_shows_what_is_set_and_warns_of_unknown_names() {
    let directory = directory();
    let (text, errors) = postconf(directory.path(), &["myhostname", "x"]);
    assert_eq!(text, "myhostname = mx.example.test\n");
    assert!(errors.contains("warning: x: unknown parameter"), "{errors}");
}

#[test]
fn s42_s43_s44_a_table_is_built_and_asked() {
    let directory = directory();
    let source = "# c\nNctu.edu.tw OK\n  really\nnctu.edu.tw REJECT\n";
    fs::write(directory.path().join("access"), source).expect("access");
    let (_, errors, code) = postmap(directory.path(), &["access"]);
    assert!(errors.contains("duplicate entry: \"nctu.edu.tw\""), "{errors}");
    assert_eq!(code, Some(0));
    assert!(directory.path().join("access.db").exists());
    let (text, _, code) = postmap(directory.path(), &["-q", "NCTU.edu.tw", "access"]);
    assert_eq!((text.as_str(), code), ("OK  really\n", Some(0)));
    let (text, _, code) = postmap(directory.path(), &["-q", "cs.nctu.edu.tw", "access"]);
    assert_eq!((text.as_str(), code), ("", Some(1)));
}

#[test]
fn s45_postconf_m_lists_the_types() {
    let (text, _) = postconf(directory().path(), &["-m"]);
    let types: Vec<&str> = text.lines().collect();
    for kind in
        ["btree", "cidr", "environ", "hash", "pcre", "proxy", "regexp", "static", "unix", "lmdb"]
    {
        assert!(types.contains(&kind), "{kind}: {types:?}");
    }
    assert!(types.is_sorted());
}

#[test]
fn s46_a_restriction_is_no_parameter() {
    let directory = directory();
    let path = directory.path().join("main.cf");
    fs::write(path, format!("{MAIN}check_client_access = hash:/etc/access\n")).expect("main.cf");
    let (_, errors) = postconf(directory.path(), &["myhostname"]);
    let warning = "unused parameter: check_client_access=hash:/etc/access";
    assert!(errors.contains(warning), "{errors}");
}

#[test]
fn s47_the_default_type_is_hash() {
    let directory = directory();
    assert_eq!(postconf(directory.path(), &["-h", "default_database_type"]).0, "hash\n");
}

#[test]
fn s48_s49_patterns_match_in_the_order_of_their_lines() {
    let directory = directory();
    let rules = "if /example/\n/^mx/ one\n/EXAMPLE$/ two\nendif\n!/test/ three\n";
    fs::write(directory.path().join("rules"), rules).expect("rules");
    for kind in ["regexp", "pcre"] {
        let table = format!("{kind}:rules");
        let found = |key: &str| postmap(directory.path(), &["-q", key, &table]).0;
        assert_eq!(found("mx.example"), "one\n");
        assert_eq!(found("an.example"), "two\n");
        assert_eq!(found("other"), "three\n");
        assert_eq!(found("a.test"), "");
    }
}

#[test]
fn s52_a_nis_table_is_empty() {
    let directory = directory();
    let (text, errors, code) = postmap(directory.path(), &["-q", "x", "nis:mail.aliases"]);
    assert_eq!((text.as_str(), code), ("", Some(1)));
    let warning = "dict_nis_init: NIS domain name not set - NIS lookups disabled";
    assert_eq!(errors.matches(warning).count(), 1, "{errors}");
}

#[test]
fn s54_postalias_builds_what_others_expect() {
    let directory = directory();
    fs::write(directory.path().join("aliases"), "Root: alice\n").expect("aliases");
    let postalias = env!("CARGO_BIN_EXE_postalias");
    assert!(run(postalias, directory.path(), &["aliases"]).status.success());
    let found = run(postalias, directory.path(), &["-q", "root", "aliases"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "alice\n");
    let all = run(postalias, directory.path(), &["-s", "aliases"]).stdout;
    let all = String::from_utf8_lossy(&all).into_owned();
    for key in ["@:\t@", "YP_LAST_MODIFIED:\t", "YP_MASTER_NAME:\tmx.example.test"] {
        assert!(all.contains(key), "{key} in {all}");
    }
}

#[test]
fn s50_patterns_are_asked_for_headers_and_for_lines_of_the_body() {
    let directory = directory();
    let rules = "/^Subject: .*take advantage now/ REJECT\n/lowest rates.*!/ REJECT rates\n";
    fs::write(directory.path().join("rules"), rules).expect("rules");
    let message = "From: a@b.example\nSubject: please\n take advantage now\n\n\
        the LOWEST rates of all!\n";
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postmap"));
        command.arg("-c").arg(directory.path()).args(words).current_dir(directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("postmap");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(message.as_bytes()).expect("all of it");
        drop(input);
        let output = child.wait_with_output().expect("its end");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for kind in ["regexp:rules", "pcre:rules"] {
        let header = ask(&["-h", "-q", "-", kind]);
        // A header is one key, with the line ends inside it.
        assert_eq!(header, "Subject: please\n take advantage now\tREJECT\n", "{kind}");
        let body = ask(&["-b", "-q", "-", kind]);
        assert_eq!(body, "the LOWEST rates of all!\tREJECT rates\n", "{kind}");
    }
}

#[test]
fn s53_newaliases_builds_what_alias_database_names() {
    let directory = directory();
    for name in ["one", "two", "other"] {
        fs::write(directory.path().join(name), "root: alice\n").expect("aliases");
    }
    let at = |name: &str| directory.path().join(name).display().to_string();
    let main = format!(
        "{MAIN}alias_database = hash:{}, hash:{}\nalias_maps = hash:{}\n",
        at("one"),
        at("two"),
        at("other")
    );
    fs::write(directory.path().join("main.cf"), main).expect("main.cf");
    let mut command = Command::new(env!("CARGO_BIN_EXE_newaliases"));
    let done = command.env("MAIL_CONFIG", directory.path()).output().expect("newaliases");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let built = |name: &str| directory.path().join(format!("{name}.db")).exists();
    assert_eq!((built("one"), built("two"), built("other")), (true, true, false));
}
