//! The programs under test. Cargo builds those of this package; the commands belong to another one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The commands the tests use, from `ringpost-tools`.
const COMMANDS: [&str; 9] = [
    "postfix",
    "postalias",
    "postconf",
    "postmap",
    "postdrop",
    "postqueue",
    "postsuper",
    "sendmail",
    "postlog",
];

/// Every program with its path.
pub fn all() -> &'static [(String, PathBuf)] {
    static ALL: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    ALL.get_or_init(find)
}

fn find() -> Vec<(String, PathBuf)> {
    let engine = PathBuf::from(env!("CARGO_BIN_EXE_engine"));
    let beside = |name: &str| engine.with_file_name(name);
    if !COMMANDS.iter().all(|name| beside(name).exists()) {
        build(engine.parent().expect("a program is in a directory"));
    }
    let commands = COMMANDS.iter().map(|name| (name.to_string(), beside(name)));
    let mut all: Vec<_> = commands.collect();
    all.push(("engine".into(), engine.clone()));
    all.push(("master".into(), env!("CARGO_BIN_EXE_master").into()));
    all.push(("deliver".into(), env!("CARGO_BIN_EXE_deliver").into()));
    for (name, path) in &all {
        let at = path.display();
        assert!(
            path.exists(),
            "no program {name} at {at}: run cargo build -p ringpost-tools first"
        );
    }
    all
}

/// `cargo test --workspace` has built the commands already; `cargo test -p ringpost` has not.
fn build(profile: &Path) {
    let name = profile.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = match name.as_deref() {
        Some("debug") | None => "dev".to_string(),
        Some(other) => other.to_string(),
    };
    eprintln!("the commands are missing: building ringpost-tools");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = ["build", "--quiet", "-p", "ringpost-tools", "--bins", "--profile", &name];
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "run cargo build -p ringpost-tools first");
}
