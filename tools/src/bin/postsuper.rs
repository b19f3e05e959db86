//! postsuper(1): changes messages in the queue.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postsuper");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postsuper::run(&mut program, &args);
    program.end(result)
}
