//! postdrop(1): adds a submission to the maildrop directory.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postdrop");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postdrop::run(&mut program, &args);
    program.end(result)
}
