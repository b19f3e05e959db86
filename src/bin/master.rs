//! master(8): supervises the engine. argv only; the work is in `src/master`.
//!
//! `master [-c DIR] [-d | -s | -i] [-t] [-w]`: `-d`, `-s` and `-i` stay in the foreground, `-t`
//! only tests that no other is running, `-w` starts one in the background and waits until it
//! serves.

use std::process::ExitCode;

use master::settings::{self, Settings};
use master::supervise::{self, Options};
use master::{Fatal, detach, pid_file};
use ringpost::sandbox;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(fatal) => {
            eprintln!("master: fatal: {fatal}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Fatal> {
    let mut directory = None;
    let (mut foreground, mut report, mut test, mut wait) = (false, false, false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-c" => directory = args.next(),
            "-d" | "-s" | "-i" => foreground = true,
            detach::REPORTING => report = true,
            "-t" => test = true,
            "-w" => wait = true,
            "-v" => {}
            _ => {
                return Err(Fatal("usage: master [-c config_dir] [-d] [-i] [-s] [-t] [-w]".into()));
            }
        }
    }
    let directory = settings::directory(directory.as_deref());
    let directory = std::path::absolute(&directory)
        .map_err(|error| Fatal::system(&directory, error))?
        .display()
        .to_string();
    if test {
        return test_lock(&directory);
    }
    if wait {
        return detach::start(&directory);
    }
    // What is missing, the engine says: it asks for the same.
    let _said_by_the_engine = sandbox::bind_supervisor();
    supervise::run(Options { directory, foreground, report }).map(|()| ExitCode::SUCCESS)
}

/// 0 when no supervisor is running.
fn test_lock(directory: &str) -> Result<ExitCode, Fatal> {
    let settings = Settings::load(directory, "master")?;
    let path = pid_file::path(&settings.queue()?, &settings.text("process_id_directory")?);
    let running = pid_file::running(&path)?.is_some();
    Ok(if running { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
