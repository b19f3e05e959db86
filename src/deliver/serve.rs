//! The parent: accepts, checks who asks, forks. It reads nothing from a connection.
//!
//! | state | waits for |
//! | --- | --- |
//! | fewer than [`CHILDREN_MAX`] children | a connection, or a child's end |
//! | as many | a child's end; connections wait in the backlog |
//!
//! It ends by SIGTERM's default action; children that are at work finish, because what they need
//! they have. **Diagnostics**: an `io::Error` when the socket fails.

use std::io;
use std::os::fd::OwnedFd;

use privsep::Rules;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SocketFlags, accept_with, sockopt::socket_peercred};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, geteuid, pidfd_open, waitid};

use crate::child;
use crate::fork::fork;

/// Deliveries at once; as many as Postfix's `default_process_limit` lets one service have. More
/// connections wait, and so do their deliveries in the engine, up to its own deadline.
pub const CHILDREN_MAX: usize = 100;

/// Serves `listener` until it fails. Returns in every child too, when its delivery is over.
///
/// # Errors
/// As poll(2) and accept(2); out of descriptors or processes is not one.
pub fn run(listener: OwnedFd, rules: &Rules) -> io::Result<()> {
    // A connection may be taken by the parent before or after this one in a reload.
    ioctl_fionbio(&listener, true)?;
    let mut parent = Parent { listener, children: Vec::new() };
    loop {
        let knocked = parent.wait()?;
        parent.bury();
        if !knocked {
            continue;
        }
        let Some(connection) = parent.accept(rules)? else { continue };
        match fork() {
            Ok(Some(pid)) => parent.remember(pid)?,
            Ok(None) => {
                drop(parent);
                // An engine that is gone has heard nothing: it defers.
                let _heard = child::serve(connection, rules);
                return Ok(());
            }
            // No processes left. The connection goes, so that the engine defers.
            Err(_) => continue,
        }
    }
}

struct Parent {
    listener: OwnedFd,
    /// Their pidfds: readable when they have ended.
    children: Vec<(Pid, OwnedFd)>,
}

impl Parent {
    /// Sleeps until something happens; whether a connection is there and wanted.
    fn wait(&self) -> io::Result<bool> {
        let ends = self.children.iter().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN));
        let mut fds: Vec<_> = ends.collect();
        let room = fds.len() < CHILDREN_MAX;
        if room {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => Ok(room && fds.last().is_some_and(|last| !last.revents().is_empty())),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reaps those that have ended.
    fn bury(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        self.children.retain(|(pid, _)| matches!(waitid(WaitId::Pid(*pid), options), Ok(None)));
    }

    fn remember(&mut self, pid: Pid) -> io::Result<()> {
        self.children.push((pid, pidfd_open(pid, PidfdFlags::empty())?));
        Ok(())
    }

    /// The next connection, if it is of somebody who may ask.
    fn accept(&self, rules: &Rules) -> io::Result<Option<OwnedFd>> {
        match accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(connection) => Ok(may_ask(&connection, rules).then_some(connection)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether the process at the other end is the engine's user or this one's.
fn may_ask(connection: &OwnedFd, rules: &Rules) -> bool {
    let asks = |uid: u32| uid == rules.mail_owner || uid == geteuid().as_raw();
    socket_peercred(connection).is_ok_and(|peer| asks(peer.uid.as_raw()))
}
