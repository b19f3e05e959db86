//! What the engine listens on: planned from the configuration, bound here, kept for the master's
//! life.
//!
//! [`plan`] says which addresses and sockets there should be; [`Listeners::bind`] opens those that
//! are missing and keeps those that stay, so that a reload or a restart of the engine loses no
//! connection that waits in a backlog. Every TCP address has one SO_REUSEPORT socket per core.
//!
//! **Diagnostics**: an address that cannot be bound is [`Fatal`], in Postfix's words.
//! **Limits**: [`BACKLOG`], [`CORES_MAX`], [`RELEASE_PATIENCE`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use config::master_cf::{Service, Transport};
use config::{MasterCf, Params};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::accounts::Accounts;
use crate::settings::{literal, resolve};
use crate::{Fatal, ports};

/// Connections that may wait to be accepted, per socket (the kernel caps it at `somaxconn`).
pub const BACKLOG: i32 = 4096;
/// How long an address may still be taken: the kernel lets go of the sockets of an engine that was
/// killed a moment after its process is gone, when it has taken its ring apart.
pub const RELEASE_PATIENCE: Duration = Duration::from_secs(1);
const RELEASE_LOOK: Duration = Duration::from_millis(20);
/// The queue log's bound on cores.
pub const CORES_MAX: usize = 64;
/// Environment variable that lowers the number of cores.
pub const CORES: &str = "RINGPOST_CORES";
/// Where the delivery helper listens, below the queue directory: for `mail_owner` only.
pub const HELPER_SOCKET: &str = "private/deliver";
/// Stream sockets in `public/` for the commands.
const UNIX_SERVICES: &[&str] = &["pickup", "showq", "control"];

/// One socket's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// TCP.
    Inet(SocketAddr),
    /// A path below the queue directory.
    Unix(String),
}

/// Who accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The engine.
    Engine,
    /// The delivery helper.
    Helper,
}

/// A service and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who accepts.
    pub server: Server,
    /// As in master.cf.
    pub name: String,
    /// Its addresses, in order.
    pub places: Vec<Place>,
}

/// Which services listen where, and inet services that nothing serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Services in file order, then those of the commands.
    pub entries: Vec<Entry>,
    /// Names and commands of inet services this system does not serve.
    pub unserved: Vec<(String, String)>,
}

impl Plan {
    /// Adds the delivery helper's socket.
    pub fn add_helper(&mut self) {
        let places = vec![Place::Unix(HELPER_SOCKET.to_owned())];
        self.entries.push(Entry { server: Server::Helper, name: "deliver".to_owned(), places });
    }

    /// What `server` accepts from.
    pub fn of(&self, server: Server) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.server == server)
    }
}

/// What `master_cf` and `params` ask to listen on.
pub fn plan(params: &Params, master_cf: &MasterCf) -> Result<Plan, Fatal> {
    let mut plan = Plan::default();
    for service in master_cf.services().iter().filter(|s| s.transport == Transport::Inet) {
        if service.command != "smtpd" {
            plan.unserved.push((service.name.clone(), service.command.clone()));
            continue;
        }
        let places = inet_places(params, service)?;
        plan.entries.push(Entry { server: Server::Engine, name: service.name.clone(), places });
    }
    for name in UNIX_SERVICES {
        let places = vec![Place::Unix(format!("public/{name}"))];
        plan.entries.push(Entry { server: Server::Engine, name: (*name).to_owned(), places });
    }
    Ok(plan)
}

fn inet_places(params: &Params, service: &Service) -> Result<Vec<Place>, Fatal> {
    let endpoint = service.endpoint.as_ref().expect("an inet service has an endpoint");
    let host = endpoint.host.as_deref();
    let port = ports::number(params, &endpoint.port).ok_or_else(|| {
        let host = host.unwrap_or("any");
        let why = "Servname not supported for ai_socktype";
        Fatal(format!("host/service {host}/{} not found: {why}", endpoint.port))
    })?;
    let params = params.of_service(service);
    let addresses = addresses(&params, host)?;
    Ok(addresses.into_iter().map(|ip| Place::Inet(SocketAddr::new(ip, port))).collect())
}

/// The addresses of `host`, or those of `inet_interfaces`, as far as `inet_protocols` goes.
fn addresses(params: &Params, host: Option<&str>) -> Result<Vec<IpAddr>, Fatal> {
    let (ipv4, ipv6) = params.protocols().map_err(Fatal::config)?;
    let ipv6 = ipv6 && (!ipv4 || has_ipv6());
    let wildcards = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let words = match host {
        Some(host) => vec![host.to_owned()],
        None => params.list("inet_interfaces").map_err(Fatal::config)?,
    };
    let mut out = Vec::new();
    for word in &words {
        let found = match (word.as_str(), literal(word)) {
            (_, Some(address)) => vec![address],
            ("all", None) if host.is_none() => wildcards.to_vec(),
            ("loopback-only", None) if host.is_none() => loopback(params),
            (name, None) => resolve(name).ok_or_else(|| {
                Fatal(format!("config variable inet_interfaces: host not found: {name}"))
            })?,
        };
        let wanted = |ip: &IpAddr| if ip.is_ipv4() { ipv4 } else { ipv6 };
        out.extend(found.into_iter().filter(wanted));
    }
    let mut seen = Vec::new();
    out.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    Ok(out)
}

fn loopback(params: &Params) -> Vec<IpAddr> {
    let interfaces = params.host().interfaces.iter();
    interfaces.map(|(ip, _)| *ip).filter(IpAddr::is_loopback).collect()
}

fn has_ipv6() -> bool {
    rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).is_ok()
}

/// How many cores the engine gets: those this process may use, or fewer by [`CORES`].
pub fn cores() -> usize {
    let usable = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    let asked = std::env::var(CORES).ok().and_then(|text| text.parse().ok());
    usable.min(asked.unwrap_or(usable)).clamp(1, CORES_MAX)
}

/// Open sockets by place.
#[derive(Debug, Default)]
pub struct Listeners {
    open: BTreeMap<Place, Vec<OwnedFd>>,
}

impl Listeners {
    /// Opens what `plan` has and `old` has not; the rest of `old` is closed when it is dropped.
    ///
    /// # Errors
    /// When a place cannot be bound; `old` is as it was then.
    pub fn bind(
        plan: &Plan,
        cores: usize,
        accounts: &Accounts,
        old: &mut Self,
    ) -> Result<Self, Fatal> {
        let mut open = BTreeMap::new();
        for place in plan.entries.iter().flat_map(|entry| &entry.places) {
            if old.open.contains_key(place) || open.contains_key(place) {
                continue;
            }
            let sockets = match place {
                Place::Inet(address) => listen_inet(*address, cores)?,
                Place::Unix(path) => vec![listen_unix(Path::new(path), accounts)?],
            };
            open.insert(place.clone(), sockets);
        }
        for place in plan.entries.iter().flat_map(|entry| &entry.places) {
            if let Some(sockets) = old.open.remove(place) {
                open.insert(place.clone(), sockets);
            }
        }
        Ok(Self { open })
    }

    /// The value of `RINGPOST_SOCKETS`: `NAME/TYPE=FD[,FD...]` for each entry of the engine.
    pub fn describe(&self, plan: &Plan) -> String {
        let mut out = String::new();
        for entry in plan.of(Server::Engine) {
            let unix = matches!(entry.places.first(), Some(Place::Unix(_)));
            let kind = if unix { "unix" } else { "inet" };
            let fds = entry.places.iter().flat_map(|place| &self.open[place]);
            let fds: Vec<String> = fds.map(|fd| fd.as_raw_fd().to_string()).collect();
            let blank = if out.is_empty() { "" } else { " " };
            write!(out, "{blank}{}/{kind}={}", entry.name, fds.join(","))
                .expect("writing to a string does not fail");
        }
        out
    }

    /// Every socket of a server.
    pub fn of<'a>(&'a self, plan: &'a Plan, server: Server) -> impl Iterator<Item = &'a OwnedFd> {
        let mut places: Vec<&Place> = plan.of(server).flat_map(|entry| &entry.places).collect();
        places.sort();
        // Two services may name the same address.
        places.dedup();
        places.into_iter().flat_map(|place| &self.open[place])
    }

    /// The socket at a path.
    pub fn unix(&self, path: &str) -> Option<&OwnedFd> {
        self.open.get(&Place::Unix(path.to_owned()))?.first()
    }
}

fn listen_inet(address: SocketAddr, cores: usize) -> Result<Vec<OwnedFd>, Fatal> {
    let failed = |error: Errno| {
        let (ip, port) = (address.ip(), address.port());
        Fatal::system(format!("bind {ip} port {port}"), error)
    };
    // SO_REUSEPORT would let a second system of the same user share the address in silence.
    wait_until_free(address).map_err(failed)?;
    let mut sockets = Vec::with_capacity(cores);
    for _ in 0..cores {
        let socket = bound(address, true).map_err(failed)?;
        rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn wait_until_free(address: SocketAddr) -> rustix::io::Result<()> {
    let deadline = Instant::now() + RELEASE_PATIENCE;
    loop {
        match bound(address, false) {
            Err(Errno::ADDRINUSE) if Instant::now() < deadline => std::thread::sleep(RELEASE_LOOK),
            tried => return tried.map(drop),
        }
    }
}

fn bound(address: SocketAddr, shared: bool) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Accepted sockets inherit it.
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn listen_unix(path: &Path, accounts: &Accounts) -> Result<OwnedFd, Fatal> {
    let failed = |error: std::io::Error| Fatal::system(format!("bind {}", path.display()), error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let socket = socket.map_err(|error| failed(error.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    rustix::net::bind(&socket, &address).map_err(|error| failed(error.into()))?;
    let mode = if path == Path::new(HELPER_SOCKET) { 0o600 } else { 0o666 };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    if accounts.root {
        chown(path, Some(accounts.uid), Some(accounts.gid)).map_err(failed)?;
    }
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    fn params(text: &str) -> Params {
        let interfaces =
            vec![("192.0.2.1".parse().unwrap(), 24), ("127.0.0.1".parse().unwrap(), 8)];
        let host = Host { interfaces, ..Host::default() };
        Params::new(MainCf::parse("main.cf", text.as_bytes()).unwrap(), host)
    }

    fn me() -> Accounts {
        Accounts { root: false, uid: 0, gid: 0, setgid: 0 }
    }

    fn shown(main: &str, master: &str) -> Vec<String> {
        let master = MasterCf::parse("master.cf", master.as_bytes()).unwrap();
        let plan = plan(&params(main), &master).unwrap();
        let entry = |entry: &Entry| {
            let places = entry.places.iter().map(|place| match place {
                Place::Inet(address) => address.to_string(),
                Place::Unix(path) => path.clone(),
            });
            format!("{} {}", entry.name, places.collect::<Vec<_>>().join(","))
        };
        plan.entries
            .iter()
            .filter(|e| !UNIX_SERVICES.contains(&e.name.as_str()))
            .map(entry)
            .collect()
    }

    #[test]
    fn services_listen_where_inet_interfaces_or_their_own_host_says() {
        let row = |name: &str| format!("{name} inet n - n - - smtpd\n");
        let all = shown("inet_protocols = ipv4\n", &row("smtp"));
        assert_eq!(all, ["smtp 0.0.0.0:25"]);
        let listed = shown("inet_interfaces = 127.0.0.1, [::1]\n", &row("2525"));
        assert_eq!(listed, ["2525 127.0.0.1:2525,[::1]:2525"]);
        let own = shown("", &row("127.0.0.2:submission"));
        assert_eq!(own, ["127.0.0.2:submission 127.0.0.2:587"]);
        let loopback = shown("inet_interfaces = loopback-only\n", &row("smtp"));
        assert_eq!(loopback, ["smtp 127.0.0.1:25"]);
    }

    #[test]
    fn a_service_that_is_not_smtpd_is_named_and_not_bound() {
        let master = MasterCf::parse("master.cf", b"628 inet n - n - - qmqpd\n").unwrap();
        let plan = plan(&params(""), &master).unwrap();
        assert_eq!(plan.unserved, [("628".to_owned(), "qmqpd".to_owned())]);
        assert_eq!(plan.entries.len(), UNIX_SERVICES.len());
    }

    #[test]
    fn each_core_has_a_socket_and_an_address_in_use_is_refused_in_postfix_words() {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        let entry = Entry {
            server: Server::Engine,
            name: "x".to_owned(),
            places: vec![Place::Inet(address)],
        };
        let plan = Plan { entries: vec![entry], unserved: Vec::new() };
        let bind = || Listeners::bind(&plan, 3, &me(), &mut Listeners::default());
        let error = bind().unwrap_err().0;
        let port = address.port();
        assert_eq!(error, format!("bind 127.0.0.1 port {port}: Address already in use"));
        drop(probe);
        let mut first = bind().unwrap();
        assert_eq!(first.of(&plan, Server::Engine).count(), 3);
        assert_eq!(bind().unwrap_err().0, error, "SO_REUSEPORT must not hide another system");
        let numbers = first.describe(&plan);
        let kept = Listeners::bind(&plan, 3, &me(), &mut first).unwrap();
        assert_eq!(kept.describe(&plan), numbers, "a reload keeps the descriptors");
        assert!(numbers.starts_with("x/inet=") && numbers.matches(',').count() == 2);
    }
}
