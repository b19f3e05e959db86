//! How fast mail goes through beside a long queue: new mail while others wait, and the queue itself
//! after `postqueue -f`.

use crate::fill::{self, Filling};
use crate::server::{LIVE, hand_over, install};
use ringpost_bench::load::sink::Sink;
use ringpost_bench::load::source::{Load, Source};
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Rounds of load at each depth, in turns; medians.
const ROUNDS: usize = 5;
const SESSIONS: u64 = 50;
/// Content of each new message.
const BYTES: usize = 4096;
/// New messages of a round.
const MESSAGES: u64 = 20_000;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(2);

/// Messages in a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Until the last 250.
    pub accepted: f64,
    /// Until the last delivery.
    pub delivered: f64,
}

/// A server with a queue of some depth, and what was measured there.
pub struct Stand {
    depth: u64,
    server: Server,
    sink: Sink,
    rates: Vec<Rate>,
}

impl Stand {
    /// A running ringpost with that many messages for a dead destination.
    ///
    /// # Errors
    /// What the system said.
    fn ringpost(depth: u64, size: usize) -> Result<Stand, Box<dyn Error>> {
        let mut server = install(&format!("drain-{depth}"), Kind::Ringpost)?;
        if depth > 0 {
            fill::fill(&server.queue(), &Filling { messages: depth, size, domain: None })?;
            hand_over(&server)?;
        }
        server.start()?;
        let sink = Sink::start(server.sink)?;
        Ok(Stand { depth, server, sink, rates: Vec::new() })
    }

    fn measure(&mut self) -> Result<(), Box<dyn Error>> {
        let rate = rate(&self.server, &self.sink, MESSAGES)?;
        eprintln!(
            "  beside {}: accepted {:.0}/s, delivered {:.0}/s",
            self.depth, rate.accepted, rate.delivered
        );
        self.rates.push(rate);
        Ok(())
    }

    fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.server.stop()?;
        self.sink.stop()?;
        self.server.remove()
    }
}

/// New mail beside a queue of each depth, one after the other in every round. The engines of the
/// other depths sleep meanwhile.
///
/// # Errors
/// When mail is refused or does not arrive.
pub fn beside(depths: &[u64], size: usize) -> Result<(), Box<dyn Error>> {
    let mut stands = Vec::new();
    for depth in depths {
        stands.push(Stand::ringpost(*depth, size)?);
    }
    for _ in 0..ROUNDS {
        stands.iter_mut().try_for_each(Stand::measure)?;
    }
    println!("\nringpost: new mail of {BYTES} bytes, {SESSIONS} sessions, beside deferred mail");
    println!("  {:>10}{:>14}{:>14}{:>10}", "deferred", "accepted/s", "delivered/s", "ratio");
    let empty = stands.first().map_or(f64::NAN, |stand| median(&stand.rates, |r| r.delivered));
    for Stand { depth, rates, .. } in &stands {
        print(*depth, &rate_of(rates), empty);
    }
    stands.into_iter().try_for_each(Stand::end)
}

/// Prints a row; `empty` is the rate beside an empty queue.
pub fn print(depth: u64, rate: &Rate, empty: f64) {
    let Rate { accepted, delivered } = rate;
    println!("  {depth:>10}{accepted:>14.0}{delivered:>14.0}{:>10.2}", delivered / empty);
}

/// Sends new mail to the live destination and waits until all of it has come.
///
/// # Errors
/// When mail is refused or does not arrive.
pub fn rate(server: &Server, sink: &Sink, messages: u64) -> Result<Rate, Box<dyn Error>> {
    let before = sink.counts.messages.load(Ordering::Relaxed);
    let began = Instant::now();
    let source = Source::start(Load {
        to: server.address,
        messages,
        sessions: SESSIONS,
        size: Arc::new(|_| BYTES),
        recipient: Arc::new(|number| format!("user{number}@{LIVE}")),
        sender: "sender@source.example".into(),
    })?;
    let counts = source.counts.clone();
    source.join()?;
    let accepted = messages as f64 / began.elapsed().as_secs_f64();
    if counts.refused.load(Ordering::Relaxed) > 0 {
        return Err("messages were refused".into());
    }
    wait_for(sink, before + messages)?;
    Ok(Rate { accepted, delivered: messages as f64 / began.elapsed().as_secs_f64() })
}

fn wait_for(sink: &Sink, count: u64) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let come = || sink.counts.messages.load(Ordering::Relaxed);
    while come() < count {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {count} have come", come()).into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// A queue whose destination is back: how fast it drains after `postqueue -f`, at each depth.
///
/// # Errors
/// When it does not drain.
pub fn flushed(depths: &[u64], size: usize) -> Result<(), Box<dyn Error>> {
    println!("\nringpost: postqueue -f, the destination is back, {size} bytes");
    println!("  {:>10}{:>14}{:>10}", "deferred", "delivered/s", "ratio");
    let mut first = None;
    for depth in depths {
        let mut server = install(&format!("flush-{depth}"), Kind::Ringpost)?;
        let filling = Filling { messages: *depth, size, domain: Some(LIVE) };
        fill::fill(&server.queue(), &filling)?;
        hand_over(&server)?;
        let sink = Sink::start(server.sink)?;
        server.start()?;
        let began = Instant::now();
        server.tool("postqueue", &["-f"])?;
        wait_for(&sink, *depth)?;
        let delivered = *depth as f64 / began.elapsed().as_secs_f64();
        let ratio = delivered / *first.get_or_insert(delivered);
        println!("  {depth:>10}{delivered:>14.0}{ratio:>10.2}");
        server.stop()?;
        sink.stop()?;
        server.remove()?;
    }
    Ok(())
}

fn rate_of(rates: &[Rate]) -> Rate {
    Rate {
        accepted: median(rates, |rate| rate.accepted),
        delivered: median(rates, |rate| rate.delivered),
    }
}

fn median(rates: &[Rate], of: fn(&Rate) -> f64) -> f64 {
    let mut values: Vec<f64> = rates.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
