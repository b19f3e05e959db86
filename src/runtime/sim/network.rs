//! The simulated network: sockets, their peers, and the events on the way.
//!
//! A connect meets a listener or is refused; bytes arrive in order, in pieces; a close is seen by
//! the other end as end of file after everything sent before it.

use super::Rng;
use crate::clock::Instant;
use crate::io::Sock;
use crate::slab::Key;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything takes to reach the other end.
pub const LATENCY: Duration = Duration::from_micros(200);
/// The largest piece bytes are cut into.
const PIECE_MAX: u64 = 4096;
/// A connect to an address where nobody listens.
const ECONNREFUSED: i32 = 111;
const ECANCELED: i32 = 125;

/// Something that will happen.
pub enum Event {
    /// Bytes reach a socket.
    Arrive { sock: Sock, bytes: Vec<u8> },
    /// The other end has closed.
    PeerClosed { sock: Sock },
    /// A connection request reaches a listener.
    Knock { key: Key, sock: Sock, to: SocketAddr },
    /// A receive looks at what has arrived already.
    Look { sock: Sock },
    /// A listener looks at who has arrived already.
    Greet { listener: Sock },
    /// An operation is over.
    Finished { key: Key, result: io::Result<usize> },
}

/// What an operation reports.
pub enum Result {
    /// Any but a receive.
    Count(io::Result<usize>),
    /// A receive.
    Bytes(Vec<u8>),
}

type Finished = Vec<(Key, Result, bool)>;

#[derive(Default)]
struct End {
    peer: Option<Sock>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    arrived: VecDeque<Vec<u8>>,
    peer_closed: bool,
    receiving: Option<Key>,
    last_arrival: Option<Instant>,
}

#[derive(Default)]
struct Listening {
    accepting: Option<Key>,
    backlog: VecDeque<Sock>,
}

/// All sockets and everything on its way.
pub struct Network {
    rng: Rng,
    ends: HashMap<Sock, End>,
    listeners: HashMap<SocketAddr, (Sock, Listening)>,
    /// Local sockets, by addresses nobody else uses.
    paths: HashMap<PathBuf, SocketAddr>,
    events: BTreeMap<(Instant, u64), Event>,
    next_sock: i32,
    next_event: u64,
    next_port: u16,
}

impl Network {
    /// A quiet network.
    pub fn new(seed: u64) -> Network {
        Network {
            rng: Rng::new(seed),
            ends: HashMap::new(),
            listeners: HashMap::new(),
            paths: HashMap::new(),
            events: BTreeMap::new(),
            next_sock: 1000,
            next_event: 0,
            next_port: 30_000,
        }
    }

    /// A listening socket.
    pub fn listen(&mut self, address: SocketAddr) -> Sock {
        let sock = self.name();
        let earlier = self.listeners.insert(address, (sock, Listening::default()));
        assert!(earlier.is_none(), "address in use");
        sock
    }

    /// A listening socket at a path.
    pub fn listen_local(&mut self, path: &Path) -> Sock {
        let port = 1 + self.paths.len() as u16;
        let address: SocketAddr = (Ipv4Addr::new(127, 255, 255, 254), port).into();
        self.paths.insert(path.to_owned(), address);
        self.listen(address)
    }

    /// A connection to a listening socket at a path.
    pub fn connect_local(&mut self, now: Instant, path: &Path) -> io::Result<Sock> {
        let to = *self.paths.get(path).ok_or(io::ErrorKind::NotFound)?;
        let sock = self.socket(None);
        let met = self.meet(now, sock, to);
        assert!(met, "paths are only known once somebody listens there");
        Ok(sock)
    }

    /// An unconnected socket.
    pub fn socket(&mut self, from: Option<SocketAddr>) -> Sock {
        let sock = self.name();
        self.next_port = self.next_port.wrapping_add(1).max(30_000);
        let local = from.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, self.next_port).into());
        self.ends.insert(sock, End { local: Some(local), ..End::default() });
        sock
    }

    /// Starts to accept.
    pub fn accept(&mut self, now: Instant, key: Key, listener: Sock) {
        self.listening(listener).accepting = Some(key);
        self.schedule(now, Event::Greet { listener });
    }

    /// Starts to connect.
    pub fn connect(&mut self, now: Instant, key: Key, sock: Sock, to: SocketAddr) {
        self.schedule(now + LATENCY, Event::Knock { key, sock, to });
    }

    /// Starts to receive.
    pub fn receive(&mut self, now: Instant, key: Key, sock: Sock) {
        self.end(sock).receiving = Some(key);
        self.schedule(now, Event::Look { sock });
    }

    /// Sends; always takes everything.
    pub fn send(&mut self, now: Instant, key: Key, sock: Sock, bytes: &[u8]) {
        let peer = self.end(sock).peer;
        let result = match peer.filter(|peer| self.ends.contains_key(peer)) {
            Some(peer) => {
                self.deliver(now, peer, bytes);
                Ok(bytes.len())
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.schedule(now, Event::Finished { key, result });
    }

    /// Closes.
    pub fn close(&mut self, now: Instant, key: Key, sock: Sock) {
        let end = self.ends.remove(&sock).expect("an open socket");
        if let Some(peer) = end.peer.filter(|peer| self.ends.contains_key(peer)) {
            let at = self.after_what_is_on_its_way(now, peer);
            self.schedule(at, Event::PeerClosed { sock: peer });
        }
        self.schedule(now, Event::Finished { key, result: Ok(0) });
    }

    /// Cancels a receive, an accept or a connect.
    pub fn cancel(&mut self, now: Instant, key: Key) {
        let mut found = false;
        for end in self.ends.values_mut().filter(|end| end.receiving == Some(key)) {
            end.receiving = None;
            found = true;
        }
        for (_, listening) in self.listeners.values_mut() {
            if listening.accepting == Some(key) {
                listening.accepting = None;
                found = true;
            }
        }
        let knocks =
            |event: &Event| matches!(event, Event::Knock { key: knock, .. } if *knock == key);
        let before = self.events.len();
        self.events.retain(|_, event| !knocks(event));
        if found || self.events.len() < before {
            let result = Err(io::Error::from_raw_os_error(ECANCELED));
            self.schedule(now, Event::Finished { key, result });
        }
    }

    /// When the next event is due.
    pub fn next_event(&self) -> Option<Instant> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next event that is due.
    pub fn due(&mut self, now: Instant) -> Option<Event> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Adds an event.
    pub fn schedule(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    /// Lets an event happen; what completes by it.
    pub fn happen(&mut self, now: Instant, event: Event) -> Finished {
        match event {
            Event::Finished { key, result } => vec![(key, Result::Count(result), false)],
            Event::Arrive { sock, bytes } => {
                let Some(end) = self.ends.get_mut(&sock) else { return Vec::new() };
                end.arrived.push_back(bytes);
                self.look(sock)
            }
            Event::PeerClosed { sock } => {
                let Some(end) = self.ends.get_mut(&sock) else { return Vec::new() };
                end.peer_closed = true;
                self.look(sock)
            }
            Event::Look { sock } => self.look(sock),
            Event::Greet { listener } => self.greet(listener),
            Event::Knock { key, sock, to } => self.knock(now, key, sock, to),
        }
    }

    /// The other end's address.
    pub fn peer(&self, sock: Sock) -> io::Result<SocketAddr> {
        let end = self.ends.get(&sock).ok_or(io::ErrorKind::NotConnected)?;
        end.remote.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// This end's address.
    pub fn local(&self, sock: Sock) -> io::Result<SocketAddr> {
        let end = self.ends.get(&sock).ok_or(io::ErrorKind::NotConnected)?;
        end.local.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn look(&mut self, sock: Sock) -> Finished {
        let Some(end) = self.ends.get_mut(&sock) else { return Vec::new() };
        let Some(key) = end.receiving else { return Vec::new() };
        let mut finished: Finished =
            end.arrived.drain(..).map(|bytes| (key, Result::Bytes(bytes), true)).collect();
        if end.peer_closed {
            end.receiving = None;
            finished.push((key, Result::Count(Ok(0)), false));
        }
        finished
    }

    fn greet(&mut self, listener: Sock) -> Finished {
        let listening = self.listening(listener);
        let Some(key) = listening.accepting else { return Vec::new() };
        let greeted = listening.backlog.drain(..);
        greeted.map(|sock| (key, Result::Count(Ok(sock.0 as usize)), true)).collect()
    }

    fn knock(&mut self, now: Instant, key: Key, sock: Sock, to: SocketAddr) -> Finished {
        let result = match self.meet(now, sock, to) {
            true => Ok(0),
            false => Err(io::Error::from_raw_os_error(ECONNREFUSED)),
        };
        vec![(key, Result::Count(result), false)]
    }

    /// Connects a socket to a listener, if there is one.
    fn meet(&mut self, now: Instant, sock: Sock, to: SocketAddr) -> bool {
        if !self.listeners.contains_key(&to) {
            return false;
        }
        let server = self.name();
        let from = self.end(sock).local;
        self.ends.insert(
            server,
            End { peer: Some(sock), local: Some(to), remote: from, ..End::default() },
        );
        let client = self.end(sock);
        client.peer = Some(server);
        client.remote = Some(to);
        let (listener, listening) = self.listeners.get_mut(&to).expect("looked up above");
        listening.backlog.push_back(server);
        let listener = *listener;
        self.schedule(now, Event::Greet { listener });
        true
    }

    fn deliver(&mut self, now: Instant, to: Sock, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = self.rng.below(PIECE_MAX) as usize + 1;
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            let at = self.after_what_is_on_its_way(now, to);
            self.schedule(at, Event::Arrive { sock: to, bytes: piece.to_vec() });
            rest = tail;
        }
    }

    /// Bytes never overtake each other.
    fn after_what_is_on_its_way(&mut self, now: Instant, to: Sock) -> Instant {
        let jitter = Duration::from_micros(self.rng.below(100));
        let end = self.end(to);
        let at = (now + LATENCY + jitter).max(end.last_arrival.unwrap_or(now));
        end.last_arrival = Some(at);
        at
    }

    fn end(&mut self, sock: Sock) -> &mut End {
        self.ends.get_mut(&sock).expect("an open socket")
    }

    fn listening(&mut self, listener: Sock) -> &mut Listening {
        let found = self.listeners.values_mut().find(|(sock, _)| *sock == listener);
        &mut found.expect("a listening socket").1
    }

    fn name(&mut self) -> Sock {
        self.next_sock += 1;
        Sock(self.next_sock)
    }
}
