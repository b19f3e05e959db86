//! One run of a load: rates by the clock, CPU time and memory of all the server's processes,
//! flushes of the device its queue is on.

use crate::Workload;
use crate::server::Server;
use ringpost_bench::load::sink::Sink;
use ringpost_bench::load::source::{Load, Source};
use std::error::Error;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the last message may take after the first.
const PATIENCE: Duration = Duration::from_secs(300);
/// Kernel clock ticks per second in /proc, fixed by its interface.
const TICKS: f64 = 100.0;

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
    let flushes_before = flushes(&server.queue_directory())?;
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
        flushes: (flushes(&server.queue_directory())? - flushes_before) as f64 / messages,
        commits: commits.map(|((now, _), (before, _))| (now - before) as f64 / messages),
        memory_mib: memory_mib(server.master, Pages::All),
    };
    sink.stop()?;
    Ok(sample)
}

/// The process and everything below it.
fn family(master: u32) -> Vec<u32> {
    let mut family = vec![master];
    let parents: Vec<(u32, u32)> = processes();
    let mut at = 0;
    while at < family.len() {
        let children = parents.iter().filter(|(_, parent)| *parent == family[at]);
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        family.extend(children);
        at += 1;
    }
    family
}

fn processes() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?.first().copied()? as u32))).collect()
}

/// Fields of /proc/PID/stat from the parent's number on.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let rest = text.rsplit_once(") ")?.1;
    Some(rest.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect())
}

/// CPU time of the family, with that of children that have ended.
fn cpu_seconds(master: u32) -> f64 {
    let ticks: u64 = family(master)
        .into_iter()
        .filter_map(stat)
        .map(|fields| fields.get(10..14).map_or(0, |times| times.iter().sum::<u64>()))
        .sum();
    ticks as f64 / TICKS
}

/// Which pages count as a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Its share of everything that is mapped: program, libraries, files, its own.
    All,
    /// Its own: what it has allocated. Pages of mapped files go whenever the kernel needs them.
    Own,
}

/// Memory of the family, MiB.
pub fn memory_mib(master: u32, pages: Pages) -> f64 {
    let kib: u64 = family(master).into_iter().filter_map(|pid| kib(pid, pages)).sum();
    kib as f64 / 1024.0
}

fn kib(pid: u32, pages: Pages) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let name = match pages {
        Pages::All => "Pss:",
        Pages::Own => "Pss_Anon:",
    };
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
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
