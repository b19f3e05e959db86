//! postcat(1): shows messages.

use std::process::ExitCode;

use ringpost_tools::program::{Program, Voice, command_line};

fn main() -> ExitCode {
    let (_, args) = command_line("postcat");
    // Postfix's speaks under the whole path.
    let name = std::env::args().next().unwrap_or_else(|| "postcat".to_owned());
    let mut program = Program::new(&name, Voice::Always);
    let result = ringpost_tools::postcat::run(&mut program, &args);
    program.end(result)
}
