//! The front door for a newcomer: `ringpost demo`, `ringpost explain`, `ringpost simulate`,
//! `ringpost version`.

use ringpost::{demo, explain, simulate};
use std::fmt::Display;
use std::process::ExitCode;

const USAGE: &str = "usage: ringpost demo [--messages N] [--size BYTES] [--sessions N]\n\
                     \x20      ringpost explain ADDRESS [--sender S] [-c DIRECTORY]\n\
                     \x20      ringpost simulate [--seed N] [--hours H] [--runs N] [--log]\n\
                     \x20      ringpost version\n";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("demo") => {
            run(demo::Options::parse(arguments), |options| demo::run(options).map(|()| true))
        }
        Some("explain") => {
            run(explain::Options::parse(arguments), |options| explain::run(options).map(|()| true))
        }
        Some("simulate") => run(simulate::Options::parse(arguments), simulate::run),
        Some("version") => {
            println!("ringpost {}", env!("CARGO_PKG_VERSION"));
            Ok(true)
        }
        _ => Err(USAGE.trim_end().to_string()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command whose options were read: whether all is well, or what to tell the user.
fn run<O, E: Display>(
    options: Result<O, String>,
    command: impl FnOnce(&O) -> Result<bool, E>,
) -> Result<bool, String> {
    let options = options.map_err(|error| format!("ringpost: {error}\n{}", USAGE.trim_end()))?;
    command(&options).map_err(|error| format!("ringpost: {error}"))
}
