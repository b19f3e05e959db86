//! Two figures of memory: what an idle client costs, and what a large message costs while it is
//! relayed. Postfix has no counterpart for the first: its clients cost a process each.

use crate::{remove, started};
use ringpost_bench::load::sink::Sink;
use ringpost_bench::load::source::{Load, Source};
use ringpost_bench::process::{Pages, family, memory_mib};
use ringpost_bench::server::{Kind, Server};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Idle clients, unless descriptors are short.
const IDLE_CLIENTS: u64 = 10_000;
/// Descriptors this program needs besides.
const OWN_DESCRIPTORS: u64 = 200;
/// Content of the large message.
const LARGE_BYTES: usize = 50 << 20;
/// How often memory is looked at while it is relayed.
const LOOK: Duration = Duration::from_millis(2);
/// How long a relay may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures both and prints them.
///
/// # Errors
/// When the server does not do its part.
pub fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let server = started(Kind::Ringpost)?;
    let (clients, bytes) = idle(&server)?;
    remove(server)?;
    println!("\nmemory of the engine");
    println!("  {clients} idle clients after EHLO: {bytes:.0} bytes each");
    let mut extra = Vec::new();
    for _ in 0..rounds {
        let server = started(Kind::Ringpost)?;
        extra.push(large(&server)?);
        remove(server)?;
    }
    let list: Vec<String> = extra.iter().map(|mib| format!("{mib:.1}")).collect();
    println!("  a message of 50 MiB is relayed within {} MiB more", list.join(", "));
    Ok(())
}

/// Idle clients, and bytes of memory for each.
fn idle(server: &Server) -> Result<(u64, f64), Box<dyn Error>> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let room = files.current.unwrap_or(u64::MAX).saturating_sub(OWN_DESCRIPTORS);
    let clients = IDLE_CLIENTS.min(room);
    // One session has been there: what is made once is made.
    drop(greet(server)?);
    let before = memory_mib(&family(server.master), Pages::All);
    let connections: Vec<TcpStream> =
        (0..clients).map(|_| greet(server)).collect::<Result<_, _>>()?;
    let after = memory_mib(&family(server.master), Pages::All);
    drop(connections);
    Ok((clients, (after - before) * f64::from(1 << 20) / clients as f64))
}

/// A client that has said EHLO and says nothing more.
fn greet(server: &Server) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(server.address)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let greeting = lines.next().ok_or("no greeting")??;
    stream.write_all(b"EHLO idle.example\r\n")?;
    loop {
        let line = lines.next().ok_or("no answer to EHLO")??;
        if line.starts_with("250 ") {
            return Ok(stream);
        }
        if !line.starts_with("250-") {
            return Err(format!("{greeting}; EHLO: {line}").into());
        }
    }
}

/// MiB above the memory before, at most, while a large message goes through. Pages of the log that
/// are mapped for reading are the kernel's and not counted.
fn large(server: &Server) -> Result<f64, Box<dyn Error>> {
    let sink = Sink::start(server.sink)?;
    let before = memory_mib(&family(server.master), Pages::Own);
    let source = Source::start(Load {
        to: server.address,
        messages: 1,
        sessions: 1,
        size: Arc::new(|_| LARGE_BYTES),
        recipient: Arc::new(|_| "large@sink.example".into()),
        sender: "sender@source.example".into(),
    })?;
    let began = Instant::now();
    let mut most = before;
    while sink.counts.messages.load(Ordering::Relaxed) == 0 {
        if began.elapsed() > PATIENCE {
            return Err("the large message did not arrive".into());
        }
        most = most.max(memory_mib(&family(server.master), Pages::Own));
        std::thread::sleep(LOOK);
    }
    source.join()?;
    sink.stop()?;
    Ok(most - before)
}
