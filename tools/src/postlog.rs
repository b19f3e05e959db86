//! postlog(1): writes lines to the mail log, from the command line or standard input.
//!
//! **Standards**: postlog(1) of Postfix 3.7.

use std::io::BufRead;

use crate::getopt;
use crate::program::{Environment, Exit, Program};
use master::log::Level;
use master::settings;

const USAGE: &str = "[-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]";

/// Logs what `args` or standard input say; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let (options, words) = getopt::parse(args, "c:ip:t:v").map_err(|error| {
        program.complain(error);
        Exit::new(1, format!("usage: {} {USAGE}", program.name()))
    })?;
    let value = |letter| {
        let option = options.iter().rev().find(|option| option.letter == letter);
        option.and_then(|option| option.value.clone())
    };
    let level = level(value('p').as_deref().unwrap_or("info"))?;
    let directory = settings::directory(value('c').as_deref());
    let settings = program.configure(&directory, "postlog", Environment::Update, 1)?;
    let tag = match value('t').or_else(|| std::env::var("MAIL_LOGTAG").ok()) {
        Some(tag) => tag,
        None => settings.text("syslog_name")?,
    };
    let pid = options.iter().any(|option| option.letter == 'i') || value('t').is_some();
    program.rename(&tag, pid);
    if words.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| master::Fatal::system("read", error))?;
            program.say(level, line);
        }
    } else {
        program.say(level, words.join(" "));
    }
    Ok(0)
}

fn level(name: &str) -> Result<Level, Exit> {
    Ok(match name {
        "info" => Level::Info,
        "warn" | "warning" => Level::Warning,
        "error" => Level::Error,
        "fatal" | "crit" => Level::Fatal,
        "panic" => Level::Panic,
        other => return Err(Exit::new(1, format!("bad severity: \"{other}\""))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_postfix_names() {
        assert_eq!(level("warn"), Ok(Level::Warning));
        assert_eq!(level("panic"), Ok(Level::Panic));
        assert!(level("loud").is_err());
    }
}
