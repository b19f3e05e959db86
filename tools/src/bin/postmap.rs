//! postmap(1): builds and queries lookup tables.

use std::process::ExitCode;

use ringpost_tools::postmap::Syntax;
use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postmap");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postmap::run(&mut program, &args, Syntax::Map);
    program.end(result)
}
