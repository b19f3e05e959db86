//! `deep`: what a very long queue costs. Builds a queue of deferred messages directly in the log,
//! starts ringpost on it, and measures how soon it serves, its memory, a listing, a restart after a
//! crash, and the deletion of everything. `--postfix N` does the same with an installed Postfix and
//! N messages, put in through its door and deferred, in a second column; it needs root.
//!
//! Then the rate at which new mail is accepted and delivered beside queues of several depths, in
//! turns, and as a ratio to the rate beside an empty one; and how fast a queue whose destination is
//! back drains after `postqueue -f`.
//!
//! Usage: `deep [--messages N] [--size BYTES] [--cold yes] [--depths N,N...|none] [--postfix N]`.
//! The programs are taken from beside this one: build the workspace first. `--cold yes` drops the
//! page cache before each start (as root). `--messages 0` leaves ringpost's column out. `TMPDIR`
//! chooses the disk; a queue takes about `N * (SIZE + 600)` bytes, and those of all depths are
//! there at once.

mod drain;
mod figures;
mod fill;
mod inject;
mod server;

use figures::{Figures, seconds};
use fill::Filling;
use ringpost_bench::load::sink::Sink;
use ringpost_bench::server::Kind;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

/// Depths of a queue that is flushed.
const FLUSHED: [u64; 3] = [1_000, 10_000, 100_000];
/// New messages that are sent through Postfix beside its queue.
const POSTFIX_MESSAGES: u64 = 4_000;

struct Arguments {
    messages: u64,
    size: usize,
    cold: bool,
    depths: Vec<u64>,
    postfix: u64,
}

fn main() -> ExitCode {
    match Arguments::parse().map_err(Into::into).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deep: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { messages, size, postfix, .. } = *arguments;
    let mut columns = Vec::new();
    if messages > 0 {
        columns.push((format!("ringpost, {messages}"), ringpost(arguments)?));
    }
    let mut rates = Vec::new();
    match Kind::Postfix.obstacle() {
        Some(why) if postfix > 0 => eprintln!("Postfix is left out: {why}"),
        None if postfix > 0 => {
            let (figures, measured) = measure_postfix(arguments)?;
            columns.push((format!("Postfix, {postfix}"), figures));
            rates = measured;
        }
        _ => {}
    }
    println!("deferred messages of {size} bytes; memory: engine, qmgr");
    figures::print(&columns);
    if let [empty, deep] = rates.as_slice() {
        println!("\nPostfix: new mail beside deferred mail");
        drain::print(0, empty, empty.delivered);
        drain::print(postfix, deep, empty.delivered);
    }
    if !arguments.depths.is_empty() {
        drain::beside(&[&[0], arguments.depths.as_slice()].concat(), size)?;
        drain::flushed(&FLUSHED, size)?;
    }
    Ok(())
}

fn ringpost(arguments: &Arguments) -> Result<Figures, Box<dyn Error>> {
    let Arguments { messages, size, cold, .. } = *arguments;
    let mut server = server::install("figures", Kind::Ringpost)?;
    let (mut figures, began) = (Figures::default(), Instant::now());
    fill::fill(&server.queue(), &Filling { messages, size, domain: None })?;
    server::hand_over(&server)?;
    figures.push("built", seconds(began.elapsed()));
    figures.take(&mut server, messages, cold)?;
    server.stop()?;
    server.remove()?;
    Ok(figures)
}

/// Its column, and the rate of new mail beside an empty queue and beside the long one.
fn measure_postfix(arguments: &Arguments) -> Result<(Figures, Vec<drain::Rate>), Box<dyn Error>> {
    let (messages, size) = (arguments.postfix, arguments.size);
    let mut server = inject::start()?;
    let sink = Sink::start(server.sink)?;
    let empty = drain::rate(&server, &sink, POSTFIX_MESSAGES)?;
    let (mut figures, began) = (Figures::default(), Instant::now());
    inject::fill(&server, messages, size)?;
    figures.push("built", seconds(began.elapsed()));
    let deep = drain::rate(&server, &sink, POSTFIX_MESSAGES)?;
    server.stop()?;
    figures.take(&mut server, messages, arguments.cold)?;
    server.stop()?;
    sink.stop()?;
    server.remove()?;
    Ok((figures, vec![empty, deep]))
}

impl Arguments {
    fn parse() -> Result<Arguments, String> {
        let depths = vec![1_000, 100_000, 1_000_000];
        let mut parsed =
            Arguments { messages: 1_000_000, size: 2048, cold: false, depths, postfix: 0 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number =
                |text: &str| text.parse::<u64>().map_err(|_| format!("{name}: not a number"));
            match name.as_str() {
                "--messages" => parsed.messages = number(&value)?,
                "--size" => parsed.size = number(&value)? as usize,
                "--cold" => parsed.cold = value == "yes",
                "--postfix" => parsed.postfix = number(&value)?,
                "--depths" if value == "none" => parsed.depths = Vec::new(),
                "--depths" => {
                    parsed.depths = value.split(',').map(number).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("unknown option: {name}")),
            }
        }
        Ok(parsed)
    }
}
