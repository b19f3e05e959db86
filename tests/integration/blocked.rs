//! Where io_uring is blocked, as in containers: the engine says so and serves all the same.
//!
//! The container is this program once more, in a process that takes system calls away from itself
//! and then becomes `postfix start`.

use crate::support::client::submit;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;
use ringpost::sandbox;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// In the process inside: the command to become, its words one to a line.
const INSIDE: &str = "RINGPOST_TEST_BLOCKED";

#[test]
fn an_engine_without_io_uring_says_so_and_serves() {
    let system = System::new("");
    let words = [system.path("bin/postfix"), "-c".into(), system.path("conf"), "start".into()];
    let words = words.map(|word| word.to_str().unwrap().to_string()).join("\n");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "integration::blocked::the_inside", "--nocapture"])
        .env(INSIDE, words)
        .env_remove("RINGPOST_IO")
        .status()
        .unwrap();
    assert!(status.success(), "{}", system.log());
    let sink = Keeper::start(system.sink);
    submit(system.port, "a@source.example", "user@sink.example", "by epoll");
    wait("the delivery", || sink.mail().len() == 1);
    let text = "io_uring is not available (seccomp or the sysctl kernel.io_uring_disabled): \
                Operation not permitted (os error 1): using epoll";
    assert_eq!(system.logged(text), 1, "{}", system.log());
}

/// Does nothing unless it is the process inside.
#[test]
fn the_inside() {
    let Ok(words) = std::env::var(INSIDE) else { return };
    // Asked for by the kernel of anybody but root.
    if !rustix::process::geteuid().is_root() {
        rustix::thread::set_no_new_privs(true).unwrap();
    }
    assert_eq!(sandbox::forbid(&[libc::SYS_io_uring_setup]), None);
    let words: Vec<&str> = words.lines().collect();
    panic!("{}", Command::new(words[0]).args(&words[1..]).exec());
}
