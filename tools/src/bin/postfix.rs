//! postfix(1): controls the mail system.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postfix");
    let mut program = Program::new(&name, Voice::Terminal);
    let result = ringpost_tools::postfix::run(&mut program, &args);
    program.end(result)
}
