//! What a server with a long queue is asked for besides serving: to be filled, killed, weighed.

use ringpost_bench::process::{self, Pages};
use ringpost_bench::server::{Kind, Server};
use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The domain whose mail goes to the sink; nobody takes the mail of any other.
pub const LIVE: &str = "live.example";

/// A server whose mail for [`LIVE`] goes to its sink and whose other mail waits.
///
/// # Errors
/// What the system said.
pub fn install(name: &str, kind: Kind) -> Result<Server, Box<dyn Error>> {
    Server::install(&format!("deep-{name}"), kind, more)
}

/// A refused connection is as dead as a destination can be. Nothing is tried again meanwhile.
fn more(_sink: SocketAddr) -> String {
    format!(
        "default_transport = smtp:[127.0.0.1]:1\nrelay_domains = {LIVE}\n\
         minimal_backoff_time = 7200s\nmaximal_backoff_time = 14400s\n"
    )
}

/// Gives what was built to the owner of the mail system, where there are owners.
///
/// # Errors
/// When chown(1) fails.
pub fn hand_over(server: &Server) -> Result<(), Box<dyn Error>> {
    if rustix::process::getuid().is_root() {
        server.run("chown", &["-R", "postfix", "queue/log", "data"])?;
    }
    Ok(())
}

/// Kills all its processes.
///
/// # Errors
/// When they do not go.
pub fn crash(server: &Server) -> Result<(), Box<dyn Error>> {
    let all = process::family(server.master);
    let words: Vec<String> = all.iter().map(u32::to_string).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // One may have ended by itself meanwhile.
    server.run("kill", &[&["-KILL"], words.as_slice()].concat()).ok();
    server.wait_until_gone(&all)
}

/// The memory in MiB of who keeps the queue (the engine, Postfix's qmgr): its share of everything
/// mapped, and its own alone.
///
/// # Errors
/// When there is nobody.
pub fn memory_mib(server: &Server) -> Result<(f64, f64), Box<dyn Error>> {
    let name = match server.kind {
        Kind::Postfix => "qmgr",
        Kind::Ringpost => "engine",
    };
    let children = process::children(server.master);
    let found = children.into_iter().find(|pid| process::name(*pid).as_deref() == Some(name));
    let found = [found.ok_or_else(|| format!("there is no {name}"))?];
    Ok((process::memory_mib(&found, Pages::All), process::memory_mib(&found, Pages::Own)))
}

/// Bytes that files below a directory take on the disk.
///
/// # Errors
/// What the system said.
pub fn disk_bytes(directory: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // What a running server removes meanwhile takes nothing.
        let Ok(found) = entry.metadata() else { continue };
        bytes += if found.is_dir() { disk_bytes(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(bytes)
}

/// Makes the next start read from the disk.
///
/// # Errors
/// When this process may not.
pub fn drop_caches(server: &Server) -> Result<(), Box<dyn Error>> {
    server.run("sync", &[])?;
    Ok(std::fs::write("/proc/sys/vm/drop_caches", "3")?)
}
