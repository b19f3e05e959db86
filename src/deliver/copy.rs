//! From the connection into a file, and onto the disk.
//!
//! Used by both kinds of mailboxes. Memory is bounded by the longest piece.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use privsep::Code;
use rustix::io::Errno;

use crate::failure::{Failure, SYSTEM, SYSTEM_FOR_GOOD};
use crate::quoting::{Format, Quoting};
use crate::wire::Wire;

/// A message's way into a file.
pub struct Copy<'a> {
    /// Where to.
    pub file: &'a File,
    /// How.
    pub format: Format,
    /// What comes first.
    pub head: &'a [u8],
    /// How many bytes the file may still grow by.
    pub room: u64,
}

impl Copy<'_> {
    /// Copies the whole content; it is durable then.
    ///
    /// # Errors
    /// When it cannot be written, or does not come. Some of it may have been written.
    pub fn run(self, wire: &mut Wire) -> Result<(), Failure> {
        self.copy(wire).inspect_err(|_| {
            // The engine looks at the answer once everything is sent. If it has gone, so be it.
            let _gone = wire.skip();
        })
    }

    fn copy(mut self, wire: &mut Wire) -> Result<(), Failure> {
        let mut quoting = Quoting::new(self.format);
        let (mut piece, mut out) = (Vec::new(), self.head.to_vec());
        while wire.piece(&mut piece).map_err(|_| unfinished())? {
            quoting.write(&piece, &mut out);
            self.write(&out)?;
            out.clear();
        }
        quoting.finish(&mut out);
        self.write(&out)?;
        self.file.sync_all().map_err(cannot_write)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let room = self.room.checked_sub(bytes.len() as u64);
        self.room = room.ok_or_else(|| cannot_write(Errno::FBIG))?;
        self.file.write_all(bytes).map_err(cannot_write)
    }
}

/// Makes a new name in `directory` durable. Who may make files in it need not be allowed to read
/// it: then the file system does it in its own time.
///
/// # Errors
/// As fsync(2).
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory).map_or(Ok(()), |directory| directory.sync_all())
}

/// How much a file of `size` bytes may grow when `limit` is the largest, zero for none.
pub fn room(limit: u64, size: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit.saturating_sub(size) }
}

/// The message is not on the disk.
pub fn cannot_write(error: impl Into<io::Error>) -> Failure {
    Failure::system(Code::IoErr, SYSTEM_FOR_GOOD, "error writing message", error)
}

/// The engine has gone; nobody hears this.
pub fn unfinished() -> Failure {
    Failure::new(Code::TempFail, SYSTEM, "the message did not come to its end")
}
