//! One table behind a server, of any type.
//!
//! Called by the engine, and by [`crate::Blocking`] for commands.
//!
//! **Diagnostics**: [`BadTable`] at open, [`Answer::Retry`] at lookup.
//! **Limits**: [`LOOKUP_LIMIT`], within which the types have their own.

use std::fmt;
use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tokio::time::timeout;

use crate::Answer;
use crate::cf::{Setting, silent};
#[cfg(feature = "ldap")]
use crate::ldap::Ldap;
use crate::memcache::Memcache;
#[cfg(feature = "mysql")]
use crate::mysql::Mysql;
#[cfg(feature = "pgsql")]
use crate::pgsql::Pgsql;
#[cfg(feature = "redis")]
use crate::redis::Redis;
use crate::socketmap::Socketmap;
#[cfg(feature = "sqlite")]
use crate::sqlite::Sqlite;
use crate::tcp::Tcp;

/// One lookup of any type, with everything that is tried again.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(120);
/// How long an answer of a database may be kept by who asked.
pub const KEEP: Duration = Duration::from_secs(5);

/// A table behind a server: opened from its name, connects when first asked.
pub struct Client {
    name: Name,
    table: Table,
}

enum Table {
    Tcp(Tcp),
    Socketmap(Socketmap),
    Memcache(Box<Memcache>),
    #[cfg(feature = "mysql")]
    Mysql(Box<Mysql>),
    #[cfg(feature = "pgsql")]
    Pgsql(Box<Pgsql>),
    #[cfg(feature = "sqlite")]
    Sqlite(Box<Sqlite>),
    #[cfg(feature = "ldap")]
    Ldap(Box<Ldap>),
    #[cfg(feature = "redis")]
    Redis(Box<Redis>),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client {}", self.name)
    }
}

impl Client {
    /// Reads its configuration; no network. Nobody hears warnings, and main.cf is empty.
    ///
    /// # Errors
    /// As Postfix words them after `fatal: `.
    pub fn open(name: &Name) -> Result<Self, BadTable> {
        Self::open_in(name, &silent())
    }

    /// Reads its configuration; no network.
    ///
    /// # Errors
    /// As Postfix words them after `fatal: `.
    pub fn open_in(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let table = match name.kind.as_str() {
            "tcp" => Table::Tcp(Tcp::open(name, setting)?),
            "socketmap" => Table::Socketmap(Socketmap::open(name, setting)?),
            "memcache" => Table::Memcache(Box::new(Memcache::open(name, setting)?)),
            #[cfg(feature = "mysql")]
            "mysql" => Table::Mysql(Box::new(Mysql::open(name, setting)?)),
            #[cfg(feature = "pgsql")]
            "pgsql" => Table::Pgsql(Box::new(Pgsql::open(name, setting)?)),
            #[cfg(feature = "sqlite")]
            "sqlite" => Table::Sqlite(Box::new(Sqlite::open(name, setting)?)),
            #[cfg(feature = "ldap")]
            "ldap" => Table::Ldap(Box::new(Ldap::open(name, setting)?)),
            #[cfg(feature = "redis")]
            "redis" => Table::Redis(Box::new(Redis::open(name, setting)?)),
            kind => return Err(BadTable(format!("unsupported dictionary type: {kind}"))),
        };
        Ok(Self { name: name.clone(), table })
    }

    /// Asks; never longer than [`LOOKUP_LIMIT`], mostly less: each type has limits of its own.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        let late = |_| Answer::Retry(format!("{}: time limit exceeded", self.name));
        timeout(LOOKUP_LIMIT, self.ask(key)).await.unwrap_or_else(late)
    }

    async fn ask(&self, key: &[u8]) -> Answer {
        match &self.table {
            Table::Tcp(table) => table.lookup(key).await,
            Table::Socketmap(table) => table.lookup(key).await,
            Table::Memcache(table) => table.lookup(key).await,
            #[cfg(feature = "mysql")]
            Table::Mysql(table) => table.lookup(key).await,
            #[cfg(feature = "pgsql")]
            Table::Pgsql(table) => table.lookup(key).await,
            #[cfg(feature = "sqlite")]
            Table::Sqlite(table) => table.lookup(key).await,
            #[cfg(feature = "ldap")]
            Table::Ldap(table) => table.lookup(key).await,
            #[cfg(feature = "redis")]
            Table::Redis(table) => table.lookup(key).await,
        }
    }

    /// How long an answer may be kept by who asked. Zero for `tcp:`, `socketmap:` and `memcache:`:
    /// they answer anew for each question (rate limits, greylists, caches of their own).
    pub fn keep(&self) -> Duration {
        match &self.table {
            Table::Tcp(_) | Table::Socketmap(_) | Table::Memcache(_) => Duration::ZERO,
            #[cfg(feature = "mysql")]
            Table::Mysql(_) => KEEP,
            #[cfg(feature = "pgsql")]
            Table::Pgsql(_) => KEEP,
            #[cfg(feature = "sqlite")]
            Table::Sqlite(_) => KEEP,
            #[cfg(feature = "ldap")]
            Table::Ldap(_) => KEEP,
            #[cfg(feature = "redis")]
            Table::Redis(_) => KEEP,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }
}

#[cfg(test)]
mod tests;
