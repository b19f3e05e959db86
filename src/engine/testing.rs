//! A whole engine core on the simulated kernel, for tests: scripted clients, virtual time, a real
//! queue log in a temporary directory.

use crate::accounts::Accounts;
use crate::background::Desk;
use crate::core::Core;
use crate::launch::{Assembly, assemble};
use crate::local;
use crate::localtime::LocalTime;
use crate::maillog::{Identity, Maillog, Sink};
use crate::parcel::Parcel;
use crate::resolver::{Script, Source};
use crate::smtpd;
use crate::smtpd::door::Doors;
use crate::snapshot::Snapshot;
use config::{Host, MainCf, MasterCf, Params};
use queue::{Options, Store};
use runtime::lane::{Port, mesh};
use runtime::net::{Arrived, Stream};
use runtime::sim::SimIo;
use runtime::wake::Waker;
use runtime::{Chunk, Rt, Sock};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::catalog::System;

pub mod site;

/// Where a server other than ours may listen, see [`site`].
pub const SITE: &str = "192.0.2.61:25";
/// Where the simulated smtpd listens.
pub const SMTPD: &str = "192.0.2.10:25";

const MASTER_CF: &str = "smtp unix - - n - - smtp\n\
    relay unix - - n - - smtp\nerror unix - - n - - error\n\
    retry unix - - n - - error\ndiscard unix - - n - - discard\n";

const MAIN_CF: &str = "compatibility_level = 3.6\nmyhostname = mx.example.test\n\
    mydestination =\nalias_maps =\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\n\
    smtpd_banner = $myhostname ESMTP test\nqueue_minfree = 0\nsmtpd_reject_unlisted_recipient = no\nmessage_size_limit = 100000\n";

/// One simulated core.
pub struct World {
    /// The core.
    pub core: Rc<Core>,
    /// Its log lines.
    pub log: Rc<RefCell<String>>,
    /// The socket at [`SITE`].
    site: Sock,
    /// Where it expects the delivery helper, for a script to accept from.
    pub helper: Sock,
}

/// Tables without environment, chance or servers; their files do not change.
pub fn tables() -> System {
    System {
        read: |path| std::fs::read(path).map_err(|_| "No such file or directory".into()),
        stamp: |_| None,
        variable: |_| None,
        random: || 0,
        remote: tables::catalog::no_remote,
    }
}

/// The service that listens at [`SMTPD`], unless a test has its own.
const LISTENING: &str = "smtp inet n - n - - smtpd\n";

/// The system's users: all that begin with a letter of the first half.
pub fn account(name: &str) -> Result<bool, String> {
    match name {
        "sick" => Err("the directory is away".into()),
        name => Ok(name.starts_with(|c: char| matches!(c, 'a'..='m'))),
    }
}

/// The configuration with more lines, the last of which win.
pub fn snapshot(main_cf: &str) -> Arc<Snapshot> {
    snapshot_with(main_cf, LISTENING)
}

/// The same with services of its own, the first of which listens.
pub fn snapshot_with(main_cf: &str, master_cf: &str) -> Arc<Snapshot> {
    let text = format!("{MAIN_CF}{main_cf}");
    let main = MainCf::parse("main.cf", text.as_bytes()).unwrap();
    let host = Host {
        hostname: "mx.example.test".into(),
        interfaces: vec![("192.0.2.10".parse().unwrap(), 24), ("127.0.0.1".parse().unwrap(), 8)],
        ..Host::default()
    };
    let master =
        MasterCf::parse("master.cf", format!("{master_cf}{MASTER_CF}").as_bytes()).unwrap();
    Arc::new(Snapshot::new(Params::new(main, host), &master, tables()).unwrap())
}

/// Builds a core on a queue directory.
pub fn world(directory: &Path, main_cf: &str, seed: u64) -> World {
    world_of(directory, main_cf, LISTENING, seed)
}

/// The same with smtpd services of its own, the first of which listens.
pub fn world_of(directory: &Path, main_cf: &str, master_cf: &str, seed: u64) -> World {
    let waker = Waker::new().unwrap();
    let port = mesh(std::slice::from_ref(&waker)).pop().unwrap();
    seat(directory, snapshot_with(main_cf, master_cf), seed, waker, port)
}

/// The second of two cores; the caller is the first one, where the queue manager would be.
pub fn second_of_two(directory: &Path, main_cf: &str, seed: u64) -> (World, Port<Parcel>) {
    let wakers = [Waker::new().unwrap(), Waker::new().unwrap()];
    let mut ports = mesh(&wakers);
    let (own, [_, waker]) = (ports.pop().unwrap(), wakers);
    let world = seat(directory, snapshot(main_cf), seed, waker, own);
    (world, ports.pop().unwrap())
}

/// Builds the core that a port belongs to.
fn seat(
    directory: &Path,
    snapshot: Arc<Snapshot>,
    seed: u64,
    waker: Waker,
    port: Port<Parcel>,
) -> World {
    let mut io = SimIo::new(seed);
    let helper = io.listen_local(Path::new(local::helper::SOCKET));
    let smtpd_sock = io.listen(SMTPD.parse().unwrap());
    let site = io.listen(SITE.parse().unwrap());
    let rt = Rt::new(Box::new(io), waker);
    let memory = Rc::new(RefCell::new(String::new()));
    let identity = Identity { hostname: "mx".into(), syslog_name: "postfix".into(), pid: 1 };
    let local = Rc::new(LocalTime::system());
    let log = Rc::new(Maillog::new(identity, Sink::Memory(memory.clone()), local.clone()));
    let cores = port.cores();
    let options = Options { segment_bytes: 1 << 20, cores: cores as u8, ..Options::default() };
    let store = Store::open(directory, options).unwrap();
    let core = assemble(Assembly {
        index: port.core(),
        cores,
        estate: crate::custody::Estate::none(),
        port,
        snapshot,
        log,
        local,
        store,
        desk: Desk::simulated(&rt, Duration::from_millis(1)),
        source: Source::Script(Script::new()),
        accounts: Accounts::new(account, None),
        seed,
        doors: Arc::new(Doors::new(1024)),
        anvil: Arc::default(),
        memory: Arc::default(),
        totals: Arc::default(),
        rt,
    })
    .unwrap();
    smtpd::listen(&core, smtpd_sock, 0);
    World { core, log: memory, site, helper }
}

impl World {
    /// Starts a server at [`SITE`].
    pub fn site(&self, rule: site::Rule, pause: Duration) -> Rc<RefCell<site::Kept>> {
        site::start(&self.core.rt, self.site, rule, pause)
    }

    /// Runs `script` as a task and the core until it is over and the core has stopped.
    pub fn run(&self, script: impl Future<Output = ()> + 'static) {
        let core = self.core.clone();
        self.core.rt.spawn(async move {
            script.await;
            core.port.send(0, Parcel::Stop);
        });
        self.core.run().unwrap();
    }

    /// A client at `from` that says `input` all at once and returns everything it got until the
    /// server closed or fell silent for `patience`.
    pub async fn client(core: &Rc<Core>, from: &str, input: &[u8], patience: Duration) -> String {
        let rt = &core.rt;
        let from: SocketAddr = from.parse().unwrap();
        let deadline = rt.now() + Duration::from_secs(30);
        let to: SocketAddr = SMTPD.parse().unwrap();
        let stream = Stream::connect(rt, to, Some(from), deadline).await.unwrap();
        stream.send(vec![Chunk::Owned(input.to_vec())], deadline).await.unwrap();
        let mut got = Vec::new();
        while let Ok(Arrived::Bytes) = stream.readable(rt.now() + patience).await {
            stream.input(|bytes| {
                got.extend_from_slice(bytes);
                (bytes.len(), ())
            });
        }
        String::from_utf8(got).unwrap()
    }

    /// A client at `from` that sends one piece after the other, `pause` apart, until the server is
    /// gone.
    pub async fn drip(core: &Rc<Core>, from: &str, pieces: &[&str], pause: Duration) {
        let rt = &core.rt;
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), SMTPD.parse().unwrap());
        let soon = || rt.now() + Duration::from_secs(30);
        let stream = Stream::connect(rt, to, Some(from), soon()).await.unwrap();
        for piece in pieces {
            if stream.send(vec![Chunk::Owned(piece.as_bytes().to_vec())], soon()).await.is_err() {
                return;
            }
            let until = rt.now() + pause;
            while let Ok(Arrived::Bytes) = stream.readable(until).await {
                stream.input(|bytes| (bytes.len(), ()));
            }
        }
    }

    /// The log so far, without time stamps.
    pub fn lines(&self) -> Vec<String> {
        let log = self.log.borrow();
        let text = |line: &str| line.split_once(" mx ").map(|(_, text)| text.to_string());
        log.lines().filter_map(text).collect()
    }
}

/// A delivery's name, from a scheduler that has nothing else to do.
pub fn entry() -> scheduler::EntryId {
    let mut scheduler = scheduler::Scheduler::new(scheduler::Limits::default());
    let transport = scheduler.transport("smtp", scheduler::TransportSettings::default);
    let (destination, nexthop) = ("d", "d");
    let to = scheduler::RoutedRecipient { index: 0, transport, destination, nexthop, alone: false };
    drop(scheduler.admit(1, &[to], 0, 0));
    scheduler.select(0).unwrap().entry
}
