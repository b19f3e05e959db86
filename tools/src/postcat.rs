//! postcat(1): shows a message, from the queue by id or from a file of records.
//!
//! [`run`] is called by `bin/postcat.rs`. Reads the queue log beside a running engine or without
//! one; a file may be one of maildrop, or of a Postfix queue.
//!
//! **Diagnostics**: what cannot be opened is fatal, exit code 1, under the full name of the
//! command.
//! **Standards**: postcat(1) of Postfix 3.7; `-o` and `-s` need a file: the queue log has no
//! offsets that mean anything to a reader.

mod file;
mod message;

use std::io::{self, Write};
use std::path::Path;

use mail::queue_id;
use queue::{Number, Reader};

use crate::getopt;
use crate::postqueue::offline;
use crate::program::{Environment, Exit, Program};
use master::settings::{self, Settings};

const USAGE: &str = "[-b (body text)] [-c config_dir] [-d (decimal record type)] \
    [-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]";

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Show {
    /// Envelope records.
    envelope: bool,
    /// The header.
    header: bool,
    /// The body.
    body: bool,
    /// Markers between the parts.
    markers: bool,
    /// Record types as numbers.
    decimal: bool,
    /// Offsets of records.
    offsets: bool,
}

/// Shows what `args` name; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let usage = format!("usage: {} {USAGE}", program.name());
    let (options, names) = getopt::parse(args, "bc:dehoqrs:v").map_err(|error| {
        program.complain(error);
        Exit::new(1, usage.clone())
    })?;
    let has = |letter| options.iter().any(|option| option.letter == letter);
    let chosen = options.iter().rev().find(|option| option.letter == 'c');
    let directory = settings::directory(chosen.and_then(|option| option.value.as_deref()));
    let settings = program.configure(&directory, "postcat", Environment::Update, 1)?;
    let any = has('e') || has('h') || has('b');
    let show = Show {
        envelope: !any || has('e'),
        header: !any || has('h'),
        body: !any || has('b'),
        markers: !any || has('e'),
        decimal: has('d'),
        offsets: has('o'),
    };
    if has('q') && names.is_empty() {
        return Err(Exit::new(1, usage));
    }
    let mut out = Vec::new();
    for name in names {
        if has('q') {
            queued(&settings, name, show, &mut out)?;
        } else {
            let bytes = std::fs::read(name)
                .map_err(|error| master::Fatal::system(format!("open {name}"), error))?;
            file::show(&bytes, name, show, &mut out)?;
        }
    }
    if names.is_empty() {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::stdin(), &mut bytes)
            .map_err(|error| master::Fatal::system("read", error))?;
        file::show(&bytes, "stdin", show, &mut out)?;
    }
    io::stdout().write_all(&out).map_err(|_| Exit::silent(1))?;
    Ok(0)
}

/// A message of the queue: maildrop first, then the log.
fn queued(settings: &Settings, id: &str, show: Show, out: &mut Vec<u8>) -> Result<(), Exit> {
    let queue = settings.queue()?;
    let missing = |error: io::Error| master::Fatal::system(format!("open queue file {id}"), error);
    let not_found = || io::Error::from(rustix::io::Errno::NOENT);
    if !offline::is_queue_id(id) {
        return Err(missing(not_found()).into());
    }
    let path = queue.join("maildrop").join(id);
    match std::fs::read(&path) {
        Ok(bytes) => return file::show(&bytes, &format!("maildrop/{id}"), show, out),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(missing(error).into()),
    }
    // An ordinary user may not even know whether it exists.
    readable(&queue.join("log")).map_err(missing)?;
    let number = queue_id::parse_number(id).and_then(Number::from_u64);
    let number = number.ok_or_else(|| missing(not_found()))?;
    let reader = Reader::open(&queue).map_err(|error| Exit::new(1, error.to_string()))?;
    let live = reader.live().into_iter().find(|live| live.number == number);
    let live = live.ok_or_else(|| missing(not_found()))?;
    // Another message may have had this number in another queue directory.
    let same = [true, false].iter().any(|long| offline::id(&live, *long) == id);
    if !same {
        return Err(missing(not_found()).into());
    }
    message::show(&reader, &live, id, show, out)
}

/// Whether the log may be read; a log that is not there has no messages.
fn readable(log: &Path) -> io::Result<()> {
    log.read_dir().map(|_| ())
}
