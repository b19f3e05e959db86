//! The table: medians of both, and how many times better ringpost is.

use crate::Workload;
use crate::measure::Sample;
use ringpost_bench::server::Kind;

/// Says what was measured on and how.
///
/// # Errors
/// When /proc cannot be read.
pub fn print_conditions(rounds: usize) -> std::io::Result<()> {
    let cpus = std::thread::available_parallelism()?;
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("machine: {cpus} processors, {}", model.trim_start_matches([' ', '\t', ':']));
    println!("kernel: {}", kernel.trim());
    println!("durability: both on stable storage before 250 (Postfix fsync per message,");
    println!("            ringpost O_DIRECT|O_DSYNC group commit)");
    println!("rounds: {rounds}, medians; source, sink and server on the same machine");
    Ok(())
}

/// Prints one workload's medians.
pub fn print(workload: &Workload, samples: &[(Kind, Vec<Sample>)]) {
    println!("\n{} bytes, {} sessions", workload.size, workload.sessions);
    let names: Vec<String> = samples.iter().map(|(kind, _)| kind.to_string()).collect();
    println!("  {:<26}{:>12}{:>12}{:>10}", "", column(&names, 0), column(&names, 1), "ratio");
    let more = |name: &str, of: fn(&Sample) -> f64| row(name, samples, of, Better::More);
    let less = |name: &str, of: fn(&Sample) -> f64| row(name, samples, of, Better::Less);
    more("accepted/s", |sample| sample.accepted);
    more("delivered/s", |sample| sample.delivered);
    less("CPU ms per message", |sample| sample.cpu_ms);
    less("device flushes per message", |sample| sample.flushes);
    less("log writes per message", |sample| sample.commits.unwrap_or(f64::NAN));
    less("memory MiB", |sample| sample.memory_mib);
}

#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

fn column(names: &[String], index: usize) -> &str {
    names.get(index).map_or("", String::as_str)
}

fn row(name: &str, samples: &[(Kind, Vec<Sample>)], of: fn(&Sample) -> f64, better: Better) {
    let medians: Vec<f64> = samples.iter().map(|(_, samples)| median(samples, of)).collect();
    let ratio = match (medians.as_slice(), better) {
        ([first, second], Better::More) => second / first,
        ([first, second], Better::Less) => first / second,
        _ => f64::NAN,
    };
    let value = |index: usize| medians.get(index).map_or(String::new(), |value| number(*value));
    let ratio = if ratio.is_finite() { format!("{ratio:.1}x") } else { String::new() };
    println!("  {name:<26}{:>12}{:>12}{ratio:>10}", value(0), value(1));
}

fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".into(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

/// The one in the middle.
pub fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
