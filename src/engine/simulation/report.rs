//! What a person is told about a run.

use super::Outcome;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Violations that are shown.
const VIOLATIONS_MAX: usize = 10;
/// Lines shown about each.
const LINES_MAX: usize = 60;

/// An outcome and how long it took.
pub struct Report<'a> {
    /// What came of the run.
    pub outcome: &'a Outcome,
    /// By a real clock.
    pub real_time: Duration,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Outcome { seed, counts, crashes, virtual_time, lines, digest, violations } =
            self.outcome;
        let hours = virtual_time.as_secs_f64() / 3600.0;
        let rate = hours / self.real_time.as_secs_f64().max(0.001);
        writeln!(f, "seed          {seed}")?;
        writeln!(f, "messages      {} to {} recipients", counts.messages, counts.recipients)?;
        writeln!(f, "deliveries    {}", counts.deliveries)?;
        writeln!(f, "deferrals     {}", counts.deferrals)?;
        writeln!(f, "bounces       {}", counts.bounces)?;
        writeln!(f, "duplicates    {} (explained)", counts.duplicates)?;
        writeln!(f, "deleted       {}", counts.deleted)?;
        writeln!(f, "crashes       {crashes}")?;
        writeln!(
            f,
            "longest wait  {:.0} s at the site that is well",
            counts.well_wait.as_secs_f64()
        )?;
        writeln!(f, "virtual time  {hours:.1} h")?;
        writeln!(f, "real time     {:.1} s ({rate:.0} h/s)", self.real_time.as_secs_f64())?;
        writeln!(f, "record        {lines} lines, digest {digest:016x}")?;
        writeln!(f, "violations    {}", violations.len())?;
        for violation in violations.iter().take(VIOLATIONS_MAX) {
            writeln!(f, "\n{} (seed {seed})", violation.text)?;
            let skipped = violation.lines.len().saturating_sub(LINES_MAX);
            if skipped > 0 {
                writeln!(f, "  ... {skipped} lines")?;
            }
            violation.lines[skipped..].iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// The number that any text stands for; a number stands for itself.
pub fn seed_of(text: &str) -> u64 {
    let text = text.trim();
    text.parse().unwrap_or_else(|_| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    })
}
