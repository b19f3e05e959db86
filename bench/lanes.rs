//! What passing parcels between two cores costs, in parcels per second.
//!
//! `cargo bench -p ringpost-bench --bench lanes`. Both threads stay awake, as busy cores do: what
//! is measured is the lanes, not the wake-up.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use runtime::lane::{Port, mesh};
use runtime::wake::Waker;
use std::time::{Duration, Instant};

/// About the size of what the engine sends: an id, a place in the log, a few numbers.
type Parcel = [u64; 8];

fn pair() -> (Port<Parcel>, Port<Parcel>) {
    let waker = || Waker::new().expect("descriptors are left");
    let mut ports = mesh(&[waker(), waker()]);
    let second = ports.pop().expect("two ports");
    (ports.pop().expect("two ports"), second)
}

/// Receives `count` parcels, which must come in order.
fn receive(port: &Port<Parcel>, count: u64) {
    let mut next = 0;
    while next < count {
        match port.receive() {
            Some(parcel) => {
                assert_eq!(parcel[0], next, "order is kept");
                next += 1;
            }
            None => std::thread::yield_now(),
        }
    }
}

/// Sends `count` parcels with a flush after each `turn` of them.
fn send(port: &Port<Parcel>, count: u64, turn: u64) {
    for number in 0..count {
        port.send(1, [number; 8]);
        if number % turn == turn - 1 {
            port.flush();
            while port.backlog() > 0 {
                std::thread::yield_now();
                port.flush();
            }
        }
    }
    port.flush();
    while port.backlog() > 0 {
        std::thread::yield_now();
        port.flush();
    }
}

fn pass(count: u64, turn: u64) -> Duration {
    let (first, second) = pair();
    let receiver = std::thread::spawn(move || receive(&second, count));
    let start = Instant::now();
    send(&first, count, turn);
    receiver.join().expect("the receiver does not panic");
    start.elapsed()
}

fn one_way(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane/two_threads");
    for turn in [1, 16, 256] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("parcels_per_turn", turn), |bencher| {
            bencher.iter_custom(|count| pass(count, turn));
        });
    }
}

/// The same without a second thread: what a push and a pop cost.
fn one_thread(criterion: &mut Criterion) {
    let (first, second) = pair();
    criterion.bench_function("lane/one_thread", |bencher| {
        bencher.iter(|| {
            first.send(1, [7; 8]);
            first.flush();
            second.receive()
        });
    });
}

criterion_group!(benches, one_way, one_thread);
criterion_main!(benches);
