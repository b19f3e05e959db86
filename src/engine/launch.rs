//! From a configuration and inherited sockets to running cores.
//!
//! Called by the `engine` program once it has read its environment; everything it is given it owns.
//! The main thread keeps a port of the mesh to itself, for reload and stop.

use crate::accounts::{Accounts, Ask};
use crate::agent::Agents;
use crate::anvil::Anvil;
use crate::background::{Background, Desk};
use crate::commit::Totals;
use crate::core::{Core, Parts};
use crate::custody::{Custody, Estate};
use crate::limits::TAIL_BYTES;
use crate::localtime::LocalTime;
use crate::maillog::{Daemon, Identity, Maillog, Sink};
use crate::memory::Memory;
use crate::parcel::Parcel;
use crate::resolver::{Resolver, Source};
use crate::side::Side;
use crate::smtpd::door::Doors;
use crate::snapshot::Snapshot;
use crate::{control, pickup, rollcall, showq, smtpd};
use queue::{Log, Options, Recovery, Store};
use runtime::kernel::{Choice, Kernel};
use runtime::lane::{Port, mesh};
use runtime::wake::Waker;
use runtime::{Rt, Sock, affinity};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a listening socket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An smtpd service; an index into the snapshot's services.
    Smtpd(usize),
    /// `public/pickup`.
    Pickup,
    /// `public/showq`.
    Showq,
    /// `public/control`.
    Control,
}

/// A listening socket for one core.
#[derive(Clone, Debug)]
pub struct Listening {
    /// What it is for.
    pub purpose: Purpose,
    /// Which core accepts from it.
    pub core: usize,
    /// The socket.
    pub sock: Sock,
}

/// Everything the cores start from.
pub struct Launch {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Who writes the log.
    pub identity: Identity,
    /// Makes a log for each core.
    pub sink: Arc<dyn Fn() -> io::Result<Sink> + Send + Sync>,
    /// How many cores.
    pub cores: usize,
    /// Asks the system for a user.
    pub accounts: Ask,
    /// Which kernel interface the cores use.
    pub kernel: Choice,
    /// How many descriptors this process may have.
    pub descriptors: u64,
    /// How much memory this process may have.
    pub memory: Arc<Memory>,
    /// What to listen to.
    pub listening: Vec<Listening>,
    /// What master keeps.
    pub estate: Estate,
}

/// Running cores, as the main thread holds them.
pub struct Engine {
    port: Port<Parcel>,
    cores: usize,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

struct Shared {
    launch: Launch,
    store: Store,
    background: Background,
    accounts: Background,
    wakers: Vec<Waker>,
    totals: Arc<Totals>,
    doors: Arc<Doors>,
    anvil: Arc<Anvil>,
    side: Side,
}

impl Engine {
    /// Starts the cores and waits until all of them serve.
    ///
    /// # Errors
    /// When the queue is in use or damaged beyond repair, or the kernel interface that was asked
    /// for is not there.
    pub fn start(launch: Launch, queue_directory: &Path) -> io::Result<Engine> {
        let cores = launch.cores;
        let options = Options { cores: cores as u8, tail_bytes: TAIL_BYTES, ..Options::default() };
        let store = Store::open(queue_directory, options).map_err(io::Error::other)?;
        let wakers: Vec<Waker> = (0..=cores).map(|_| Waker::new()).collect::<io::Result<_>>()?;
        let mut ports = mesh(&wakers);
        let port = ports.pop().expect("one port more than cores");
        let background = Background::start()?;
        let shared = Arc::new(Shared {
            doors: Arc::new(Doors::new(launch.descriptors)),
            anvil: Arc::default(),
            launch,
            store,
            background,
            accounts: Background::start()?,
            wakers,
            totals: Arc::default(),
            side: Side::start()?,
        });
        let (report, reports) = channel();
        let mut threads = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let (shared, report) = (shared.clone(), report.clone());
            let run = move || run_core(&shared, index, port, &report);
            let name = format!("core/{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        for _ in 0..cores {
            reports.recv().map_err(|_| io::Error::other("a core did not start"))??;
        }
        Ok(Engine { port, cores, threads })
    }

    /// Gives every core a new configuration.
    pub fn reload(&self, snapshot: &Arc<Snapshot>) {
        self.tell(|| Parcel::Reload(snapshot.clone()));
    }

    /// Gives every core the same configuration with tables as they are now: mail that is under way
    /// keeps the routes it has.
    pub fn refresh(&self, snapshot: &Arc<Snapshot>) {
        self.tell(|| Parcel::Tables(snapshot.clone()));
    }

    /// Asks every core to finish and waits for them.
    ///
    /// # Errors
    /// The first failure of a core.
    pub fn stop(self) -> io::Result<()> {
        self.tell(|| Parcel::Stop);
        let joined =
            self.threads.into_iter().map(|thread| thread.join().expect("cores abort, not unwind"));
        joined.collect()
    }

    fn tell(&self, parcel: impl Fn() -> Parcel) {
        (0..self.cores).for_each(|core| self.port.send(core, parcel()));
        self.port.flush();
    }
}

/// The body of a core's thread. A failure ends the whole process: what other cores have promised is
/// in the log, and master starts a new engine that recovers.
fn run_core(
    shared: &Shared,
    index: usize,
    port: Port<Parcel>,
    report: &Sender<io::Result<()>>,
) -> io::Result<()> {
    match start_core(shared, index, port) {
        Ok(core) => {
            report.send(Ok(())).ok();
            let result = core.run();
            if let Err(error) = &result {
                eprintln!("core {index}: {error}");
                std::process::exit(1);
            }
            result
        }
        Err(error) => {
            report.send(Err(error)).ok();
            Ok(())
        }
    }
}

fn start_core(shared: &Shared, index: usize, port: Port<Parcel>) -> io::Result<Rc<Core>> {
    let processors = affinity::processors()?;
    affinity::pin(processors[index % processors.len()])?;
    let launch = &shared.launch;
    let waker = shared.wakers[index].clone();
    let kernel = Kernel::open(launch.kernel, waker.clone())?;
    let rt = Rt::new(kernel.io, waker.clone());
    let local = Rc::new(LocalTime::system());
    let log = Maillog::new(launch.identity.clone(), (launch.sink)()?, local.clone());
    log.set_time(rt.unix_time());
    if let (0, Some(cause)) = (index, &kernel.blocked) {
        log.warn(Daemon::Master, &format!("{cause}: using epoll"));
    }
    let core = assemble(Assembly {
        index,
        cores: launch.cores,
        port,
        snapshot: launch.snapshot.clone(),
        log: Rc::new(log),
        local,
        store: shared.store.clone(),
        desk: shared.background.desk(waker.clone()),
        source: Source::Side(shared.side.port(waker.clone())),
        accounts: Accounts::new(launch.accounts, Some(shared.accounts.desk(waker))),
        seed: rt.now().0 ^ index as u64,
        doors: shared.doors.clone(),
        anvil: shared.anvil.clone(),
        memory: launch.memory.clone(),
        totals: shared.totals.clone(),
        estate: launch.estate.clone(),
        rt,
    })?;
    listen(&core, &launch.listening);
    core.start_services();
    core.log_warnings();
    Ok(core)
}

/// What a core is assembled from, on a real kernel or a simulated one.
pub(crate) struct Assembly {
    pub index: usize,
    pub cores: usize,
    pub rt: Rt,
    pub port: Port<Parcel>,
    pub snapshot: Arc<Snapshot>,
    pub log: Rc<Maillog>,
    pub local: Rc<LocalTime>,
    pub store: Store,
    pub desk: Desk,
    /// Who answers questions about names.
    pub source: Source,
    pub accounts: Accounts,
    /// Shuffles hosts.
    pub seed: u64,
    pub doors: Arc<Doors>,
    pub anvil: Arc<Anvil>,
    pub memory: Arc<Memory>,
    pub totals: Arc<Totals>,
    pub estate: Estate,
}

/// Recovers this core's parts of the log, tells the queue manager what they hold, and puts the core
/// together; it listens to nobody yet.
pub(crate) fn assemble(parts: Assembly) -> io::Result<Rc<Core>> {
    let Assembly { index, cores, rt, snapshot, log, store, .. } = parts;
    let (queue, recovery) = join(&store, index)?;
    let (adopted, adoptions) = adopt(&store, index, cores)?;
    for recovery in adoptions.iter().chain([&recovery]) {
        report_recovery(&log, recovery);
    }
    let resolver = Rc::new(Resolver::new(&rt, parts.source));
    let custody = Custody::new(&rt, &log, &parts.estate, index, cores);
    custody.close_unclaimed(snapshot.longest_reply());
    let agents = Agents::new(&rt, log.clone(), resolver, custody.clone(), &snapshot, parts.seed);
    let core = Core::new(Parts {
        index,
        rt,
        port: parts.port,
        cores,
        snapshot,
        log,
        local: parts.local,
        queue,
        adopted,
        store,
        desk: parts.desk,
        agents,
        custody,
        accounts: parts.accounts,
        doors: parts.doors,
        anvil: parts.anvil,
        memory: parts.memory,
        totals: parts.totals,
    });
    rollcall::call(&core);
    Ok(core)
}

fn join(store: &Store, index: usize) -> io::Result<(Log, Recovery)> {
    let core = queue::Core::new(index as u8).expect("fewer cores than the log can number");
    Log::join(store, core).map_err(io::Error::other)
}

/// Logs of cores that an earlier engine had and this one has not.
fn adopt(store: &Store, index: usize, cores: usize) -> io::Result<(Vec<Log>, Vec<Recovery>)> {
    // One core at a time looks: the list is read from the disk.
    static LOOK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOOK.lock();
    let mine = |core: &queue::Core| core.index() >= cores && core.index() % cores == index;
    let found = store.cores_on_disk()?.into_iter().filter(mine);
    let joined = found.map(|core| Log::join(store, core).map_err(io::Error::other));
    Ok(joined.collect::<io::Result<Vec<_>>>()?.into_iter().unzip())
}

fn report_recovery(log: &Maillog, recovery: &Recovery) {
    if let Some(torn) = &recovery.torn {
        log.warn(Daemon::Qmgr, &format!("queue log: unfinished write dropped: {torn:?}"));
    }
    for corrupt in &recovery.corrupt {
        let text = format!("saving corrupt message to queue \"corrupt\": {corrupt:?}");
        log.warn(Daemon::Qmgr, &text);
    }
    for missing in &recovery.missing {
        log.warn(Daemon::Qmgr, &format!("queue log: records are missing: {missing:?}"));
    }
    for path in &recovery.unreadable {
        log.warn(Daemon::Qmgr, &format!("queue log: unreadable segment: {}", path.display()));
    }
}

fn listen(core: &Rc<Core>, all: &[Listening]) {
    for Listening { purpose, core: index, sock } in all {
        if *index != core.index {
            continue;
        }
        match purpose {
            Purpose::Smtpd(service) => smtpd::listen(core, *sock, *service),
            Purpose::Pickup => pickup::listen(core, *sock),
            Purpose::Showq => showq::listen(core, *sock),
            Purpose::Control => control::listen(core, *sock),
        }
    }
}
