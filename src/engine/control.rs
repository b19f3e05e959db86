//! The queue commands' other end: `public/control` takes one request line and answers with
//! `message ID` lines and a last `ok N` or `error TEXT`. For `ALL` only the number is said.
//!
//! What is asked of all messages is done to some thousands at a time, so that mail goes on
//! meanwhile and neither the lanes between cores nor the log overflow.

use crate::core::Core;
use crate::limits::OUTBOX_HIGH_WATER;
use crate::maillog::Daemon;
use crate::qmgr::Walk;
use crate::showq::{qmgr, serve};
use mail::queue_id;
use queue::Number;
use runtime::net::{Arrived, Stream};
use runtime::{Chunk, Sock};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a command may take to say what it wants, or to take what it gets.
const PATIENCE: Duration = Duration::from_secs(100);
/// A longer request line is not one.
const REQUEST_MAX: usize = 4096;
/// Messages changed at once when all are.
const CHUNK: usize = 2000;
/// Between two chunks.
const PAUSE: Duration = Duration::from_millis(1);

/// Serves `public/control`.
pub fn listen(core: &Rc<Core>, sock: Sock) {
    serve(core, sock, |core, stream| Box::pin(control(core, stream)));
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
    let answer = obey(&core, request.trim()).await;
    let deadline = core.rt.now() + PATIENCE;
    stream.send(vec![Chunk::Owned(answer.into_bytes())], deadline).await?;
    stream.drained(deadline).await
}

async fn obey(core: &Rc<Core>, request: &str) -> String {
    let mut words = request.split_ascii_whitespace();
    let (verb, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let queues: Vec<&str> = words.collect();
    match verb {
        "flush" => {
            qmgr(core).borrow_mut().flush(core);
            crate::pickup::scan(core);
            "ok 0\n".into()
        }
        "stats" => {
            let totals = core.commits.totals();
            let (commits, messages) = (&totals.commits, &totals.messages);
            format!("commits {}\nmessages {}\nok 0\n", load(commits), load(messages))
        }
        "status" => format!("ok {}\n", qmgr(core).borrow().count()),
        "flush-site" => "error not-configured\n".into(),
        "flush-message" | "hold" | "release" | "delete" | "requeue" | "expire" => match argument {
            "ALL" => change_all(core, verb, &queues).await,
            _ => change_one(core, verb, argument, &queues),
        },
        _ => {
            core.log.warn(Daemon::Qmgr, "unknown control request");
            "error unknown request\n".into()
        }
    }
}

fn change_one(core: &Rc<Core>, verb: &str, id: &str, queues: &[&str]) -> String {
    let number = queue_id::parse_number(id).and_then(Number::from_u64);
    let number = number.filter(|number| qmgr(core).borrow().is_in(*number, queues));
    let changed = qmgr(core).borrow_mut().change(core, verb, number.as_slice());
    if changed.is_empty() {
        return "error not-found\n".into();
    }
    let mut answer = String::new();
    for id in &changed {
        writeln!(answer, "message {id}").expect("a string");
    }
    writeln!(answer, "ok {}", changed.len()).expect("a string");
    answer
}

/// Does something to every message of some queues, each of them once.
async fn change_all(core: &Rc<Core>, verb: &str, queues: &[&str]) -> String {
    let mut walk = Walk::new(queues);
    let mut count = 0;
    loop {
        let Some(chunk) = qmgr(core).borrow().walk(&mut walk, CHUNK) else { break };
        let numbers: Vec<Number> = chunk.iter().map(|(number, _)| *number).collect();
        count += qmgr(core).borrow_mut().change(core, verb, &numbers).len();
        core.rt.sleep_until(core.rt.now() + PAUSE).await;
        while core.port.backlog() >= OUTBOX_HIGH_WATER || !core.unsettled.borrow().is_empty() {
            core.rt.sleep_until(core.rt.now() + PAUSE).await;
        }
    }
    format!("ok {count}\n")
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
