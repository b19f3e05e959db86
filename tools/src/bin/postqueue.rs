//! postqueue(1): lists and flushes the queue.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postqueue");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postqueue::run(&mut program, &args);
    program.end(result)
}
