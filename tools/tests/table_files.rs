//! Table files of every kind: those left by Postfix's postmap(1), and those made here for it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const OURS: &str = env!("CARGO_BIN_EXE_postmap");
const THEIRS: &str = "/usr/sbin/postmap";

/// A directory with a configuration and a small source.
fn stage() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
    std::fs::write(directory.path().join("t"), "key1 one\n").unwrap();
    directory
}

/// Exit code, lines of standard output, standard error.
fn run(program: &str, directory: &Path, args: &[&str], input: &str) -> (i32, Vec<String>, String) {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env("MAIL_CONFIG", directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), lines, said)
}

/// Every file type with the file that Postfix's postmap made of the same source.
const FILES: [(&str, &[u8]); 4] = [
    ("hash:t.db", include_bytes!("../../src/tables/testdata/hash.db")),
    ("btree:t.db", include_bytes!("../../src/tables/testdata/btree.db")),
    ("lmdb:t.lmdb", include_bytes!("../../src/tables/testdata/t.lmdb")),
    ("cdb:t.cdb", include_bytes!("../../src/tables/testdata/t.cdb")),
];

#[test]
fn files_left_by_postfix_are_read_changed_and_rebuilt() {
    for (name, bytes) in FILES {
        let (kind, file) = name.split_once(':').unwrap();
        let directory = stage();
        std::fs::write(directory.path().join(file), bytes).unwrap();
        let table = format!("{kind}:t");
        let call = |args: &[&str], input| run(OURS, directory.path(), args, input);
        let query = |key| call(&["-q", key, &table], "").1;
        assert_eq!(query("USER8"), ["dest8@example.net"], "{name}");
        assert_eq!(query("two@example.com"), ["two words"], "{name}");
        assert_eq!(query("nobody"), [""; 0], "{name}");
        assert_eq!(call(&["-d", "user8", &table], "").0, 0, "{name}");
        assert_eq!(call(&["-i", &table], "user9000 here\n").0, 0, "{name}");
        assert_eq!((query("user8"), query("user9000")), (vec![], vec!["here".to_owned()]));
        assert_eq!(query("two@example.com"), ["two words"], "{name}");
        assert_eq!(call(&[&table], "").0, 0, "{name}");
        assert_eq!(query("key1"), ["one"], "{name}");
        assert_eq!(query("user9000"), [""; 0], "{name}");
    }
}

#[test]
fn postfix_reads_the_lmdb_and_cdb_files_made_here() {
    for kind in ["lmdb", "cdb"] {
        let types = Command::new("/usr/sbin/postconf").arg("-m").output();
        let types = types.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        if !types.is_ok_and(|types| types.lines().any(|line| line == kind)) {
            eprintln!("skipped: Postfix with {kind} is not installed (postfix-{kind})");
            continue;
        }
        let directory = stage();
        let source: String = (0..3000).map(|at| format!("key{at} value {at}\n")).collect();
        let source = source + "long " + &"v".repeat(9000) + "\n";
        std::fs::write(directory.path().join("many"), source).unwrap();
        let table = format!("{kind}:many");
        assert_eq!(run(OURS, directory.path(), &[&table], "").0, 0);
        let keys: String = (0..3000).map(|at| format!("key{at}\n")).collect();
        let keys = keys + "long\nnosuch\n";
        let answers = |program: &str| run(program, directory.path(), &["-q", "-", &table], &keys);
        let theirs = answers(THEIRS);
        assert_eq!((theirs.0, theirs.1.len(), theirs.2.as_str()), (0, 3001, ""));
        assert_eq!(answers(OURS), theirs);
    }
}

#[test]
fn keys_end_as_the_options_say() {
    for (kind, default) in [("cdb", false), ("lmdb", true)] {
        let directory = stage();
        let table = format!("{kind}:t");
        let cases: [(&[&str], bool); 4] =
            [(&[], default), (&["-n"], false), (&["-N"], true), (&["-n", "-N"], true)];
        for (options, ends) in cases {
            assert_eq!(
                run(OURS, directory.path(), &[options, &[table.as_str()]].concat(), "").0,
                0
            );
            let bytes = std::fs::read(directory.path().join(format!("t.{kind}"))).unwrap();
            let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert_eq!((has(b"key1\0one\0"), has(b"key1one")), (ends, !ends), "{kind} {options:?}");
            assert_eq!(run(OURS, directory.path(), &["-q", "KEY1", &table], "").1, ["one"]);
        }
    }
}
