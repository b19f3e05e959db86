//! showq(8): whoever connects to `public/showq` gets one JSON object per message, as `postqueue -j`
//! prints them.
//!
//! Core 0 knows which messages there are; what is said about one is read on its home core, which
//! owns the log. Listings stream: while one chunk of messages goes out, the next is being written,
//! so a long queue costs no memory.

use crate::core::Core;
use crate::defer;
use crate::parcel::Parcel;
use crate::qmgr::{Qmgr, Walk};
use mail::Envelope;
use queue::Number;
use runtime::local::{Pledge, promise};
use runtime::net::{Listener, Stream};
use runtime::{Chunk, Sock};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

/// Messages of one listing that are under way at a time.
const CHUNK: usize = 1000;
/// How long a command may take to say what it wants, or to take what it gets.
const PATIENCE: Duration = Duration::from_secs(100);
/// How often the roll call after a start is looked at.
const TELLING: Duration = Duration::from_millis(2);
/// Queues in the order in which Postfix lists them.
const QUEUES: [&str; 4] = ["active", "incoming", "deferred", "hold"];

/// A message and the name of the queue it is in.
pub type Listed = (Number, &'static str);

/// Serves `public/showq`.
pub fn listen(core: &Rc<Core>, sock: Sock) {
    serve(core, sock, |core, stream| Box::pin(list(core, stream)));
}

/// One client's turn.
pub(crate) type Session = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>>>>;

/// Serves clients of a local socket on core 0, each in a task of its own.
pub(crate) fn serve(core: &Rc<Core>, sock: Sock, session: fn(Rc<Core>, Stream) -> Session) {
    let core = core.clone();
    let rt = core.rt.clone();
    rt.spawn(async move {
        let listener = Listener::new(&core.rt, sock);
        while let Ok(stream) = listener.accept().await {
            let (core, session) = (core.clone(), session(core.clone(), stream));
            core.rt.clone().spawn(async move {
                // What was there at start belongs to every answer.
                while !qmgr(&core).borrow().is_told() {
                    core.rt.sleep_until(core.rt.now() + TELLING).await;
                }
                // A command that goes away early has what it wanted.
                drop(session.await);
            });
        }
    });
}

/// The queue manager, on its core.
pub(crate) fn qmgr(core: &Core) -> &RefCell<Qmgr> {
    core.qmgr.as_ref().expect("local sockets are served on core 0")
}

async fn list(core: Rc<Core>, stream: Stream) -> std::io::Result<()> {
    for name in QUEUES {
        let queues = [name];
        let mut walk = Walk::new(&queues);
        let mut next = ask_next(&core, &mut walk);
        while let Some(asked) = next {
            let text = gather(asked).await;
            // The cores work on the next messages while these go out.
            next = ask_next(&core, &mut walk);
            stream.send(vec![Chunk::Owned(text.into_bytes())], core.rt.now() + PATIENCE).await?;
        }
    }
    stream.drained(core.rt.now() + PATIENCE).await
}

/// Asks the home cores of the next messages about them, all at the same time; nothing when there
/// are no more.
fn ask_next(core: &Rc<Core>, walk: &mut Walk<'_>) -> Option<Vec<Pledge<String>>> {
    let chunk = qmgr(core).borrow().walk(walk, CHUNK)?;
    let home_of = |number: &Number| number.core().index() % core.cores;
    let asked = (0..core.cores).filter_map(|home| {
        let here = chunk.iter().filter(|(number, _)| home_of(number) == home);
        ask(core, home, here.copied().collect())
    });
    Some(asked.collect())
}

/// The lines of some messages.
async fn gather(asked: Vec<Pledge<String>>) -> String {
    let mut text = String::new();
    for pledge in asked {
        text.push_str(&pledge.wait().await.unwrap_or_default());
    }
    text
}

/// Asks a home core about its messages, if there are any.
fn ask(core: &Rc<Core>, home: usize, messages: Vec<Listed>) -> Option<Pledge<String>> {
    if messages.is_empty() {
        return None;
    }
    let (promise, pledge) = promise(&core.rt);
    let token = qmgr(core).borrow_mut().ask(promise);
    core.port.send(home, Parcel::ShowAsk { token, messages });
    Some(pledge)
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
        let mut rest = self.0;
        while let Some(plain) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            f.write_str(&rest[..plain])?;
            let mut characters = rest[plain..].chars();
            match characters.next().unwrap_or_default() {
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
            rest = characters.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_postqueue_does() {
        assert_eq!(Json("a\"b\\c\n\u{1}\u{e9}").to_string(), "a\\\"b\\\\c\\n\\u0001\u{e9}");
    }
}
