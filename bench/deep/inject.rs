//! Fills Postfix's queue the only way it can be filled: through its door.

use crate::server::install;
use ringpost_bench::load::source::{Load, Source};
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const SESSIONS: u64 = 40;
/// How long mail may take from the door to the deferred queue.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);

/// A running Postfix; nothing is in its queue.
///
/// # Errors
/// When it does not start.
pub fn start() -> Result<Server, Box<dyn Error>> {
    let mut server = install("inject", Kind::Postfix)?;
    server.start()?;
    Ok(server)
}

/// Sends messages that nobody takes, and waits until all of them are deferred.
///
/// # Errors
/// When Postfix refuses some, or does not defer them in time.
pub fn fill(server: &Server, messages: u64, size: usize) -> Result<(), Box<dyn Error>> {
    let source = Source::start(Load {
        to: server.address,
        messages,
        sessions: SESSIONS,
        size: Arc::new(move |_| size),
        recipient: Arc::new(|number| format!("user{number}@domain{}.example", number % 1000)),
        sender: "sender@source.example".into(),
    })?;
    let counts = source.counts.clone();
    source.join()?;
    let refused = counts.refused.load(Ordering::Relaxed);
    if refused > 0 {
        return Err(format!("{refused} messages were refused").into());
    }
    let began = Instant::now();
    while holds_mail(&server.queue(), "incoming")? || holds_mail(&server.queue(), "active")? {
        if began.elapsed() > PATIENCE {
            return Err("not all messages are deferred".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn holds_mail(queue: &Path, name: &str) -> Result<bool, Box<dyn Error>> {
    Ok(std::fs::read_dir(queue.join(name))?.next().is_some())
}
