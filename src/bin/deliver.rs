//! deliver: the helper that becomes the recipient; `src/deliver` does the work. Started by master
//! with its rules on standard input and its socket in `RINGPOST_DELIVER_FD`.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use privsep::{Rules, rules};
use ringpost::{inherited, sandbox};
use rustix::fs::Mode;
use rustix::process::{Signal, chdir, set_parent_process_death_signal, umask};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deliver: fatal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // Without master nobody would stop us; it is not inherited by the children.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // Before capabilities go: a filter needs one. What is missing, the engine says.
    let _said_by_the_engine = sandbox::bind_supervisor();
    deliver::as_user::keep_what_is_needed()?;
    umask(Mode::RWXG | Mode::RWXO);
    let listener = inherited::deliver_socket()?;
    let rules = read_rules()?;
    // The engine may write to the queue directory: nothing here should be found by its current one.
    chdir("/")?;
    Ok(deliver::serve::run(listener, &rules)?)
}

fn read_rules() -> Result<Rules, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let limit = privsep::frame::HEADER_BYTES + rules::BODY_MAX + 1;
    std::io::stdin().take(limit as u64).read_to_end(&mut bytes)?;
    Ok(Rules::decode(&bytes)?)
}
