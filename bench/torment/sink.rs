//! The next hop: writes down every copy, and is slow with its answer when it is told to.

use crate::ledger::Ledger;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the source writes around a message's number.
const ID: (&str, &str) = ("Message-Id: <", "@source.example>");

/// A sink; it serves as long as the program runs.
#[derive(Clone)]
pub struct Sink {
    ledger: Arc<Ledger>,
    /// Milliseconds between the end of a message and its 250.
    delay_ms: Arc<AtomicU64>,
}

impl Sink {
    /// Starts a sink at `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(address: SocketAddr, ledger: Arc<Ledger>) -> io::Result<Sink> {
        let listener = TcpListener::bind(address)?;
        let sink = Sink { ledger, delay_ms: Arc::default() };
        let serving = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = serving.clone();
                std::thread::spawn(move || sink.session(stream).ok());
            }
        });
        Ok(sink)
    }

    /// How long it takes for an answer from now on.
    pub fn delay(&self, milliseconds: u64) {
        self.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    fn session(&self, stream: TcpStream) -> io::Result<()> {
        // Replies to pipelined commands are written one by one.
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        output.write_all(b"220 sink.example ESMTP\r\n")?;
        let mut line = Vec::new();
        while next_line(&mut input, &mut line)? {
            let reply: &[u8] = match &line.to_ascii_uppercase()[..line.len().min(4)] {
                b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                b"DATA" => {
                    output.write_all(b"354 Go on\r\n")?;
                    self.message(&mut input, &mut output)?;
                    continue;
                }
                b"QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
                _ => b"250 2.0.0 Ok\r\n",
            };
            output.write_all(reply)?;
        }
        Ok(())
    }

    /// Takes a message. One whose end does not come was never here.
    fn message(&self, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
        let (mut line, mut number) = (Vec::new(), None);
        while line != b".\r\n" {
            if !next_line(input, &mut line)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            number = number.or_else(|| number_in(&line));
        }
        // What is not from the source (a notice) has no number, and is nobody's duplicate.
        let copy = number.map(|number| (number, self.ledger.arrive(number)));
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
        }
        output.write_all(b"250 2.0.0 Ok: taken\r\n")?;
        if let Some((number, copy)) = copy {
            self.ledger.answer(number, copy);
        }
        Ok(())
    }
}

/// Whether there is one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(input.read_until(b'\n', line)? > 0)
}

/// The number of the message whose header this line is in.
fn number_in(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix(ID.0)?;
    text.split_once(ID.1)?.0.parse().ok()
}
