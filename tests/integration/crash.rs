//! What got 250 arrives, however often the engine is killed meanwhile.

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::process::signal;
use crate::support::system::System;
use crate::support::wait;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SESSIONS: usize = 8;
/// Messages acknowledged in a round before the engine is killed.
const ACKNOWLEDGED: usize = 40;

/// What the clients did.
#[derive(Default)]
struct Work {
    stop: AtomicBool,
    next: AtomicU64,
    acknowledged: Mutex<Vec<String>>,
}

impl Work {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Sends until it is told to stop; a session that ends is followed by another.
    fn send(&self, port: u16) {
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(mut client) = Client::connect(port) else { continue };
            let ready = client.ask("EHLO client.example").is_ok();
            while ready && !self.stop.load(Ordering::Relaxed) {
                let name = format!("m{}", self.next.fetch_add(1, Ordering::Relaxed));
                // Some are larger than a write, some than an extent of the log.
                let lines = name.len() * 7 % 5 * 900;
                let content =
                    format!("Subject: {name}\r\n\r\n{}", "padding line\r\n".repeat(lines));
                let Ok(reply) = client.send("a@source.example", "user@sink.example", &content)
                else {
                    break;
                };
                if reply.starts_with("250") {
                    self.acknowledged.lock().unwrap().push(name);
                }
            }
        }
    }
}

fn rounds() -> usize {
    match std::env::var("RINGPOST_CRASH_ROUNDS") {
        Ok(text) => text.parse().expect("RINGPOST_CRASH_ROUNDS is a number"),
        Err(_) => 10,
    }
}

#[test]
fn acknowledged_mail_is_never_lost_when_the_engine_is_killed_under_load() {
    let retry = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n";
    let system = System::started(&format!("{retry}service_throttle_time = 1s\n"));
    let sink = Keeper::start(system.sink);
    let work = Work::default();
    std::thread::scope(|scope| {
        // Also when a round fails, or the scope would never end.
        let _stop = StopAtEnd(&work.stop);
        (0..SESSIONS).for_each(|_| drop(scope.spawn(|| work.send(system.port))));
        for round in 0..rounds() {
            let before = work.count();
            // Not always in the same moment of the load.
            let enough = before + ACKNOWLEDGED + round * 7 % 10;
            wait("a round's load", || work.count() >= enough);
            signal(system.engine(), Signal::KILL);
        }
        let before = work.count();
        wait("service after the last kill", || work.count() > before);
    });
    system.wait_until_empty();
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for mail in sink.mail() {
        let name = mail.header("Subject").expect("every message has one").to_string();
        *arrived.entry(name).or_default() += 1;
    }
    let acknowledged = work.acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !arrived.contains_key(*name)).collect();
    let duplicates: usize = arrived.values().map(|count| count - 1).sum();
    let unasked = arrived.len() - (acknowledged.len() - lost.len());
    println!(
        "{} kills, {} acknowledged, {} arrived, {duplicates} duplicates, {unasked} arrived whose \
         reply was lost",
        rounds(),
        acknowledged.len(),
        arrived.len(),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(system.logged("killed by signal 9"), rounds());
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
