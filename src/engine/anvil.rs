//! anvil(8): how many connections each client has, and how often it comes, sends and names
//! recipients.
//!
//! The counts are exact over all cores: they live in one table, in [`SHARDS`] parts with a lock
//! each that is held for a few comparisons. A question to the core that owns a client would cost
//! two trips through a lane instead, at every connection. Clients that are exempt are not counted
//! and take no lock, as in Postfix; nor are rates that have no limit.
//!
//! A rate is what has happened since the first event of the current unit of time; the unit begins
//! anew with the first event after its end.
//!
//! **Limits**: [`CLIENTS_MAX`] clients are remembered. When there are more, those without a
//! connection are forgotten, which forgives them; when all have one, strangers are not counted.
//! **Standards**: anvil(8), postconf(5) `anvil_rate_time_unit`, `anvil_status_update_time`.

use crate::limits::ANVIL_CLIENTS_MAX as CLIENTS_MAX;
use runtime::Instant;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Parts of the table.
pub const SHARDS: usize = 64;

/// Who is counted: a service and a client's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    service: Arc<str>,
    address: IpAddr,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.address)
    }
}

/// What is counted per unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Connections.
    Connection,
    /// MAIL commands.
    Message,
    /// RCPT commands.
    Recipient,
}

impl Rate {
    const ALL: [Rate; 3] = [Rate::Connection, Rate::Message, Rate::Recipient];

    fn name(self) -> &'static str {
        match self {
            Rate::Connection => "connection",
            Rate::Message => "message",
            Rate::Recipient => "recipient",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    connections: u32,
    since: Instant,
    rates: [u32; Rate::ALL.len()],
}

/// The most that was seen of something.
#[derive(Clone, Debug, Default)]
struct Peak {
    count: u32,
    who: String,
    /// Seconds since 1970.
    unix: u64,
}

#[derive(Debug, Default)]
struct Peaks {
    connections: Peak,
    rates: [Peak; Rate::ALL.len()],
    clients: Peak,
}

#[derive(Debug, Default)]
struct Shard {
    clients: BTreeMap<Key, Counts>,
    /// How many of them have no connection.
    gone: usize,
}

/// The counts of all clients.
#[derive(Debug)]
pub struct Anvil {
    shards: Vec<Mutex<Shard>>,
    peaks: Mutex<Peaks>,
}

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub instant: Instant,
    /// For the log, seconds since 1970.
    pub unix: u64,
}

/// A client that is connected, until it is dropped.
#[derive(Debug)]
pub struct Visit {
    anvil: Arc<Anvil>,
    key: Key,
    /// Connections it has, this one included.
    pub connections: u32,
    /// Connections it has made in this unit of time.
    pub rate: u32,
}

impl Default for Anvil {
    fn default() -> Anvil {
        Anvil { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), peaks: Mutex::default() }
    }
}

/// A thread that panics ends the process: nobody finds a lock poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Anvil {
    /// Counts a connection. Nothing when the table has no room: the client is let in uncounted.
    pub fn connect(
        self: &Arc<Self>,
        service: &Arc<str>,
        address: IpAddr,
        unit: Duration,
        now: Now,
    ) -> Option<Visit> {
        let key = Key { service: service.clone(), address };
        let mut shard = lock(self.shard(&key));
        let counts = shard.enter(&key, now.instant)?;
        let rate = counts.count(Rate::Connection, unit, now);
        let connections = counts.connections;
        let clients = u32::try_from(shard.clients.len() * SHARDS).unwrap_or(u32::MAX);
        drop(shard);
        let mut peaks = lock(&self.peaks);
        peaks.connections.note(connections, &key, now.unix);
        peaks.rates[Rate::Connection as usize].note(rate, &key, now.unix);
        drop(peaks);
        self.note_clients(clients, now);
        Some(Visit { anvil: self.clone(), key, connections, rate })
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.shards[hash as usize % SHARDS]
    }

    /// Looks at all parts only when one of them has become so large that it may be a new peak.
    fn note_clients(&self, estimate: u32, now: Now) {
        if estimate <= lock(&self.peaks).clients.count {
            return;
        }
        let clients = self.clients();
        let mut peaks = lock(&self.peaks);
        if clients > peaks.clients.count {
            peaks.clients = Peak { count: clients, who: String::new(), unix: now.unix };
        }
    }

    fn clients(&self) -> u32 {
        let clients: usize = self.shards.iter().map(|shard| lock(shard).clients.len()).sum();
        u32::try_from(clients).unwrap_or(u32::MAX)
    }

    /// Forgets clients that are gone and whose unit of time is over.
    pub fn forget(&self, unit: Duration, now: Instant) {
        for shard in &self.shards {
            lock(shard).forget(|counts| now.since(counts.since) > unit);
        }
    }

    /// The lines about the peaks since the last call; `time` writes a time of day.
    pub fn statistics(&self, unit: Duration, time: impl Fn(u64) -> String) -> Vec<String> {
        let peaks = std::mem::take(&mut *lock(&self.peaks));
        let mut lines = Vec::new();
        let seconds = unit.as_secs();
        let [connection, others @ ..] = &peaks.rates;
        let rate = |rate: Rate, peak: &Peak| {
            let Peak { count, who, unix } = peak;
            let (name, at) = (rate.name(), time(*unix));
            format!("statistics: max {name} rate {count}/{seconds}s for ({who}) at {at}")
        };
        let seen = |peak: &&Peak| peak.count > 0;
        lines.extend(Some(connection).filter(seen).map(|peak| rate(Rate::Connection, peak)));
        lines.extend(Some(&peaks.connections).filter(seen).map(|Peak { count, who, unix }| {
            format!("statistics: max connection count {count} for ({who}) at {}", time(*unix))
        }));
        for (which, peak) in Rate::ALL[1..].iter().zip(others) {
            lines.extend(Some(peak).filter(seen).map(|peak| rate(*which, peak)));
        }
        lines.extend(Some(&peaks.clients).filter(seen).map(|Peak { count, unix, .. }| {
            format!("statistics: max cache size {count} at {}", time(*unix))
        }));
        lines
    }
}

impl Shard {
    /// Counts a connection, unless there is no room for a stranger.
    fn enter(&mut self, key: &Key, now: Instant) -> Option<&mut Counts> {
        let full = self.clients.len() >= CLIENTS_MAX / SHARDS;
        if full && self.gone > 0 && !self.clients.contains_key(key) {
            self.forget(|_| true);
        }
        let full = self.clients.len() >= CLIENTS_MAX / SHARDS;
        match self.clients.entry(key.clone()) {
            Entry::Vacant(_) if full => None,
            Entry::Vacant(place) => {
                let rates = [0; Rate::ALL.len()];
                Some(place.insert(Counts { connections: 1, since: now, rates }))
            }
            Entry::Occupied(place) => {
                let counts = place.into_mut();
                self.gone -= usize::from(counts.connections == 0);
                counts.connections += 1;
                Some(counts)
            }
        }
    }

    fn leave(&mut self, key: &Key) {
        if let Some(counts) = self.clients.get_mut(key) {
            counts.connections -= 1;
            self.gone += usize::from(counts.connections == 0);
        }
    }

    /// Drops those without a connection for which `is_over` holds.
    fn forget(&mut self, is_over: impl Fn(&Counts) -> bool) {
        let before = self.clients.len();
        self.clients.retain(|_, counts| counts.connections > 0 || !is_over(counts));
        self.gone -= before - self.clients.len();
    }
}

impl Counts {
    fn count(&mut self, rate: Rate, unit: Duration, now: Now) -> u32 {
        if now.instant.since(self.since) > unit {
            self.since = now.instant;
            self.rates = Default::default();
        }
        let count = &mut self.rates[rate as usize];
        *count = count.saturating_add(1);
        *count
    }
}

impl Peak {
    fn note(&mut self, count: u32, who: &Key, unix: u64) {
        if count > self.count {
            *self = Peak { count, who: who.to_string(), unix };
        }
    }
}

impl Visit {
    /// Counts an event: how many there were in this unit of time.
    pub fn count(&self, rate: Rate, unit: Duration, now: Now) -> u32 {
        let mut shard = lock(self.anvil.shard(&self.key));
        let Some(counts) = shard.clients.get_mut(&self.key) else { return 0 };
        let count = counts.count(rate, unit, now);
        drop(shard);
        lock(&self.anvil.peaks).rates[rate as usize].note(count, &self.key, now.unix);
        count
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        lock(self.anvil.shard(&self.key)).leave(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Now {
        Now { instant: Instant(seconds * 1_000_000_000), unix: seconds }
    }

    fn visit(anvil: &Arc<Anvil>, address: &str, seconds: u64) -> Visit {
        let (service, address) = (Arc::from("smtp"), address.parse().unwrap());
        anvil.connect(&service, address, UNIT, at(seconds)).unwrap()
    }

    #[test]
    fn connections_are_counted_while_they_last_and_rates_for_a_unit() {
        let anvil = Arc::new(Anvil::default());
        let first = visit(&anvil, "192.0.2.1", 0);
        let second = visit(&anvil, "192.0.2.1", 1);
        assert_eq!((first.connections, second.connections, second.rate), (1, 2, 2));
        assert_eq!(visit(&anvil, "192.0.2.2", 1).connections, 1);
        drop(first);
        let third = visit(&anvil, "192.0.2.1", 60);
        assert_eq!((third.connections, third.rate), (2, 3));
        assert_eq!(visit(&anvil, "192.0.2.1", 61).rate, 1, "a new unit has begun");
        assert_eq!(third.count(Rate::Message, UNIT, at(61)), 1);
        assert_eq!(third.count(Rate::Message, UNIT, at(62)), 2);
        assert_eq!(third.count(Rate::Recipient, UNIT, at(62)), 1);
    }

    #[test]
    fn all_cores_count_together() {
        let anvil = Arc::new(Anvil::default());
        let visits: Vec<Visit> = std::thread::scope(|scope| {
            let work = |_| scope.spawn(|| (0..250).map(|_| visit(&anvil, "::1", 0)).collect());
            let threads: Vec<_> = (0..4).map(work).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<Visit>>| thread.join();
            threads.into_iter().flat_map(|thread| join(thread).unwrap()).collect()
        });
        assert_eq!(visits.iter().map(|visit| visit.connections).max(), Some(1000));
        drop(visits);
        assert_eq!(visit(&anvil, "::1", 0).connections, 1);
    }

    #[test]
    fn peaks_are_told_once() {
        let anvil = Arc::new(Anvil::default());
        let visits = [visit(&anvil, "192.0.2.1", 5), visit(&anvil, "192.0.2.1", 6)];
        visits[0].count(Rate::Message, UNIT, at(7));
        let told = anvil.statistics(UNIT, |unix| format!("t{unix}"));
        let expected = [
            "statistics: max connection rate 2/60s for (smtp:192.0.2.1) at t6",
            "statistics: max connection count 2 for (smtp:192.0.2.1) at t6",
            "statistics: max message rate 1/60s for (smtp:192.0.2.1) at t7",
            "statistics: max cache size 1 at t5",
        ];
        assert_eq!(told, expected);
        assert!(anvil.statistics(UNIT, |_| String::new()).is_empty());
    }

    #[test]
    fn who_is_gone_is_forgotten_after_a_unit() {
        let anvil = Arc::new(Anvil::default());
        let stays = visit(&anvil, "192.0.2.1", 0);
        drop(visit(&anvil, "192.0.2.2", 0));
        anvil.forget(UNIT, at(60).instant);
        assert_eq!(anvil.clients(), 2);
        anvil.forget(UNIT, at(61).instant);
        assert_eq!(anvil.clients(), 1);
        drop(stays);
    }

    #[test]
    fn a_full_table_forgets_who_is_gone_and_then_counts_no_stranger() {
        let anvil = Arc::new(Anvil::default());
        let service = Arc::from("smtp");
        let connect = |number: u32| {
            let address = IpAddr::from(number.to_be_bytes());
            anvil.connect(&service, address, UNIT, at(0))
        };
        let kept: Vec<Option<Visit>> = (0..2 * CLIENTS_MAX as u32).map(connect).collect();
        let counted = kept.iter().filter(|visit| visit.is_some()).count();
        assert!(counted <= CLIENTS_MAX && counted > CLIENTS_MAX / 2, "{counted}");
        drop(kept);
        assert!((0..1000).all(|number| connect(number).is_some()));
    }
}
