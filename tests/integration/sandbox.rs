//! What the processes have given up: asked of the kernel, and tried from inside.
//!
//! The inside is this program once more, in a process that binds itself as the engine does and then
//! tries to break each rule; it prints what it could not do.

use crate::support::process::children;
use crate::support::system::{System, is_root};
use crate::support::wait;
use ringpost::sandbox::{self, places::Places};
use rustix::mount::MountFlags;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the process inside.
const INSIDE: &str = "RINGPOST_TEST_SANDBOX";

#[test]
fn nothing_outside_is_written_or_read_and_nothing_is_executed() {
    let root = tempfile::tempdir().unwrap();
    for name in ["queue", "outside", "tables"] {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("old"), "x").unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "integration::sandbox::the_inside", "--nocapture"])
        .env(INSIDE, root.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("every rule holds"), "{told}");
}

/// Does nothing unless it is the process inside.
#[test]
fn the_inside() {
    let Some(root) = std::env::var_os(INSIDE).map(PathBuf::from) else { return };
    let read = ["/etc".into(), root.join("tables"), root.join("is not there")].into();
    let places = Places { write: vec![root.join("queue")], read };
    let missing = sandbox::bind_engine(&places).unwrap();
    assert!(rustix::thread::no_new_privs().unwrap());
    fs::read("/etc/passwd").expect("the system's files are read");
    fs::read(root.join("tables/old")).expect("tables are read");
    fs::read(root.join("queue/old")).expect("the queue is read");
    fs::write(root.join("queue/file"), "x").expect("the queue is writable");
    fs::rename(root.join("queue/file"), root.join("queue/other")).expect("and its names");
    if missing.iter().any(|text| text.contains("landlock")) {
        eprintln!("skipped in part: {missing:?}");
    } else {
        writing_outside_fails(&root);
        reading_outside_fails(&root);
    }
    let run = Command::new("/bin/true").status();
    assert_eq!(run.unwrap_err().kind(), ErrorKind::PermissionDenied, "execution");
    let mount = rustix::mount::mount("none", "/mnt", "tmpfs", MountFlags::empty(), None);
    assert_eq!(mount, Err(rustix::io::Errno::PERM), "mounting");
    println!("every rule holds");
}

fn writing_outside_fails(root: &Path) {
    let denied = |result: std::io::Result<()>, what: &str| {
        assert_eq!(result.expect_err(what).kind(), ErrorKind::PermissionDenied, "{what}");
    };
    let outside = root.join("outside/file");
    denied(fs::write(&outside, "x"), "a new file");
    denied(fs::create_dir(root.join("outside/dir")), "a new directory");
    denied(fs::remove_dir(root.join("outside")), "removing");
    let moved = fs::rename(root.join("queue/other"), &outside);
    assert!(moved.is_err(), "moving out of the queue");
    denied(std::os::unix::fs::symlink("/", root.join("outside/link")), "a link");
}

fn reading_outside_fails(root: &Path) {
    for path in [root.join("outside/old"), "/var/log".into(), std::env::current_exe().unwrap()] {
        let error = fs::File::open(&path).expect_err("a file of others");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", path.display());
    }
    let listed = fs::read_dir(root.join("outside")).map(drop);
    assert_eq!(listed.expect_err("names of others").kind(), ErrorKind::PermissionDenied);
}

/// A line of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_start_matches(':').trim().to_string()
}

#[test]
fn the_engine_of_a_running_system_is_bound() {
    let system = System::started("");
    let engine = system.engine();
    assert_eq!(status(engine, "NoNewPrivs"), "1");
    assert_eq!(status(engine, "Seccomp"), "2");
    assert_eq!(u64::from_str_radix(&status(engine, "CapEff"), 16), Ok(0));
    assert_eq!(system.logged("landlock"), 0, "{}", system.log());
    if !is_root() {
        return eprintln!("skipped in part: master is bound only as root");
    }
    assert_eq!(status(system.master(), "Seccomp"), "2");
    assert_eq!(status(system.master(), "NoNewPrivs"), "0", "users' commands may be set-gid");
    assert!(children(system.master()).iter().all(|pid| status(*pid, "Seccomp") == "2"));
}

#[test]
fn a_reload_that_needs_other_directories_keeps_the_old_configuration() {
    let system = System::started("");
    let elsewhere = tempfile::tempdir().unwrap();
    system.configure(&format!("transport_maps = hash:{}/t\n", elsewhere.path().display()));
    system.tell("postfix", &["reload"]);
    let text = format!("the old configuration stays: {}: the engine", elsewhere.path().display());
    wait("a word about it", || system.logged(&text) > 0);
    crate::support::client::submit(system.port, "a@b.example", "c@sink.example", "still here");
}
