//! postalias(1): builds and queries alias databases.

use std::process::ExitCode;

use ringpost_tools::postmap::Syntax;
use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (name, args) = command_line("postalias");
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postmap::run(&mut program, &args, Syntax::Alias);
    program.end(result)
}
