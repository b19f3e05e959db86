//! The other end of a submission: a `postdrop -r` child, records in, a status out.
//!
//! **Diagnostics**: [`DropError`]; Postfix's words are made of it in [`super`].

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use master::settings::ENVIRONMENT;

/// The longest string a postdrop says.
const REPLY_MAX: u64 = 65_536;

/// Why a message was not taken.
#[derive(Debug)]
pub enum DropError {
    /// The program did not run, or ended without an answer.
    Execute(io::Error),
    /// It answered with something else.
    Protocol,
    /// It refused: a status, and a reason when the status alone does not say it.
    Refused {
        /// Postfix's cleanup(8) status bits.
        status: u32,
        /// Free text, often empty.
        reason: String,
    },
}

/// Status bits of cleanup(8) that a submission can end with, and what Postfix says of each.
pub mod status {
    /// The protocol was broken.
    pub const BAD: u32 = 1;
    /// The file could not be written.
    pub const WRITE: u32 = 2;
    /// Larger than `message_size_limit`.
    pub const SIZE: u32 = 4;
    /// The sender may not use that address.
    pub const NOPERM: u32 = 512;

    /// The text of the gravest bit.
    pub fn text(status: u32) -> &'static str {
        match status {
            _ if status & BAD != 0 => "internal protocol error",
            _ if status & SIZE != 0 => "message file too big",
            _ if status & WRITE != 0 => "queue file write error",
            _ if status & NOPERM != 0 => "permission denied",
            _ => "unknown error",
        }
    }
}

impl fmt::Display for DropError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execute(error) => f.write_str(&crate::system::reason(error)),
            Self::Protocol => f.write_str("Application error"),
            Self::Refused { status, reason } if reason.is_empty() => {
                f.write_str(status::text(*status))
            }
            Self::Refused { reason, .. } => f.write_str(reason),
        }
    }
}

impl std::error::Error for DropError {}

/// A submission under way.
pub struct Drop {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
    id: String,
}

impl Drop {
    /// Starts `program -r` for the configuration in `directory` and waits for its greeting.
    pub fn start(program: &Path, directory: &str) -> Result<Self, DropError> {
        let mut child = Command::new(program)
            .arg("-r")
            .env(ENVIRONMENT, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(DropError::Execute)?;
        let input = child.stdin.take().map(BufWriter::new);
        let output = child.stdout.take().expect("standard output is a pipe");
        let output = BufReader::new(output);
        let mut drop = Self { child, input, output, id: String::new() };
        let attributes = drop.read_attributes().ok_or(DropError::Protocol)?;
        value(&attributes, "queue_id").ok_or(DropError::Protocol)?.clone_into(&mut drop.id);
        Ok(drop)
    }

    /// The id of the submission's file.
    pub fn queue_id(&self) -> &str {
        &self.id
    }

    /// The command line, for messages.
    pub fn command(program: &Path) -> String {
        format!("{} -r", program.display())
    }

    /// Sends records. A child that refused already says so in [`Drop::finish`].
    pub fn write(&mut self, bytes: &[u8]) {
        let failed = self.input.as_mut().is_some_and(|input| input.write_all(bytes).is_err());
        if failed {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some(input) = self.input.take() {
            // What cannot be flushed was refused; the status says why.
            let (_closed, _rest) = input.into_parts();
        }
    }

    /// Ends the records and asks for the verdict.
    pub fn finish(mut self) -> Result<(), DropError> {
        let flushed = self.input.as_mut().is_none_or(|input| input.flush().is_ok());
        if !flushed {
            self.close();
        }
        drop(self.input.take());
        let attributes = self.read_attributes();
        let exit = self.child.wait().map_err(DropError::Execute)?;
        let attributes = attributes.ok_or(DropError::Protocol)?;
        let status = value(&attributes, "status").and_then(|text| text.parse().ok());
        let status: u32 = status.ok_or(DropError::Protocol)?;
        let reason = value(&attributes, "reason").unwrap_or_default().to_owned();
        if status == 0 && exit.success() {
            return Ok(());
        }
        Err(DropError::Refused { status, reason })
    }

    /// Drops the message: the signal first, so that the end of input is no surprise.
    pub fn abandon(mut self) {
        let _signalled = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.close();
        let _reaped = self.child.wait();
    }

    /// `name NUL value NUL ... NUL`.
    fn read_attributes(&mut self) -> Option<Vec<(String, String)>> {
        let mut attributes = Vec::new();
        loop {
            let name = self.read_string()?;
            if name.is_empty() {
                return Some(attributes);
            }
            attributes.push((name, self.read_string()?));
        }
    }

    fn read_string(&mut self) -> Option<String> {
        let mut out = Vec::new();
        (&mut self.output).take(REPLY_MAX).read_until(0, &mut out).ok()?;
        (out.pop()? == 0).then(|| String::from_utf8_lossy(&out).into_owned())
    }
}

fn value<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
