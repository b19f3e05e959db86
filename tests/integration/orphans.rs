//! A reply that comes after its engine has ended is read by the next one: what the next hop has
//! taken is not sent again, what it has not is not lost.

use crate::support::client::submit;
use crate::support::keeper::Keeper;
use crate::support::process::{runs, signal};
use crate::support::system::{System, free_port};
use crate::support::wait;
use rustix::process::Signal;
use std::fs;

/// Deliveries under way at once.
const COUNT: usize = 20;
const AT_ONCE: &str = "initial_destination_concurrency = 20\nminimal_backoff_time = 1s\n\
    maximal_backoff_time = 1s\nqueue_run_delay = 1s\nservice_throttle_time = 1s\n";

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// A system and a sink that has [`COUNT`] messages and has answered none; master keeps all of it.
/// Last, how many sockets master has open beside these.
fn waiting(extra: &str) -> (System, Keeper, usize) {
    let system = System::started(&format!("{AT_ONCE}{extra}"));
    let sink = Keeper::start(system.sink);
    sink.hold(true);
    let before = sockets(system.master());
    for number in 0..COUNT {
        submit(system.port, "a@source.example", &format!("user{number}@sink.example"), "once");
    }
    wait("all under way", || sink.count() == COUNT);
    wait("master to keep them", || sockets(system.master()) == before + COUNT);
    (system, sink, before)
}

/// Kills the engine and waits until another one serves.
fn kill_engine(system: &System) {
    let engine = system.engine();
    signal(engine, Signal::KILL);
    wait("the engine's end", || !runs(engine));
    wait("all of it once more", || system.listing().len() == COUNT);
}

/// Everything has arrived once and is logged as sent, in the words of the sink.
#[track_caller]
fn assert_delivered_once(system: &System, sink: &Keeper) {
    system.wait_until_empty();
    assert_eq!(sink.count(), COUNT, "nothing came twice");
    for number in 0..COUNT {
        assert_eq!(sink.mail_for(&format!("user{number}@sink.example")).len(), 1);
        let relay = format!("relay=127.0.0.1[127.0.0.1]:{}", system.sink);
        let sent = |line: &&str| {
            line.contains(&format!("to=<user{number}@sink.example>, {relay}, delay="))
                && line.ends_with("dsn=2.0.0, status=sent (250 2.0.0 Ok: kept)")
        };
        assert_eq!(system.log().lines().filter(sent).count(), 1, "user{number}");
    }
    assert_eq!(system.logged("may be sent more than once"), 0);
}

#[test]
fn answers_that_come_after_the_engine_was_killed_are_settled_and_nothing_is_sent_again() {
    let (system, sink, before) = waiting("");
    kill_engine(&system);
    sink.hold(false);
    assert_delivered_once(&system, &sink);
    wait("master to close all", || sockets(system.master()) == before);
}

/// The second engine has answered nothing either, and has not sent anything again.
#[test]
fn answers_may_wait_for_the_third_engine() {
    let (system, sink, before) = waiting("");
    kill_engine(&system);
    kill_engine(&system);
    sink.hold(false);
    assert_delivered_once(&system, &sink);
    wait("master to close all", || sockets(system.master()) == before);
}

#[test]
fn connections_that_are_to_be_used_again_are_kept_too() {
    let (system, sink, _) = waiting("smtp_connection_cache_destinations = static:all\n");
    kill_engine(&system);
    sink.hold(false);
    assert_delivered_once(&system, &sink);
}

#[test]
fn answers_that_never_come_cost_another_delivery_and_no_message() {
    let (system, sink, before) = waiting("");
    kill_engine(&system);
    assert_eq!(sink.count(), COUNT);
    drop(sink);
    let sink = Keeper::start(system.sink);
    system.wait_until_empty();
    for number in 0..COUNT {
        assert_eq!(sink.mail_for(&format!("user{number}@sink.example")).len(), 1);
    }
    assert_eq!(system.logged("-- message may be sent more than once"), COUNT);
    wait("master to close all", || sockets(system.master()) == before);
}

#[test]
fn a_silent_next_hop_is_left_when_its_time_is_over() {
    let (system, sink, before) = waiting("smtp_data_done_timeout = 3s\n");
    kill_engine(&system);
    wait("the end of patience", || {
        system.logged("timed out while sending end of data -- message may be sent more") > 0
    });
    sink.hold(false);
    system.wait_until_empty();
    assert!(sink.count() > COUNT, "sent again");
    wait("master to close all", || sockets(system.master()) == before);
}

/// An engine that makes room for another one waits for its deliveries, but not for ever.
#[test]
fn answers_may_come_after_the_engine_was_replaced() {
    let (system, sink, _) = waiting("");
    let (engine, port) = (system.engine(), free_port());
    let master_cf = system.path("conf/master.cf");
    let old = fs::read_to_string(&master_cf).unwrap();
    fs::write(&master_cf, format!("{old}127.0.0.1:{port} inet n - n - - smtpd\n")).unwrap();
    system.tell("postfix", &["reload"]);
    wait("the engine's end", || !runs(engine));
    wait("all of it once more", || system.listing().len() == COUNT);
    sink.hold(false);
    assert_delivered_once(&system, &sink);
}

/// A stop ends everything that is kept.
#[test]
fn a_stop_closes_what_is_kept() {
    let (system, sink, _) = waiting("");
    let master = system.master();
    system.tell("postfix", &["stop"]);
    assert!(!runs(master));
    sink.hold(false);
    system.start();
    system.wait_until_empty();
    assert!(sink.count() > COUNT, "nobody was there to hear the answers");
}
