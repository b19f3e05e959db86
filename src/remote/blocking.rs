//! Tables behind servers for commands, which wait for each answer.
//!
//! postmap(1), postalias(1) and `ringpost explain` hand [`blocking`] to `tables::catalog::System`.
//! Not for code that runs on a loop itself: waiting there would stop it.
//!
//! **Diagnostics**: as [`Client`]; a loop that cannot be made is [`BadTable`].

use std::fmt;

use tables::catalog::{BadTable, Name, Parameters, SharedTable};
use tables::{Lookup, Table};
use tokio::runtime::{Builder, Runtime};

use crate::cf::{Setting, Warn, reason, silent};
use crate::{Answer, Client};

/// A table that is waited for.
pub struct Blocking {
    client: Client,
    runtime: Runtime,
    /// Takes why an answer cannot be given, if somebody listens.
    warn: Option<Warn>,
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blocking {}", self.client.name())
    }
}

impl Table for Blocking {
    /// To retry with Postfix's warning; where that has been said, with what Postfix says after it.
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        match (self.runtime.block_on(self.client.lookup(key)), &self.warn) {
            (Answer::Found(value), _) => Lookup::Found(value.into()),
            (Answer::NotFound, _) => Lookup::NotFound,
            (Answer::Retry(why), None) => Lookup::Retry(why.into()),
            (Answer::Retry(why), Some(warn)) => {
                warn(&why);
                Lookup::Retry("Application error".into())
            }
        }
    }
}

fn open(name: &Name, setting: &Setting<'_>, warn: Option<Warn>) -> Result<SharedTable, BadTable> {
    let client = Client::open_in(name, setting)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BadTable(format!("open {name}: {}", reason(&error))))?;
    Ok(Box::new(Blocking { client, runtime, warn }))
}

/// Opens a table to be waited for; why it cannot answer is in its answers, other warnings are lost.
///
/// # Errors
/// As [`Client::open`].
pub fn blocking(name: &Name, main_cf: Parameters<'_>) -> Result<SharedTable, BadTable> {
    open(name, &Setting { main_cf, ..silent() }, None)
}

/// Opens a table to be waited for, whose warnings are all heard.
///
/// # Errors
/// As [`Client::open_in`].
pub fn blocking_in(name: &Name, setting: &Setting<'_>) -> Result<SharedTable, BadTable> {
    open(name, setting, Some(setting.warn.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, name};

    #[test]
    fn a_failure_is_told_once() {
        let name = name("socketmap", "unix:/none/socket:map");
        let why = "table socketmap:unix:/none/socket:map lookup error: No such file or directory";
        assert_eq!(blocking(&name, &|_| None).unwrap().lookup(b"k"), Lookup::Retry(why.into()));
        let heard = Heard::default();
        let table = blocking_in(&name, &heard.setting()).unwrap();
        assert_eq!(table.lookup(b"k"), Lookup::Retry("Application error".into()));
        assert_eq!(heard.all(), ["connect to /none/socket: No such file or directory", why]);
    }
}
