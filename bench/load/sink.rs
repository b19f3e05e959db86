//! The sink: takes mail, counts it, forgets it. On request some recipients fail, for now or for
//! good.

use super::Until;
use runtime::kernel::{Choice, Kernel};
use runtime::net::{Arrived, Listener, Stream};
use runtime::wake::Waker;
use runtime::{Chunk, Rt, Sock};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the sink has seen.
#[derive(Default)]
pub struct Counts {
    /// Messages taken.
    pub messages: AtomicU64,
    /// Recipients refused for now.
    pub deferred: AtomicU64,
    /// Recipients refused for good.
    pub refused: AtomicU64,
    /// Notices from the null sender among the messages.
    pub notices: AtomicU64,
    /// Connections taken.
    pub connections: AtomicU64,
}

/// A running sink.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has seen.
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

impl Sink {
    /// Starts a sink at `address`. A recipient whose local part begins with `later` is refused with
    /// 450 the first time, one that begins with `never` always with 550.
    ///
    /// # Errors
    /// When the address is taken or io_uring is not available.
    pub fn start(address: SocketAddr) -> io::Result<Sink> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let waker = Waker::new()?;
        let state = (counts.clone(), stop.clone(), waker.clone());
        let thread = std::thread::Builder::new().name("sink".into()).spawn(move || {
            let (counts, stop, waker) = state;
            let kernel = Kernel::open(Choice::from_environment()?, waker.clone())?;
            let rt = Rt::new(kernel.io, waker);
            serve(&rt, Sock(listener.into_raw_fd()), &counts);
            rt.run(&mut Until(stop))
        })?;
        Ok(Sink { address, counts, stop, waker, thread })
    }

    /// Stops it.
    ///
    /// # Errors
    /// When its loop has failed.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.thread.join().map_err(|_| io::Error::other("the sink has panicked"))?
    }
}

type Seen = Rc<RefCell<BTreeSet<Vec<u8>>>>;

fn serve(rt: &Rt, sock: Sock, counts: &Arc<Counts>) {
    let listener = Listener::new(rt, sock);
    let (rt2, counts) = (rt.clone(), counts.clone());
    let seen: Seen = Rc::default();
    rt.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            counts.connections.fetch_add(1, Ordering::Relaxed);
            let session = Session {
                rt: rt2.clone(),
                stream,
                counts: counts.clone(),
                seen: seen.clone(),
                in_data: false,
                null_sender: false,
                recipients: 0,
                out: b"220 sink.example ESMTP\r\n".to_vec(),
            };
            rt2.spawn(async move { drop(session.run().await) });
        }
    });
}

struct Session {
    rt: Rt,
    stream: Stream,
    counts: Arc<Counts>,
    seen: Seen,
    in_data: bool,
    null_sender: bool,
    recipients: u32,
    out: Vec<u8>,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let deadline = self.rt.now() + PATIENCE;
            if !self.out.is_empty() {
                let out = std::mem::take(&mut self.out);
                self.stream.send(vec![Chunk::Owned(out)], deadline).await?;
            }
            if self.stream.readable(deadline).await? == Arrived::Eof {
                return Ok(());
            }
            let rt_stream = &self.stream;
            let mut state = State {
                counts: &self.counts,
                seen: &self.seen,
                in_data: &mut self.in_data,
                null_sender: &mut self.null_sender,
                recipients: &mut self.recipients,
                out: &mut self.out,
                quit: false,
            };
            rt_stream.input(|bytes| (state.work(bytes), ()));
            if state.quit {
                let out = std::mem::take(&mut self.out);
                self.stream.send(vec![Chunk::Owned(out)], deadline).await?;
                return self.stream.drained(deadline).await;
            }
        }
    }
}

struct State<'a> {
    counts: &'a Counts,
    seen: &'a Seen,
    in_data: &'a mut bool,
    null_sender: &'a mut bool,
    recipients: &'a mut u32,
    out: &'a mut Vec<u8>,
    quit: bool,
}

impl State<'_> {
    /// Works on everything that is complete: how many bytes.
    fn work(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() && !self.quit {
            let rest = &bytes[used..];
            if *self.in_data {
                match memchr::memmem::find(rest, b"\r\n.\r\n") {
                    Some(at) => {
                        used += at + 5;
                        self.end_of_data();
                        continue;
                    }
                    // The end may be cut: its first four bytes stay.
                    None => return used + rest.len().saturating_sub(4),
                }
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            self.command(&rest[..end]);
            used += end + 1;
        }
        used
    }

    fn command(&mut self, line: &[u8]) {
        let verb: Vec<u8> = line.iter().take(4).map(u8::to_ascii_uppercase).collect();
        match verb.as_slice() {
            b"EHLO" => self.out.extend_from_slice(
                b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 0\r\n",
            ),
            b"MAIL" => {
                *self.null_sender = line.windows(2).any(|pair| pair == b"<>");
                *self.recipients = 0;
                self.out.extend_from_slice(b"250 2.1.0 Ok\r\n");
            }
            b"RCPT" => self.recipient(line),
            b"DATA" if *self.recipients == 0 => {
                self.out.extend_from_slice(b"554 5.5.1 No valid recipients\r\n");
            }
            b"DATA" => {
                *self.in_data = true;
                self.out.extend_from_slice(b"354 Go on\r\n");
            }
            b"QUIT" => {
                self.quit = true;
                self.out.extend_from_slice(b"221 2.0.0 Bye\r\n");
            }
            _ => self.out.extend_from_slice(b"250 2.0.0 Ok\r\n"),
        }
    }

    fn recipient(&mut self, line: &[u8]) {
        let address = line.split(|byte| *byte == b'<').nth(1).unwrap_or_default();
        if address.starts_with(b"never") {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return self.out.extend_from_slice(b"550 5.1.1 No such user\r\n");
        }
        if address.starts_with(b"later") && self.seen.borrow_mut().insert(address.to_vec()) {
            self.counts.deferred.fetch_add(1, Ordering::Relaxed);
            return self.out.extend_from_slice(b"450 4.2.0 Come back later\r\n");
        }
        *self.recipients += 1;
        self.out.extend_from_slice(b"250 2.1.5 Ok\r\n");
    }

    fn end_of_data(&mut self) {
        *self.in_data = false;
        self.counts.messages.fetch_add(1, Ordering::Relaxed);
        if *self.null_sender {
            self.counts.notices.fetch_add(1, Ordering::Relaxed);
        }
        self.out.extend_from_slice(b"250 2.0.0 Ok: taken\r\n");
    }
}
