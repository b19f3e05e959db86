//! `torment`: what kills cost. A steady load through Postfix and through ringpost, whose processes
//! are killed (SIGKILL) at random moments, round after round: what got 250 and never arrived, what
//! arrived more than once, and how often for each kill.
//!
//! Three kills take turns: everything below master (ringpost: the engine), master alone, and all
//! of it. Whoever is left without a master is started again as soon as its last process is gone.
//! In every other round the sink is slow with its answers, so that deliveries are under way. Both
//! systems are offered the same rate, which either can carry: what is in flight at a kill is the
//! same then, and duplicates for each kill can be compared.
//!
//! A duplicate whose first copy the sink had not answered when the kill came is what nobody could
//! have known, unless the connection outlives who waits: ringpost's does where master lives. One
//! whose copy it had answered is the price of not having noted that in time; both are counted.
//!
//! Usage: `torment [--rounds N] [--only postfix|ringpost] [--seed N] [--rate N]`. The programs are
//! taken from beside this one: build the workspace first. Postfix needs root and Debian's package;
//! without them ringpost runs alone. Only processes of the server that was started here are
//! killed: master by its pid file, the others because it is their parent.
//!
//! **Diagnostics**: exit status 1 when anything is lost, or ringpost's median of duplicates for
//! each kill is above Postfix's. A server that loses mail leaves its directory to be looked at.

mod chance;
mod kill;
mod ledger;
mod sink;
mod table;
mod trial;

use ledger::Verdict;
use ringpost_bench::server::Kind;
use std::error::Error;
use std::process::ExitCode;

/// What is asked for.
#[derive(Clone)]
struct Arguments {
    rounds: u32,
    kinds: Vec<Kind>,
    seed: u64,
    /// Messages offered in a second.
    rate: u32,
}

fn main() -> ExitCode {
    match Arguments::parse().map_err(Into::into).and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torment: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was lost, and ringpost is no worse.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let mut verdicts = Vec::new();
    for kind in &arguments.kinds {
        match kind.obstacle() {
            Some(why) => eprintln!("{kind} is left out: {why}"),
            None => verdicts.push((*kind, trial::run(*kind, arguments)?)),
        }
    }
    table::print(arguments.rounds, arguments.rate, arguments.seed, &verdicts);
    Ok(passes(&verdicts))
}

fn passes(verdicts: &[(Kind, Verdict)]) -> bool {
    let median = |kind: Kind| {
        let found = verdicts.iter().find(|(found, _)| *found == kind);
        found.map(|(_, verdict)| verdict.median(|kill| kill.duplicates))
    };
    let worse = match (median(Kind::Postfix), median(Kind::Ringpost)) {
        (Some(postfix), Some(ringpost)) => ringpost > postfix,
        _ => false,
    };
    let lost = verdicts.iter().any(|(_, verdict)| !verdict.lost.is_empty());
    if worse {
        println!("ringpost delivers twice more often than Postfix");
    }
    !lost && !worse
}

impl Arguments {
    fn parse() -> Result<Arguments, String> {
        let kinds = vec![Kind::Postfix, Kind::Ringpost];
        let mut parsed = Arguments { rounds: 30, kinds, seed: 1, rate: 300 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u32>().map_err(|_| format!("{name}: not a number"));
            match name.as_str() {
                "--rounds" => parsed.rounds = number()?,
                "--seed" => parsed.seed = number()?.into(),
                "--rate" => parsed.rate = number()?.max(1),
                "--only" if value == "ringpost" => parsed.kinds = vec![Kind::Ringpost],
                "--only" if value == "postfix" => parsed.kinds = vec![Kind::Postfix],
                _ => return Err(format!("unknown option: {name} {value}")),
            }
        }
        Ok(parsed)
    }
}
