//! What the queue log costs: a group commit of some messages, and replay of many.
//!
//! `cargo bench -p ringpost-bench --bench queue`. The log is in a temporary directory: `TMPDIR`
//! chooses the disk. A commit is one `O_DIRECT|O_DSYNC` write where the file system can do that.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use queue::{Core, Log, Number, Options};
use std::path::Path;

/// Content of each message, bytes.
const CONTENT: [u8; 4096] = [b'x'; 4096];
/// About what two recipients need.
const ENVELOPE: [u8; 200] = [b'e'; 200];
/// Messages to replay.
const REPLAYED: usize = 10_000;

fn open(dir: &Path) -> (Log, usize) {
    let core = Core::new(0).expect("core 0 exists");
    let options = Options { segment_bytes: 16 << 20, ..Options::default() };
    let (log, _) = Log::open(dir, core, options).expect("a log in a fresh directory");
    let count = log.len();
    (log, count)
}

fn append(log: &mut Log) -> Number {
    let number = log.reserve_number();
    log.append(number, 1, 0, &ENVELOPE, &[&CONTENT]).expect("room in the log");
    number
}

fn commit(log: &mut Log) {
    while let Some(flush) = log.seal() {
        let written = flush.write_blocking();
        log.flushed(flush.id, written).expect("a good disk");
    }
}

/// What the side thread and an idle core do: a segment ahead, and old ones back.
fn housekeeping(log: &mut Log) {
    if let Some(request) = log.wants_segment() {
        log.supply(request.prepare().expect("room on the disk"));
    }
    let _progress = log.reclaim_step(1 << 20);
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_and_seal");
    for messages in [1, 8, 64] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut log, _) = open(dir.path());
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function(BenchmarkId::from_parameter(messages), |bencher| {
            bencher.iter(|| {
                housekeeping(&mut log);
                let numbers: Vec<Number> = (0..messages).map(|_| append(&mut log)).collect();
                commit(&mut log);
                for number in numbers {
                    log.remove(number).expect("it is live");
                }
            });
        });
    }
}

fn replay(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut log, _) = open(dir.path());
    for count in 0..REPLAYED {
        if count % 50 == 0 {
            commit(&mut log);
            housekeeping(&mut log);
        }
        append(&mut log);
    }
    commit(&mut log);
    drop(log);
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10).throughput(Throughput::Elements(REPLAYED as u64));
    group.bench_function(BenchmarkId::from_parameter(REPLAYED), |bencher| {
        bencher.iter(|| assert_eq!(open(dir.path()).1, REPLAYED));
    });
}

criterion_group!(benches, commits, replay);
criterion_main!(benches);
