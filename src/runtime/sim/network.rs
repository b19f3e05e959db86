//! The simulated network: sockets, their peers, and the events on the way.
//!
//! A connect meets a listener or is refused; bytes arrive in order, in pieces; a close is seen by
//! the other end as end of file after everything sent before it. What a network does wrong is told
//! by [`Weather`] for all of it and by [`Route`] for one address.
//!
//! Sockets belong to the member that made or accepted them and are closed with it; listeners belong
//! to nobody, as those of master do, and keep who has knocked.

use super::Rng;
use super::sockets::{End, Listening};
use crate::clock::Instant;
use crate::io::{Sock, Target};
use crate::slab::Key;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long anything takes to reach the other end.
pub const LATENCY: Duration = Duration::from_micros(200);
/// The largest piece bytes are cut into.
const PIECE_MAX: u64 = 4096;
/// A connect to an address where nobody listens.
const ECONNREFUSED: i32 = 111;
const ECONNRESET: i32 = 104;
const ECANCELED: i32 = 125;

/// Names one user of the network: a core, or everybody outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub u32);

/// An operation: who asked, and the name it has there.
pub type OpKey = (Member, Key);

/// What becomes of connection requests to an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// They arrive.
    #[default]
    Open,
    /// They are refused.
    Refused,
    /// They vanish.
    Lost,
}

/// What the network does to everybody.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long anything takes to reach the other end.
    pub latency: Duration,
    /// One in so many sends ends its connection instead; 0 for none.
    pub cut_one_in: u64,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather { latency: LATENCY, cut_one_in: 0 }
    }
}

/// Something that will happen.
pub enum Event {
    /// Bytes reach a socket.
    Arrive { sock: Sock, bytes: Vec<u8> },
    /// The other end has closed.
    PeerClosed { sock: Sock },
    /// The connection is cut.
    Cut { sock: Sock },
    /// A connection request reaches a listener.
    Knock { key: OpKey, sock: Sock, to: SocketAddr },
    /// A receive looks at what has arrived already.
    Look { sock: Sock },
    /// A listener looks at who has arrived already.
    Greet { listener: Sock },
    /// An operation is over.
    Finished { key: OpKey, result: io::Result<usize> },
    /// A write is over, and its file is to be flushed first.
    Synced { key: OpKey, file: Arc<dyn Target>, count: usize },
}

/// What an operation reports.
pub enum Result {
    /// Any but a receive.
    Count(io::Result<usize>),
    /// A receive.
    Bytes(Vec<u8>),
}

/// Operations that report something, and whether they go on.
pub type Finished = Vec<(OpKey, Result, bool)>;

/// What an operation that can be cancelled waits at.
#[derive(Clone, Copy)]
enum At {
    Receive(Sock),
    Accept(Sock),
    Connect,
}

/// All sockets and everything on its way.
pub struct Network {
    rng: Rng,
    /// What it does to everybody.
    pub weather: Weather,
    routes: BTreeMap<IpAddr, Route>,
    ends: BTreeMap<Sock, End>,
    listeners: BTreeMap<Sock, Listening>,
    addresses: BTreeMap<SocketAddr, Sock>,
    /// Local sockets, by addresses nobody else uses.
    paths: BTreeMap<PathBuf, SocketAddr>,
    waiting: BTreeMap<OpKey, At>,
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
            weather: Weather::default(),
            routes: BTreeMap::new(),
            ends: BTreeMap::new(),
            listeners: BTreeMap::new(),
            addresses: BTreeMap::new(),
            paths: BTreeMap::new(),
            waiting: BTreeMap::new(),
            events: BTreeMap::new(),
            next_sock: 1000,
            next_event: 0,
            next_port: 30_000,
        }
    }

    /// A listening socket.
    pub fn listen(&mut self, address: SocketAddr) -> Sock {
        let sock = self.name();
        let earlier = self.addresses.insert(address, sock);
        assert!(earlier.is_none(), "address in use");
        self.listeners.insert(sock, Listening::default());
        sock
    }

    /// A listening socket at a path.
    pub fn listen_local(&mut self, path: &Path) -> Sock {
        let port = 1 + self.paths.len() as u16;
        let address: SocketAddr = (Ipv4Addr::new(127, 255, 255, 254), port).into();
        self.paths.insert(path.to_owned(), address);
        self.listen(address)
    }

    /// From now on connection requests to `address` go this way.
    pub fn route(&mut self, address: IpAddr, route: Route) {
        self.routes.insert(address, route);
    }

    /// A connection to a listening socket at a path.
    pub fn connect_local(&mut self, now: Instant, by: Member, path: &Path) -> io::Result<Sock> {
        let to = *self.paths.get(path).ok_or(io::ErrorKind::NotFound)?;
        let sock = self.socket(by, None);
        let met = self.meet(now, sock, to);
        assert!(met, "paths are only known once somebody listens there");
        Ok(sock)
    }

    /// An unconnected socket.
    pub fn socket(&mut self, owner: Member, from: Option<SocketAddr>) -> Sock {
        let sock = self.name();
        self.next_port = self.next_port.wrapping_add(1).max(30_000);
        let local = from.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, self.next_port).into());
        self.ends.insert(sock, End { owner: Some(owner), local: Some(local), ..End::default() });
        sock
    }

    /// Starts to accept.
    pub fn accept(&mut self, now: Instant, key: OpKey, listener: Sock) {
        self.listening(listener).accepting = Some(key);
        self.waiting.insert(key, At::Accept(listener));
        self.schedule(now, Event::Greet { listener });
    }

    /// Starts to connect.
    pub fn connect(&mut self, now: Instant, key: OpKey, sock: Sock, to: SocketAddr) {
        self.waiting.insert(key, At::Connect);
        if self.routes.get(&to.ip()) != Some(&Route::Lost) {
            self.schedule(now + self.weather.latency, Event::Knock { key, sock, to });
        }
    }

    /// Starts to receive.
    pub fn receive(&mut self, now: Instant, key: OpKey, sock: Sock) {
        self.end(sock).receiving = Some(key);
        self.waiting.insert(key, At::Receive(sock));
        self.schedule(now, Event::Look { sock });
    }

    /// Sends; always takes everything.
    pub fn send(&mut self, now: Instant, key: OpKey, sock: Sock, bytes: &[u8]) {
        let peer = self.end(sock).peer.filter(|peer| self.ends.contains_key(peer));
        let cut_one_in = self.weather.cut_one_in;
        let result = match peer {
            Some(peer) if cut_one_in > 0 && self.rng.one_in(cut_one_in) => {
                let at = now + self.weather.latency;
                [sock, peer].into_iter().for_each(|sock| self.schedule(at, Event::Cut { sock }));
                Ok(bytes.len())
            }
            Some(peer) => {
                self.deliver(now, peer, bytes);
                Ok(bytes.len())
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.schedule(now, Event::Finished { key, result });
    }

    /// Closes.
    pub fn close(&mut self, now: Instant, key: OpKey, sock: Sock) {
        self.hang_up(now, sock);
        self.schedule(now, Event::Finished { key, result: Ok(0) });
    }

    /// Closes everything that a member has: its process is gone.
    pub fn bury(&mut self, now: Instant, member: Member) {
        let ends = self.ends.iter().filter(|(_, end)| end.owner == Some(member));
        let ends: Vec<Sock> = ends.map(|(sock, _)| *sock).collect();
        ends.into_iter().for_each(|sock| self.hang_up(now, sock));
        self.waiting.retain(|(owner, _), _| *owner != member);
        for listening in self.listeners.values_mut() {
            listening.accepting = listening.accepting.filter(|(owner, _)| *owner != member);
        }
    }

    /// Cancels a receive, an accept or a connect.
    pub fn cancel(&mut self, now: Instant, key: OpKey) {
        match self.waiting.remove(&key) {
            None => return,
            Some(At::Connect) => {}
            Some(At::Accept(listener)) => self.listening(listener).accepting = None,
            Some(At::Receive(sock)) => {
                if let Some(end) = self.ends.get_mut(&sock) {
                    end.receiving = None;
                }
            }
        }
        let result = Err(io::Error::from_raw_os_error(ECANCELED));
        self.schedule(now, Event::Finished { key, result });
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
            Event::Synced { key, file, count } => {
                vec![(key, Result::Count(file.sync().map(|()| count)), false)]
            }
            Event::Arrive { sock, bytes } => {
                if let Some(end) = self.ends.get_mut(&sock) {
                    end.arrived.push_back(bytes);
                }
                self.look(sock)
            }
            Event::PeerClosed { sock } => {
                if let Some(end) = self.ends.get_mut(&sock) {
                    end.peer_closed = true;
                }
                self.look(sock)
            }
            Event::Cut { sock } => {
                if let Some(end) = self.ends.get_mut(&sock) {
                    end.cut();
                }
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

    fn hang_up(&mut self, now: Instant, sock: Sock) {
        let end = self.ends.remove(&sock).expect("an open socket");
        if let Some(peer) = end.peer.filter(|peer| self.ends.contains_key(peer)) {
            let at = self.after_what_is_on_its_way(now, peer);
            self.schedule(at, Event::PeerClosed { sock: peer });
        }
    }

    fn look(&mut self, sock: Sock) -> Finished {
        let Some(end) = self.ends.get_mut(&sock) else { return Vec::new() };
        let Some(key) = end.receiving else { return Vec::new() };
        let mut finished: Finished =
            end.arrived.drain(..).map(|bytes| (key, Result::Bytes(bytes), true)).collect();
        if let Some(last) = end.last_word() {
            end.receiving = None;
            self.waiting.remove(&key);
            let last = if last { Err(io::Error::from_raw_os_error(ECONNRESET)) } else { Ok(0) };
            finished.push((key, Result::Count(last), false));
        }
        finished
    }

    fn greet(&mut self, listener: Sock) -> Finished {
        let listening = self.listening(listener);
        let Some(key) = listening.accepting else { return Vec::new() };
        let arrived: Vec<Sock> = listening.backlog.drain(..).collect();
        for sock in &arrived {
            self.end(*sock).owner = Some(key.0);
        }
        let greeted = arrived.into_iter();
        greeted.map(|sock| (key, Result::Count(Ok(sock.0 as usize)), true)).collect()
    }

    fn knock(&mut self, now: Instant, key: OpKey, sock: Sock, to: SocketAddr) -> Finished {
        // It may have been cancelled on the way.
        if self.waiting.remove(&key).is_none() {
            return Vec::new();
        }
        let refused = self.routes.get(&to.ip()) == Some(&Route::Refused);
        let result = match !refused && self.meet(now, sock, to) {
            true => Ok(0),
            false => Err(io::Error::from_raw_os_error(ECONNREFUSED)),
        };
        vec![(key, Result::Count(result), false)]
    }

    /// Connects a socket to a listener, if there is one.
    fn meet(&mut self, now: Instant, sock: Sock, to: SocketAddr) -> bool {
        let Some(listener) = self.addresses.get(&to).copied() else { return false };
        let server = self.name();
        let remote = self.end(sock).local;
        let end = End { peer: Some(sock), local: Some(to), remote, ..End::default() };
        self.ends.insert(server, end);
        let client = self.end(sock);
        client.peer = Some(server);
        client.remote = Some(to);
        self.listening(listener).backlog.push_back(server);
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
        let latency = self.weather.latency;
        let end = self.end(to);
        let at = (now + latency + jitter).max(end.last_arrival.unwrap_or(now));
        end.last_arrival = Some(at);
        at
    }

    fn end(&mut self, sock: Sock) -> &mut End {
        self.ends.get_mut(&sock).expect("an open socket")
    }

    fn listening(&mut self, listener: Sock) -> &mut Listening {
        self.listeners.get_mut(&listener).expect("a listening socket")
    }

    fn name(&mut self) -> Sock {
        self.next_sock += 1;
        Sock(self.next_sock)
    }
}
