//! What a simulated socket knows.
//!
//! | end | event | next |
//! | --- | --- | --- |
//! | open | bytes | open |
//! | open | the other end closes | end of file, after the bytes |
//! | any | the connection is cut | error; what has arrived and was not read is lost |

use super::network::{Member, OpKey};
use crate::clock::Instant;
use crate::io::Sock;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// One end of a connection.
#[derive(Default)]
pub struct End {
    /// Whose it is; nobody's while it waits to be accepted.
    pub owner: Option<Member>,
    /// The other end.
    pub peer: Option<Sock>,
    /// This end's address.
    pub local: Option<SocketAddr>,
    /// The other end's.
    pub remote: Option<SocketAddr>,
    /// Bytes nobody has asked for yet.
    pub arrived: VecDeque<Vec<u8>>,
    /// No more will come.
    pub peer_closed: bool,
    /// The receive that waits here.
    pub receiving: Option<OpKey>,
    /// When the last of what is on its way comes.
    pub last_arrival: Option<Instant>,
    /// The connection is gone.
    pub cut: bool,
}

impl End {
    /// The connection is gone.
    pub fn cut(&mut self) {
        self.cut = true;
        self.arrived.clear();
        self.peer = None;
    }

    /// How a receive ends here, if it does: true for an error.
    pub fn last_word(&self) -> Option<bool> {
        (self.cut || self.peer_closed).then_some(self.cut)
    }
}

/// A listening socket.
#[derive(Default)]
pub struct Listening {
    /// Who accepts.
    pub accepting: Option<OpKey>,
    /// Who has come meanwhile.
    pub backlog: VecDeque<Sock>,
}
