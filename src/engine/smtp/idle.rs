//! Connections that wait for the next delivery to the same destination (scache(8) of Postfix).
//!
//! Limits: [`IDLE_MAX`] per core; one more is closed instead of kept. A reaper task runs while any
//! connection waits and closes what has waited for `smtp_connection_cache_time_limit`, with QUIT.

use super::connection::Connection;
use super::settings::Settings;
use runtime::{Instant, Rt};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Connections kept per core.
pub const IDLE_MAX: usize = 512;

/// Transport and next hop.
pub type Key = (Arc<str>, Arc<str>);

struct Waiting {
    connection: Connection,
    settings: Arc<Settings>,
    until: Instant,
}

/// The idle connections of one core.
pub struct Idle {
    rt: Rt,
    waiting: RefCell<BTreeMap<Key, Vec<Waiting>>>,
    count: Cell<usize>,
    reaping: Cell<bool>,
}

impl Idle {
    /// None yet.
    pub fn new(rt: &Rt) -> Rc<Idle> {
        Rc::new(Idle {
            rt: rt.clone(),
            waiting: RefCell::default(),
            count: Cell::new(0),
            reaping: Cell::new(false),
        })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the connection that was kept last.
    pub fn take(&self, key: &Key) -> Option<Connection> {
        let mut waiting = self.waiting.borrow_mut();
        let list = waiting.get_mut(key)?;
        let found = list.pop()?;
        if list.is_empty() {
            waiting.remove(key);
        }
        self.count.set(self.count.get() - 1);
        Some(found.connection)
    }

    /// Keeps a connection, or closes it when too many wait.
    pub fn keep(self: &Rc<Self>, key: Key, connection: Connection, settings: &Arc<Settings>) {
        assert!(connection.session.is_reusable());
        let settings = settings.clone();
        if self.count.get() >= IDLE_MAX {
            self.rt.spawn(connection.part(self.rt.clone(), settings));
            return;
        }
        let until = self.rt.now() + settings.reuse.idle;
        let entry = Waiting { connection, settings, until };
        self.waiting.borrow_mut().entry(key).or_default().push(entry);
        self.count.set(self.count.get() + 1);
        if !self.reaping.replace(true) {
            self.rt.spawn(self.clone().reap());
        }
    }

    async fn reap(self: Rc<Self>) {
        while let Some(next) = self.next_expiry() {
            self.rt.sleep_until(next).await;
            self.close_expired(self.rt.now());
        }
        self.reaping.set(false);
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.waiting.borrow().values().flatten().map(|entry| entry.until).min()
    }

    fn close_expired(&self, now: Instant) {
        let mut expired = Vec::new();
        self.waiting.borrow_mut().retain(|_, list| {
            expired.extend(list.extract_if(.., |entry| entry.until <= now));
            !list.is_empty()
        });
        self.count.set(self.count.get() - expired.len());
        for Waiting { connection, settings, .. } in expired {
            self.rt.spawn(connection.part(self.rt.clone(), settings));
        }
    }
}
