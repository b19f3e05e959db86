//! A sink that keeps what it gets, so that a test can see which message arrived, and with what in
//! it.
//!
//! A recipient whose local part begins with `never` is refused for good, as by the load sink.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a session that does not answer looks whether it may.
const LOOK: Duration = Duration::from_millis(5);

/// A message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender, without brackets.
    pub sender: String,
    /// The envelope's recipients, without brackets.
    pub recipients: Vec<String>,
    /// Header and body; lines end with CRLF, without the final dot, dots still doubled.
    pub content: String,
}

impl Mail {
    /// The text of the first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.content.lines().find_map(|line| line.strip_prefix(&prefix))
    }
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// Whether messages are kept and not answered.
    holds: AtomicBool,
    mail: Mutex<Vec<Mail>>,
    streams: Mutex<Vec<TcpStream>>,
}

/// A running sink; dropping it ends it.
pub struct Keeper {
    /// Where it listens on loopback.
    pub port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Listens at `port`.
    pub fn start(port: u16) -> Keeper {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = std::thread::spawn(move || serve(&listener, &shared));
        Keeper { port, state, thread: Some(thread) }
    }

    /// Takes messages and does not answer, until it is told to again. Those who wait then get
    /// their answers.
    pub fn hold(&self, holds: bool) {
        self.state.holds.store(holds, Ordering::Relaxed);
    }

    /// All that came so far.
    pub fn mail(&self) -> Vec<Mail> {
        self.state.mail.lock().expect("no session panics").clone()
    }

    /// How much came so far.
    pub fn count(&self) -> usize {
        self.state.mail.lock().expect("no session panics").len()
    }

    /// What came for `recipient`.
    pub fn mail_for(&self, recipient: &str) -> Vec<Mail> {
        let mut all = self.mail();
        all.retain(|mail| mail.recipients.iter().any(|found| found == recipient));
        all
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Ends the wait for the next client.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        for stream in self.state.streams.lock().expect("no session panics").drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        if state.stop.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(copy) = stream.try_clone() {
            state.streams.lock().expect("no session panics").push(copy);
        }
        let state = state.clone();
        std::thread::spawn(move || session(stream, &state).ok());
    }
}

fn session(stream: TcpStream, state: &State) -> io::Result<()> {
    // Replies to pipelined commands are written one by one.
    stream.set_nodelay(true)?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut mail = Mail::default();
    output.write_all(b"220 sink.example ESMTP\r\n")?;
    loop {
        let Some(line) = line(&mut input)? else { return Ok(()) };
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "MAIL" => {
                mail = Mail { sender: path(&line), ..Mail::default() };
                "250 2.1.0 Ok\r\n"
            }
            "RCPT" if path(&line).starts_with("never") => "550 5.1.1 No such user\r\n",
            "RCPT" => {
                mail.recipients.push(path(&line));
                "250 2.1.5 Ok\r\n"
            }
            "DATA" if mail.recipients.is_empty() => "554 5.5.1 No valid recipients\r\n",
            "DATA" => {
                output.write_all(b"354 Go on\r\n")?;
                if !content(&mut input, &mut mail.content)? {
                    return Ok(());
                }
                state.mail.lock().expect("no session panics").push(std::mem::take(&mut mail));
                while state.holds.load(Ordering::Relaxed) {
                    if state.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::sleep(LOOK);
                }
                "250 2.0.0 Ok: kept\r\n"
            }
            "QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
            _ => "250 2.0.0 Ok\r\n",
        };
        output.write_all(reply.as_bytes())?;
    }
}

fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let length = input.read_until(b'\n', &mut bytes)?;
    Ok((length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the end came.
fn content(input: &mut impl BufRead, content: &mut String) -> io::Result<bool> {
    while let Some(line) = line(input)? {
        if line == ".\r\n" {
            return Ok(true);
        }
        content.push_str(&line);
    }
    Ok(false)
}

fn path(line: &str) -> String {
    let from = line.find('<').map_or(0, |at| at + 1);
    let to = line.find('>').unwrap_or(line.len());
    line.get(from..to).unwrap_or_default().to_string()
}
