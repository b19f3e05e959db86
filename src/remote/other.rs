//! Tables that a table of this crate asks itself: in `domain`, and memcache's `backup`.
//!
//! Another table of this crate is asked on the same loop. Combined tables (`unionmap:` and the
//! like) may not have such members here: they would block the loop.
//!
//! **Diagnostics**: [`BadTable`] as [`tables::catalog`] words it.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::pin::Pin;

use tables::Lookup;
use tables::catalog::{BadTable, Catalog, Name, Opened, Parameters, REMOTE, SharedTable, System};
use tables::fold::Folding;

use crate::cf::{Setting, reason};
use crate::{Answer, Client};

enum Table {
    Here(Box<Opened>),
    Behind(Box<Client>),
}

/// A table by its name.
pub(crate) struct Other {
    name: Name,
    table: Table,
}

impl Other {
    /// Opens `type:name`.
    pub fn open(text: &str, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let name = Name::of_table(text, "hash")?;
        // This process reads it with its own rights, so nobody's list of tables is asked.
        let inner = match name.kind.as_str() {
            "proxy" => Name::of_table(&name.path, "hash")?,
            _ => name.clone(),
        };
        let table = if REMOTE.contains(&inner.kind.as_str()) {
            Table::Behind(Box::new(Client::open_in(&inner, setting)?))
        } else {
            Table::Here(Box::new(open_here(inner, setting)?))
        };
        Ok(Self { name, table })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Asks it. A table behind a server may ask others in turn, so the future is on the heap.
    pub fn lookup<'a>(
        &'a self,
        key: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
        match &self.table {
            Table::Behind(client) => Box::pin(client.lookup(key)),
            Table::Here(opened) => {
                let answer = match opened.table().lookup(key) {
                    Lookup::Found(value) => Answer::Found(value.into_owned()),
                    Lookup::NotFound => Answer::NotFound,
                    Lookup::Retry(why) => Answer::Retry(why.into_owned()),
                };
                Box::pin(std::future::ready(answer))
            }
        }
    }
}

fn open_here(name: Name, setting: &Setting<'_>) -> Result<Opened, BadTable> {
    let catalog = Catalog {
        system: System { read, stamp: |_| None, variable, random, remote: not_within },
        folding: Folding::Utf8,
        utf8: true,
        default_type: "hash",
        proxied: &[],
        sensitive: false,
        verbatim: false,
        parameters: setting.main_cf,
        warn: &|text| (setting.warn)(&text),
        reads: &|_| {},
    };
    catalog.open(name)
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| reason(&error))
}

fn variable(name: &[u8]) -> Option<Vec<u8>> {
    std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn not_within(name: &Name, _: Parameters<'_>) -> Result<SharedTable, BadTable> {
    Err(BadTable(format!("table {name} cannot be a member of a combined table here")))
}
