//! Tables of patterns: `postmap -q -` of both, with lines that no rule matches, and a few that do.
//!
//! The rules are a thousand with words in them, as filters of headers and bodies have. Both
//! programs read the table first; that is part of the time.

use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rules of the table.
const RULES: u32 = 1000;
/// Lines to ask for.
const LINES: u32 = 20_000;
/// One line in so many matches a rule.
const MATCHING: u32 = 1000;
/// How many times faster than Postfix is wanted.
const WANTED: f64 = 20.0;

/// Runs both on the same rules and lines, and prints how long each took.
///
/// # Errors
/// When a program fails, or both do not say the same.
pub fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    println!("\npatterns: {RULES} rules with words, {LINES} lines, postmap -q - with everything");
    println!("  {:<10}{:>12}{:>12}{:>10}", "", "Postfix", "ringpost", "ratio");
    for kind in ["pcre", "regexp"] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (postfix, said) = ask(Kind::Postfix, kind)?;
            let (ringpost, same) = ask(Kind::Ringpost, kind)?;
            if said != same {
                return Err(format!("{kind}: Postfix and ringpost say different things").into());
            }
            theirs.push(postfix);
            ours.push(ringpost);
        }
        let (theirs, ours) = (median(theirs), median(ours));
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("  {kind:<10}{:>9.0} ms{:>9.1} ms{ratio:>9.0}x", ms(theirs), ms(ours));
    }
    println!("  wanted for pcre: {WANTED:.0}x");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ask(server: Kind, table: &str) -> Result<(Duration, Vec<u8>), Box<dyn Error>> {
    let place = Server::install("patterns", server, |_| String::new())?;
    std::fs::write(place.directory.join("rules"), rules())?;
    std::fs::write(place.directory.join("lines"), lines())?;
    let name = format!("{table}:{}", place.directory.join("rules").display());
    let mut command = Command::new(place.program("postmap")?);
    command.arg("-c").arg(place.directory.join("conf")).args(["-q", "-", &name]);
    command.stdin(std::fs::File::open(place.directory.join("lines"))?).stderr(Stdio::inherit());
    let began = Instant::now();
    let output = command.output()?;
    let took = began.elapsed();
    place.remove()?;
    match output.status.success() {
        true => Ok((took, output.stdout)),
        false => Err(format!("{server}: postmap: {}", output.status).into()),
    }
}

/// A word for a number, of letters only, different for different numbers.
fn word(number: u32) -> String {
    let mut rest = u64::from(number) * 2_654_435_761 % 8_031_810_176 + 26u64.pow(6);
    let mut word = String::new();
    while rest > 0 {
        word.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    word
}

fn rules() -> String {
    let mut text = String::new();
    for rule in 0..RULES {
        let (one, other) = (word(2 * rule), word(2 * rule + 1));
        let pattern = match rule % 8 {
            0 => format!("^Subject:.*{one} {other}"),
            1 => format!("{one}.*{other}"),
            2 => format!("(buy|get|win) {one} {other}"),
            3 => format!("^(From|To|Cc): .*{one}@{other}\\.example"),
            4 => format!("{one}[0-9]+{other}"),
            5 => format!("<a href=.*{one}\\.{other}"),
            6 => format!("^{one}-{other}:"),
            _ => format!("{one} +{other}!"),
        };
        writeln!(text, "/{pattern}/ REJECT rule {rule}").expect("writing to memory");
    }
    text
}

fn lines() -> String {
    let mut text = String::new();
    for line in 0..LINES {
        let words: Vec<String> = (0..12).map(|at| word(1_000_000 + 12 * line + at)).collect();
        let mut words = words.join(" ");
        if line % MATCHING == 0 {
            // A rule of the second kind.
            let rule = line / MATCHING * 8 + 1;
            write!(words, " {} {}", word(2 * rule), word(2 * rule + 1)).expect("in memory");
        }
        writeln!(text, "{words}").expect("writing to memory");
    }
    text
}
