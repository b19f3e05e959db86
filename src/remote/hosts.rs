//! Several servers with the same data: which is asked, and which is left alone for a while.
//!
//! | host | is tried |
//! | --- | --- |
//! | has an idle connection | first |
//! | not tried yet, or up when last tried | then |
//! | cannot be connected | not for [`AVOID`] |
//!
//! Within each, UNIX-domain sockets come before TCP, and the order is random. A connection that
//! died while it was idle is made again once, at the same host. A query that is refused is tried
//! at the next host.
//!
//! **Diagnostics**: the last failure is the answer's, those before it are warnings.
//! **Limits**: [`AVOID`], [`CONNECT_LIMIT`], [`LOOKUP_LIMIT`], and [`crate::pool::CONNECTIONS_MAX`]
//! lookups at a time.
//! **Standards**: "hosts" in mysql_table(5), pgsql_table(5).

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::Answer;
use crate::pool::{Idle, Turns};
use crate::shape::Shape;

/// How long a host that cannot be connected is left alone.
pub const AVOID: Duration = Duration::from_secs(60);
/// To connect to one host and log in.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For one lookup at all hosts, with waiting for a turn.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(60);

/// What a query has: the columns of the rows, one after the other; NULL is nothing.
pub(crate) type Values = Vec<Option<Vec<u8>>>;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection is of no use.
    Lost(String),
    /// The server's word on the query.
    Refused(String),
}

/// How one kind of server is talked to.
pub(crate) trait Protocol: Send + Sync {
    /// A connection, logged in.
    type Connection: Send;

    /// Connects to a host, as the configuration writes it; why not, in Postfix's words.
    fn connect(&self, host: &str) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Asks one query for `key`.
    fn ask(
        &self,
        host: &str,
        connection: &mut Self::Connection,
        key: &[u8],
    ) -> impl Future<Output = Result<Values, Failure>> + Send;
}

struct Host<C> {
    text: String,
    idle: Idle<C>,
    /// Since when, and why.
    down: Mutex<Option<(Instant, String)>>,
}

impl<C> Host<C> {
    fn down(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it is left alone now.
    fn avoided(&self) -> Option<String> {
        let down = self.down();
        down.as_ref().filter(|(since, _)| since.elapsed() < AVOID).map(|(_, why)| why.clone())
    }

    fn is_unix(&self) -> bool {
        self.text.starts_with("unix:") || self.text.starts_with('/')
    }
}

/// The servers of one table.
pub(crate) struct Hosts<P: Protocol> {
    protocol: P,
    hosts: Vec<Host<P::Connection>>,
    turns: Turns,
}

impl<P: Protocol> Hosts<P> {
    /// None is connected.
    pub fn new(protocol: P, hosts: Vec<String>) -> Self {
        let host = |text| Host { text, idle: Idle::new(), down: Mutex::new(None) };
        Self { protocol, hosts: hosts.into_iter().map(host).collect(), turns: Turns::new() }
    }

    /// The answer for `key` of a table of this shape.
    pub async fn lookup(&self, shape: &Shape, key: &[u8]) -> Answer {
        if let Err(answer) = shape.admit(key).await {
            return answer;
        }
        match self.ask(key, &|text| shape.warn(text)).await {
            Ok(values) => shape.answer(key, values),
            Err(why) => Answer::Retry(why),
        }
    }

    /// Asks the first that answers; `warn` hears about those before it.
    pub async fn ask(&self, key: &[u8], warn: &(dyn Fn(&str) + Sync)) -> Result<Values, String> {
        let asked = timeout(LOOKUP_LIMIT, async {
            let _turn = self.turns.take().await;
            self.ask_in_order(key, warn).await
        });
        asked.await.unwrap_or_else(|_| Err("time limit exceeded".to_owned()))
    }

    async fn ask_in_order(
        &self,
        key: &[u8],
        warn: &(dyn Fn(&str) + Sync),
    ) -> Result<Values, String> {
        let order = self.order();
        let mut last: Option<String> = None;
        for host in order {
            match self.ask_one(host, key).await {
                Ok(values) => {
                    last.iter().for_each(|why| warn(why));
                    return Ok(values);
                }
                Err(why) => last.replace(why).iter().for_each(|why| warn(why)),
            }
        }
        let avoided = || self.hosts.iter().find_map(Host::avoided);
        Err(last.or_else(avoided).unwrap_or_else(|| "no hosts".to_owned()))
    }

    /// The hosts that are not left alone.
    fn order(&self) -> Vec<&Host<P::Connection>> {
        let random = RandomState::new();
        let mut out: Vec<_> = self.hosts.iter().filter(|host| host.avoided().is_none()).collect();
        out.sort_by_cached_key(|host| {
            (host.idle.is_empty(), !host.is_unix(), random.hash_one(&host.text))
        });
        out
    }

    async fn ask_one(&self, host: &Host<P::Connection>, key: &[u8]) -> Result<Values, String> {
        if let Some(mut connection) = host.idle.take() {
            match self.protocol.ask(&host.text, &mut connection, key).await {
                Err(Failure::Lost(_)) => host.idle.clear(),
                asked => return keep(host, connection, asked),
            }
        }
        let connected = timeout(CONNECT_LIMIT, self.protocol.connect(&host.text)).await;
        let late = || format!("connect to server {}: Connection timed out", host.text);
        let mut connection = connected
            .unwrap_or_else(|_| Err(late()))
            .inspect_err(|why| *host.down() = Some((Instant::now(), why.clone())))?;
        *host.down() = None;
        let asked = self.protocol.ask(&host.text, &mut connection, key).await;
        keep(host, connection, asked)
    }
}

fn keep<C>(
    host: &Host<C>,
    connection: C,
    asked: Result<Values, Failure>,
) -> Result<Values, String> {
    match asked {
        Ok(values) => {
            host.idle.put(connection);
            Ok(values)
        }
        Err(Failure::Refused(why)) => {
            host.idle.put(connection);
            Err(why)
        }
        Err(Failure::Lost(why)) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Hosts that are called by what they do.
    #[derive(Default)]
    struct Script {
        connects: AtomicUsize,
    }

    impl Protocol for Arc<Script> {
        /// How many questions it has had.
        type Connection = usize;

        async fn connect(&self, host: &str) -> Result<usize, String> {
            self.connects.fetch_add(1, Relaxed);
            if host.contains("closed") { Err(format!("connect to {host}: no")) } else { Ok(0) }
        }

        async fn ask(&self, host: &str, asked: &mut usize, _: &[u8]) -> Result<Values, Failure> {
            *asked += 1;
            match host {
                "refuses" => Err(Failure::Refused("refused".into())),
                "once" if *asked > 1 => Err(Failure::Lost("gone".into())),
                "never" => Err(Failure::Lost("gone".into())),
                host => Ok(vec![Some(host.into())]),
            }
        }
    }

    fn hosts(names: &[&str]) -> (Hosts<Arc<Script>>, Arc<Script>) {
        let script = Arc::new(Script::default());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        (Hosts::new(script.clone(), names), script)
    }

    async fn ask(hosts: &Hosts<Arc<Script>>) -> (Result<Values, String>, Vec<String>) {
        let heard = Mutex::new(Vec::new());
        let warn = |text: &str| heard.lock().unwrap().push(text.to_owned());
        let answer = hosts.ask(b"k", &warn).await;
        (answer, heard.into_inner().unwrap())
    }

    #[tokio::test]
    async fn sockets_come_first_and_what_is_down_is_left_alone() {
        let (hosts, script) = hosts(&["up", "unix:/closed"]);
        let up = Ok(vec![Some(b"up".to_vec())]);
        let warning = vec!["connect to unix:/closed: no".to_owned()];
        assert_eq!(ask(&hosts).await, (up.clone(), warning));
        assert_eq!(ask(&hosts).await, (up, vec![]));
        assert_eq!(script.connects.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn where_all_are_down_the_reason_is_remembered() {
        let (hosts, script) = hosts(&["closed"]);
        let down = (Err("connect to closed: no".to_owned()), vec![]);
        assert_eq!(ask(&hosts).await, down);
        assert_eq!(ask(&hosts).await, down);
        assert_eq!(script.connects.load(Relaxed), 1);
        *hosts.hosts[0].down() = Some((Instant::now() - AVOID, "old".into()));
        assert_eq!(ask(&hosts).await, down);
        assert_eq!(script.connects.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_dead_connection_is_made_again_once() {
        let (hosts, script) = hosts(&["once"]);
        for _ in 0..3 {
            assert!(ask(&hosts).await.0.is_ok());
        }
        assert_eq!(script.connects.load(Relaxed), 3);
        let (hosts, script) = super::tests::hosts(&["never"]);
        assert_eq!(ask(&hosts).await, (Err("gone".into()), vec![]));
        assert_eq!(script.connects.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_refused_query_goes_to_the_next_host_and_leaves_the_connection() {
        let (hosts, script) = hosts(&["refuses"]);
        assert_eq!(ask(&hosts).await, (Err("refused".into()), vec![]));
        assert_eq!(ask(&hosts).await, (Err("refused".into()), vec![]));
        assert_eq!(script.connects.load(Relaxed), 1);
    }
}
