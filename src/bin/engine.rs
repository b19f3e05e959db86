//! The engine: every mail daemon of Postfix in one process, a thread per core. Started by master
//! with the listening sockets open; see `ringpost_master` for the environment it is given.

use config::MasterCf;
use config::params::BadValue;
use engine::launch::{Engine, Launch, Listening, Purpose};
use engine::localtime::LocalTime;
use engine::maillog::{Daemon, Event, Identity, Maillog, Sink};
use engine::snapshot::Snapshot;
use master::settings::Settings;
use master::system;
use ringpost::inherited::{Inherited, Service};
use ringpost::memory;
use ringpost::sandbox::{self, places::Places};
use ringpost::watch::{self, Watch};
use runtime::{Sock, UnixMicros};
use rustix::process::{Resource, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use signal_hook::iterator::Signals;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// SIGHUP, SIGINT, SIGTERM.
const SIGNALS: [i32; 3] = [1, 2, 15];
const SIGHUP: i32 = 1;
/// Words that wait for the main thread; who has more waits himself.
const WORDS_MAX: usize = 8;
/// How often a file that is being written is looked at before it is read as it is.
const WRITING_PAUSES_MAX: usize = 50;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: fatal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    prepare_process()?;
    let directory = config_directory()?;
    let inherited = Inherited::from_environment()?;
    // Before any thread exists, so that every thread leaves these signals to this one.
    let signals = Signals::new(SIGNALS)?;
    let own_log = inherited.maillog.is_none();
    let read_first = read(&directory, own_log, None);
    let read_first = read_first.inspect_err(|error| refuse(&inherited, error.as_ref()));
    let (mut configuration, places) = read_first?;
    let snapshot = configuration.snapshot.clone();
    let queue_directory = std::env::current_dir()?;
    let missing = sandbox::bind_engine(&places)?;
    let launch = launch(&snapshot, &inherited)?;
    let log = Maillog::new(launch.identity.clone(), (launch.sink)()?, LocalTime::system().into());
    end_on_panic(&launch);
    for text in &missing {
        say(&log, &Event::Warning { daemon: Daemon::Master, text });
    }
    let engine = Engine::start(launch, &queue_directory)?;
    if let Some(mut ready) = inherited.ready {
        ready.write_all(b"ready\n")?;
    }
    let watch = Watch::new();
    watch.follow(snapshot.tables.files());
    for word in listen(signals, watch.clone())? {
        match word {
            Word::Stop => break,
            Word::Reload => match read(&directory, own_log, Some(&places)) {
                Ok((new, _)) => {
                    configuration = new;
                    engine.reload(&configuration.snapshot);
                }
                Err(error) => keep(&log, error.as_ref()),
            },
            Word::Tables => configuration.refresh(&engine, &log),
        }
        watch.follow(configuration.snapshot.tables.files());
    }
    Ok(engine.stop()?)
}

/// What the main thread is woken for.
enum Word {
    Stop,
    Reload,
    /// A table may have changed.
    Tables,
}

/// Collects the words of the kernel, each from a thread that waits for them.
fn listen(mut signals: Signals, watch: Watch) -> std::io::Result<Receiver<Word>> {
    let (to_main, words) = sync_channel(WORDS_MAX);
    let signalled = to_main.clone();
    let named = |name: &str| std::thread::Builder::new().name(name.into());
    named("signals").spawn(move || {
        for signal in signals.forever() {
            let word = if signal == SIGHUP { Word::Reload } else { Word::Stop };
            if signalled.send(word).is_err() {
                break;
            }
        }
    })?;
    named("tables").spawn(move || {
        // Without the kernel's word there is still a reload.
        while watch.wait().is_ok() && to_main.send(Word::Tables).is_ok() {
            std::thread::sleep(watch::PAUSE);
        }
    })?;
    Ok(words)
}

/// A configuration in use.
struct Configuration {
    snapshot: Arc<Snapshot>,
    master: MasterCf,
}

impl Configuration {
    /// Reads tables anew whose files have changed.
    fn refresh(&mut self, engine: &Engine, log: &Maillog) {
        self.wait_until_written();
        let changed = self.snapshot.tables.changed(system::stamp);
        if changed.is_empty() {
            return;
        }
        for name in changed {
            let text = &format!("table {name} has changed -- reading it anew");
            say(log, &Event::Info { daemon: Daemon::Master, text });
        }
        match self.snapshot.refreshed(&self.master, tables()) {
            Ok((new, news)) => {
                for remark in &news {
                    say(log, &remark.event());
                }
                self.snapshot = Arc::new(new);
                engine.refresh(&self.snapshot);
            }
            Err(bad) => keep(log, &bad),
        }
    }

    /// Whoever writes to a file in place is left the time to finish; a file that never rests is
    /// read as it is.
    fn wait_until_written(&self) {
        for _ in 0..WRITING_PAUSES_MAX {
            let before = self.snapshot.tables.written_in_place(system::stamp);
            if before.is_empty() {
                return;
            }
            std::thread::sleep(watch::SETTLED);
            if self.snapshot.tables.written_in_place(system::stamp) == before {
                return;
            }
        }
    }
}

/// What the kernel should know before the first thread exists.
fn prepare_process() -> rustix::io::Result<()> {
    // Memory is bounded in small pieces: a huge page for each of them would undo that.
    rustix::thread::disable_transparent_huge_pages(true)?;
    // A connection is a descriptor: as many as the administrator allows.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    // Without master nobody would stop us, and its successor could not open the queue.
    set_parent_process_death_signal(Some(Signal::TERM))
}

/// Says why there will be no engine, before its configuration can tell how to say it.
fn refuse(inherited: &Inherited, error: &dyn Error) {
    let uname = rustix::system::uname();
    let node = uname.nodename().to_string_lossy();
    let identity = Identity {
        hostname: node.split('.').next().unwrap_or_default().to_string(),
        syslog_name: "postfix".into(),
        pid: std::process::id(),
    };
    let sink = match &inherited.maillog {
        Some(file) => file.try_clone().map(Sink::File),
        None => Sink::open(""),
    };
    // Where nothing can be said, the exit status is all there is.
    let Ok(sink) = sink else { return };
    let text = error.to_string();
    let text = text.strip_prefix("fatal: ").unwrap_or(&text);
    let log = Maillog::new(identity, sink, LocalTime::system().into());
    say(&log, &Event::Fatal { daemon: Daemon::Master, text });
}

/// Says that a reload was in vain.
fn keep(log: &Maillog, error: &dyn Error) {
    let text = format!("the old configuration stays: {error}");
    say(log, &Event::Warning { daemon: Daemon::Master, text: &text });
}

/// One line at once; standard error leads nowhere in a mail system in the background.
fn say(log: &Maillog, event: &Event<'_>) {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    log.set_time(UnixMicros(since.as_micros() as u64));
    log.log(event);
    log.flush();
}

/// A bug in one thread ends the process, however it was built: the log recovers what was promised,
/// a core that is missing would serve nobody.
fn end_on_panic(launch: &Launch) {
    let (identity, sink) = (launch.identity.clone(), launch.sink.clone());
    std::panic::set_hook(Box::new(move |panic| {
        let text = format!("panic: {panic}").replace('\n', " ");
        eprintln!("engine: {text}");
        if let Ok(sink) = sink() {
            let log = Maillog::new(identity.clone(), sink, LocalTime::system().into());
            say(&log, &Event::Fatal { daemon: Daemon::Master, text: &text });
        }
        std::process::abort();
    }));
}

fn config_directory() -> Result<PathBuf, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(flag), Some(directory)) if flag == "-c" => Ok(directory.into()),
        _ => Err("usage: engine -c config_directory (master starts it)".into()),
    }
}

/// Reads the configuration, unless it needs places that the engine was not `bound` to.
fn read(
    directory: &Path,
    own_log: bool,
    bound: Option<&Places>,
) -> Result<(Configuration, Places), Box<dyn Error>> {
    let settings = Settings::load(&directory.to_string_lossy(), "engine")?;
    let master = settings.master()?;
    let places = Places::of(&settings.params, &master, own_log)?;
    if let Some(place) = bound.and_then(|bound| bound.missing(&places)) {
        let place = place.display();
        return Err(format!(
            "{place}: the engine was not given this place at its start; stop and start"
        )
        .into());
    }
    let snapshot = Snapshot::new(settings.params, &master, tables());
    let snapshot = Arc::new(snapshot.map_err(|bad| described(&bad))?);
    Ok((Configuration { snapshot, master }, places))
}

/// What is wrong with a value, and where it stands.
fn described(bad: &BadValue) -> String {
    let text = bad.to_string();
    let text = text.strip_prefix("fatal: ").unwrap_or(&text);
    let warning = bad.warning().map(|warning| format!("{warning}; ")).unwrap_or_default();
    let place = match bad.line {
        0 => bad.name.to_string(),
        line => format!("{}, line {line}: {}", bad.file, bad.name),
    };
    format!("{warning}{text} ({place})")
}

/// What tables are made of.
fn tables() -> tables::catalog::System {
    tables::catalog::System {
        read: system::read,
        stamp: system::stamp,
        variable: system::variable,
        random: system::random,
        remote: engine::lookup::servers::open,
    }
}

fn launch(snapshot: &Arc<Snapshot>, inherited: &Inherited) -> Result<Launch, Box<dyn Error>> {
    let text = |name: &str| snapshot.params.text(name).map_err(|error| error.to_string());
    // As in Postfix, which writes its own name into maillog_file and not the machine's.
    let hostname = text("myhostname")?;
    let identity = Identity {
        hostname: hostname.split('.').next().unwrap_or_default().to_string(),
        syslog_name: text("syslog_name")?,
        pid: std::process::id(),
    };
    let (maillog, file) = (text("maillog_file")?, inherited.maillog.as_ref());
    let file = file.map(std::fs::File::try_clone).transpose()?;
    Ok(Launch {
        snapshot: snapshot.clone(),
        identity,
        sink: Arc::new(move || match &file {
            Some(file) => Ok(Sink::File(file.try_clone()?)),
            None => Sink::open(&maillog),
        }),
        cores: inherited.cores,
        accounts: master::accounts::exists,
        kernel: runtime::kernel::Choice::from_environment()?,
        descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        memory: Arc::new(memory::of_this_process()?),
        listening: inherited
            .services
            .iter()
            .flat_map(|s| sockets(snapshot, s, inherited.cores))
            .collect(),
        estate: inherited.estate.clone(),
    })
}

/// A service's sockets: address after address, one per core each.
fn sockets(snapshot: &Snapshot, service: &Service, cores: usize) -> Vec<Listening> {
    let purpose = match (service.name.as_str(), service.kind.as_str()) {
        ("pickup", "unix") => Some(Purpose::Pickup),
        ("showq", "unix") => Some(Purpose::Showq),
        ("control", "unix") => Some(Purpose::Control),
        (name, "inet") => {
            snapshot.smtpd.iter().position(|known| known.name == name).map(Purpose::Smtpd)
        }
        _ => None,
    };
    let Some(purpose) = purpose else { return Vec::new() };
    let inet = service.kind == "inet";
    let listening = |(place, fd): (usize, &i32)| Listening {
        purpose: purpose.clone(),
        core: if inet { place % cores } else { 0 },
        sock: Sock(*fd),
    };
    service.sockets.iter().enumerate().map(listening).collect()
}
