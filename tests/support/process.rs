//! Processes by their ids: who is whose child, and signals.

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to a process that must exist.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("process ids are positive");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("kill {pid:?}: {error}"));
}

/// Sends SIGKILL to a process that may be gone.
pub fn end(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// Whether a process runs (a dead one that nobody has asked for does not).
pub fn runs(pid: u32) -> bool {
    state_and_parent(&pid.to_string()).is_some_and(|(state, _)| state != 'Z')
}

/// The living children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_child = |name: &String| {
        state_and_parent(name).is_some_and(|(state, found)| state != 'Z' && found == parent)
    };
    names.filter(is_child).filter_map(|name| name.parse().ok()).collect()
}

fn state_and_parent(pid: &str) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}
