//! `ringpost simulate`: runs of the simulated engine, for a person: see [`engine::simulation`].
//!
//! Every seed is a history of its own; the same seed is the same history.

use engine::simulation::report::{Report, seed_of};
use engine::simulation::{self, HOURS_MAX};
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// Virtual hours of trouble in each run.
    pub hours: u64,
    /// Runs, each with the next seed.
    pub runs: u64,
    /// Whether the record is shown.
    pub log: bool,
}

impl Options {
    /// Reads `--seed N --hours H --runs N --log`. The seed may be any text; without one it is the
    /// time.
    ///
    /// # Errors
    /// The argument that is not understood.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options =
            Options { seed: clock.as_micros() as u64, hours: 24, runs: 1, log: false };
        while let Some(name) = arguments.next() {
            if name == "--log" {
                options.log = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{name}: not a number: {value}"));
            match name.as_str() {
                "--seed" => options.seed = seed_of(&value),
                "--hours" => options.hours = number()?,
                "--runs" => options.runs = number()?,
                _ => return Err(format!("unknown option: {name}")),
            }
        }
        match options.hours {
            0..=HOURS_MAX => Ok(options),
            hours => Err(format!("--hours: {hours} is more than {HOURS_MAX}")),
        }
    }
}

/// Runs and reports: whether all is well.
///
/// # Errors
/// When a run cannot begin.
pub fn run(options: &Options) -> io::Result<bool> {
    let mut well = true;
    for run in 0..options.runs {
        let seed = options.seed.wrapping_add(run);
        let began = Instant::now();
        let echo = options.log.then(|| Box::new(|line: &str| println!("{line}")) as _);
        let outcome = simulation::run(simulation::Options { seed, hours: options.hours, echo })?;
        println!("{}", Report { outcome: &outcome, real_time: began.elapsed() });
        well &= outcome.violations.is_empty();
    }
    Ok(well)
}
