//! The mail servers of the simulation: they take mail and write down what they took, unless their
//! [`Mood`] or the recipient's [`Kind`] is against it.
//!
//! A copy is written down when the site decides to take it, before it says so: what it says may be
//! lost.

use super::chance::Chance;
use super::ledger::{Copy, Kind, parse_sender};
use super::letter::Arrived;
use super::plan::{HOMES, OPERATOR};
use super::scene::Scene;
use runtime::io::Sock;
use runtime::net::{Arrived as Input, Listener, Stream};
use runtime::{Chunk, Instant};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// How long a site waits for a client.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
/// How long a greylisted recipient has to wait.
const GREYLIST: Duration = Duration::from_secs(120);
/// How long a site that hangs says nothing.
const HANGING: Duration = Duration::from_secs(3 * 3600);

/// How a site does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mood {
    /// Each reply takes so long.
    pub slow: Duration,
    /// One in so many replies is the end of the connection instead.
    pub drop_one_in: u64,
    /// One in so many replies does not come.
    pub hang_one_in: u64,
    /// One in so many replies is a temporary refusal.
    pub defer_one_in: u64,
    /// Greets with 421.
    pub closed: bool,
}

/// One site.
pub struct Site {
    scene: Rc<Scene>,
    number: usize,
    /// How it does now.
    pub mood: RefCell<Mood>,
    chance: RefCell<Chance>,
    connections: Cell<usize>,
    transactions: Cell<usize>,
    /// The most that were under way.
    pub transactions_peak: Cell<usize>,
}

impl Site {
    /// Serves on these sockets.
    pub fn start(scene: &Rc<Scene>, number: usize, socks: Vec<Sock>) -> Rc<Site> {
        let site = Rc::new(Site {
            scene: scene.clone(),
            number,
            mood: RefCell::default(),
            chance: RefCell::new(scene.chance(1000 + number as u64)),
            connections: Cell::new(0),
            transactions: Cell::new(0),
            transactions_peak: Cell::new(0),
        });
        for sock in socks {
            let (site, listener) = (site.clone(), Listener::new(&scene.rt, sock));
            scene.rt.spawn(async move {
                while let Ok(stream) = listener.accept().await {
                    let session = Session::new(site.clone(), stream);
                    site.scene.rt.spawn(session.serve());
                }
            });
        }
        site
    }

    fn enter(&self) {
        let count = self.transactions.get() + 1;
        self.transactions.set(count);
        self.transactions_peak.set(self.transactions_peak.get().max(count));
        let limit = self.scene.concurrency(self.number);
        if count > limit {
            let domain = &self.scene.plan.sites[self.number].domain;
            let text = format!("{domain}: {count} deliveries at once, the limit is {limit}");
            self.scene.note(&text);
            self.scene.ledger.borrow_mut().accuse(None, text);
        }
    }
}

/// Why a session is over.
struct Over;

struct Session {
    site: Rc<Site>,
    stream: Stream,
    text: String,
    sender: Option<String>,
    rcpts: Vec<String>,
}

impl Session {
    fn new(site: Rc<Site>, stream: Stream) -> Session {
        site.connections.set(site.connections.get() + 1);
        Session { site, stream, text: String::new(), sender: None, rcpts: Vec::new() }
    }

    async fn serve(mut self) {
        // However it ends, the end is the client's to notice.
        let _over = self.converse().await;
    }

    async fn converse(&mut self) -> Result<(), Over> {
        let scene = &self.site.scene;
        let sessions_max = scene.plan.sites[self.site.number].sessions_max;
        // In trouble as anybody: mail that is tried for ever can keep all others out.
        let full = !scene.calm.get() && self.site.connections.get() > sessions_max;
        if full || self.site.mood.borrow().closed {
            self.say("421 4.3.2 too many connections, come back later").await?;
            return Err(Over);
        }
        self.react("220 site ESMTP").await?;
        loop {
            let line = self.line().await?;
            let (verb, rest) = line.split_at(line.len().min(4));
            match verb {
                "EHLO" => self.react(self.capabilities()).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.reset();
                    self.say("250 2.0.0 ok").await?;
                }
                "QUIT" => {
                    self.reset();
                    return self.say("221 2.0.0 bye").await;
                }
                _ => self.say("502 5.5.2 what").await?,
            }
        }
    }

    fn capabilities(&self) -> &'static str {
        match self.site.scene.plan.sites[self.site.number].pipelining {
            true => "250-site\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME",
            false => "250-site\r\n250 SIZE 10000000",
        }
    }

    fn reset(&mut self) {
        if !self.rcpts.is_empty() {
            self.site.transactions.set(self.site.transactions.get() - 1);
        }
        self.sender = None;
        self.rcpts.clear();
    }

    async fn mail(&mut self, rest: &str) -> Result<(), Over> {
        self.reset();
        self.sender = Some(address(rest).to_string());
        self.react("250 2.1.0 ok").await
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), Over> {
        let to = address(rest).to_string();
        let reply = self.judge(&to);
        if !reply.starts_with('2') {
            return self.react(reply).await;
        }
        if self.says_no() {
            return self.react("451 4.3.0 not now").await;
        }
        // Only now: a client that was refused everything may leave the transaction as it is.
        if self.rcpts.is_empty() {
            self.site.enter();
        }
        self.rcpts.push(to);
        self.react(reply).await
    }

    /// What is said about a recipient, as far as it is the recipient's fault.
    fn judge(&self, to: &str) -> &'static str {
        let now = self.site.scene.now();
        let mut ledger = self.site.scene.ledger.borrow_mut();
        let Some((_, rcpt)) = ledger.rcpt(to) else {
            return self.judge_sender(to);
        };
        let first = *rcpt.first_seen.get_or_insert(now);
        match rcpt.kind {
            Kind::Usual => "250 2.1.5 ok",
            Kind::Greylisted if now.since(first) < GREYLIST => "450 4.7.1 greylisted",
            Kind::Greylisted => "250 2.1.5 ok",
            Kind::Later => "450 4.2.0 mailbox busy",
            Kind::Never => "550 5.1.1 no such user",
        }
    }

    /// Some senders have no mailbox: notices to them bounce for good.
    fn judge_sender(&self, to: &str) -> &'static str {
        let home = HOMES.contains(&self.site.number);
        match parse_sender(to) {
            Some(id) if home && has_no_mailbox(id) => "550 5.1.1 no such sender",
            Some(_) if home => "250 2.1.5 ok",
            _ if self.site.number == OPERATOR => "250 2.1.5 ok",
            _ => "550 5.1.1 never heard of",
        }
    }

    async fn data(&mut self) -> Result<(), Over> {
        if self.rcpts.is_empty() {
            return self.react("554 5.5.1 no valid recipients").await;
        }
        if self.says_no() {
            self.reset();
            return self.react("451 4.3.0 not now").await;
        }
        self.react("354 go on").await?;
        let content = self.content().await?;
        if self.says_no() {
            self.reset();
            return self.react("451 4.3.0 not now").await;
        }
        // It may be dropped before, or taken and never acknowledged.
        self.pause().await?;
        self.take(&content);
        self.reset();
        self.react("250 2.0.0 taken").await
    }

    fn take(&self, content: &str) {
        let mut ledger = self.site.scene.ledger.borrow_mut();
        let (at, arrived) = (self.site.scene.now(), Arrived(content));
        let queue_id = arrived.queue_id().unwrap_or_default().to_string();
        let mut ids = BTreeSet::new();
        for to in &self.rcpts {
            if let Some((id, rcpt)) = ledger.rcpt(to) {
                rcpt.copies.push(Copy { at, queue_id: queue_id.clone() });
                ids.insert(id);
            }
        }
        for id in ids {
            if !arrived.is_whole(id) {
                ledger.accuse(Some(id), "its content is not what was sent".into());
            }
            if arrived.hops() != 1 {
                ledger.accuse(Some(id), format!("it came over {} hops", arrived.hops()));
            }
        }
        let notices: Vec<u32> = self.rcpts.iter().filter_map(|to| parse_sender(to)).collect();
        if self.site.number == OPERATOR || !notices.is_empty() {
            self.book_notice(&mut ledger, content);
        }
    }

    fn book_notice(&self, ledger: &mut super::ledger::Ledger, content: &str) {
        let operator = self.site.number == OPERATOR;
        let from = self.sender.as_deref().unwrap_or_default();
        if operator != from.starts_with("double-bounce@") || !operator && !from.is_empty() {
            ledger.accuse(None, format!("a notice from <{from}> at site {}", self.site.number));
        }
        ledger.double_bounces += usize::from(operator);
        for (to, action) in Arrived(content).reported() {
            match ledger.rcpt(to) {
                Some((_, rcpt)) if action == "failed" => rcpt.notices += 1,
                _ => {}
            }
        }
    }

    /// Whether the mood is against the next reply.
    fn says_no(&self) -> bool {
        let one_in = self.site.mood.borrow().defer_one_in;
        self.site.chance.borrow_mut().one_in(one_in)
    }

    async fn react(&mut self, reply: &str) -> Result<(), Over> {
        self.pause().await?;
        self.say(reply).await
    }

    /// What the mood does before a reply.
    async fn pause(&mut self) -> Result<(), Over> {
        let mood = *self.site.mood.borrow();
        let (hangs, drops) = {
            let mut chance = self.site.chance.borrow_mut();
            (chance.one_in(mood.hang_one_in), chance.one_in(mood.drop_one_in))
        };
        if drops {
            return Err(Over);
        }
        let time = if hangs { HANGING } else { mood.slow };
        if !time.is_zero() {
            self.idle(self.site.scene.now() + time).await?;
        }
        if hangs { Err(Over) } else { Ok(()) }
    }

    /// Says nothing until then; a client that gives up meanwhile is not under way any more.
    async fn idle(&mut self, until: Instant) -> Result<(), Over> {
        while self.site.scene.now() < until {
            match self.stream.readable(until).await {
                Ok(Input::Bytes) => self.read(),
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                _ => return Err(Over),
            }
        }
        Ok(())
    }

    async fn say(&self, reply: &str) -> Result<(), Over> {
        let bytes = format!("{reply}\r\n").into_bytes();
        let deadline = self.site.scene.now() + PATIENCE;
        self.stream.send(vec![Chunk::Owned(bytes)], deadline).await.map_err(|_| Over)?;
        self.stream.drained(deadline).await.map_err(|_| Over)
    }

    async fn more(&mut self) -> Result<(), Over> {
        match self.stream.readable(self.site.scene.now() + PATIENCE).await {
            Ok(Input::Bytes) => self.read(),
            _ => return Err(Over),
        }
        Ok(())
    }

    fn read(&mut self) {
        let text = &mut self.text;
        self.stream.input(|bytes| {
            text.push_str(&String::from_utf8_lossy(bytes));
            (bytes.len(), ())
        });
    }

    async fn line(&mut self) -> Result<String, Over> {
        loop {
            if let Some(end) = self.text.find("\r\n") {
                let line = self.text[..end].to_string();
                self.text.drain(..end + 2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// Up to the final dot, which is no part of it.
    async fn content(&mut self) -> Result<String, Over> {
        let mut from = 0;
        loop {
            if let Some(at) = self.text[from..].find("\r\n.\r\n") {
                let content = self.text[..from + at + 2].to_string();
                self.text.drain(..from + at + 5);
                return Ok(content);
            }
            from = self.text.len().saturating_sub(4);
            self.more().await?;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reset();
        self.site.connections.set(self.site.connections.get() - 1);
    }
}

/// Whether notices to the sender of this message are refused for good.
pub fn has_no_mailbox(id: u32) -> bool {
    id % 10 == 9
}

fn address(rest: &str) -> &str {
    rest.split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or("", |(address, _)| address)
}
