//! The front door for a newcomer: `ringpost demo`, `ringpost version`.

use ringpost::demo;
use std::process::ExitCode;

const USAGE: &str = "usage: ringpost demo [--messages N] [--size BYTES] [--sessions N]\n\
                     \x20      ringpost version\n";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("demo") => run_demo(arguments),
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
