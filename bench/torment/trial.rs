//! One system's trial: rounds of load and a kill each, then quiet until all has come.

use crate::Arguments;
use crate::chance::Chance;
use crate::kill::{Victim, strike};
use crate::ledger::{Ledger, Verdict};
use crate::sink::Sink;
use ringpost_bench::load::source::{Load, Manner, Source};
use ringpost_bench::process;
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions of the source.
const SESSIONS: u64 = 8;
/// Content of each message.
const BYTES: usize = 1024;
/// Load between the return of service and the kill, milliseconds.
const LOAD_MS: (u64, u64) = (500, 1500);
/// How slow the sink is when it is slow, milliseconds for each message.
const SLOW_MS: (u64, u64) = (20, 100);
/// How long service may take to return, and mail to arrive at the end.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(5);
/// Nobody waits for a retry longer than he must.
const RETRY: &str = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
                     transport_retry_time = 1s\nservice_throttle_time = 1s\n";

/// Runs it.
///
/// # Errors
/// When the system does not start, or does not serve again.
pub fn run(kind: Kind, arguments: &Arguments) -> Result<Verdict, Box<dyn Error>> {
    let mut server = Server::install("torment", kind, |_| RETRY.into())?;
    let ledger = Arc::new(Ledger::default());
    let sink = Sink::start(server.sink, ledger.clone())?;
    server.start()?;
    let source = start_source(&server, &ledger, arguments.rate)?;
    let mut chance = Chance::new(arguments.seed);
    for (round, victim) in (0..arguments.rounds).zip(Victim::ALL.into_iter().cycle()) {
        sink.delay(if chance.between(0, 2) == 0 {
            0
        } else {
            chance.between(SLOW_MS.0, SLOW_MS.1)
        });
        let load = Duration::from_millis(chance.between(LOAD_MS.0, LOAD_MS.1));
        suffer(&mut server, &ledger, load, victim)
            .map_err(|error| format!("{kind}, round {}, {victim}: {error}", round + 1))?;
        eprintln!("{kind}: round {}, {victim}: {} acknowledged", round + 1, ledger.acknowledged());
    }
    sink.delay(0);
    wait_for_service(&ledger)?;
    source.stop();
    source.join()?;
    wait_until_quiet(&server, &ledger)?;
    server.stop()?;
    let verdict = ledger.verdict();
    match verdict.lost.is_empty() {
        true => server.remove()?,
        false => eprintln!("{kind} has lost mail; see {}", server.directory.display()),
    }
    Ok(verdict)
}

fn start_source(server: &Server, ledger: &Arc<Ledger>, rate: u32) -> std::io::Result<Source> {
    let load = Load {
        to: server.address,
        messages: u64::MAX,
        sessions: SESSIONS,
        size: Arc::new(|_| BYTES),
        recipient: Arc::new(|number| format!("user{number}@sink.example")),
        sender: "sender@source.example".into(),
    };
    let ledger = ledger.clone();
    let acknowledged = Arc::new(move |number| ledger.acknowledge(number));
    Source::start_as(load, Manner { rate: Some(rate), acknowledged: Some(acknowledged) })
}

/// One round.
fn suffer(
    server: &mut Server,
    ledger: &Ledger,
    load: Duration,
    victim: Victim,
) -> Result<(), Box<dyn Error>> {
    wait_for_service(ledger)?;
    std::thread::sleep(load);
    ledger.strike();
    strike(server, victim)?;
    ledger.kill(victim);
    if !process::runs(server.master) {
        server.start()?;
    }
    Ok(())
}

/// Waits until mail is taken (again).
fn wait_for_service(ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let (before, began) = (ledger.acknowledged(), Instant::now());
    while ledger.acknowledged() == before {
        if began.elapsed() > PATIENCE {
            return Err("it does not serve again".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Waits until everything has come and the queue is empty. What has not come by the end of our
/// patience is lost, which the verdict says.
fn wait_until_quiet(server: &Server, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let listing = server.tool("postqueue", &["-p"])?;
        if ledger.missing() == 0 && listing.contains("Mail queue is empty") {
            return Ok(());
        }
        std::thread::sleep(10 * LOOK);
    }
    eprintln!("{}: {} have not come, or the queue is not empty", server.kind, ledger.missing());
    Ok(())
}
