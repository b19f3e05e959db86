//! What a lookup costs: in the constant database, and in tables of a thousand patterns.
//!
//! `cargo bench -p ringpost-bench --bench tables`; a key that no rule matches is asked of the table
//! as it is and, for comparison, of one rule after the other, as Postfix does. Head to head with
//! Postfix: `versus --only patterns`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;
use tables::Table;
use tables::constant::{ConstantDb, encode};
use tables::pattern::Patterns;
use tables::pattern::perl::Perl;

const ENTRIES: u32 = 100_000;
const RULES: u32 = 1000;

fn database(criterion: &mut Criterion) {
    let entries = (0..ENTRIES)
        .map(|at| (format!("user{at}@example.com").into_bytes(), format!("box{at}").into_bytes()));
    let bytes = encode(&entries.collect::<BTreeMap<_, _>>()).expect("it is small enough");
    let db = ConstantDb::open(bytes).expect("it was just made");
    for (name, key) in [("hit", b"user77777@example.com".as_slice()), ("miss", b"nobody@x.example")]
    {
        criterion.bench_function(&format!("constant/{name}"), |bencher| {
            bencher.iter(|| black_box(&db).lookup(black_box(key)));
        });
    }
}

/// A word of letters, different for different numbers.
fn word(number: u32) -> String {
    let mut rest = u64::from(number) * 2_654_435_761 % 8_031_810_176 + 26u64.pow(6);
    let mut word = String::new();
    while rest > 0 {
        word.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    word
}

/// Rules with words, and rules of classes alone.
fn rules(kind: &str) -> String {
    let rule = |at: u32| {
        let (one, other) = (word(2 * at), word(2 * at + 1));
        match kind {
            "words" if at.is_multiple_of(2) => format!("/{one}.*{other}/ REJECT {at}\n"),
            "words" => format!("/^Subject:.*{one} [0-9]+{other}/ REJECT {at}\n"),
            _ => format!("/^[{}]+[0-9]{{3}}[{}]$/ REJECT {at}\n", &one[..3], &other[..3]),
        }
    };
    (0..RULES).map(rule).collect()
}

fn patterns(criterion: &mut Criterion) {
    let words: Vec<String> = (0..12).map(|at| word(1_000_000 + at)).collect();
    let line = words.join(" ");
    for kind in ["words", "classes"] {
        let table =
            Patterns::<Perl>::parse("rules", rules(kind).as_bytes(), &|why| panic!("{why}"));
        let mut group = criterion.benchmark_group(format!("pcre/{kind}"));
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function("together", |bencher| {
            bencher.iter(|| black_box(&table).lookup(black_box(line.as_bytes())));
        });
        group.bench_function("one by one", |bencher| {
            bencher.iter(|| black_box(&table).find_slowly(black_box(line.as_bytes())));
        });
        group.finish();
    }
}

criterion_group!(benches, database, patterns);
criterion_main!(benches);
