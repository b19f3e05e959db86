//! A mail server on the simulated network: it answers by rules and keeps the mail it gets.

use runtime::io::Sock;
use runtime::net::{Arrived, Listener, Stream};
use runtime::{Chunk, Rt};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What it does: the reply to a line (without CRLF; the end of content is `.`), or `None` for the
/// usual one.
pub type Rule = Box<dyn Fn(&str) -> Option<String>>;

/// Transactions as a site saw them.
#[derive(Default)]
pub struct Kept {
    /// Content with CRLF, dots as they came.
    pub mail: Vec<String>,
    /// Every command line.
    pub lines: Vec<String>,
    /// Transactions whose end has come.
    pub ended: usize,
}

/// Serves on `sock`; content takes `pause` to be accepted.
pub fn start(rt: &Rt, sock: Sock, rule: Rule, pause: Duration) -> Rc<RefCell<Kept>> {
    let kept: Rc<RefCell<Kept>> = Rc::default();
    let (listener, rule) = (Listener::new(rt, sock), Rc::new(rule));
    let (rt2, kept2) = (rt.clone(), kept.clone());
    rt.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let session =
                Session { rt: rt2.clone(), stream, rule: rule.clone(), kept: kept2.clone(), pause };
            rt2.spawn(session.serve());
        }
    });
    kept
}

struct Session {
    rt: Rt,
    stream: Stream,
    rule: Rc<Rule>,
    kept: Rc<RefCell<Kept>>,
    pause: Duration,
}

impl Session {
    async fn serve(self) {
        let mut text = String::new();
        let mut content: Option<String> = None;
        if !self.say("220 site ESMTP").await {
            return;
        }
        while let Some(line) = self.line(&mut text).await {
            match &mut content {
                Some(_) if line == "." => {
                    self.rt.sleep_until(self.rt.now() + self.pause).await;
                    self.kept.borrow_mut().mail.extend(content.take());
                    self.kept.borrow_mut().ended += 1;
                }
                Some(content) => {
                    content.push_str(&line);
                    content.push_str("\r\n");
                    continue;
                }
                None => self.kept.borrow_mut().lines.push(line.clone()),
            }
            let reply = self.reply(&line);
            if line == "DATA" && reply.starts_with('3') {
                content = Some(String::new());
            }
            if !self.say(&reply).await || line == "QUIT" {
                return;
            }
        }
    }

    fn reply(&self, line: &str) -> String {
        let usual = match line.split(' ').next() {
            Some("EHLO") => "250-site\r\n250 8BITMIME",
            Some("DATA") => "354 go on",
            Some("QUIT") => "221 bye",
            Some(".") => "250 2.0.0 Ok: kept",
            _ => "250 2.0.0 ok",
        };
        (self.rule)(line).unwrap_or_else(|| usual.to_string())
    }

    async fn say(&self, reply: &str) -> bool {
        let bytes = format!("{reply}\r\n").into_bytes();
        let deadline = self.rt.now() + Duration::from_secs(60);
        self.stream.send(vec![Chunk::Owned(bytes)], deadline).await.is_ok()
    }

    async fn line(&self, text: &mut String) -> Option<String> {
        loop {
            if let Some(end) = text.find("\r\n") {
                let line = text[..end].to_string();
                text.drain(..end + 2);
                return Some(line);
            }
            let deadline = self.rt.now() + Duration::from_secs(1_000_000);
            match self.stream.readable(deadline).await {
                Ok(Arrived::Bytes) => self.stream.input(|bytes| {
                    text.push_str(&String::from_utf8_lossy(bytes));
                    (bytes.len(), ())
                }),
                _ => return None,
            }
        }
    }
}
