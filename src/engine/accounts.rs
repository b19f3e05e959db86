//! Whether the system has a user, asked of NSS on a thread of its own, for smtpd.
//!
//! NSS may ask a directory over the network, so a core never waits for it: it asks here, with a
//! cache in front. Each core has one question open at a time; the others wait their turn.
//!
//! **Diagnostics**: a system that cannot tell is an error for now, never an answer.
//! **Limits**: [`CACHED_MAX`] names; [`WAITING_MAX`] questions, beyond which the answer is "cannot
//! tell now". A user is known for [`KNOWN`], its absence for [`ABSENT`].

use crate::background::Desk;
use crate::core::Core;
use runtime::Instant;
use runtime::local::{Promise, promise};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// Names a core remembers; when there are more, all are forgotten.
pub const CACHED_MAX: usize = 64 * 1024;
/// Questions that may wait.
pub const WAITING_MAX: usize = 4096;
/// How long a user is known to exist.
pub const KNOWN: Duration = Duration::from_secs(60);
/// How long it is known not to: a new user should get mail soon.
pub const ABSENT: Duration = Duration::from_secs(2);

/// Asks the system for a user by its name; an error is text for the log.
pub type Ask = fn(&str) -> Result<bool, String>;

/// What the system says.
pub type Verdict = Result<bool, String>;

/// One core's users.
pub struct Accounts {
    ask: Ask,
    /// The way to the thread; without one, questions are answered on the spot.
    desk: Option<Desk>,
    cache: RefCell<BTreeMap<String, (bool, Instant)>>,
    waiting: RefCell<VecDeque<(String, Promise<Verdict>)>>,
    busy: Cell<bool>,
}

impl Accounts {
    /// Users as `ask` knows them, asked on the desk's thread; on the spot without one, where `ask`
    /// never waits and time is not the system's.
    pub fn new(ask: Ask, desk: Option<Desk>) -> Accounts {
        Accounts {
            ask,
            desk,
            cache: RefCell::default(),
            waiting: RefCell::default(),
            busy: Cell::new(false),
        }
    }

    /// What is known without asking.
    pub fn cached(&self, now: Instant, name: &str) -> Option<bool> {
        let cache = self.cache.borrow();
        cache.get(name).filter(|(_, until)| now < *until).map(|(found, _)| *found)
    }

    /// Whether there is such a user.
    ///
    /// # Errors
    /// The system cannot tell now.
    pub async fn has(&self, core: &Core, name: &str) -> Verdict {
        if let Some(found) = self.cached(core.rt.now(), name) {
            return Ok(found);
        }
        if self.waiting.borrow().len() >= WAITING_MAX {
            return Err("too many questions about accounts are waiting".into());
        }
        let Some(desk) = &self.desk else { return (self.ask)(name) };
        let (promise, pledge) = promise(&core.rt);
        self.waiting.borrow_mut().push_back((name.into(), promise));
        self.ask_next(desk);
        pledge.wait().await.unwrap_or_else(|| Err("the mail system is stopping".into()))
    }

    fn ask_next(&self, desk: &Desk) {
        if self.busy.get() {
            return;
        }
        let next = self.waiting.borrow().front().map(|(name, _)| name.clone());
        let Some(name) = next else { return };
        self.busy.set(true);
        let ask = self.ask;
        desk.run(move || {
            let verdict = ask(&name);
            Box::new(move |core: &Rc<Core>| core.accounts.answered(core, name, verdict))
        });
    }

    /// Every question about this name has its answer now.
    fn answered(&self, core: &Core, name: String, verdict: Verdict) {
        self.busy.set(false);
        let mut waiting = self.waiting.borrow_mut();
        let (asked, others): (VecDeque<_>, VecDeque<_>) =
            waiting.drain(..).partition(|(waiting, _)| *waiting == name);
        *waiting = others;
        drop(waiting);
        asked.into_iter().for_each(|(_, promise)| promise.keep(verdict.clone()));
        if let Ok(found) = verdict {
            self.remember(name, found, core.rt.now());
        }
        if let Some(desk) = &self.desk {
            self.ask_next(desk);
        }
    }

    fn remember(&self, name: String, found: bool, now: Instant) {
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(name, (found, now + if found { KNOWN } else { ABSENT }));
    }

    /// Hands out answers: once per turn.
    pub fn pump(&self, core: &Rc<Core>) {
        while let Some(answer) = self.desk.as_ref().and_then(Desk::take) {
            answer(core);
        }
    }

    /// Whether an answer waits.
    pub fn has_answer(&self) -> bool {
        self.desk.as_ref().is_some_and(Desk::has_answer)
    }
}
