//! What should be said about the configuration while it is read: each [`Remark`] in the name of the
//! program whose tables are opened just then, as Postfix's programs open their own.
//!
//! Collected by the [`crate::lookup::Opener`], logged by core 0 at its start.

use crate::maillog::{Daemon, Event};
use std::cell::{Cell, RefCell};

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// Who says it.
    pub daemon: Daemon,
    /// A table cannot be opened; anything else is a warning.
    pub is_error: bool,
    /// What is said.
    pub text: String,
}

impl Remark {
    /// A warning.
    pub fn warning(daemon: Daemon, text: String) -> Remark {
        Remark { daemon, is_error: false, text }
    }

    /// As the log has it.
    pub fn event(&self) -> Event<'_> {
        let Remark { daemon, is_error, text } = self;
        match is_error {
            true => Event::Error { daemon: daemon.clone(), text },
            false => Event::Warning { daemon: daemon.clone(), text },
        }
    }
}

/// What has been said so far.
pub struct Remarks {
    speaker: RefCell<Daemon>,
    said: Cell<Vec<Remark>>,
}

impl Default for Remarks {
    fn default() -> Remarks {
        Remarks { speaker: RefCell::new(Daemon::Smtpd), said: Cell::default() }
    }
}

impl Remarks {
    /// What is said from here on is said by this program.
    pub fn speak_as(&self, daemon: Daemon) {
        *self.speaker.borrow_mut() = daemon;
    }

    /// Takes something the speaker says.
    pub fn say(&self, is_error: bool, text: String) {
        let daemon = self.speaker.borrow().clone();
        let mut said = self.said.take();
        said.push(Remark { daemon, is_error, text });
        self.said.set(said);
    }

    /// All that was said, nothing twice.
    pub fn finish(self) -> Vec<Remark> {
        let mut said = self.said.into_inner();
        said.sort();
        said.dedup();
        said
    }
}
