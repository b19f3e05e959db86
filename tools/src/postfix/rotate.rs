//! `postfix logrotate`: renames the log file, has it opened anew, compresses the old one.
//!
//! **Standards**: postfix(1), MAILLOG_README of Postfix 3.7.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Zoned;
use jiff::fmt::strtime;
use rustix::process::Signal;

use super::Call;
use crate::program::Exit;
use crate::system;

/// How long the new file may take to appear.
const REOPEN_WAIT: Duration = Duration::from_secs(5);
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// Rotates `maillog_file`.
pub(super) fn run(call: &mut Call<'_>) -> Result<u8, Exit> {
    let mut values = Vec::new();
    for name in ["maillog_file", "maillog_file_compressor", "maillog_file_rotate_suffix"] {
        let value = call.settings.text(name)?;
        if value.is_empty() {
            let text = format!("empty '{name}' parameter value - logfile rotation failed");
            return Err(Exit::new(1, text));
        }
        values.push(value);
    }
    let (file, compressor, suffix) = (&values[0], &values[1], &values[2]);
    if file.starts_with("/dev/") {
        return Err(Exit::new(1, format!("not rotating '{file}'")));
    }
    let failed = |why: String| Exit::new(1, format!("logfile '{file}' rotation failed: {why}"));
    let suffix =
        strtime::format(suffix, &Zoned::now()).map_err(|error| failed(error.to_string()))?;
    let old = format!("{file}.{suffix}");
    std::fs::rename(file, &old).map_err(|error| failed(system::reason(&error)))?;
    reopen(call, file)?;
    let status = Command::new(compressor).arg(&old).status();
    match status {
        Ok(status) if status.success() => Ok(0),
        Ok(status) => Err(failed(format!("{compressor}: {status}"))),
        Err(error) => Err(failed(format!("{compressor}: {}", system::reason(&error)))),
    }
}

/// Has a running system open its log anew and waits for the file.
fn reopen(call: &Call<'_>, file: &str) -> Result<(), Exit> {
    let Ok(pid) = call.supervisor() else { return Ok(()) };
    call.signal(pid, Signal::HUP)?;
    let until = Instant::now() + REOPEN_WAIT;
    while !Path::new(file).exists() && Instant::now() < until {
        std::thread::sleep(REOPEN_PAUSE);
    }
    Ok(())
}
