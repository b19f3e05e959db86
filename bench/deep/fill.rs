//! Fills a queue directory with deferred messages, each core's share by a thread of its own, in
//! the engine's layout: appended, and deferred some time later with a reason.

use mail::address::Address;
use mail::record::{self, kind};
use mail::{Envelope, envelope::Recipient};
use queue::{Core, Log, Number, Options, Store};
use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Messages between two writes.
const GROUP: u64 = 128;
/// The first retry is so far away that nothing is delivered meanwhile, seconds.
const LATER: u64 = 7200;
const REASON: &str =
    "0 4.4.1 X-Postfix connect to mx.far.example[192.0.2.25]:25: Connection timed out";

type Outcome = Result<u64, Box<dyn Error + Send + Sync>>;

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// How many.
    pub messages: u64,
    /// Content bytes of each.
    pub size: usize,
    /// The domain of all recipients, unless they have a thousand.
    pub domain: Option<&'static str>,
}

/// Appends messages; returns the bytes of log.
///
/// # Errors
/// What the disk said.
pub fn fill(queue: &Path, filling: &Filling) -> Result<u64, Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?.get() as u8;
    let store = Store::open(queue, Options { cores, ..Options::default() })?;
    let share = filling.messages / u64::from(cores);
    let rest = filling.messages - share * u64::from(cores);
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            let (store, extra) = (store.clone(), if core == 0 { rest } else { 0 });
            let part = Filling { messages: share + extra, ..*filling };
            std::thread::spawn(move || fill_core(&store, core, &part))
        })
        .collect();
    let mut bytes = 0;
    for thread in threads {
        let filled = thread.join().map_err(|_| "a filling thread panicked")?;
        bytes += filled.map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

fn fill_core(store: &Store, core: u8, filling: &Filling) -> Outcome {
    let Filling { messages, size, domain } = *filling;
    let core = Core::new(core).ok_or("too many cores")?;
    let (mut log, _) = Log::join(store, core)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let content = content(size);
    let mut reason = Vec::new();
    record::put(&mut reason, kind::RECIPIENT, REASON.as_bytes());
    let mut bytes = 0;
    let mut at = 0;
    while at < messages {
        supply(&mut log)?;
        let group: Vec<u64> = (at..messages.min(at + GROUP)).collect();
        let mut numbers: Vec<Number> = Vec::new();
        for serial in &group {
            let micros = now.as_micros() as u64 - (messages - serial);
            let envelope = envelope(*serial, micros, size, domain);
            let number = log.reserve_number();
            log.append(number, micros, 0, &envelope, &[&content])?;
            bytes += (envelope.len() + size + reason.len()) as u64;
            numbers.push(number);
        }
        flush(&mut log)?;
        for (number, serial) in numbers.into_iter().zip(&group) {
            log.defer(number, now.as_secs() + LATER + serial % 4000, &reason)?;
        }
        flush(&mut log)?;
        at += GROUP;
    }
    Ok(bytes)
}

fn content(size: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog, again and again.\n";
    line.iter().copied().cycle().take(size).collect()
}

fn envelope(serial: u64, micros: u64, size: usize, domain: Option<&str>) -> Vec<u8> {
    let to = match domain {
        Some(domain) => format!("user{serial}@{domain}"),
        None => format!("user{serial}@domain{}.example", serial % 1000),
    };
    let envelope = Envelope {
        arrival_micros: micros,
        size: size as u64,
        sender: Address::from_internal(format!("sender{}@source.example", serial % 100).as_bytes()),
        recipients: vec![Recipient::new(Address::from_internal(to.as_bytes()))],
        attributes: vec![
            ("log_client_name".into(), b"client.source.example".to_vec()),
            ("log_client_address".into(), b"192.0.2.77".to_vec()),
            ("log_helo_name".into(), b"client.source.example".to_vec()),
            ("log_protocol_name".into(), b"ESMTP".to_vec()),
        ],
        ..Envelope::default()
    };
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    bytes
}

fn supply(log: &mut Log) -> std::io::Result<()> {
    while let Some(request) = log.wants_segment() {
        log.supply(request.prepare()?);
    }
    Ok(())
}

fn flush(log: &mut Log) -> std::io::Result<()> {
    while let Some(flush) = log.seal() {
        let written = flush.write_blocking();
        log.flushed(flush.id, written).map_err(|poisoned| poisoned.error)?;
    }
    Ok(())
}
