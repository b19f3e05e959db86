//! The table at the end of the demo.

use super::{Options, load_count};
use bench::load::sink::Counts;
use std::time::Duration;

/// What the demo has seen.
pub struct Report<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// Messages that got 250.
    pub accepted: u64,
    /// Messages that did not.
    pub refused: u64,
    /// When the last one got it.
    pub accepted_after: Duration,
    /// When the last one was delivered or returned.
    pub settled_after: Duration,
    /// What the sink has seen.
    pub sink: &'a Counts,
    /// Writes made, and messages made durable by them.
    pub totals: (u64, u64),
}

impl Report<'_> {
    /// Prints it.
    pub fn print(&self) {
        let notices = load_count(&self.sink.notices);
        let delivered = load_count(&self.sink.messages) - notices;
        let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
        let (commits, messages) = self.totals;
        let size = self.options.size.map_or("mixed".to_string(), |size| format!("{size} bytes"));
        let sessions = self.options.sessions;
        println!("\n{:<34}{:>12}", format!("load: {size}, {sessions} sessions"), "");
        row("messages accepted", &self.accepted.to_string());
        row("messages refused", &self.refused.to_string());
        row("accepted per second", &format!("{:.0}", rate(self.accepted, self.accepted_after)));
        row("delivered", &delivered.to_string());
        row("delivered per second", &format!("{:.0}", rate(delivered, self.settled_after)));
        row("deferred first, delivered later", &load_count(&self.sink.deferred).to_string());
        row("failed for good", &load_count(&self.sink.refused).to_string());
        row("notices to the sender", &notices.to_string());
        row("commits (O_DSYNC writes)", &commits.to_string());
        let per_commit = messages as f64 / commits.max(1) as f64;
        row("messages per commit", &format!("{per_commit:.1}"));
        row("connections to the sink", &load_count(&self.sink.connections).to_string());
    }
}

fn row(name: &str, value: &str) {
    println!("  {name:<32}{value:>12}");
}
