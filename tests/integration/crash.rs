//! What got 250 arrives, whole, however often the engine ends meanwhile.
//!
//! **Environment**: `RINGPOST_CRASH_ROUNDS`, how often it is killed (10).

use crate::support::client::Client;
use crate::support::keeper::Keeper;
use crate::support::process::{runs, signal};
use crate::support::system::System;
use crate::support::{StopAtEnd, wait};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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
            if self.session(port).is_err() {
                // Between two systems nobody listens.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn session(&self, port: u16) -> std::io::Result<()> {
        let mut client = Client::connect(port)?;
        client.ask("EHLO client.example")?;
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("m{number}");
            let body = "padding line\r\n".repeat(lines(number));
            let content = format!("Subject: {name}\r\n\r\n{body}");
            if client.send("a@source.example", "user@sink.example", &content)?.starts_with("250") {
                self.acknowledged.lock().unwrap().push(name);
            }
        }
        client.ask("QUIT").map(drop)
    }
}

/// Most messages are small; some are larger than a piece of content in the log (128 KiB).
fn lines(number: u64) -> usize {
    if number % 16 == 9 { 12_000 } else { number as usize % 5 * 100 }
}

/// What came of the work.
struct Outcome {
    acknowledged: usize,
    arrived: usize,
    lost: Vec<String>,
    duplicates: usize,
    /// Arrived without an acknowledgement: the client could not know.
    unasked: usize,
}

/// Works under load while `disturb` is called `rounds` times, and waits until all is delivered.
fn disturbed(system: &System, sink: &Keeper, rounds: usize, disturb: impl Fn()) -> Outcome {
    let work = Work::default();
    std::thread::scope(|scope| {
        // Also when a round fails, or the scope would never end.
        let _stop = StopAtEnd(&work.stop);
        (0..SESSIONS).for_each(|_| drop(scope.spawn(|| work.send(system.port))));
        for round in 0..rounds {
            // Not always in the same moment of the load.
            let enough = work.count() + ACKNOWLEDGED + round * 7 % 10;
            wait("a round's load", || work.count() >= enough);
            disturb();
        }
        let before = work.count();
        wait("service after the last round", || work.count() > before);
    });
    system.wait_until_empty();
    outcome(&work.acknowledged.into_inner().unwrap(), sink)
}

fn outcome(acknowledged: &[String], sink: &Keeper) -> Outcome {
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for mail in sink.mail() {
        let name = mail.header("Subject").expect("every message has one").to_string();
        let number = name[1..].parse().unwrap();
        let whole = mail.content.matches("padding line\r\n").count() == lines(number);
        assert!(whole, "{name} is damaged");
        *arrived.entry(name).or_default() += 1;
    }
    let missing = |name: &&String| !arrived.contains_key(*name);
    let lost: Vec<String> = acknowledged.iter().filter(missing).cloned().collect();
    Outcome {
        acknowledged: acknowledged.len(),
        arrived: arrived.len(),
        duplicates: arrived.values().map(|count| count - 1).sum(),
        unasked: arrived.len() - (acknowledged.len() - lost.len()),
        lost,
    }
}

impl Outcome {
    fn print(&self, rounds: usize, what: &str) {
        let Outcome { acknowledged, arrived, duplicates, unasked, .. } = self;
        println!(
            "{rounds} {what}: {acknowledged} acknowledged, {arrived} arrived, {duplicates} \
             duplicates, {unasked} arrived whose reply was lost"
        );
    }
}

fn rounds() -> usize {
    match std::env::var("RINGPOST_CRASH_ROUNDS") {
        Ok(text) => text.parse().expect("RINGPOST_CRASH_ROUNDS is a number"),
        Err(_) => 10,
    }
}

const RETRY: &str = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
                     service_throttle_time = 1s\n";

#[test]
fn acknowledged_mail_is_never_lost_when_the_engine_is_killed_under_load() {
    let system = System::started(RETRY);
    let sink = Keeper::start(system.sink);
    let outcome = disturbed(&system, &sink, rounds(), || {
        let engine = system.engine();
        signal(engine, Signal::KILL);
        // The next round must not find the same one.
        wait("the engine's end", || !runs(engine));
    });
    outcome.print(rounds(), "kills");
    assert!(outcome.lost.is_empty(), "lost: {:?}", outcome.lost);
    assert_eq!(system.logged("killed by signal 9"), rounds());
}

#[test]
fn acknowledged_mail_is_never_lost_when_the_supervisor_is_killed_under_load() {
    let rounds = rounds().min(5);
    let system = System::started(RETRY);
    let sink = Keeper::start(system.sink);
    let outcome = disturbed(&system, &sink, rounds, || {
        let (master, engine) = (system.master(), system.engine());
        signal(master, Signal::KILL);
        // An engine without a supervisor ends by itself.
        wait("the end of both", || !runs(master) && !runs(engine));
        system.start();
    });
    outcome.print(rounds, "kills of the supervisor");
    assert!(outcome.lost.is_empty(), "lost: {:?}", outcome.lost);
}

#[test]
fn a_stop_and_start_under_load_loses_nothing_and_delivers_nothing_twice() {
    const ROUNDS: usize = 3;
    let system = System::started(RETRY);
    let sink = Keeper::start(system.sink);
    let outcome = disturbed(&system, &sink, ROUNDS, || {
        system.tell("postfix", &["stop"]);
        system.start();
    });
    outcome.print(ROUNDS, "stops");
    assert!(outcome.lost.is_empty(), "lost: {:?}", outcome.lost);
    assert_eq!((outcome.duplicates, outcome.unasked), (0, 0));
    assert_eq!(system.logged("killed by signal"), 0);
}
