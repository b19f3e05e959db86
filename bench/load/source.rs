//! The source: a number of sessions that send messages one after the other, as fast as they are
//! taken or at a steady rate.

use super::{Until, take_reply};
use runtime::kernel::{Choice, Kernel};
use runtime::net::{Arrived, Stream};
use runtime::wake::Waker;
use runtime::{Chunk, Instant, Rt, Shared};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the server may take for a reply.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to send.
#[derive(Clone)]
pub struct Load {
    /// The server.
    pub to: SocketAddr,
    /// How many messages in all.
    pub messages: u64,
    /// How many sessions at once.
    pub sessions: u64,
    /// Content bytes of message `n`.
    pub size: Arc<dyn Fn(u64) -> usize + Send + Sync>,
    /// The recipient of message `n`.
    pub recipient: Arc<dyn Fn(u64) -> String + Send + Sync>,
    /// The sender of every message.
    pub sender: String,
}

/// How a load is offered, where not as fast as it is taken.
#[derive(Clone, Default)]
pub struct Manner {
    /// Messages that all sessions together begin in a second, at most. What an outage kept from
    /// being sent is not made up for.
    pub rate: Option<u32>,
    /// Is told the number of each message that got 250.
    pub acknowledged: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

/// What became of the messages.
#[derive(Default)]
pub struct Counts {
    /// Messages that got 250.
    pub accepted: AtomicU64,
    /// Messages that did not.
    pub refused: AtomicU64,
}

/// A running source.
pub struct Source {
    /// What became of the messages.
    pub counts: Arc<Counts>,
    done: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Source {
    /// Starts sending, as fast as it is taken.
    ///
    /// # Errors
    /// When io_uring is not available.
    pub fn start(load: Load) -> io::Result<Source> {
        Source::start_as(load, Manner::default())
    }

    /// Starts sending.
    ///
    /// # Errors
    /// When io_uring is not available.
    pub fn start_as(load: Load, manner: Manner) -> io::Result<Source> {
        let counts = Arc::new(Counts::default());
        let (done, enough) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (counts2, done2, enough2) = (counts.clone(), done.clone(), enough.clone());
        let thread = std::thread::Builder::new().name("source".into()).spawn(move || {
            let waker = Waker::new()?;
            let kernel = Kernel::open(Choice::from_environment()?, waker.clone())?;
            let rt = Rt::new(kernel.io, waker);
            let job = Rc::new(Job {
                rt: rt.clone(),
                next: Cell::new(0),
                turn: Cell::new(rt.now()),
                running: Cell::new(load.sessions),
                load,
                manner,
                counts: counts2,
                done: done2.clone(),
                enough: enough2,
            });
            (0..job.load.sessions).for_each(|_| job.clone().spawn());
            rt.run(&mut Until(done2))
        })?;
        Ok(Source { counts, done, enough, thread })
    }

    /// Whether everything was sent or has failed.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Begins no more messages.
    pub fn stop(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When its loop has failed.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().map_err(|_| io::Error::other("the source has panicked"))?
    }
}

struct Job {
    rt: Rt,
    load: Load,
    manner: Manner,
    next: Cell<u64>,
    /// When the next message may begin.
    turn: Cell<Instant>,
    running: Cell<u64>,
    counts: Arc<Counts>,
    done: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
}

impl Job {
    fn spawn(self: Rc<Self>) {
        let rt = self.rt.clone();
        rt.spawn(async move {
            // A session that fails starts again while there is something to send.
            while self.is_more() && self.session().await.is_err() {
                self.rt.sleep_until(self.rt.now() + Duration::from_millis(100)).await;
            }
            self.running.set(self.running.get() - 1);
            if self.running.get() == 0 {
                self.done.store(true, Ordering::Relaxed);
            }
        });
    }

    fn is_more(&self) -> bool {
        self.next.get() < self.load.messages && !self.enough.load(Ordering::Relaxed)
    }

    /// The next message, when it is its turn.
    async fn take(&self) -> Option<u64> {
        if let Some(rate) = self.manner.rate {
            let turn = self.turn.get().max(self.rt.now());
            self.turn.set(turn + Duration::from_secs(1) / rate);
            self.rt.sleep_until(turn).await;
        }
        if !self.is_more() {
            return None;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        Some(number)
    }

    async fn session(&self) -> io::Result<()> {
        let stream = Stream::connect(&self.rt, self.load.to, None, self.deadline()).await?;
        self.expect(&stream, 220).await?;
        self.say(&stream, b"EHLO source.example\r\n".to_vec()).await?;
        self.expect(&stream, 250).await?;
        while let Some(number) = self.take().await {
            let sent = self.message(&stream, number).await;
            if let (Ok(true), Some(acknowledged)) = (&sent, &self.manner.acknowledged) {
                acknowledged(number);
            }
            let counter = match &sent {
                Ok(true) => &self.counts.accepted,
                _ => &self.counts.refused,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            sent?;
        }
        self.say(&stream, b"QUIT\r\n".to_vec()).await?;
        self.expect(&stream, 221).await
    }

    /// One message, each step waiting for its reply, as most clients do.
    async fn message(&self, stream: &Stream, number: u64) -> io::Result<bool> {
        let recipient = (self.load.recipient)(number);
        self.say(stream, format!("MAIL FROM:<{}>\r\n", self.load.sender).into_bytes()).await?;
        self.expect(stream, 250).await?;
        self.say(stream, format!("RCPT TO:<{recipient}>\r\n").into_bytes()).await?;
        self.expect(stream, 250).await?;
        self.say(stream, b"DATA\r\n".to_vec()).await?;
        self.expect(stream, 354).await?;
        let header = format!(
            "From: <{}>\r\nTo: <{recipient}>\r\nSubject: message {number}\r\n\
             Message-Id: <{number}@source.example>\r\nDate: Mon, 23 Nov 2026 00:00:00 +0000\r\n\r\n",
            self.load.sender
        );
        let size = (self.load.size)(number).saturating_sub(header.len());
        let mut data = vec![Chunk::Owned(header.into_bytes())];
        let block = block();
        let mut rest = size;
        while rest > 0 {
            let piece = (rest.min(block.len()) / LINE * LINE).max(LINE);
            data.push(Chunk::Shared(Shared::new(block.clone(), 0..piece)));
            rest = rest.saturating_sub(piece);
            if data.len() == 64 {
                stream.send(std::mem::take(&mut data), self.deadline()).await?;
            }
        }
        data.push(Chunk::Owned(b".\r\n".to_vec()));
        stream.send(data, self.deadline()).await?;
        Ok(self.reply(stream).await? == 250)
    }

    async fn say(&self, stream: &Stream, bytes: Vec<u8>) -> io::Result<()> {
        stream.send(vec![Chunk::Owned(bytes)], self.deadline()).await
    }

    async fn expect(&self, stream: &Stream, code: u16) -> io::Result<()> {
        match self.reply(stream).await? {
            got if got == code => Ok(()),
            got => Err(io::Error::other(format!("expected {code}, got {got}"))),
        }
    }

    async fn reply(&self, stream: &Stream) -> io::Result<u16> {
        loop {
            if let Some(code) = stream.input(take_reply) {
                return Ok(code);
            }
            if stream.readable(self.deadline()).await? == Arrived::Eof {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.rt.now() + PATIENCE
    }
}

/// Bytes in a line of the content, with its end.
const LINE: usize = 64;

/// Content, shared by all messages.
fn block() -> Arc<Vec<u8>> {
    static BLOCK: std::sync::OnceLock<Arc<Vec<u8>>> = std::sync::OnceLock::new();
    BLOCK
        .get_or_init(|| {
            let line = [[b'x'; LINE - 2].as_slice(), b"\r\n"].concat();
            Arc::new(line.repeat(1024))
        })
        .clone()
}
