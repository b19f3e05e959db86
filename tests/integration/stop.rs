//! `postfix stop`: sessions are told, and it is quick.

use crate::support::client::Client;
use crate::support::process::runs;
use crate::support::system::System;
use std::time::{Duration, Instant};

#[test]
fn an_idle_session_gets_421_and_the_stop_is_quick() {
    let system = System::new("");
    assert_eq!(system.run("postfix", &["status"]).status.code(), Some(1));
    assert_eq!(system.run("postfix", &["stop"]).status.code(), Some(1));
    system.start();
    assert_eq!(system.run("postfix", &["status"]).status.code(), Some(0));
    let (master, engine) = (system.master(), system.engine());
    let mut idle = Client::connect(system.port).unwrap();
    assert!(idle.ask("EHLO client.example").unwrap().starts_with("250"));
    let began = Instant::now();
    assert_eq!(system.run("postfix", &["stop"]).status.code(), Some(0));
    let took = began.elapsed();
    let goodbye = idle.reply().unwrap();
    assert!(goodbye.starts_with("421 4.3.2 "), "{goodbye}");
    assert!(idle.reply().is_err(), "the session is over");
    // The graces of a forced stop begin at five seconds.
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(!runs(master) && !runs(engine));
    assert_eq!(system.run("postfix", &["status"]).status.code(), Some(1));
    assert!(Client::connect(system.port).is_err(), "nobody listens any more");
    assert_eq!(system.logged("warning: "), 0, "{}", system.log());
}
