//! Tables that servers answer for, asked before their answers are needed.
//!
//! Whatever asks tables is a plain function that cannot wait. So it is rehearsed: it runs once with
//! nothing but its look-ups counting; what it asks of servers is noted and it goes on without. The
//! side thread asks for that, and the rehearsal is repeated until nothing is missing. Then the
//! function is run in earnest, and finds every answer here.
//!
//! | who asks | the answer is here | it is not |
//! | --- | --- | --- |
//! | a rehearsal | given, if it came during it or is still to be kept | noted; `Retry` |
//! | in earnest | given | `Retry`: nobody has rehearsed, or too much is asked |
//!
//! Without such a table a rehearsal is nothing at all.
//!
//! **Diagnostics**: a server that cannot answer is a warning in the log, once for each question
//! that was sent, and [`Lookup::Retry`].
//! **Limits**: [`ANSWERS_MAX`], [`ANSWERS_BYTES_MAX`], [`ROUNDS_MAX`], [`AT_ONCE_MAX`]. Where
//! nothing more can be kept a rehearsal ends, and what is missing is a temporary error.
//! **Standards**: DATABASE_README of Postfix 3.7.

use crate::maillog::{Daemon, Maillog};
use crate::resolver::Resolver;
use remote::{Answer, Client, Setting};
use runtime::{Instant, Rt};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tables::catalog::{BadTable, Name, Parameters, SharedTable};
use tables::{Lookup, Table};

/// Answers a core keeps.
pub const ANSWERS_MAX: usize = 65_536;
/// Bytes of them, keys and values.
pub const ANSWERS_BYTES_MAX: usize = 32 << 20;
/// How often a rehearsal is repeated: an expansion of more steps is a temporary error.
pub const ROUNDS_MAX: usize = 4096;
/// Questions of one rehearsal that are under way at once.
pub const AT_ONCE_MAX: usize = 64;
/// How long an answer stays for those who have rehearsed.
const REHEARSED: Duration = Duration::from_secs(120);

/// How many such tables were opened so far; the next one's number.
static OPENED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What this core knows.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// A key of a table, by the table's number.
type Key = (u64, Vec<u8>);

#[derive(Default)]
struct Known {
    answers: BTreeMap<Key, Kept>,
    /// Bytes of their keys and values.
    bytes: usize,
    /// Set while somebody rehearses.
    rehearsal: Option<Rehearsal>,
}

struct Kept {
    answer: Answer,
    came: Instant,
    keep: Duration,
}

struct Rehearsal {
    began: Instant,
    now: Instant,
    missing: BTreeMap<Key, Arc<Client>>,
}

/// A table behind a server, as the engine asks it.
struct Server {
    number: u64,
    client: Arc<Client>,
}

/// Opens such a table, for [`tables::catalog::System::remote`].
///
/// # Errors
/// Its configuration cannot be used.
pub fn open(name: &Name, main_cf: Parameters<'_>) -> Result<SharedTable, BadTable> {
    let client = Arc::new(Client::open_in(name, &Setting { main_cf, warn: Arc::new(|_| {}) })?);
    Ok(Box::new(Server { number: OPENED.fetch_add(1, Ordering::Relaxed), client }))
}

/// What asking takes.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The core's loop.
    pub rt: &'a Rt,
    /// Where warnings go.
    pub log: &'a Maillog,
    /// The way to the side thread.
    pub resolver: &'a Resolver,
    /// Who warns.
    pub daemon: &'a Daemon,
}

/// Whether there is any such table.
pub fn exist() -> bool {
    OPENED.load(Ordering::Relaxed) > 0
}

impl Table for Server {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        let key = (self.number, key.to_vec());
        KNOWN.with_borrow_mut(|known| known.give(key, &self.client))
    }
}

impl Known {
    fn give(&mut self, key: Key, client: &Arc<Client>) -> Lookup<'static> {
        let kept = self.answers.get(&key);
        let Some(rehearsal) = &mut self.rehearsal else {
            let unasked = || Lookup::Retry(Cow::Owned(format!("{} was not asked", client.name())));
            return kept.map_or_else(unasked, |kept| kept.answer());
        };
        let fresh =
            |kept: &&Kept| kept.came >= rehearsal.began || rehearsal.now < kept.came + kept.keep;
        match kept.filter(fresh) {
            Some(kept) => kept.answer(),
            None => {
                rehearsal.missing.insert(key, client.clone());
                Lookup::Retry(Cow::Borrowed("it is being asked"))
            }
        }
    }

    /// Takes an answer; room is made by forgetting what nobody can be waiting for. Whether there
    /// was any.
    fn keep(&mut self, key: Key, kept: Kept) -> bool {
        let bytes = bytes(&key, &kept);
        if !self.has_room(bytes) {
            let now = kept.came;
            self.answers.retain(|_, old| now < old.came + old.keep.max(REHEARSED));
            self.bytes = self.answers.iter().map(|(key, kept)| self::bytes(key, kept)).sum();
        }
        let room = self.has_room(bytes);
        if room {
            self.bytes += bytes;
            let old = self.answers.insert(key.clone(), kept);
            self.bytes -= old.map_or(0, |old| self::bytes(&key, &old));
        }
        room
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.answers.len() < ANSWERS_MAX && self.bytes + bytes <= ANSWERS_BYTES_MAX
    }
}

/// What an answer takes, but for its place.
fn bytes(key: &Key, kept: &Kept) -> usize {
    let said = match &kept.answer {
        Answer::Found(value) => value.len(),
        Answer::NotFound => 0,
        Answer::Retry(why) => why.len(),
    };
    key.1.len() + said
}

impl Kept {
    fn answer(&self) -> Lookup<'static> {
        match &self.answer {
            Answer::Found(value) => Lookup::Found(Cow::Owned(value.clone())),
            Answer::NotFound => Lookup::NotFound,
            Answer::Retry(why) => Lookup::Retry(Cow::Owned(why.clone())),
        }
    }
}

/// Rehearses `work` until servers have answered all that it asks. It must change nothing; what it
/// logs is lost.
pub async fn rehearse(asker: Asker<'_>, mut work: impl FnMut()) {
    if !exist() {
        return;
    }
    let began = asker.rt.now();
    for _ in 0..ROUNDS_MAX {
        let missing = round(asker, began, &mut work);
        if missing.is_empty() || !ask(asker, missing).await {
            return;
        }
    }
}

/// Runs `work` once: what is missing.
fn round(asker: Asker<'_>, began: Instant, work: &mut impl FnMut()) -> BTreeMap<Key, Arc<Client>> {
    let rehearsal = Rehearsal { began, now: asker.rt.now(), missing: BTreeMap::new() };
    KNOWN.with_borrow_mut(|known| known.rehearsal = Some(rehearsal));
    asker.log.muted(work);
    let rehearsal = KNOWN.with_borrow_mut(|known| known.rehearsal.take());
    rehearsal.expect("set above, and plain code cannot rehearse").missing
}

/// Asks for all, some at once; whether there was room for what they said.
async fn ask(asker: Asker<'_>, missing: BTreeMap<Key, Arc<Client>>) -> bool {
    let room = Cell::new(true);
    let mut missing = missing.into_iter();
    loop {
        let some = missing.by_ref().take(AT_ONCE_MAX);
        let questions: Vec<_> =
            some.map(|(key, client)| Box::pin(question(asker, key, client, &room))).collect();
        if questions.is_empty() {
            return room.get();
        }
        all(questions).await;
    }
}

async fn question(asker: Asker<'_>, key: Key, client: Arc<Client>, room: &Cell<bool>) {
    let answer = asker.resolver.look_up(&client, &key.1).await;
    let answer = answer.unwrap_or_else(|| {
        Answer::Retry(format!("{}: no answer in time, or too many questions", client.name()))
    });
    if let Answer::Retry(why) = &answer {
        asker.log.warn(asker.daemon.clone(), why);
    }
    let kept = Kept { answer, came: asker.rt.now(), keep: client.keep() };
    room.set(KNOWN.with_borrow_mut(|known| known.keep(key, kept)) && room.get());
}

/// Waits for all of them.
async fn all(mut waiting: Vec<std::pin::Pin<Box<impl Future<Output = ()>>>>) {
    std::future::poll_fn(|context| {
        waiting.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize, came: u64) -> Kept {
        let answer = Answer::Found(vec![b'x'; bytes]);
        Kept { answer, came: Instant(came), keep: Duration::ZERO }
    }

    #[test]
    fn room_is_made_by_forgetting_and_there_may_be_none() {
        let mut known = Known::default();
        let second = 1_000_000_000;
        let half = ANSWERS_BYTES_MAX / 2;
        assert!(known.keep((0, b"a".to_vec()), kept(half - 1, 0)));
        assert!(known.keep((0, b"a".to_vec()), kept(half - 1, 0)), "the same again");
        assert!(known.keep((0, b"b".to_vec()), kept(half - 1, second)));
        assert!(!known.keep((0, b"c".to_vec()), kept(half - 1, second)), "both may be needed");
        assert_eq!((known.answers.len(), known.bytes), (2, ANSWERS_BYTES_MAX));
        let later = REHEARSED.as_secs() * second;
        assert!(known.keep((0, b"c".to_vec()), kept(half - 1, later)), "one is old");
        let keys: Vec<&[u8]> = known.answers.keys().map(|(_, key)| key.as_slice()).collect();
        assert_eq!(keys, [b"b".as_slice(), b"c"]);
        assert_eq!(known.bytes, ANSWERS_BYTES_MAX);
    }
}
