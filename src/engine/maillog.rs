//! The mail log: typed events in, Postfix's lines out.
//!
//! Call sites build an [`Event`]; `render` is the only place that makes text of it and the only
//! place where bytes from outside are made harmless. Lines collect in memory and are written once
//! per turn.
//!
//! Diagnostics: a log that cannot be written is reported once on standard error; mail goes on.
//!
//! Standards: syslogd's traditional line, `Mon DD hh:mm:ss host name[pid]: text`.

use crate::localtime::LocalTime;
use mail::date::LogDate;
use runtime::UnixMicros;
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::rc::Rc;

mod event;
mod render;

pub use event::{Client, Daemon, Delays, Event, Severity};

/// syslog facility `mail`.
const FACILITY_MAIL: u8 = 2;

/// Where lines go.
pub enum Sink {
    /// `maillog_file`, appended to.
    File(File),
    /// The system's log socket.
    Syslog(UnixDatagram),
    /// Standard output, for `maillog_file = /dev/stdout`.
    Stdout,
    /// Kept in memory, for tests.
    Memory(Rc<RefCell<String>>),
}

impl Sink {
    /// `maillog_file` when it is set, otherwise syslog.
    ///
    /// # Errors
    /// When the file cannot be opened or nobody listens at /dev/log.
    pub fn open(maillog_file: &str) -> io::Result<Sink> {
        match maillog_file {
            "" => {
                let socket = UnixDatagram::unbound()?;
                socket.connect("/dev/log")?;
                socket.set_nonblocking(true)?;
                Ok(Sink::Syslog(socket))
            }
            "/dev/stdout" => Ok(Sink::Stdout),
            path => Sink::file(Path::new(path)),
        }
    }

    /// A log file, made when it is missing.
    ///
    /// # Errors
    /// As open(2).
    pub fn file(path: &Path) -> io::Result<Sink> {
        Ok(Sink::File(OpenOptions::new().append(true).create(true).open(path)?))
    }
}

/// Names that begin every line.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `myhostname`, up to the first dot.
    pub hostname: String,
    /// `syslog_name`, usually `postfix`.
    pub syslog_name: String,
    /// This process.
    pub pid: u32,
}

/// One core's log.
pub struct Maillog {
    identity: Identity,
    sink: Sink,
    local: Rc<LocalTime>,
    now: Cell<UnixMicros>,
    pending: RefCell<String>,
    complained: Cell<bool>,
    /// Nothing is added: what is going on now is a rehearsal.
    muted: Cell<bool>,
}

impl Maillog {
    /// A log that writes to `sink`.
    pub fn new(identity: Identity, sink: Sink, local: Rc<LocalTime>) -> Maillog {
        Maillog {
            identity,
            sink,
            local,
            now: Cell::new(UnixMicros(0)),
            pending: RefCell::default(),
            complained: Cell::new(false),
            muted: Cell::new(false),
        }
    }

    /// The time of the lines that follow; once per turn.
    pub fn set_time(&self, now: UnixMicros) {
        self.now.set(now);
    }

    /// Does something of which nothing is to be logged.
    pub fn muted<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.muted.replace(true);
        let done = work();
        self.muted.set(before);
        done
    }

    /// Adds an event's line.
    pub fn log(&self, event: &Event<'_>) {
        if self.muted.get() {
            return;
        }
        let unix = self.now.get().seconds();
        let offset = self.local.at(unix).offset;
        let mut pending = self.pending.borrow_mut();
        let Identity { hostname, syslog_name, pid } = &self.identity;
        let line = &mut *pending;
        if matches!(self.sink, Sink::Syslog(_)) {
            let priority = FACILITY_MAIL << 3 | event.severity().code();
            write!(line, "<{priority}>{} ", LogDate { unix, offset, zero: false })
        } else {
            write!(line, "{} {hostname} ", LogDate { unix, offset, zero: true })
        }
        .and_then(|()| write!(line, "{}[{pid}]: ", event.daemon().tag(syslog_name)))
        .and_then(|()| render::write(line, event))
        .expect("writing to a string does not fail");
        line.push('\n');
    }

    /// A warning in plain words.
    pub fn warn(&self, daemon: Daemon, text: &str) {
        for text in text.lines() {
            self.log(&Event::Warning { daemon: daemon.clone(), text });
        }
    }

    /// Writes what has collected; once per turn.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return;
        }
        if let Err(error) = self.write(&pending)
            && !self.complained.replace(true)
        {
            eprintln!("cannot write the mail log: {error}");
        }
        pending.clear();
    }

    fn write(&self, lines: &str) -> io::Result<()> {
        match &self.sink {
            Sink::File(file) => (&mut &*file).write_all(lines.as_bytes()),
            Sink::Stdout => io::stdout().lock().write_all(lines.as_bytes()),
            Sink::Syslog(socket) => {
                lines.lines().try_for_each(|line| socket.send(line.as_bytes()).map(|_| ()))
            }
            Sink::Memory(memory) => {
                memory.borrow_mut().push_str(lines);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
