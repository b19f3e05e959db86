//! showq(8) and the queue commands' other end.
//!
//! `public/showq`: whoever connects gets one JSON object per message, as `postqueue -j` prints
//! them.
//! `public/control`: one request line, answered by `message ID` lines and a last `ok N` or `error
//! TEXT`.
//!
//! Core 0 knows which messages there are; what is said about one is read on its home core, which
//! owns the log. Listings stream: one chunk of messages is under way at a time, so a long queue
//! costs no memory.

use crate::core::Core;
use crate::defer;
use crate::maillog::Daemon;
use crate::parcel::Parcel;
use mail::Envelope;
use mail::queue_id;
use queue::Number;
use runtime::local::promise;
use runtime::net::{Arrived, Listener, Stream};
use runtime::{Chunk, Sock};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Messages of one listing that are under way at a time.
const CHUNK: usize = 500;
/// How long a command may take to say what it wants, or to take what it gets.
const PATIENCE: Duration = Duration::from_secs(100);
/// A longer request line is not one.
const REQUEST_MAX: usize = 4096;

/// A message and the name of the queue it is in.
pub type Listed = (Number, &'static str);

/// Serves `public/showq`.
pub fn listen(core: &Rc<Core>, sock: Sock) {
    serve(core, sock, |core, stream| Box::pin(list(core, stream)));
}

/// Serves `public/control`.
pub fn listen_control(core: &Rc<Core>, sock: Sock) {
    serve(core, sock, |core, stream| Box::pin(control(core, stream)));
}

type Session = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>>>>;

fn serve(core: &Rc<Core>, sock: Sock, session: fn(Rc<Core>, Stream) -> Session) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let listener = Listener::new(&core.rt, sock);
        while let Ok(stream) = listener.accept().await {
            let session = session(core.clone(), stream);
            // A command that goes away early has what it wanted.
            core.rt.spawn(async move { drop(session.await) });
        }
    });
}

async fn list(core: Rc<Core>, stream: Stream) -> std::io::Result<()> {
    let all = core.qmgr.as_ref().expect("listed on core 0").borrow().listing();
    for chunk in all.chunks(CHUNK) {
        let mut text = String::new();
        for home in 0..core.cores {
            let here: Vec<Listed> = chunk
                .iter()
                .filter(|(number, _)| number.core().index() % core.cores == home)
                .copied()
                .collect();
            text.push_str(&ask(&core, home, here).await);
        }
        let deadline = core.rt.now() + PATIENCE;
        stream.send(vec![Chunk::Owned(text.into_bytes())], deadline).await?;
    }
    stream.drained(core.rt.now() + PATIENCE).await
}

/// What a home core says about its messages.
async fn ask(core: &Rc<Core>, home: usize, messages: Vec<Listed>) -> String {
    if messages.is_empty() {
        return String::new();
    }
    let (promise, pledge) = promise(&core.rt);
    let qmgr = core.qmgr.as_ref().expect("listed on core 0");
    let token = qmgr.borrow_mut().ask(promise);
    core.port.send(home, Parcel::ShowAsk { token, messages });
    pledge.wait().await.unwrap_or_default()
}

/// On the home core: the lines of a listing.
pub fn tell(core: &Core, token: u64, messages: &[Listed]) {
    let mut text = String::new();
    for (number, queue) in messages {
        describe(core, *number, queue, &mut text);
    }
    core.port.send(crate::qmgr::CORE, Parcel::ShowTell { token, text });
}

/// One message as JSON; nothing when it is gone meanwhile.
fn describe(core: &Core, number: Number, queue_name: &str, out: &mut String) {
    let queue = core.log_of(number);
    let queue = queue.borrow();
    let (Some(live), Ok(envelope)) = (queue.find(number), queue.envelope(number)) else { return };
    let Ok(envelope) = Envelope::decode(&envelope) else { return };
    let reasons = match queue.defer_detail(number) {
        Ok(Some(detail)) => defer::decode(&detail),
        _ => Vec::new(),
    };
    let id = core.queue_id(live.arrival_us, number);
    let forced = live.flags & crate::qmgr::FLAG_EXPIRE != 0;
    let sender = match envelope.sender.is_null() {
        true => "MAILER-DAEMON".to_string(),
        false => envelope.sender.to_string(),
    };
    let head = format!(
        "{{\"queue_name\": \"{queue_name}\", \"queue_id\": \"{id}\", \"arrival_time\": {}, \
         \"message_size\": {}, \"forced_expire\": {forced}, \"sender\": \"{}\", \"recipients\": [",
        live.arrival_us / 1_000_000,
        live.size,
        Json(&sender),
    );
    out.push_str(&head);
    let pending =
        (0..envelope.recipients.len() as u32).filter(|index| !live.marks.contains(*index));
    let (with, without): (Vec<u32>, Vec<u32>) =
        pending.partition(|index| reasons.iter().any(|reason| reason.index == *index));
    for (place, index) in with.iter().chain(&without).enumerate() {
        let address = envelope.recipients[*index as usize].address.to_string();
        let comma = if place > 0 { ", " } else { "" };
        write!(out, "{comma}{{\"address\": \"{}\"", Json(&address)).expect("a string");
        if let Some(reason) = reasons.iter().find(|reason| reason.index == *index) {
            write!(out, ", \"delay_reason\": \"{}\"", Json(&reason.dsn.reason)).expect("a string");
        }
        out.push('}');
    }
    out.push_str("]}\n");
}

/// A string within JSON quotes, escaped as postqueue does.
struct Json<'a>(&'a str);

impl std::fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control < ' ' => write!(f, "\\u{:04X}", control as u32)?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

async fn control(core: Rc<Core>, stream: Stream) -> std::io::Result<()> {
    let deadline = core.rt.now() + PATIENCE;
    let request = loop {
        if stream.readable(deadline).await? == Arrived::Eof {
            return Ok(());
        }
        let line = stream.input(|bytes| match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, Some(String::from_utf8_lossy(&bytes[..end]).into_owned())),
            None if bytes.len() > REQUEST_MAX => (bytes.len(), Some(String::new())),
            None => (0, None),
        });
        if let Some(line) = line {
            break line;
        }
    };
    let answer = obey(&core, request.trim());
    stream.send(vec![Chunk::Owned(answer.into_bytes())], deadline).await?;
    stream.drained(deadline).await
}

fn obey(core: &Rc<Core>, request: &str) -> String {
    let mut words = request.split_ascii_whitespace();
    let (verb, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let queues: Vec<&str> = words.collect();
    let mut qmgr = core.qmgr.as_ref().expect("controlled on core 0").borrow_mut();
    match verb {
        "flush" => {
            qmgr.flush(core);
            crate::pickup::scan(core);
            "ok 0\n".into()
        }
        "stats" => {
            let totals = core.commits.totals();
            let (commits, messages) = (&totals.commits, &totals.messages);
            format!("commits {}\nmessages {}\nok 0\n", load(commits), load(messages))
        }
        "status" => format!("ok {}\n", qmgr.listing().len()),
        "flush-site" => "error not-configured\n".into(),
        "flush-message" | "hold" | "release" | "delete" | "requeue" | "expire" => {
            let numbers = match queue_id::parse_number(argument).and_then(Number::from_u64) {
                _ if argument == "ALL" => qmgr.numbers_in(&queues),
                Some(number) if qmgr.is_in(number, &queues) => vec![number],
                _ => Vec::new(),
            };
            let changed = qmgr.change(core, verb, &numbers);
            if changed.is_empty() && argument != "ALL" {
                return "error not-found\n".into();
            }
            let mut answer = String::new();
            for id in &changed {
                writeln!(answer, "message {id}").expect("a string");
            }
            writeln!(answer, "ok {}", changed.len()).expect("a string");
            answer
        }
        _ => {
            core.log.warn(Daemon::Qmgr, "unknown control request");
            "error unknown request\n".into()
        }
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_postqueue_does() {
        assert_eq!(Json("a\"b\\c\n\u{1}\u{e9}").to_string(), "a\\\"b\\\\c\\n\\u0001\u{e9}");
    }
}
