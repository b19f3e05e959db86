//! What the bytes of a dialogue cost: command lines, addresses, and content on its way to the
//! queue.
//!
//! `cargo bench -p ringpost-bench --bench parse`; content is reported as bytes per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mail::Address;
use protocol::smtp::command::{Mail, Offered, Rcpt, split};
use protocol::smtp::data::{BareNewline, Reader};
use protocol::smtp::path::Rules;
use std::hint::black_box;

fn commands(criterion: &mut Criterion) {
    let offered = Offered { dsn: true, smtputf8: true, paths: Rules::default() };
    criterion.bench_function("command/mail", |bencher| {
        bencher.iter(|| {
            let line = black_box(b"MAIL FROM:<sender@client.example> SIZE=4096 BODY=8BITMIME");
            Mail::parse(&split(line).words, offered)
        });
    });
    criterion.bench_function("command/rcpt", |bencher| {
        bencher.iter(|| {
            let line = black_box(b"RCPT TO:<recipient@example.com> NOTIFY=SUCCESS,FAILURE");
            Rcpt::parse(&split(line).words, offered, false)
        });
    });
}

fn addresses(criterion: &mut Criterion) {
    for (name, path) in [
        ("plain", b"<recipient@mail.example.com>".as_slice()),
        ("quoted", b"<\"a recipient \\\"with\\\" quotes\"@mail.example.com>"),
    ] {
        criterion.bench_function(&format!("address/parse/{name}"), |bencher| {
            bencher.iter(|| Address::parse_path(black_box(path)));
        });
        let address = Address::parse_path(path).expect("a good path");
        criterion.bench_function(&format!("address/print/{name}"), |bencher| {
            bencher.iter(|| black_box(&address).external());
        });
    }
}

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data");
    for size in [4 << 10, 1 << 20] {
        for (name, line) in [
            ("clean", b"A line of text as mail programs write it, of 72 columns or about so.\r\n"),
            (
                "stuffed",
                b"..line of text as mail programs write it, of 72 columns or about so.\r\n",
            ),
        ] {
            let mut message: Vec<u8> = line.iter().copied().cycle().take(size).collect();
            message.extend_from_slice(b"\r\n.\r\n");
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(BenchmarkId::new(name, size), &message, |bencher, message| {
                let mut out = Vec::with_capacity(2 * size);
                bencher.iter(|| {
                    out.clear();
                    let read =
                        Reader::new(BareNewline::Normalize).read(black_box(message), &mut out);
                    assert_eq!(read, (message.len(), true));
                });
            });
        }
    }
}

criterion_group!(benches, commands, addresses, content);
criterion_main!(benches);
