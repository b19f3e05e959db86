//! Tables by their names, `type:name`.

use std::fmt;

use super::Run;
use super::store;
use crate::program::Exit;
use master::Fatal;
use tables::Table;
use tables::constant::ConstantDb;

/// What the type of a table means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file that these commands make.
    Database,
    /// No such type.
    Unknown,
}

/// A table of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Its type.
    pub(super) kind: String,
    /// What the type makes of it, mostly a path.
    pub(super) path: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path)
    }
}

impl Name {
    /// A table to be made, of the default type if none is named.
    pub(super) fn of_source(text: &str, default: &str) -> Self {
        let (kind, path) = text.split_once(':').unwrap_or((default, text));
        Self { kind: kind.to_owned(), path: path.to_owned() }
    }

    /// A table to be used.
    pub(super) fn of_table(text: &str, default: &str) -> Result<Self, Fatal> {
        let out = Self::of_source(text, default);
        if out.kind.is_empty() || out.path.is_empty() {
            let form = "expecting \"type:name\" form instead of";
            return Err(Fatal(format!("open dictionary: {form} \"{text}\"")));
        }
        Ok(out)
    }

    /// What its type means.
    pub(super) fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "hash" | "btree" => Kind::Database,
            _ => Kind::Unknown,
        }
    }

    /// Why it cannot be made.
    pub(super) fn cannot_be_built(&self) -> String {
        let kind = &self.kind;
        let what = format!("unsupported dictionary type: {kind}");
        format!("{what}. Is the postfix-{kind} package installed?")
    }
}

/// A table that answers.
pub(super) struct Opened {
    /// Its name.
    pub(super) name: Name,
    contents: Contents,
}

enum Contents {
    Database(ConstantDb<Vec<u8>>),
}

impl Opened {
    /// Opens a table.
    pub(super) fn open(_run: &Run<'_>, name: Name) -> Result<Self, Exit> {
        let contents = match name.kind() {
            Kind::Database => Contents::Database(store::open(&name.path)?),
            Kind::Unknown => {
                let text = format!("unsupported dictionary type: {}", name.kind);
                return Err(Exit::new(1, text));
            }
        };
        Ok(Self { name, contents })
    }

    /// It, for lookups.
    pub(super) fn table(&self) -> &dyn Table {
        match &self.contents {
            Contents::Database(db) => db,
        }
    }

    /// All it has, if it can tell.
    pub(super) fn entries(&self) -> Option<Box<dyn Iterator<Item = (&[u8], &[u8])> + '_>> {
        match &self.contents {
            Contents::Database(db) => Some(Box::new(db.iter())),
        }
    }
}
