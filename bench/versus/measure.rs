//! One run of a load: rates by the clock, CPU time and memory of all the server's processes,
//! flushes of the device its queue is on.

use crate::Workload;
use ringpost_bench::load::sink::Sink;
use ringpost_bench::load::source::{Load, Source};
use ringpost_bench::process::{Pages, cpu_seconds, family, memory_mib};
use ringpost_bench::server::Server;
use std::error::Error;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the last message may take after the first.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages per second until the last 250.
    pub accepted: f64,
    /// Messages per second until the last delivery.
    pub delivered: f64,
    /// CPU milliseconds per message, user and system, all processes of the server.
    pub cpu_ms: f64,
    /// Flushes of the queue's device per message.
    pub flushes: f64,
    /// Log writes per message, as the server counts them.
    pub commits: Option<f64>,
    /// Proportional set size of all processes at the end, MiB.
    pub memory_mib: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {:.0}/s, delivered {:.0}/s, {:.3} ms CPU, {:.3} flushes, {:.1} MiB",
            self.accepted, self.delivered, self.cpu_ms, self.flushes, self.memory_mib
        )
    }
}

/// Runs a load through a server.
///
/// # Errors
/// When mail is refused or does not arrive.
pub fn run_load(server: &Server, workload: &Workload) -> Result<Sample, Box<dyn Error>> {
    let sink = Sink::start(server.sink)?;
    let flushes_before = flushes(&server.queue())?;
    let cpu_before = cpu_seconds(server.master);
    let commits_before = server.commits();
    let began = Instant::now();
    let size = workload.size;
    let source = Source::start(Load {
        to: server.address,
        messages: workload.messages,
        sessions: workload.sessions,
        size: Arc::new(move |_| size),
        recipient: Arc::new(|number| format!("user{number}@sink.example")),
        sender: "sender@source.example".into(),
    })?;
    let counts = source.counts.clone();
    source.join()?;
    let accepted_after = began.elapsed();
    let refused = counts.refused.load(Ordering::Relaxed);
    if refused > 0 {
        return Err(format!("{refused} messages were refused").into());
    }
    let delivered = || sink.counts.messages.load(Ordering::Relaxed);
    while delivered() < workload.messages {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {} arrived", delivered(), workload.messages).into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let delivered_after = began.elapsed();
    let messages = workload.messages as f64;
    let commits = server.commits().zip(commits_before);
    let sample = Sample {
        accepted: messages / accepted_after.as_secs_f64(),
        delivered: messages / delivered_after.as_secs_f64(),
        cpu_ms: (cpu_seconds(server.master) - cpu_before) * 1000.0 / messages,
        flushes: (flushes(&server.queue())? - flushes_before) as f64 / messages,
        commits: commits.map(|((now, _), (before, _))| (now - before) as f64 / messages),
        memory_mib: memory_mib(&family(server.master), Pages::All),
    };
    sink.stop()?;
    Ok(sample)
}

/// Flush requests that the device under `path` has completed since boot.
fn flushes(path: &Path) -> Result<u64, Box<dyn Error>> {
    const FLUSHES: usize = 18;
    let device = std::fs::metadata(path)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = std::fs::read_to_string("/proc/diskstats")?;
    let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| {
        row.first() == Some(&major.to_string().as_str())
            && row.get(1) == Some(&minor.to_string().as_str())
    });
    Ok(row.and_then(|row| row.get(FLUSHES)?.parse().ok()).unwrap_or(0))
}
