//! One supervisor and one engine per queue.

use crate::support::client::submit;
use crate::support::system::System;
use std::process::{Command, Stdio};

#[test]
fn a_second_start_is_refused_in_postfix_words_and_the_first_goes_on() {
    let system = System::started("");
    let master = system.master();
    assert_eq!(system.run("postfix", &["start"]).status.code(), Some(1));
    assert_eq!(system.logged("fatal: the Postfix mail system is already running"), 1);
    let second = system.run("master", &["-d"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    let reason = "unable to set exclusive lock: Resource temporarily unavailable";
    assert!(said.contains(reason), "{said}");
    assert_eq!(system.master(), master);
    submit(system.port, "a@source.example", "user@sink.example", "still here");
}

#[test]
fn a_second_engine_on_the_same_queue_is_refused_and_the_first_goes_on() {
    let system = System::started("");
    let first = system.engine();
    let mut command: Command = system.command("engine");
    command.current_dir(system.path("queue")).stdout(Stdio::null());
    let second = command.env("RINGPOST_SOCKETS", "").env("RINGPOST_CORES", "1").output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("engine: fatal: ") && said.contains("another engine is using this queue"),
        "{said}"
    );
    assert_eq!(system.engine(), first);
    submit(system.port, "a@source.example", "user@sink.example", "still here");
}
