//! What the queue manager's choices cost: a message in, its delivery chosen, its end reported.
//!
//! `cargo bench -p ringpost-bench --bench scheduler`; reported as messages per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scheduler::{Limits, RoutedRecipient, Scheduler, SiteResult, TransportId, TransportSettings};

/// Messages of one drained load.
const DRAINED: usize = 10_000;
/// Recipients of the larger message.
const MANY: u32 = 50;

fn route(index: u32, transport: TransportId, destination: &str) -> RoutedRecipient<'_> {
    RoutedRecipient { index, transport, destination, nexthop: destination, alone: false }
}

fn drain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drain");
    group.throughput(Throughput::Elements(DRAINED as u64));
    group.bench_function(BenchmarkId::from_parameter(DRAINED), |bencher| {
        bencher.iter(|| assert_eq!(scheduler::drain(DRAINED), DRAINED as u64));
    });
}

/// One message at a time, beside a backlog that waits for other destinations.
fn one_message(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admit_select_done");
    for recipients in [1, MANY] {
        for backlog in [0, DRAINED] {
            let mut scheduler = loaded(backlog);
            let id = BenchmarkId::new(format!("recipients_{recipients}"), backlog);
            group.throughput(Throughput::Elements(u64::from(recipients)));
            group.bench_function(id, |bencher| {
                bencher.iter(|| one_round(&mut scheduler, recipients));
            });
        }
    }
}

/// A scheduler with this many messages for destinations at their limit.
fn loaded(backlog: usize) -> Scheduler {
    let mut scheduler = Scheduler::new(Limits::default());
    let transport = scheduler.transport("relay", TransportSettings::default);
    for key in 0..backlog as u64 {
        let destination = format!("d{}.example", key % 10);
        let recipient = route(0, transport, &destination);
        let admitted = scheduler.admit(key, &[recipient], 0, 0);
        assert!(admitted.deferred_at_once.is_empty(), "nothing is dead");
    }
    while scheduler.select(0).is_some() {}
    scheduler
}

fn one_round(scheduler: &mut Scheduler, recipients: u32) {
    let transport = scheduler.transport("smtp", TransportSettings::default);
    let route = |index| route(index, transport, "fresh.example");
    let routed: Vec<RoutedRecipient<'_>> = (0..recipients).map(route).collect();
    let admitted = scheduler.admit(u64::MAX, &routed, 0, 0);
    assert!(!admitted.message_finished, "it waits for its delivery");
    while let Some(selected) = scheduler.select(0) {
        let done = scheduler.done(selected.entry, SiteResult::Ok, 0);
        if done.message_finished {
            scheduler.finish(done.message);
        }
    }
}

criterion_group!(benches, drain, one_message);
criterion_main!(benches);
