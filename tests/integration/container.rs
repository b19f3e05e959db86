//! `postfix start-fg` as process 1 of a PID namespace, as in a container: it serves, gathers the
//! orphans of others, and SIGTERM ends everything.

use crate::support::client::submit;
use crate::support::process::{children, runs, signal};
use crate::support::system::{System, is_root};
use crate::support::wait;
use rustix::process::Signal;
use std::process::{Child, Command, Stdio};

/// The mail system in a PID namespace of its own, with its log on standard output.
fn contained(system: &System) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(system.path("bin/postfix")).arg("-c").arg(system.path("conf")).arg("start-fg");
    let log = std::fs::File::create(system.path("log/stdout")).unwrap();
    command.stdin(Stdio::null()).stdout(log).stderr(Stdio::inherit()).spawn().unwrap()
}

#[test]
fn it_works_as_process_one() {
    if !is_root() || Command::new("unshare").args(["--pid", "--fork", "true"]).status().is_err() {
        return eprintln!("skipped: a PID namespace needs root and unshare(1)");
    }
    let system = System::new(
        "maillog_file = /dev/stdout\nmaillog_file_prefixes = /dev/stdout\n\
         default_transport = discard:\n",
    );
    let mut unshare = contained(&system);
    wait("process one", || children(unshare.id()).len() == 1);
    let master = children(unshare.id())[0];
    wait("service", || std::net::TcpStream::connect(("127.0.0.1", system.port)).is_ok());
    submit(system.port, "a@source.example", "b@sink.example", "in a container");
    let log = || std::fs::read_to_string(system.path("log/stdout")).unwrap();
    wait("the delivery in the log", || log().contains("status=sent"));
    assert!(log().contains("daemon started -- version "), "{}", log());
    assert_eq!(std::fs::read_to_string(system.path("queue/pid/master.pid")).unwrap().trim(), "1");

    // An orphan of another process becomes a child of process one, which must not keep it.
    let orphan = ["--pid", "--mount", "--target", &master.to_string()].map(String::from);
    let status = Command::new("nsenter").args(orphan).args(["sh", "-c", "sleep 0.2 &"]).status();
    assert!(status.unwrap().success());
    let engine = children(master);
    wait("the orphan's end", || children(master).len() == 1 && zombies(master) == 0);

    signal(master, Signal::TERM);
    assert!(unshare.wait().unwrap().success(), "{}", log());
    assert!(log().contains("terminating on signal 15"), "{}", log());
    assert!(!runs(master) && engine.iter().all(|pid| !runs(*pid)));
}

/// Children that have ended and that nobody has asked for.
fn zombies(parent: u32) -> usize {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let all = list.unwrap_or_default();
    all.split_whitespace().filter(|pid| !runs(pid.parse().unwrap())).count()
}
