//! `deep`: what a very long queue costs. Builds a queue of deferred messages directly in the log,
//! starts ringpost on it, and measures how soon it serves, its memory, a listing, a restart after a
//! crash, and the deletion of everything.
//!
//! Usage: `deep [--messages N] [--size BYTES] [--cold yes]`. The programs are taken from beside
//! this one: build the workspace first. `--cold yes` drops the page cache before each start (as
//! root). `TMPDIR` chooses the disk; it takes about `N * (SIZE + 600)` bytes.

mod fill;
mod server;

use server::Server;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long an engine may settle before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

struct Arguments {
    messages: u64,
    size: usize,
    cold: bool,
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
    let Arguments { messages, size, cold } = *arguments;
    let mut server = Server::install()?;
    let cores = std::thread::available_parallelism()?.get() as u8;
    let began = Instant::now();
    let filled = fill::fill(&server.queue(), cores, messages, size)?;
    server.hand_over()?;
    println!("{messages} deferred messages of {size} bytes, {cores} cores");
    row("built", began.elapsed(), &format!("{} MiB of log", filled >> 20));
    start(&mut server, cold, "first start to 220")?;
    memory(&server, "after start")?;
    list(&server, messages)?;
    memory(&server, "after the listing")?;
    server.crash()?;
    start(&mut server, cold, "start after a crash to 220")?;
    memory(&server, "after start")?;
    server.stop()?;
    start(&mut server, cold, "start after an orderly stop to 220")?;
    let began = Instant::now();
    let said = server.tool("postsuper", &["-d", "ALL"])?;
    row("postsuper -d ALL", began.elapsed(), said.trim());
    memory(&server, "after the deletion")?;
    row("log on disk", Duration::ZERO, &format!("{} MiB", server.log_bytes()? >> 20));
    server.stop()?;
    server.remove()
}

fn start(server: &mut Server, cold: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if cold {
        server.drop_caches()?;
    }
    row(what, server.start()?, "");
    Ok(())
}

fn list(server: &Server, messages: u64) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let said = server.tool("postqueue", &["-p"])?;
    let last = said.lines().last().unwrap_or_default();
    row("postqueue -p | tail -1", began.elapsed(), last);
    match last.contains(&format!("in {messages} Requests")) {
        true => Ok(()),
        false => Err("not all messages are listed".into()),
    }
}

fn memory(server: &Server, when: &str) -> Result<(), Box<dyn Error>> {
    std::thread::sleep(SETTLE);
    let (all, own) = server.memory_mib()?;
    println!("  {:38} {all:9.1} MiB  {own:.1} MiB its own", format!("engine memory {when}"));
    Ok(())
}

fn row(what: &str, time: Duration, note: &str) {
    println!("  {what:38} {:9.2} s    {note}", time.as_secs_f64());
}

impl Arguments {
    fn parse() -> Result<Arguments, String> {
        let mut parsed = Arguments { messages: 1_000_000, size: 2048, cold: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{name}: not a number"));
            match name.as_str() {
                "--messages" => parsed.messages = number()?,
                "--size" => parsed.size = number()? as usize,
                "--cold" => parsed.cold = value == "yes",
                _ => return Err(format!("unknown option: {name}")),
            }
        }
        Ok(parsed)
    }
}
