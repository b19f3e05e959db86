//! The supervisor's loop: one engine, started, restarted, reloaded and stopped; beside it the
//! delivery helper, whose own table is in [`crate::helper`].
//!
//! | phase | engine ready | engine ends | SIGHUP | SIGTERM, SIGINT | deadline |
//! | --- | --- | --- | --- | --- | --- |
//! | Starting, first | Serving | fatal | re-read | Stopping | - |
//! | Starting, later | Serving | Throttled | re-read | Stopping | - |
//! | Serving | - | Starting, or Throttled | signal, or Draining | Stopping | - |
//! | Throttled | - | - | re-read | end | Starting |
//! | Draining | - | Starting | re-read | Stopping | SIGKILL |
//! | Stopping | - | end | - | - | SIGKILL |
//!
//! What an engine has kept ([`crate::custody`]) the next one gets, whatever ended the first.
//!
//! SIGQUIT kills the engine and ends, in any phase. The helper ends after the engine. The sockets
//! are never closed while they are in the configuration. Two engines never run at once: the queue
//! log has one writer. When what the engine listens on or its log file changes, the old engine
//! drains (SIGTERM) and the next one starts after it; connections wait in the backlog meanwhile.
//!
//! **Limits**: [`crate::pace::RESTARTS_PER_MINUTE`], [`STOP_GRACE`], [`DRAIN_GRACE`],
//! `service_throttle_time`.

mod phase;
mod setup;

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Rlimit, Signal};

use crate::children::{self, Exit, Start, Started};
use crate::custody::{self, Custody};
use crate::helper::{Helper, Surroundings};
use crate::listen::{self, HELPER_SOCKET, Listeners};
use crate::log::{Level, Log};
use crate::pace::Pace;
use crate::pid_file::{self, PidFile};
use crate::settings::Settings;
use crate::signals::{Request, Signals};
use crate::{Fatal, detach, directories};
use phase::Phase;
use setup::Setup;

/// How long the engine may take to stop; `postfix stop` waits as long.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long an engine may take to end its sessions when another is to take over.
pub const DRAIN_GRACE: Duration = Duration::from_secs(60);

/// The program's name in the log.
const PROGRAM: &str = "master";

/// How the supervisor was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The configuration directory.
    pub directory: String,
    /// Keeps its terminal and standard descriptors.
    pub foreground: bool,
    /// Reports on standard output when it serves.
    pub report: bool,
}

/// Runs the mail system to its end.
///
/// # Errors
/// What keeps it from starting; logged already.
pub fn run(options: Options) -> Result<(), Fatal> {
    let settings = Settings::load(&options.directory, PROGRAM)?;
    let log = Log::open(&settings.params, PROGRAM);
    let result = Master::start(options, settings).and_then(|mut master| master.serve());
    if let Err(fatal) = &result {
        log.line(Level::Fatal, fatal);
    }
    result
}

struct Master {
    options: Options,
    setup: Setup,
    listeners: Listeners,
    cores: usize,
    signals: Signals,
    phase: Phase,
    helper: Helper,
    custody: Custody,
    /// The limit of open files at start.
    files: Rlimit,
    /// Of engines that served.
    pace: Pace,
    /// Whether an engine ever served.
    served: bool,
    /// Whether the engine that starts may have read an older configuration.
    stale: bool,
    _lock: PidFile,
}

impl Master {
    fn start(options: Options, settings: Settings) -> Result<Self, Fatal> {
        let setup = Setup::new(settings)?;
        if !options.foreground {
            detach::leave_session();
        }
        enter(&setup.queue)?;
        directories::create_missing(&setup.queue, &setup.data()?, &setup.accounts)?;
        let pid_directory = setup.settings.text("process_id_directory")?;
        let lock = PidFile::take(&pid_file::path(&setup.queue, &pid_directory))?;
        let signals = Signals::open().map_err(|error| Fatal::system("signals", error))?;
        let (room, files) =
            custody::make_room().map_err(|error| Fatal::system("open files", error))?;
        let cores = listen::cores();
        let mut none = Listeners::default();
        let listeners = Listeners::bind(&setup.plan, cores, &setup.accounts, &mut none)?;
        setup.log_oddities();
        setup.log.line(Level::Info, announcement("daemon started", &setup));
        let mut master = Self {
            options,
            setup,
            listeners,
            cores,
            signals,
            phase: Phase::Ended,
            helper: Helper::default(),
            custody: Custody::new(room),
            files,
            pace: Pace::default(),
            served: false,
            stale: false,
            _lock: lock,
        };
        master.start_helper();
        master.start_engine()?;
        Ok(master)
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        while !matches!(self.phase, Phase::Ended) {
            self.wait().map_err(|error| Fatal::system("poll", error))?;
            self.custody.serve(Instant::now());
            self.custody.sweep(Instant::now());
            while let Some(request) = self.signals.next() {
                self.handle(request)?;
            }
            self.read_ready()?;
            let is_due = |until: Instant| until <= Instant::now();
            if self.phase.deadline().is_some_and(is_due) {
                self.deadline()?;
            }
            if self.helper.deadline().is_some_and(is_due) {
                self.start_helper();
            }
        }
        self.helper.stop(Signal::TERM);
        Ok(())
    }

    /// Sleeps until a signal, the engine's report or the phase's deadline.
    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Phase::Starting { ready: Some(ready), .. } = &self.phase {
            fds.push(PollFd::new(ready, PollFlags::IN));
        }
        fds.extend(self.custody.channel().map(|channel| PollFd::new(channel, PollFlags::IN)));
        let deadlines = [self.phase.deadline(), self.helper.deadline(), self.custody.deadline()];
        let timeout = deadlines.into_iter().flatten().min().map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn handle(&mut self, request: Request) -> Result<(), Fatal> {
        match request {
            Request::Child => {
                while let Some((pid, exit)) = children::reap() {
                    if self.phase.pid() == Some(pid) {
                        self.engine_ended(pid, exit)?;
                    } else if self.helper.pid() == Some(pid) {
                        self.helper_ended(exit);
                    }
                }
                Ok(())
            }
            Request::Reload => self.reload(),
            Request::Stop(number) => {
                self.stop(number);
                Ok(())
            }
            Request::Abort(number) => {
                self.log_stop(number);
                if let Some(pid) = self.phase.pid() {
                    children::signal(pid, Signal::KILL);
                }
                self.helper.stop(Signal::KILL);
                self.phase = Phase::Ended;
                Ok(())
            }
        }
    }

    fn stop(&mut self, number: i32) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        self.log_stop(number);
        self.phase = match self.phase.pid() {
            Some(pid) => {
                children::signal(pid, Signal::TERM);
                Phase::Stopping { pid, until: Instant::now() + STOP_GRACE }
            }
            None => Phase::Ended,
        };
    }

    fn log_stop(&self, number: i32) {
        self.setup.log.line(Level::Info, format!("terminating on signal {number}"));
    }

    fn start_engine(&mut self) -> Result<(), Fatal> {
        let setup = &self.setup;
        let start = Start {
            program: &setup.program,
            directory: &self.options.directory,
            queue: &setup.queue,
            params: &setup.settings.params,
            accounts: &setup.accounts,
            plan: &setup.plan,
            listeners: &self.listeners,
            cores: self.cores,
            maillog: setup.maillog.as_ref(),
            foreground: self.options.foreground,
        };
        match start.spawn(&mut self.custody) {
            Ok(Started { pid, ready }) => {
                self.phase = Phase::Starting { pid, ready: Some(ready) };
                Ok(())
            }
            Err(error) => {
                let failed = Fatal::system(setup.program.display(), error);
                if !self.served {
                    return Err(failed);
                }
                setup.log.line(Level::Warning, failed);
                self.throttle();
                Ok(())
            }
        }
    }

    /// Starts the delivery helper, when a service needs one; ends the one that runs.
    fn start_helper(&mut self) {
        match (&self.setup.helper, self.listeners.unix(HELPER_SOCKET)) {
            (Some(program), Some(socket)) => {
                self.helper
                    .start(program, &surroundings(&self.setup, &self.options, &self.files, socket));
            }
            _ => self.helper.stop(Signal::TERM),
        }
    }

    fn helper_ended(&mut self, exit: Exit) {
        if let (Some(program), Some(socket)) =
            (&self.setup.helper, self.listeners.unix(HELPER_SOCKET))
        {
            let around = surroundings(&self.setup, &self.options, &self.files, socket);
            self.helper.ended(exit, program, &around);
        }
    }

    fn read_ready(&mut self) -> Result<(), Fatal> {
        let Phase::Starting { pid, ready: Some(pipe) } = &mut self.phase else { return Ok(()) };
        let mut fds = [PollFd::new(&*pipe, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(ready) if ready > 0) {
            return Ok(());
        }
        let pid = *pid;
        let mut word = [0; detach::REPORT.len()];
        if pipe.read_exact(&mut word).is_err() || word != detach::REPORT {
            self.phase = Phase::Starting { pid, ready: None };
            return Ok(());
        }
        self.phase = Phase::Serving { pid };
        if std::mem::take(&mut self.stale) {
            children::signal(pid, Signal::HUP);
        }
        self.announce().map_err(|error| Fatal::system("report", error))
    }

    /// Once, when the first engine serves.
    fn announce(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.served, true) || self.options.foreground {
            return Ok(());
        }
        if self.options.report { detach::report() } else { detach::release() }
    }

    fn engine_ended(&mut self, pid: Pid, exit: Exit) -> Result<(), Fatal> {
        let now = Instant::now();
        self.custody.engine_ended(now);
        match std::mem::replace(&mut self.phase, Phase::Throttled { until: now }) {
            Phase::Stopping { .. } => self.phase = Phase::Ended,
            Phase::Draining { .. } => return self.start_engine(),
            Phase::Starting { .. } => {
                self.log_end(pid, exit);
                if !self.served {
                    let program = self.setup.program.display();
                    return Err(Fatal(format!("{program}: the mail system did not start")));
                }
                self.throttle();
            }
            _ => {
                self.log_end(pid, exit);
                if self.pace.is_too_fast(now) {
                    self.throttle();
                } else {
                    return self.start_engine();
                }
            }
        }
        Ok(())
    }

    fn log_end(&self, pid: Pid, exit: Exit) {
        let program = self.setup.program.display();
        let text = format!("process {program} pid {} {exit}", pid.as_raw_nonzero());
        self.setup.log.line(Level::Warning, text);
    }

    fn throttle(&mut self) {
        let program = self.setup.program.display();
        let text = format!("{program}: bad command startup -- throttling");
        self.setup.log.line(Level::Warning, text);
        self.phase = Phase::Throttled { until: Instant::now() + self.setup.throttle };
    }

    fn deadline(&mut self) -> Result<(), Fatal> {
        match self.phase {
            Phase::Throttled { .. } => self.start_engine(),
            Phase::Draining { pid, .. } | Phase::Stopping { pid, .. } => {
                children::signal(pid, Signal::KILL);
                // SIGCHLD brings the rest; another SIGKILL a second later does no harm.
                let later = Instant::now() + Duration::from_secs(1);
                match &mut self.phase {
                    Phase::Draining { until, .. } | Phase::Stopping { until, .. } => *until = later,
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a new configuration over, or keeps the old one and says why.
    fn reload(&mut self) -> Result<(), Fatal> {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return Ok(());
        }
        if let Err(error) = self.take_configuration() {
            self.setup.log.line(Level::Error, error);
        }
        Ok(())
    }

    fn take_configuration(&mut self) -> Result<(), Fatal> {
        let settings = Settings::load(&self.options.directory, PROGRAM)?;
        let new = Setup::new(settings)?;
        if new.queue != self.setup.queue {
            let what = "queue_directory cannot change while the mail system is running";
            return Err(Fatal(what.to_owned()));
        }
        directories::create_missing(&new.queue, &new.data()?, &new.accounts)?;
        self.listeners =
            Listeners::bind(&new.plan, self.cores, &new.accounts, &mut self.listeners)?;
        let replace = self.setup.needs_new_engine(&new);
        let helper = self.setup.helper != new.helper;
        self.setup = new;
        self.setup.log.line(Level::Info, announcement("reload", &self.setup));
        self.setup.log_oddities();
        if helper {
            self.start_helper();
        }
        match self.phase {
            Phase::Starting { pid, .. } | Phase::Serving { pid } if replace => {
                children::signal(pid, Signal::TERM);
                self.phase = Phase::Draining { pid, until: Instant::now() + DRAIN_GRACE };
            }
            Phase::Serving { pid } => children::signal(pid, Signal::HUP),
            // Before it is ready the signal might kill it: it may have no handler yet.
            Phase::Starting { .. } => self.stale = true,
            _ => {}
        }
        Ok(())
    }
}

fn surroundings<'a>(
    setup: &'a Setup,
    options: &Options,
    files: &'a Rlimit,
    socket: &'a std::os::fd::OwnedFd,
) -> Surroundings<'a> {
    Surroundings {
        queue: &setup.queue,
        params: &setup.settings.params,
        socket,
        foreground: options.foreground,
        files,
        log: &setup.log,
        throttle: setup.throttle,
    }
}

/// `daemon started -- version 3.7.11, configuration /etc/postfix`.
fn announcement(what: &str, setup: &Setup) -> String {
    let (version, directory) = (setup.settings.version(), &setup.settings.directory);
    format!("{what} -- version {version}, configuration {directory}")
}

/// Makes the queue directory the current one: socket paths are relative to it.
fn enter(queue: &Path) -> Result<(), Fatal> {
    std::env::set_current_dir(queue)
        .map_err(|error| Fatal::system(format!("chdir({})", queue.display()), error))
}
