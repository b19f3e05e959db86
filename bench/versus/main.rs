//! `versus`: the same load through an installed Postfix and through ringpost, with the same
//! main.cf, in one run; medians and ratios.
//!
//! Both keep mail on stable storage before they say 250: Postfix fsyncs each queue file, ringpost
//! writes its log `O_DIRECT|O_DSYNC`. Source and sink are ours and run on the same machine. Needs
//! root (Postfix does) and Debian's postfix package; `--only ringpost` needs neither.
//!
//! Usage: `versus [--rounds N] [--only NAME] [--workload SIZE,SESSIONS,MESSAGES]...`; without a
//! workload of its own it also prints the figures of `memory`, `maps` and `patterns`, each alone
//! with `--only` and its name.

mod maps;
mod measure;
mod memory;
mod patterns;
mod table;

use measure::{Sample, run_load};
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::process::ExitCode;

/// A load: content bytes, sessions, messages for ringpost. Postfix gets fewer, see
/// [`POSTFIX_SHARE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Content bytes.
    pub size: usize,
    /// Sessions at once.
    pub sessions: u64,
    /// Messages.
    pub messages: u64,
}

/// Postfix is several times slower; it gets this part of the messages so that both run about as
/// long.
const POSTFIX_SHARE: u64 = 6;

const WORKLOADS: [Workload; 4] = [
    Workload { size: 4096, sessions: 1, messages: 6_000 },
    Workload { size: 4096, sessions: 10, messages: 30_000 },
    Workload { size: 4096, sessions: 50, messages: 40_000 },
    Workload { size: 65_536, sessions: 50, messages: 10_000 },
];

/// What is measured besides the workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Memory,
    Maps,
    Patterns,
}

struct Arguments {
    rounds: usize,
    kinds: Vec<Kind>,
    parts: Vec<Part>,
    workloads: Vec<Workload>,
}

fn main() -> ExitCode {
    match Arguments::parse().map_err(Into::into).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    table::print_conditions(arguments.rounds)?;
    for workload in &arguments.workloads {
        let mut samples: Vec<(Kind, Vec<Sample>)> =
            arguments.kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        // Interleaved: what disturbs the machine for a while disturbs both.
        for round in 0..arguments.rounds {
            for (kind, samples) in &mut samples {
                let server = started(*kind)?;
                let sample = run_load(&server, &scaled(*workload, *kind));
                remove(server)?;
                let sample = sample?;
                eprintln!("round {}: {kind} {sample}", round + 1);
                samples.push(sample);
            }
        }
        table::print(workload, &samples);
    }
    for part in &arguments.parts {
        match part {
            Part::Memory => memory::run(arguments.rounds)?,
            Part::Maps => maps::run(arguments.rounds, &arguments.kinds)?,
            Part::Patterns => patterns::run(arguments.rounds)?,
        }
    }
    Ok(())
}

/// A server that serves.
fn started(kind: Kind) -> Result<Server, Box<dyn Error>> {
    let mut server = Server::install("versus", kind, |_| String::new())?;
    server.start()?;
    Ok(server)
}

/// Stops it and removes what it had.
fn remove(mut server: Server) -> Result<(), Box<dyn Error>> {
    server.stop()?;
    server.remove()
}

fn scaled(workload: Workload, kind: Kind) -> Workload {
    let messages = match kind {
        Kind::Ringpost => workload.messages,
        Kind::Postfix => (workload.messages / POSTFIX_SHARE).max(1),
    };
    Workload { messages, ..workload }
}

impl Arguments {
    fn parse() -> Result<Arguments, String> {
        let kinds = vec![Kind::Postfix, Kind::Ringpost];
        let (parts, workloads) = (vec![Part::Memory, Part::Maps], WORKLOADS.to_vec());
        let mut parsed = Arguments { rounds: 3, kinds, parts, workloads };
        let mut own = Vec::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--rounds" => {
                    parsed.rounds = value.parse().map_err(|_| "--rounds: not a number")?
                }
                "--only" => parsed.only(&value)?,
                "--workload" => own.push(parse_workload(&value)?),
                _ => return Err(format!("unknown option: {name} {value}")),
            }
        }
        if !own.is_empty() {
            (parsed.workloads, parsed.parts) = (own, Vec::new());
        } else if parsed.kinds.len() == 2 && parsed.parts.len() == 2 {
            // This one compares two programs.
            parsed.parts.push(Part::Patterns);
        }
        Ok(parsed)
    }

    fn only(&mut self, name: &str) -> Result<(), String> {
        let part = match name {
            "ringpost" | "postfix" => {
                let kind = if name == "postfix" { Kind::Postfix } else { Kind::Ringpost };
                self.kinds = vec![kind];
                return Ok(());
            }
            "memory" => Part::Memory,
            "maps" => Part::Maps,
            "patterns" => Part::Patterns,
            _ => return Err(format!("--only: unknown: {name}")),
        };
        (self.parts, self.workloads) = (vec![part], Vec::new());
        Ok(())
    }
}

fn parse_workload(text: &str) -> Result<Workload, String> {
    let numbers: Option<Vec<u64>> = text.split(',').map(|word| word.parse().ok()).collect();
    match numbers.as_deref() {
        Some([size, sessions, messages]) => {
            Ok(Workload { size: *size as usize, sessions: *sessions, messages: *messages })
        }
        _ => Err(format!("--workload: not SIZE,SESSIONS,MESSAGES: {text}")),
    }
}
