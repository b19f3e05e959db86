//! What it costs to map the recipients of a message, in time and in allocations.
//!
//! `cargo bench -p ringpost-bench --bench rewrite`; 50 recipients, each in canonical_maps and in
//! virtual_alias_maps, of hosts that masquerade_domains hides; tables of 100,000 entries. Elements
//! are recipients.

use criterion::{Criterion, Throughput, criterion_group};
use engine::cleanup::mapping::Copies;
use engine::snapshot::Snapshot;
use mail::{Address, Envelope, Recipient};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use tables::catalog;

const RECIPIENTS: u64 = 50;
const ENTRIES: u64 = 100_000;

const MAIN_CF: &str = "myhostname = mx.example\nmyorigin = mx.example\nalias_maps =\n\
    compatibility_level = 3.6\nmydestination = mx.example\nrelayhost = [192.0.2.1]\n";
const MAPS: &str = "canonical_maps = hash:/canonical\nvirtual_alias_maps = hash:/virtual\n\
    masquerade_domains = company.example\n\
    masquerade_classes = envelope_sender, envelope_recipient\n";
const MASTER_CF: &str = "smtp inet n - n - - smtpd\nrelay unix - - n - - smtp\n";

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is this call's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn read(path: &str) -> Result<Vec<u8>, String> {
    let table = |of: fn(u64) -> (String, String)| {
        let entries =
            (0..ENTRIES).map(of).map(|(key, value)| (key.into_bytes(), value.into_bytes()));
        let entries: BTreeMap<_, _> = entries.collect();
        tables::constant::encode(&entries).map_err(|error| error.to_string())
    };
    match path {
        "/canonical.db" => table(|at| {
            (format!("user{at}@host.company.example"), format!("person{at}@host.company.example"))
        }),
        "/virtual.db" => {
            table(|at| (format!("person{at}@company.example"), format!("box{at}@store.example")))
        }
        _ => Err("No such file or directory".into()),
    }
}

fn snapshot(maps: &str) -> Snapshot {
    let main = format!("{MAIN_CF}{maps}");
    let main = config::MainCf::parse("main.cf", main.as_bytes()).expect("a main.cf");
    let master = config::MasterCf::parse("master.cf", MASTER_CF.as_bytes()).expect("a master.cf");
    let system = catalog::System {
        read,
        stamp: |_| None,
        variable: |_| None,
        random: || 0,
        remote: catalog::no_remote,
    };
    let params = config::Params::new(main, config::Host::default());
    Snapshot::new(params, &master, system).expect("a configuration")
}

fn envelope() -> Envelope {
    let address = |at: u64| format!("user{}@host.company.example", at * 1000);
    let recipient = |at| Recipient::new(Address::from_internal(address(at).as_bytes()));
    Envelope {
        sender: Address::from_internal(b"sender@source.example"),
        recipients: (0..RECIPIENTS).map(recipient).collect(),
        ..Envelope::default()
    }
}

fn mapped(snapshot: &Snapshot, envelope: &mut Envelope) {
    let mapping = &snapshot.mapping;
    let done =
        mapping.rewrite(&snapshot.resolver, envelope, Copies::Made(&[]), &|text| panic!("{text}"));
    done.expect("every table answers");
}

fn recipients(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    group.throughput(Throughput::Elements(RECIPIENTS));
    let snapshot = snapshot(MAPS);
    let envelope = envelope();
    group.bench_function("canonical+masquerade+virtual", |bencher| {
        bencher.iter_batched_ref(
            || envelope.clone(),
            |envelope| mapped(black_box(&snapshot), envelope),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Allocations of one message, and what becomes of its recipients.
fn count() {
    let (snapshot, mut envelope) = (snapshot(MAPS), envelope());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    mapped(&snapshot, &mut envelope);
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(envelope.recipients[1].address.as_bytes(), b"box1000@store.example");
    let each = made as f64 / RECIPIENTS as f64;
    println!("rewrite: {made} allocations for {RECIPIENTS} recipients, {each:.2} each");
}

criterion_group!(benches, recipients);

fn main() {
    count();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
