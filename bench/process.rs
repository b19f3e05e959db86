//! Processes of a server under test, as /proc shows them.

/// Kernel clock ticks per second in /proc, fixed by its interface.
const TICKS: f64 = 100.0;

/// The process and everything below it.
pub fn family(master: u32) -> Vec<u32> {
    let mut family = vec![master];
    let parents = processes();
    let mut at = 0;
    while at < family.len() {
        let children = parents.iter().filter(|(_, parent)| *parent == family[at]);
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        family.extend(children);
        at += 1;
    }
    family
}

/// The living children of a process.
pub fn children(master: u32) -> Vec<u32> {
    let own = processes().into_iter().filter(|(_, parent)| *parent == master);
    own.map(|(pid, _)| pid).filter(|pid| runs(*pid)).collect()
}

/// Whether a process runs (a dead one that nobody has asked for does not).
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The parent of a process that is there.
pub fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.1.first().map(|parent| *parent as u32)
}

/// The process's name, as its program was called.
pub fn name(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim().to_owned())
}

fn processes() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// State and fields of /proc/PID/stat from the parent's number on.
fn stat(pid: u32) -> Option<(char, Vec<u64>)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut words = text.rsplit_once(") ")?.1.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.map(|word| word.parse().unwrap_or(0)).collect()))
}

/// CPU time of the family, with that of children that have ended.
pub fn cpu_seconds(master: u32) -> f64 {
    let ticks: u64 = family(master)
        .into_iter()
        .filter_map(stat)
        .map(|(_, fields)| fields.get(10..14).map_or(0, |times| times.iter().sum::<u64>()))
        .sum();
    ticks as f64 / TICKS
}

/// Which pages count as a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Its share of everything that is mapped: program, libraries, files, its own.
    All,
    /// Its own: what it has allocated. Pages of mapped files go whenever the kernel needs them.
    Own,
}

/// Memory of some processes, MiB.
pub fn memory_mib(pids: &[u32], pages: Pages) -> f64 {
    let kib: u64 = pids.iter().filter_map(|pid| kib(*pid, pages)).sum();
    kib as f64 / 1024.0
}

fn kib(pid: u32, pages: Pages) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let name = match pages {
        Pages::All => "Pss:",
        Pages::Own => "Pss_Anon:",
    };
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
