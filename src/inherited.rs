//! What master hands to the engine: descriptors, by their numbers in the environment.
//!
//! `RINGPOST_SOCKETS` is `NAME/TYPE=FD[,FD...]` separated by blanks, `RINGPOST_CORES` the number of
//! sockets per address, `RINGPOST_READY_FD` where to say that the engine serves,
//! `RINGPOST_MAILLOG_FD` the log file. `RINGPOST_CUSTODY_FD` is the channel to master about sockets
//! that outlive the engine, `RINGPOST_ORPHANS_FD` lists those that have. The delivery helper gets
//! `RINGPOST_DELIVER_FD`, its socket.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};

use engine::custody::{Estate, Left};
use privsep::custody::Orphan;
use runtime::Sock;
use runtime::net::shared::Channel;

/// A service and its listening sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in master.cf.
    pub name: String,
    /// `inet` or `unix`.
    pub kind: String,
    /// Descriptors.
    pub sockets: Vec<i32>,
}

/// Everything the engine inherits.
#[derive(Debug)]
pub struct Inherited {
    /// The listening sockets.
    pub services: Vec<Service>,
    /// How many cores they are for.
    pub cores: usize,
    /// Where to say `ready`.
    pub ready: Option<File>,
    /// The log file.
    pub maillog: Option<File>,
    /// What master keeps.
    pub estate: Estate,
}

impl Inherited {
    /// Reads the environment.
    ///
    /// # Errors
    /// When master did not start this process, or something is malformed: the variable's name.
    pub fn from_environment() -> Result<Inherited, String> {
        let cores = number("RINGPOST_CORES")?.filter(|cores| *cores > 0);
        let sockets =
            std::env::var("RINGPOST_SOCKETS").map_err(|_| "RINGPOST_SOCKETS is not set")?;
        Ok(Inherited {
            services: parse(&sockets).ok_or("RINGPOST_SOCKETS is malformed")?,
            cores: cores.ok_or("RINGPOST_CORES is not set")? as usize,
            ready: number("RINGPOST_READY_FD")?.map(file),
            maillog: number("RINGPOST_MAILLOG_FD")?.map(file),
            estate: estate()?,
        })
    }
}

/// The socket that the delivery helper accepts from.
///
/// # Errors
/// When master did not start this process.
pub fn deliver_socket() -> Result<OwnedFd, String> {
    let fd = number("RINGPOST_DELIVER_FD")?.ok_or("RINGPOST_DELIVER_FD is not set")?;
    Ok(file(fd).into())
}

/// What an earlier engine has left, and the way to have something kept for a later one.
fn estate() -> Result<Estate, String> {
    let channel = number("RINGPOST_CUSTODY_FD")?.map(|fd| Channel::new(file(fd).into()));
    let mut bytes = Vec::new();
    if let Some(fd) = number("RINGPOST_ORPHANS_FD")? {
        let read = file(fd).read_to_end(&mut bytes);
        read.map_err(|error| format!("RINGPOST_ORPHANS_FD: {error}"))?;
    }
    let orphans = privsep::custody::orphans(&bytes)
        .map_err(|error| format!("RINGPOST_ORPHANS_FD: {error}"))?;
    Ok(Estate::new(channel, orphans.into_iter().map(left).collect()))
}

fn left(orphan: Orphan) -> Left {
    let Orphan { slot, descriptor, record } = orphan;
    Left { slot, sock: descriptor.map(|fd| Sock(fd.cast_signed())), record }
}

fn number(name: &str) -> Result<Option<i32>, String> {
    match std::env::var(name) {
        Ok(value) => value.parse().map(Some).map_err(|_| format!("{name} is malformed")),
        Err(_) => Ok(None),
    }
}

#[allow(unsafe_code)]
fn file(fd: i32) -> File {
    // SAFETY: master has opened the descriptor for this process and nothing else here names it; it
    // is taken over once, as each variable is read once.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

fn parse(text: &str) -> Option<Vec<Service>> {
    text.split_ascii_whitespace().map(parse_service).collect()
}

fn parse_service(word: &str) -> Option<Service> {
    let (service, sockets) = word.rsplit_once('=')?;
    let (name, kind) = service.rsplit_once('/')?;
    let sockets = sockets.split(',').map(|fd| fd.parse().ok()).collect::<Option<Vec<i32>>>()?;
    Some(Service { name: name.into(), kind: kind.into(), sockets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_their_sockets() {
        let services = parse("127.0.0.1:2525/inet=5,6 showq/unix=7").unwrap();
        assert_eq!(services[0].name, "127.0.0.1:2525");
        assert_eq!(services[0].sockets, [5, 6]);
        assert_eq!(services[1].kind, "unix");
        assert_eq!(parse("smtp=5"), None);
        assert_eq!(parse("smtp/inet=x"), None);
    }
}
