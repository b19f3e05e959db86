//! postlog(1): writes to the mail log.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postlog");
    let mut program = Program::new(&name, Voice::Terminal);
    let result = ringpost_tools::postlog::run(&mut program, &args);
    program.end(result)
}
