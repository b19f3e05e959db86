//! A relay with maps beside a bare one: what rewriting costs, for both servers.
//!
//! canonical_maps, virtual_alias_maps and transport_maps are `hash:` tables of [`ENTRIES`] entries
//! each. The sender is in the first, every recipient in the second, their domain in the third, so
//! that each lookup that can find something does.

use crate::measure::{Sample, run_load};
use crate::{Workload, remove, scaled, table};
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::fmt::Write;

/// Entries of each table; as many recipients may the load have.
pub const ENTRIES: u64 = 100_000;

const LOAD: Workload = Workload { size: 4096, sessions: 50, messages: 40_000 };

/// The share of a bare relay's throughput that one with maps is to keep, in percent.
const WANTED: f64 = 85.0;

/// Runs both relays of each server in turns, and prints what the maps leave of the throughput.
///
/// # Errors
/// When a server does not run, or mail does not arrive.
pub fn run(rounds: usize, kinds: &[Kind]) -> Result<(), Box<dyn Error>> {
    println!("\nmaps: canonical, virtual alias and transport tables of {ENTRIES} entries each");
    println!("  {:<10}{:>14}{:>14}{:>9}{:>12}{:>12}", "", "bare/s", "maps/s", "share", "", "");
    for kind in kinds {
        let (mut bare, mut mapped) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            for (samples, maps) in [(&mut bare, false), (&mut mapped, true)] {
                let sample = measure(*kind, maps)?;
                let with = if maps { "maps" } else { "bare" };
                eprintln!("round {}: {kind} {with} {sample}", round + 1);
                samples.push(sample);
            }
        }
        print(*kind, &bare, &mapped);
    }
    println!("  wanted: a share of {WANTED:.0} %");
    Ok(())
}

fn print(kind: Kind, bare: &[Sample], mapped: &[Sample]) {
    let rate = |samples: &[Sample]| table::median(samples, |sample| sample.delivered);
    let cost = |samples: &[Sample]| table::median(samples, |sample| sample.cpu_ms);
    let share = 100.0 * rate(mapped) / rate(bare);
    let (bare_rate, mapped_rate) = (rate(bare), rate(mapped));
    let (bare, mapped) = (cost(bare), cost(mapped));
    println!(
        "  {kind:<10}{bare_rate:>14.0}{mapped_rate:>14.0}{share:>7.0} %{bare:>9.3} ms{mapped:>9.3} ms"
    );
}

fn measure(kind: Kind, maps: bool) -> Result<Sample, Box<dyn Error>> {
    let mut server = Server::install("maps", kind, |_| String::new())?;
    if maps {
        add_maps(&server)?;
    }
    server.start()?;
    let sample = run_load(&server, &scaled(LOAD, kind));
    remove(server)?;
    sample
}

fn add_maps(server: &Server) -> Result<(), Box<dyn Error>> {
    let sink = server.sink.port();
    let tables = [
        ("canonical", "sender@source.example", "someone@source.example".to_owned()),
        ("virtual_alias", "", String::new()),
        ("transport", "sink.example", format!("smtp:[127.0.0.1]:{sink}")),
    ];
    let mut main_cf = String::new();
    for (name, key, value) in tables {
        let mut text = String::new();
        if !key.is_empty() {
            writeln!(text, "{key} {value}")?;
        }
        for number in 0..ENTRIES {
            match name {
                "canonical" => writeln!(text, "who{number}@source.example a{number}@else.example")?,
                "virtual_alias" => {
                    writeln!(text, "user{number}@sink.example person{number}@sink.example")?;
                }
                _ => writeln!(text, "domain{number}.example smtp:[127.0.0.1]:1")?,
            }
        }
        let path = server.directory.join("conf").join(name);
        std::fs::write(&path, text)?;
        server.tool("postmap", &[&format!("hash:{}", path.display())])?;
        writeln!(main_cf, "{name}_maps = hash:{}", path.display())?;
    }
    let path = server.directory.join("conf/main.cf");
    let old = std::fs::read_to_string(&path)?;
    Ok(std::fs::write(&path, old + &main_cf)?)
}
