//! sendmail(1): submits mail, and asks other commands.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("sendmail");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::sendmail::run(&mut program, &args);
    program.end(result)
}
