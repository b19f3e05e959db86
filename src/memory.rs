//! How much memory this process may use, and how much it does.
//!
//! The limit is the least of [`VARIABLE`], the memory of the machine, and the limits of the control
//! groups this process is in (both versions). What the system does not tell is no limit.
//!
//! **Standards**: proc(5), cgroups(7).

#[allow(unsafe_code)]
mod collect;

use engine::memory::{Gauge, Memory};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes the engine may use at most; of all limits the least counts.
pub const VARIABLE: &str = "RINGPOST_MEMORY";

/// More digits than any two sizes in pages have.
const STATM_BYTES: usize = 256;

/// The limit of this process, to be asked before it is confined.
///
/// # Errors
/// The variable is not a number, or the system does not say how much is used.
pub fn of_this_process() -> io::Result<Memory> {
    let known = [variable()?, machine(), control_groups()];
    let limit = known.into_iter().flatten().min().unwrap_or(u64::MAX);
    Ok(Memory::new(limit, gauge()?, collect::collect))
}

fn variable() -> io::Result<Option<u64>> {
    let Ok(value) = std::env::var(VARIABLE) else { return Ok(None) };
    let invalid = |_| {
        let text = format!("{VARIABLE}: not a number of bytes: \"{value}\"");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    value.parse().map(Some).map_err(invalid)
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The least limit of the groups this process is in and of those above them.
fn control_groups() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().filter_map(group_files).flat_map(|group| limits_of(&group)).min()
}

/// A line of /proc/self/cgroup, if it is about memory: where the group is, which one it is, and the
/// file of its limit.
fn group_files(line: &str) -> Option<(&'static str, String, &'static str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    match controllers {
        "" => Some(("/sys/fs/cgroup", path.into(), "memory.max")),
        "memory" => Some(("/sys/fs/cgroup/memory", path.into(), "memory.limit_in_bytes")),
        _ => None,
    }
}

fn limits_of((root, path, file): &(&str, String, &str)) -> Vec<u64> {
    let inside = Path::new(path.trim_start_matches('/'));
    // A group without a limit says "max", or a number no machine has.
    let limit = |at: &Path| fs::read_to_string(Path::new(root).join(at).join(file)).ok();
    inside.ancestors().filter_map(|at| limit(at)?.trim().parse().ok()).collect()
}

/// Resident pages less those of files.
fn gauge() -> io::Result<Gauge> {
    let file = File::open("/proc/self/statm")?;
    let page = rustix::param::page_size() as u64;
    Ok(Box::new(move || {
        let mut buffer = [0; STATM_BYTES];
        let length = file.read_at(&mut buffer, 0)?;
        let own = own_pages(&buffer[..length]).ok_or(io::ErrorKind::InvalidData)?;
        Ok(own * page)
    }))
}

fn own_pages(statm: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(statm).ok()?;
    let mut numbers = text.split_ascii_whitespace().skip(1).map_while(|word| word.parse().ok());
    let (resident, shared): (u64, u64) = (numbers.next()?, numbers.next()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_some_of_what_the_machine_has() {
        let total = machine().unwrap();
        assert!(total > 1 << 24, "{total}");
        let used = gauge().unwrap()().unwrap();
        assert!(used > 1 << 16 && used < total, "{used}");
        assert!(control_groups().is_none_or(|limit| limit > used));
    }

    #[test]
    fn own_pages_are_those_that_no_file_has() {
        assert_eq!(own_pages(b"500 120 20 1 0 90 0\n"), Some(100));
        assert_eq!(own_pages(b"500\n"), None);
        assert_eq!(own_pages(b""), None);
    }

    #[test]
    fn both_versions_of_control_groups_are_known() {
        let found = |line| group_files(line).map(|(root, path, _)| (root, path));
        let v1 = ("/sys/fs/cgroup/memory", "/a/b".to_string());
        assert_eq!(found("4:memory:/a/b"), Some(v1));
        assert_eq!(found("0::/a"), Some(("/sys/fs/cgroup", "/a".to_string())));
        assert_eq!(found("8:pids:/"), None);
    }

    #[test]
    fn a_group_is_bound_by_those_above_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        for (at, text) in [("memory.max", "4096\n"), ("a/memory.max", "max\n")] {
            fs::write(root.path().join(at), text).unwrap();
        }
        fs::write(root.path().join("a/b/memory.max"), "8192\n").unwrap();
        let place = root.path().to_str().unwrap();
        assert_eq!(limits_of(&(place, "/a/b".into(), "memory.max")), [8192, 4096]);
    }
}
