//! `ldap:`.
//!
//! The search is made under `search_base` with `query_filter`; `ldap/attributes.rs` says which
//! attributes of what was found are values, and which name entries to look up in turn. Servers are
//! tried in the order they are written in.
//!
//! Binds are simple or none; SASL is not there. The protocol is version 3, also where version 2 is
//! asked for, and referrals are not followed.
//!
//! **Diagnostics**: a mistake of the file, and SASL, at open. Failures of servers
//! in Postfix's words, with OpenLDAP's result codes and texts.
//! **Limits**: `timeout` for each step, [`LOOKUP_LIMIT`] for all, [`SEARCHES_MAX`],
//! `recursion_limit`, `expansion_limit`, `size_limit`.
//! **Standards**: ldap_table(5); RFC 4511, RFC 4515, RFC 4514, RFC 4516.

mod attributes;
mod server;
mod url;

use std::time::Duration;

use tables::catalog::{BadTable, Name};
use tokio::time::timeout;

use crate::Answer;
use crate::cf::{Cf, Setting};
use crate::pool::Turns;
use crate::quote;
use crate::shape::{self, Gathering, Shape};
use crate::template::Template;
use attributes::{Attributes, Task};
use server::{Failure, NO_SUCH_OBJECT, Search, Server, meaning};
use url::SearchUrl;

/// One lookup, with all its searches.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(120);
/// Searches of one lookup; a group that leads to more is a mistake.
pub const SEARCHES_MAX: usize = 10_000;

/// A table.
pub(crate) struct Ldap {
    shape: Shape,
    base: Template,
    filter: Template,
    scope: ldap3::Scope,
    attributes: Attributes,
    recursion_limit: usize,
    server: Server,
    turns: Turns,
}

impl Ldap {
    /// Reads the file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let path = cf.name.path.clone();
        let warn = |text: &str| (cf.warn())(&format!("dict_ldap_open: {path}{text}"));
        for old in ["cache", "cache_expiry", "cache_size"] {
            if cf.get(old).is_some() {
                warn(&format!(" ignoring {old}"));
            }
        }
        let server = Server::read(&cf, &warn)?;
        let scope = scope(&cf.text("scope", "sub"), &warn);
        let base = shape::query(&cf, &cf.text("search_base", ""))?;
        let filter = cf.text("query_filter", "mailacceptinggeneralid=%s");
        if shape::query(&cf, &filter)?.is_fixed() {
            warn(&format!(": Fixed query_filter {filter} is probably useless"));
        }
        let filter = shape::query(&cf, &in_parentheses(&filter))?;
        let result = cf.text("result_format", &cf.text("result_filter", "%s"));
        let recursion_limit = cf.number("recursion_limit", 1000, 1)?;
        Ok(Self {
            shape: Shape::read(&cf, &[&base, &filter], &result)?,
            base,
            filter,
            scope,
            attributes: Attributes::read(&cf),
            recursion_limit: usize::try_from(recursion_limit).unwrap_or(1),
            server,
            turns: Turns::new(),
        })
    }

    /// Asks. A key that is not UTF-8 is in no directory.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        if std::str::from_utf8(key).is_err() {
            return Answer::NotFound;
        }
        if let Err(answer) = self.shape.admit(key).await {
            return answer;
        }
        let found = timeout(LOOKUP_LIMIT, async {
            let _turn = self.turns.take().await;
            self.find(key).await
        });
        let late = || Err("dict_ldap_lookup: Search error -5: Timed out".to_owned());
        found.await.unwrap_or_else(|_| late()).unwrap_or_else(Answer::Retry)
    }

    async fn find(&self, key: &[u8]) -> Result<Answer, String> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let search = Search {
            base: text(self.base.fill(key, b"", &quote::ldap_name)),
            scope: self.scope,
            filter: text(self.filter.fill(key, b"", &quote::ldap_filter)),
            attributes: self.attributes.all(),
        };
        match self.server.search(&search).await {
            Ok(entries) => self.follow(key, self.attributes.tasks(entries, 1)).await,
            Err(Failure::Result(NO_SUCH_OBJECT)) if !self.base.is_fixed() => Ok(Answer::NotFound),
            Err(Failure::Result(code @ NO_SUCH_OBJECT)) => {
                let (path, base, what) = (self.shape.path(), &search.base, meaning(code));
                let base = format!("Search base '{base}' not found");
                Err(format!("dict_ldap_lookup: {path}: {base}: {code}: {what}"))
            }
            Err(Failure::Result(code)) => {
                Err(format!("dict_ldap_lookup: Search error {code}: {} ", meaning(code)))
            }
            Err(Failure::Server(why)) => Err(why),
        }
    }

    /// Takes values, and looks up what others name, depth first.
    async fn follow(&self, key: &[u8], mut tasks: Vec<Task>) -> Result<Answer, String> {
        let mut gathering = Gathering::new(&self.shape, key);
        let mut searches = 1;
        // The first task is the last of the stack.
        tasks.reverse();
        while let Some(task) = tasks.pop() {
            match task {
                Task::Value { value, depth } => {
                    gathering.depth = depth;
                    gathering.add(&value)?;
                }
                Task::Special { attribute, value, depth } => {
                    searches += 1;
                    if depth >= self.recursion_limit || searches > SEARCHES_MAX {
                        let path = self.shape.path();
                        let at = format!("special attribute {attribute}={value}");
                        let what = format!("{path}: Recursion limit exceeded for {at}");
                        return Err(format!("dict_ldap_get_values[{depth}]: {what}"));
                    }
                    tasks.extend(self.named(&value, depth).await?.into_iter().rev());
                }
            }
        }
        Ok(gathering.end())
    }

    /// What a distinguished name or a URL leads to.
    async fn named(&self, value: &str, depth: usize) -> Result<Vec<Task>, String> {
        let at = format!("dict_ldap_get_values[{depth}]");
        let search = match SearchUrl::parse(value) {
            Some(url) => {
                let attributes = self.attributes.asked_by(&url.attributes);
                if attributes.is_empty() {
                    self.shape.warn(&format!("{at}: no result attributes in URL {value}"));
                    return Ok(Vec::new());
                }
                Search { base: url.base, scope: url.scope, filter: url.filter, attributes }
            }
            None => Search {
                base: value.to_owned(),
                scope: ldap3::Scope::Base,
                filter: "(objectClass=*)".to_owned(),
                attributes: self.attributes.all(),
            },
        };
        match self.server.search(&search).await {
            Ok(entries) => Ok(self.attributes.tasks(entries, depth + 1)),
            Err(Failure::Result(NO_SUCH_OBJECT)) => {
                self.shape.warn(&format!("{at}: DN {value} not found, skipping "));
                Ok(Vec::new())
            }
            Err(Failure::Result(code)) => {
                Err(format!("{at}: search error {code}: {} ", meaning(code)))
            }
            Err(Failure::Server(why)) => Err(why),
        }
    }
}

fn scope(text: &str, warn: &dyn Fn(&str)) -> ldap3::Scope {
    match text.to_ascii_lowercase().as_str() {
        "base" => ldap3::Scope::Base,
        "one" => ldap3::Scope::OneLevel,
        "sub" => ldap3::Scope::Subtree,
        _ => {
            warn(&format!(": Unrecognized value {text} specified for scope; using sub"));
            ldap3::Scope::Subtree
        }
    }
}

/// A filter may be written without its outer parentheses.
fn in_parentheses(filter: &str) -> String {
    if filter.starts_with('(') { filter.to_owned() } else { format!("({filter})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, cf_file, open, refused};

    #[test]
    fn mistakes_are_told_as_postfix_tells_them() {
        for (text, what) in [
            ("bind = maybe\n", "unsupported parameter value: bind = maybe".to_owned()),
            ("bind = sasl\n", "unsupported parameter value: bind = sasl".to_owned()),
            ("recursion_limit = 0\n", "invalid recursion_limit parameter value 0 < 1".to_owned()),
            (
                "start_tls = yes\ntls_ca_cert_file = /none\ntls_require_cert = yes\n",
                "open /none: No such file or directory".to_owned(),
            ),
            (
                "server_host = ldaps://h\ntls_cipher_suite = HIGH\n",
                "unsupported parameter value: tls_cipher_suite = HIGH".to_owned(),
            ),
            (
                "server_host = ldaps://h\ntls_key = /k\n",
                "tls_cert and tls_key belong together".to_owned(),
            ),
            ("server_host = http://h\n", "http://h: not an LDAP URL".to_owned()),
        ] {
            assert_eq!(refused("ldap", text), format!("FILE: {what}"), "{text}");
        }
        let bad = refused("ldap", "query_filter = %x\n");
        assert_eq!(bad, "db_common_parse: FILE: Invalid query template: %x");
    }

    #[test]
    fn oddities_are_warned_about() {
        let text = "scope = bad\nversion = 4\ncache = yes\ndereference = 9\nquery_filter = a=b\n";
        let (_, file, heard) = open("ldap", text);
        let expected = [
            " ignoring cache",
            " Unknown version 4, using 3.",
            " Unrecognized value 9 specified for dereference; using 0",
            ": Unrecognized value bad specified for scope; using sub",
            ": Fixed query_filter a=b is probably useless",
        ];
        let path = &file.path;
        assert_eq!(heard.all(), expected.map(|what| format!("dict_ldap_open: {path}{what}")));
        assert_eq!(in_parentheses("(a=b)"), "(a=b)");
    }

    #[tokio::test]
    async fn nobody_there_is_a_temporary_failure() {
        let file = cf_file("server_host = 127.0.0.1\nserver_port = 1\nsearch_base = dc=x\n");
        let name = crate::testing::name("ldap", &file.path);
        let table = Ldap::open(&name, &Heard::default().setting()).unwrap();
        let why = "dict_ldap_connect: Unable to bind to server ldap://127.0.0.1:1 with dn empty or \
            implicit: -1 (Can't contact LDAP server)";
        assert_eq!(table.lookup(b"k").await, Answer::Retry(why.into()));
        assert_eq!(table.lookup(b"\xff").await, Answer::NotFound);
    }
}
