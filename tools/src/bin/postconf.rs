//! postconf(1): shows and edits main.cf and master.cf.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_else(|| "postconf".to_owned());
    let args: Vec<String> = args.collect();
    let mut out = ringpost_tools::postconf::Output::default();
    let result = ringpost_tools::postconf::run(&args, &mut out);
    out.emit(&program, result)
}
