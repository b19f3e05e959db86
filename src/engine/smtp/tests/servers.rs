//! A scripted SMTP server as a task of the simulator.

use runtime::io::Sock;
use runtime::net::{Arrived, Listener, Stream};
use runtime::{Chunk, Rt};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What a server does instead of its usual answer.
#[derive(Clone, Copy)]
pub enum Reply {
    /// Says this.
    Line(&'static str),
    /// Closes the connection.
    Drop,
    /// Says nothing.
    Silence,
    /// Says this and closes.
    LineAndDrop(&'static str),
    /// Says this a while later.
    Late(&'static str, Duration),
}

/// A server and its exceptions.
pub struct Server {
    address: SocketAddr,
    rules: Vec<(&'static str, Reply)>,
    keywords: &'static str,
}

impl Server {
    /// A server that takes everything and offers PIPELINING.
    pub fn new(address: &str) -> Server {
        let keywords = "250-mock\r\n250 PIPELINING";
        Server { address: address.parse().unwrap(), rules: Vec::new(), keywords }
    }

    /// Does `reply` to a line that begins with `prefix`; `CONNECT` and `EOM` stand for themselves.
    pub fn with(mut self, prefix: &'static str, reply: Reply) -> Server {
        self.rules.push((prefix, reply));
        self
    }

    /// Answers EHLO with these lines.
    pub fn offering(mut self, keywords: &'static str) -> Server {
        self.keywords = keywords;
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves; what it hears is added to the text.
    pub fn start(self, rt: &Rt, sock: Sock) -> Rc<RefCell<Vec<u8>>> {
        let heard: Rc<RefCell<Vec<u8>>> = Rc::default();
        let (listener, server) = (Listener::new(rt, sock), Rc::new(self));
        let (rt2, heard2) = (rt.clone(), heard.clone());
        rt.spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let serving = server.clone().serve(rt2.clone(), stream, heard2.clone());
                rt2.spawn(serving);
            }
        });
        heard
    }

    async fn serve(self: Rc<Self>, rt: Rt, stream: Stream, heard: Rc<RefCell<Vec<u8>>>) {
        if !self.answer(&rt, &stream, "CONNECT", "220 mock ESMTP").await {
            return;
        }
        let mut in_data = false;
        let mut text: Vec<u8> = Vec::new();
        let for_ever = Duration::from_secs(100_000);
        while let Ok(Arrived::Bytes) = stream.readable(rt.now() + for_ever).await {
            stream.input(|bytes| {
                text.extend_from_slice(bytes);
                heard.borrow_mut().extend_from_slice(bytes);
                (bytes.len(), ())
            });
            while let Some(end) = text.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&text[..end]).into_owned();
                text.drain(..end + 2);
                let (what, usual) = match (in_data, line.as_str()) {
                    (true, ".") => ("EOM", "250 2.0.0 Ok: queued as MOCK"),
                    (true, _) => continue,
                    (false, line) => (line, self.usual(line)),
                };
                in_data = !in_data && usual.starts_with("354") && self.rule(what).is_none();
                if !self.answer(&rt, &stream, what, usual).await {
                    return;
                }
            }
        }
    }

    fn usual(&self, line: &str) -> &'static str {
        match line.get(..4).unwrap_or_default() {
            "EHLO" => self.keywords,
            "DATA" => "354 go",
            "QUIT" => "221 bye",
            _ => "250 ok",
        }
    }

    fn rule(&self, line: &str) -> Option<Reply> {
        self.rules.iter().find(|(prefix, _)| line.starts_with(prefix)).map(|(_, reply)| *reply)
    }

    async fn answer(&self, rt: &Rt, stream: &Stream, what: &str, usual: &str) -> bool {
        let (text, stay) = match self.rule(what) {
            None => (usual, true),
            Some(Reply::Line(text)) => (text, true),
            Some(Reply::LineAndDrop(text)) => (text, false),
            Some(Reply::Late(text, after)) => {
                rt.sleep_until(rt.now() + after).await;
                (text, true)
            }
            Some(Reply::Silence) => {
                rt.sleep_until(rt.now() + Duration::from_secs(100_000)).await;
                return false;
            }
            Some(Reply::Drop) => return false,
        };
        let bytes = format!("{text}\r\n").into_bytes();
        let deadline = rt.now() + Duration::from_secs(10);
        stream.send(vec![Chunk::Owned(bytes)], deadline).await.is_ok()
            && stream.drained(deadline).await.is_ok()
            && stay
            && what != "QUIT"
    }
}
