//! The table: a column for each system.

use crate::kill::Victim;
use crate::ledger::{Kill, Verdict};
use ringpost_bench::server::Kind;

type Column = (Kind, Verdict);

/// Prints it.
pub fn print(rounds: u32, rate: u32, seed: u64, verdicts: &[Column]) {
    println!("{rounds} rounds at {rate} messages offered in a second, seed {seed}");
    let names: Vec<String> = verdicts.iter().map(|(kind, _)| kind.to_string()).collect();
    line("", &names);
    let row = |name: &str, of: &dyn Fn(&Verdict) -> String| {
        line(name, &verdicts.iter().map(|(_, verdict)| of(verdict)).collect::<Vec<String>>());
    };
    row("acknowledged with 250", &|verdict| verdict.acknowledged.to_string());
    row("arrived, 250 lost", &|verdict| verdict.unasked.to_string());
    row("lost", &|verdict| verdict.lost.len().to_string());
    row("kills", &|verdict| verdict.kills.len().to_string());
    row("duplicates", &|verdict| verdict.sum(duplicates).to_string());
    row("  the sink had answered", &|verdict| verdict.sum(answered).to_string());
    row("  since the last kill", &|verdict| verdict.unexplained.to_string());
    for (name, of) in [("duplicates", duplicates as fn(&Kill) -> u64), ("answered", answered)] {
        row(&format!("{name} per kill, median"), &|verdict| verdict.median(of).to_string());
        row("  mean", &|verdict| number(verdict.mean(None, of)));
        for victim in Victim::ALL {
            row(&format!("  mean of {victim}"), &|v| number(v.mean(Some(victim), of)));
        }
        row("  most", &|verdict| verdict.most(of).to_string());
    }
}

fn duplicates(kill: &Kill) -> u64 {
    kill.duplicates
}

fn answered(kill: &Kill) -> u64 {
    kill.answered
}

fn line(name: &str, values: &[String]) {
    let columns: String = values.iter().map(|value| format!("{value:>12}")).collect();
    println!("  {name:<32}{columns}");
}

fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "-".into() }
}
