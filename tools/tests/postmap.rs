//! postmap(1) and postalias(1) beside those of Postfix, where they are installed.
//!
//! Both make their own databases of the same sources in directories of their own; what is printed,
//! what is warned of and the exit codes must be equal, after the order of listings.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

const OURS: [&str; 2] = [env!("CARGO_BIN_EXE_postmap"), env!("CARGO_BIN_EXE_postalias")];
const THEIRS: [&str; 2] = ["/usr/sbin/postmap", "/usr/sbin/postalias"];

const MAP: &str = "# c\nKey1  one\nkey2\ttwo  \n  more\n\nkey1 again\nkey4\nkey5: x\n\"a b\" c\n\
    \"open b\n\u{c4} \u{e4}\na\\ b c\nx\" y\" z\n";
const ALIASES: &str = "Root: alice\npm: root,\n bob,\n\tcarol\n\"a b\": d\npipe: \"|/bin/x y\"\n\
    dup: a\ndup: b\nno colon\nempty:\nf@g: x\nc:in:n: a\nh: (c) <a@b> c, :include:/x\n\
    odd: a> \"q\" b> (c) d> [e] <f>, x\\ y \"\\\\\" a!b%c@d;\n\"\": none\nn: a <b> <c>d\n";

/// One command: which of the two, its arguments, its standard input.
type Call = (usize, &'static [&'static str], &'static str);

const CALLS: &[Call] = &[
    (0, &["hash:t"], ""),
    (0, &["-q", "KEY1", "hash:t"], ""),
    (0, &["-q", "key2", "t"], ""),
    (0, &["-q", "\u{e4}", "t"], ""),
    (0, &["-fq", "Key1", "t"], ""),
    (0, &["-q", "nosuch", "t"], ""),
    (0, &["-q", "-", "t"], "key2\n\nnosuch\nKEY1\n\"a b\"\nlast"),
    (0, &["-s", "hash:t"], ""),
    (0, &["-d", "key2", "hash:t"], ""),
    (0, &["-d", "key2", "hash:t"], ""),
    (0, &["-i", "hash:t"], "new 1\nkey1 2\n"),
    (0, &["-r", "-i", "hash:t"], "new 2\n"),
    (0, &["-w", "-i", "hash:t"], "new 3\n"),
    (0, &["-d", "-", "hash:t"], "key5:\nnosuch\n"),
    (0, &["-s", "hash:t"], ""),
    (0, &["-i", "btree:fresh"], "b 1\na 2\n"),
    (0, &["-s", "btree:fresh"], ""),
    (0, &["-f", "hash:t"], ""),
    (0, &["-fs", "hash:t"], ""),
    (0, &["-r", "hash:t"], ""),
    (0, &["-s", "hash:t"], ""),
    (0, &["-q", "b", "btree:fresh", "hash:t"], ""),
    (0, &["-q", "x", "-d", "y", "hash:t"], ""),
    (0, &["-q", "x"], ""),
    (0, &["-Z"], ""),
    (0, &["-q", "x", "hash:missing"], ""),
    (0, &["hash:missing"], ""),
    (0, &["nosuch:t"], ""),
    (0, &["static:t"], ""),
    (0, &["-s", "static:t"], ""),
    (0, &["-d", "a", "static:t"], ""),
    (0, &["-q", "a", "hash:"], ""),
    (0, &["-q", "a", "inline:{a=}"], ""),
    (0, &["-q", "B", "inline:{a=b, {b = c d}}"], ""),
    (0, &["-q", "a", "pipemap:{inline:{a=B},inline:{b=c}}"], ""),
    (0, &["-q", "a", "unionmap:{static:{a b}, inline:{a=c}}"], ""),
    (0, &["-b", "-q", "x", "t"], ""),
    (1, &["hash:al"], ""),
    (1, &["-s", "hash:al"], ""),
    (1, &["-q", "ROOT", "hash:al"], ""),
    (1, &["-q", "-", "hash:al"], "pm\nzz\nPipe\n"),
    (1, &["-d", "dup", "al"], ""),
    (1, &["-q", "dup", "al"], ""),
    (1, &["-ri", "al"], "root: new\n"),
    (1, &["-s", "al"], ""),
    (1, &["-b", "al"], ""),
    (1, &["al", "missing"], ""),
];

/// What a call gave: exit code, sorted output, standard error.
type Outcome = (Option<i32>, Vec<String>, String);

fn run(programs: [&str; 2], directory: &Path, call: &Call) -> Outcome {
    let (which, args, input) = call;
    let mut child = Command::new(programs[*which])
        .args(*args)
        .current_dir(directory)
        .env("MAIL_CONFIG", directory.join("conf"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read is gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.iter_mut().for_each(|line| {
        if line.starts_with("YP_LAST_MODIFIED") {
            line.truncate(16);
        }
    });
    lines.sort();
    (out.status.code(), lines, String::from_utf8_lossy(&out.stderr).into_owned())
}

fn stage() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::create_dir(path.join("conf")).unwrap();
    let main_cf = "compatibility_level = 3.6\nmyhostname = mx.example.test\n\
        maillog_file_prefixes = /\nmaillog_file = /dev/null\n";
    std::fs::write(path.join("conf/main.cf"), main_cf).unwrap();
    std::fs::write(path.join("t"), MAP).unwrap();
    std::fs::write(path.join("al"), ALIASES).unwrap();
    directory
}

#[test]
fn commands_do_as_those_of_postfix() {
    if THEIRS.iter().any(|program| !Path::new(program).exists()) {
        eprintln!("skipped: Postfix is not installed");
        return;
    }
    let (ours, theirs) = (stage(), stage());
    for call in CALLS {
        let got = run(OURS, ours.path(), call);
        assert_eq!(got, run(THEIRS, theirs.path(), call), "{:?}", (call.0, call.1));
    }
}

#[test]
fn a_new_table_has_the_mode_of_its_source_and_an_old_one_keeps_its_own() {
    let directory = stage();
    let mode = |name: &str| directory.path().join(name).metadata().unwrap().mode() & 0o777;
    let set = |name: &str, mode: u32| {
        let rights = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path().join(name), rights).unwrap();
    };
    let make = |args: &'static [&'static str]| run(OURS, directory.path(), &(0, args, "")).0;
    set("t", 0o640);
    assert_eq!(make(&["hash:t"]), Some(0));
    assert_eq!(mode("t.db"), 0o640);
    set("t", 0o600);
    assert_eq!(make(&["hash:t"]), Some(0));
    assert_eq!(mode("t.db"), 0o640);
    std::fs::remove_file(directory.path().join("t.db")).unwrap();
    assert_eq!(make(&["-p", "hash:t"]), Some(0));
    assert_eq!(mode("t.db"), 0o644);
}

#[test]
fn a_failed_build_leaves_the_old_table_and_no_other_file() {
    let directory = stage();
    let call = |args| run(OURS, directory.path(), &(0, args, ""));
    assert_eq!(call(&["hash:t"]).0, Some(0));
    std::fs::remove_file(directory.path().join("t")).unwrap();
    assert_eq!(call(&["hash:t"]).0, Some(1));
    assert_eq!(call(&["-q", "key1", "hash:t"]).1, ["one"]);
    let mut left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["al", "conf", "t.db"]);
}
