//! A client's end of an SMTP connection: lines out, replies in, and patience.

use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Rt};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// The connection is gone, or the server says nothing.
#[derive(Debug)]
pub struct Gone;

/// A connection to an SMTP server.
pub struct Dialogue {
    rt: Rt,
    stream: Stream,
    text: String,
}

impl Dialogue {
    /// Connects and says EHLO.
    pub async fn connect(rt: &Rt, from: SocketAddr, to: SocketAddr) -> Result<Dialogue, Gone> {
        let deadline = rt.now() + PATIENCE;
        let stream = Stream::connect(rt, to, Some(from), deadline).await.map_err(|_| Gone)?;
        let mut dialogue = Dialogue { rt: rt.clone(), stream, text: String::new() };
        let greeting = dialogue.reply().await?;
        if !greeting.starts_with('2') {
            return Err(Gone);
        }
        dialogue.say("EHLO client.test\r\n").await?;
        dialogue.reply().await?;
        Ok(dialogue)
    }

    /// Connects to a local socket.
    pub fn local(rt: &Rt, path: &str) -> Result<Dialogue, Gone> {
        let stream = Stream::connect_local(rt, std::path::Path::new(path)).map_err(|_| Gone)?;
        Ok(Dialogue { rt: rt.clone(), stream, text: String::new() })
    }

    /// Sends.
    pub async fn say(&self, text: &str) -> Result<(), Gone> {
        let deadline = self.rt.now() + PATIENCE;
        let data = vec![Chunk::Owned(text.as_bytes().to_vec())];
        self.stream.send(data, deadline).await.map_err(|_| Gone)?;
        self.stream.drained(deadline).await.map_err(|_| Gone)
    }

    /// The next reply, all of its lines.
    pub async fn reply(&mut self) -> Result<String, Gone> {
        let mut reply = String::new();
        loop {
            let line = self.line().await?;
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return Ok(reply);
            }
        }
    }

    /// The next line, with its end.
    pub async fn line(&mut self) -> Result<String, Gone> {
        loop {
            if let Some(end) = self.text.find('\n') {
                let line = self.text[..=end].to_string();
                self.text.drain(..=end);
                return Ok(line);
            }
            match self.stream.readable(self.rt.now() + PATIENCE).await {
                Ok(Arrived::Bytes) => {}
                _ => return Err(Gone),
            }
            let text = &mut self.text;
            self.stream.input(|bytes| {
                text.push_str(&String::from_utf8_lossy(bytes));
                (bytes.len(), ())
            });
        }
    }
}
