//! Replays every input under `fuzz/corpus` and `fuzz/regressions` through the bodies of the fuzz
//! targets: what fuzzing found once stays fixed, on any machine with plain `cargo test`.
//!
//! One test per target; each prints how many files it has read. Diagnostics: a panic names the
//! file.

use std::path::{Path, PathBuf};

/// A target's inputs; at least one seed and the empty input.
fn inputs(target: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut files = Vec::new();
    for kind in ["corpus", "regressions"] {
        let dir = root.join(kind).join(target);
        let entries = std::fs::read_dir(&dir).expect("every target has both directories");
        let before = files.len();
        files.extend(entries.map(|entry| entry.expect("a readable directory").path()));
        assert!(files.len() > before, "{} has no input", dir.display());
    }
    files.sort();
    files
}

/// Says which file was being read when its replay panics.
struct Reading<'a>(&'a Path);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(target: &str, body: fn(&[u8])) {
    let files = inputs(target);
    for file in &files {
        let _reading = Reading(file);
        body(&std::fs::read(file).expect("a readable file"));
    }
    println!("{target}: {} inputs", files.len());
}

macro_rules! replays {
    ($($target:ident => $body:path,)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), $body);
        })*

        /// A target that nobody replays would rot.
        #[test]
        fn every_target_is_replayed() {
            let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
            let mut built: Vec<String> = std::fs::read_dir(targets)
                .expect("the targets are there")
                .map(|entry| entry.expect("a readable directory").path())
                .map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            built.sort();
            let mut replayed = [$(stringify!($target)),*];
            replayed.sort();
            assert_eq!(built, replayed);
        }
    };
}

replays! {
    address => mail::fuzz_address,
    constant_db => tables::fuzz_constant_db,
    alias => tables::fuzz_alias,
    cidr => tables::fuzz_cidr,
    foreign_db => tables::fuzz_foreign_db,
    pattern => tables::fuzz_pattern,
    tok822 => mail::fuzz_tok822,
    dns_answer => engine::fuzz_dns_answer,
    dsn => engine::fuzz_dsn,
    envelope => mail::fuzz_envelope,
    header => mail::fuzz_header,
    main_cf => config::fuzz_main_cf,
    master_cf => config::fuzz_master_cf,
    pickup => engine::fuzz_pickup,
    privsep_request => privsep::fuzz_privsep_request,
    queue_replay => queue::fuzz_queue_replay,
    reply => protocol::smtp::fuzz_reply,
    smtp_client => protocol::smtp::client::fuzz_smtp_client,
    smtp_session => protocol::smtp::fuzz_smtp_session,
    table_reply => remote::fuzz_replies,
}
