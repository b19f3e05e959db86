//! The front door for a newcomer: `ringpost demo`, `ringpost explain`, `ringpost simulate`,
//! `ringpost version`.

use ringpost::{demo, explain, simulate};
use std::process::ExitCode;

const USAGE: &str = "usage: ringpost demo [--messages N] [--size BYTES] [--sessions N]\n\
                     \x20      ringpost explain ADDRESS [--sender S] [-c DIRECTORY]\n\
                     \x20      ringpost simulate [--seed N] [--hours H] [--runs N] [--log]\n\
                     \x20      ringpost version\n";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("demo") => run_demo(arguments),
        Some("explain") => run_explanation(arguments),
        Some("simulate") => run_simulation(arguments),
        Some("version") => {
            println!("ringpost {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run_demo(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match demo::Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprint!("ringpost: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match demo::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_explanation(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match explain::Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprint!("ringpost: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match explain::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_simulation(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match simulate::Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprint!("ringpost: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match simulate::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::FAILURE
        }
    }
}
