//! A connection to one server: its stream, its dialogue, and what went wrong with it.
//!
//! Owned by the delivery that uses it, or by [`super::idle`] between two deliveries.
//!
//! Diagnostics: [`Broken`] says how a dialogue ended early; what the server refused is in its
//! session.

use super::content::Sends;
use super::filter::Filter;
use super::generic::Head;
use super::settings::Settings;
use crate::custody::Slot;
use protocol::mx::Candidate;
use protocol::smtp::client::{Session, Stage, Want};
use queue::Content;
use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Instant, Rt};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server as log lines name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name and address.
    pub candidate: Candidate,
    /// The TCP port.
    pub port: u16,
}

impl Host {
    /// `name[address]`.
    pub fn named(&self) -> impl fmt::Display {
        struct Named<'a>(&'a Candidate);
        impl fmt::Display for Named<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}[{}]", self.0.name, self.0.address)
            }
        }
        Named(&self.candidate)
    }

    /// Its socket address.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.candidate.address, self.port)
    }
}

/// `name[address]:port`, as after `relay=`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.named(), self.port)
    }
}

/// How a dialogue ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection is gone.
    Lost,
    /// The server is too slow.
    TimedOut,
    /// The server sent a reply that does not end.
    NotSmtp,
}

/// An open connection.
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The dialogue.
    pub session: Session,
    /// The other end.
    pub host: Host,
    /// When it was opened.
    pub opened: Instant,
    /// How many deliveries have used it, this one included.
    pub uses: u32,
    /// Where master keeps it, while the reply to the end of data is to come.
    pub slot: Option<Slot>,
}

/// Content and how it has to be changed.
pub struct Body<'a> {
    /// The bytes in wire form.
    pub content: &'a Content,
    /// A header in place of the content's own.
    pub head: Option<Head>,
    /// What they go through.
    pub filter: Option<Filter>,
}

impl Connection {
    /// Connects from `from`, when given; the dialogue has not begun.
    ///
    /// # Errors
    /// As connect(2), `TimedOut` after `smtp_connect_timeout`.
    pub async fn open(
        rt: &Rt,
        settings: &Settings,
        host: Host,
        from: Option<SocketAddr>,
    ) -> io::Result<Connection> {
        let deadline = rt.now() + settings.timeouts.connect;
        let stream = Stream::connect(rt, host.socket(), from, deadline).await?;
        let hello = if host.port == 25 { &settings.hello } else { &settings.hello_elsewhere };
        let session = Session::new(Arc::clone(hello));
        Ok(Connection { stream, session, host, opened: rt.now(), uses: 1, slot: None })
    }

    /// Goes on with the dialogue until it wants nothing, or `until` says that it is enough.
    ///
    /// # Errors
    /// When the connection breaks; the session's stage says where.
    pub async fn talk(
        &mut self,
        rt: &Rt,
        settings: &Settings,
        mut body: Option<Body<'_>>,
        until: impl Fn(&Session) -> bool,
    ) -> Result<(), Broken> {
        while !until(&self.session) {
            let limit = settings.timeouts.of(self.session.stage());
            match self.session.poll() {
                Want::Send(bytes) => {
                    let data = vec![Chunk::Owned(bytes)];
                    // What the server said before it hung up counts more than a failed send.
                    match self.stream.send(data, rt.now() + limit).await {
                        Err(error) if is_timeout(&error) => return Err(Broken::TimedOut),
                        Ok(()) | Err(_) => {}
                    }
                }
                Want::Content(after) => {
                    let body = body.take().expect("content is asked for once, with a body");
                    self.send_content(rt, settings, body, after).await?;
                    self.session.content_sent();
                }
                Want::Reply(_) => self.read(rt.now() + limit).await?,
                Want::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    async fn send_content(
        &mut self,
        rt: &Rt,
        settings: &Settings,
        body: Body<'_>,
        after: &'static [u8],
    ) -> Result<(), Broken> {
        for data in Sends::new(body.content, body.head, body.filter, after) {
            let deadline = rt.now() + settings.timeouts.of(Stage::Body);
            self.stream.send(data, deadline).await.map_err(|error| broken(&error))?;
        }
        Ok(())
    }

    /// Reads what the server says next.
    ///
    /// # Errors
    /// As [`Connection::talk`].
    pub async fn read(&mut self, deadline: Instant) -> Result<(), Broken> {
        match self.stream.readable(deadline).await {
            Ok(Arrived::Bytes) => {
                let session = &mut self.session;
                let taken = self.stream.input(|bytes| (bytes.len(), session.handle_bytes(bytes)));
                taken.map_err(|_| Broken::NotSmtp)
            }
            Ok(Arrived::Eof) => Err(Broken::Lost),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Whether an idle connection is still as it was left: nothing was said, nobody hung up.
    pub async fn is_quiet(&self, rt: &Rt) -> bool {
        let nothing = self.stream.readable(rt.now()).await;
        self.session.is_reusable() && nothing.is_err_and(|error| is_timeout(&error))
    }

    /// Finishes what is left of the dialogue, QUIT included, and closes.
    pub async fn part(mut self, rt: Rt, settings: Arc<Settings>) {
        for _ in ["what is left", "QUIT"] {
            if self.talk(&rt, &settings, None, |_| false).await.is_err() {
                return;
            }
            self.session.finish();
        }
        // Closing must not overtake the QUIT; when it cannot be sent there is nobody to tell.
        self.stream.drained(rt.now() + settings.timeouts.of(Stage::Quit)).await.ok();
    }
}

fn broken(error: &io::Error) -> Broken {
    if is_timeout(error) { Broken::TimedOut } else { Broken::Lost }
}

fn is_timeout(error: &io::Error) -> bool {
    // ETIMEDOUT from the kernel is a lost connection; our own deadlines have no error number.
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// strerror(3) of an error, without what Rust adds to it.
pub fn error_text(error: &io::Error) -> String {
    if is_timeout(error) {
        return "Connection timed out".into();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}
