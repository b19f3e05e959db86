//! The system as configuration sees it: files by path, and the facts some defaults come from.
//!
//! Used by every command that reads main.cf.

use config::{Host, Source, SourceError};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Files of the file system.
pub struct Files;

impl Source for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        std::fs::read(path)
            .map_err(|error| SourceError { path: path.to_owned(), reason: reason(&error) })
    }
}

/// How long a table's file may be locked by who writes it, before it counts as one that cannot be
/// read.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// All bytes of a table's file, once nobody writes to it: Postfix's postmap(1) changes files in
/// place, with a lock of one of two kinds on them.
///
/// # Errors
/// As strerror(3) words it.
pub fn read(path: &str) -> Result<Vec<u8>, String> {
    let bytes = File::open(path).and_then(|mut file| {
        lock(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    });
    bytes.map_err(|error| reason(&error))
}

/// Shares the locks of those who read. They go when the file is closed.
fn lock(file: &File) -> std::io::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    let shared = FlockOperation::NonBlockingLockShared;
    loop {
        match flock(file, shared).and_then(|()| fcntl_lock(file, shared)) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) if Instant::now() < deadline => {}
            // A kind of file that has no locks has nobody who holds one.
            Err(Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// What tells a file from what it was: its device and inode, its bytes, and when it was last
/// written, in nanoseconds of the system's clock. None while there is no file.
pub fn stamp(path: &str) -> Option<[u64; 4]> {
    let found = std::fs::metadata(path).ok()?;
    let written = found.mtime().cast_unsigned().wrapping_mul(1_000_000_000);
    let written = written.wrapping_add(found.mtime_nsec().cast_unsigned());
    Some([found.dev(), found.ino(), found.size(), written])
}

/// The value of an environment variable.
pub fn variable(name: &[u8]) -> Option<Vec<u8>> {
    std::env::var_os(OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

/// A random number.
pub fn random() -> u64 {
    // Each state of the standard hash table starts with random keys of the system.
    RandomState::new().build_hasher().finish()
}

/// What strerror(3) says, without Rust's ` (os error N)`.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Facts for `program`; names in `inet_interfaces` are not resolved here.
pub fn host(program: &str) -> std::io::Result<Host> {
    let uname = rustix::system::uname();
    let mut interfaces: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen),
            if_addrs::IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen),
        })
        .collect();
    interfaces.sort_by_key(|(address, _): &(std::net::IpAddr, u8)| address.is_ipv6());
    Ok(Host {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        interfaces,
        process_name: program.to_owned(),
        process_id: std::process::id(),
        ..Host::default()
    })
}
