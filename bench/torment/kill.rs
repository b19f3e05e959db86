//! Kills: whom, and that nobody else is hit.

use ringpost_bench::process;
use ringpost_bench::server::Server;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// All that master has started: it starts them again.
    Services,
    /// Master alone: the others end by themselves, or are ended a while later.
    Master,
    /// All at once.
    Everything,
}

impl Victim {
    /// In the order of their turns.
    pub const ALL: [Victim; 3] = [Victim::Services, Victim::Master, Victim::Everything];
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Victim::Services => "services",
            Victim::Master => "master",
            Victim::Everything => "everything",
        })
    }
}

/// Postfix's logger is spared while master lives: master tells it of every child that was killed
/// and waits when its socket is full, for a logger that only master could start.
const SPARED: &str = "postlogd";

/// How long those without a master have to end by themselves; then they are killed, as a service
/// manager would: a new master could not bind their addresses. Ringpost's engine takes 5 s at most.
/// A Postfix process may wait for another one that is gone until its `ipc_timeout`, an hour.
const GRACE: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(5);

/// A process that cannot become another one while it is held.
struct Held {
    pid: u32,
    fd: OwnedFd,
}

impl Held {
    /// The process, if it (still) has that parent.
    fn child(pid: u32, parent: u32) -> Option<Held> {
        Held::any(pid).filter(|held| process::parent(held.pid) == Some(parent))
    }

    fn any(pid: u32) -> Option<Held> {
        let id = Pid::from_raw(pid.cast_signed())?;
        Some(Held { pid, fd: pidfd_open(id, PidfdFlags::empty()).ok()? })
    }

    /// Sends a signal, unless it has ended meanwhile.
    fn signal(&self, signal: Signal) {
        let _gone = pidfd_send_signal(&self.fd, signal);
    }
}

/// Kills, and waits until everybody who was hit or cannot live without is gone.
///
/// # Errors
/// When there is no master, or somebody does not go.
pub fn strike(server: &Server, victim: Victim) -> Result<(), Box<dyn Error>> {
    let master = Held::any(server.master).ok_or("there is no master")?;
    // While it is stopped it starts nobody: those counted are all.
    master.signal(Signal::STOP);
    let mut children = process::children(server.master);
    if victim == Victim::Services {
        children.retain(|pid| process::name(*pid).as_deref() != Some(SPARED));
    }
    let children = children.into_iter().filter_map(|pid| Held::child(pid, server.master));
    let children: Vec<Held> = children.collect();
    match victim {
        Victim::Services => {
            kill(&children);
            master.signal(Signal::CONT);
        }
        Victim::Master => {
            master.signal(Signal::KILL);
            wait(&children);
            kill(&children);
        }
        Victim::Everything => {
            kill(&children);
            master.signal(Signal::KILL);
        }
    }
    let mut gone: Vec<u32> = children.iter().map(|child| child.pid).collect();
    gone.extend((victim != Victim::Services).then_some(server.master));
    server.wait_until_gone(&gone)
}

fn kill(held: &[Held]) {
    held.iter().for_each(|held| held.signal(Signal::KILL));
}

/// Gives them time to end by themselves.
fn wait(held: &[Held]) {
    let began = Instant::now();
    while began.elapsed() < GRACE && held.iter().any(|held| process::runs(held.pid)) {
        std::thread::sleep(LOOK);
    }
}
