//! Parameters that belong to a table behind a server: `name_hosts` where some value has
//! `mysql:name`, `hosts` in the file where it has `mysql:/file`.
//!
//! **Standards**: mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5),
//! memcache_table(5): a table whose name is no file has its parameters in main.cf.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::line::is_space;
use crate::master_cf::{BadEntry, within_braces, words};

/// What tables of all these types have.
const COMMON: &[&str] = &["domain"];
/// What those have whose answers are texts of several columns or attributes.
const FORMATTED: &[&str] = &["expansion_limit", "result_format"];
/// What tables of SQL databases have.
const SQL: &[&str] = &["additional_conditions", "query", "select_field", "table", "where_field"];
/// What those have that are behind a server.
const SERVER: &[&str] = &["dbname", "hosts", "password", "user"];

/// Types, each with what only its tables have.
const TYPES: &[(&str, &[&str])] = &[
    (
        "ldap",
        &[
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "chase_referrals",
            "debuglevel",
            "dereference",
            "leaf_result_attribute",
            "query_filter",
            "recursion_limit",
            "result_attribute",
            "result_filter",
            "scope",
            "search_base",
            "server_host",
            "server_port",
            "size_limit",
            "special_result_attribute",
            "start_tls",
            "terminal_result_attribute",
            "timeout",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_cipher_suite",
            "tls_key",
            "tls_random_file",
            "tls_require_cert",
            "version",
        ],
    ),
    (
        "memcache",
        &[
            "backup",
            "data_size_limit",
            // Postfix has it for all types but this one.
            "expansion_limit",
            "flags",
            "key_format",
            "line_size_limit",
            "max_try",
            "memcache",
            "retry_pause",
            "timeout",
            "ttl",
        ],
    ),
    (
        "mysql",
        &[
            "charset",
            "option_file",
            "option_group",
            "require_result_set",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_ciphers",
            "tls_key_file",
            "tls_verify_cert",
        ],
    ),
    ("pgsql", &["select_function"]),
    ("redis", &["database", "field", "hosts", "key", "password", "username"]),
    ("sqlite", &["dbpath"]),
];

/// What several types have, and which.
const SHARED: [(&[&str], &[&str]); 3] = [
    (FORMATTED, &["ldap", "mysql", "pgsql", "redis", "sqlite"]),
    (SQL, &["mysql", "pgsql", "sqlite"]),
    (SERVER, &["mysql", "pgsql"]),
];

/// A table that a value names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// Its type.
    pub kind: String,
    /// The file of its parameters, or their prefix in main.cf.
    pub name: String,
}

impl Table {
    /// Whether its parameters are in a file.
    pub fn has_file(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// The tables of these types that `value` names. One whose name starts with a dot is passed over,
/// as nobody knows what directory is meant.
pub(super) fn tables(value: &str) -> impl Iterator<Item = Table> {
    let words = value.split([',', ' ', '\t', '{', '}']);
    words.filter_map(|word| {
        let word = word.strip_prefix("proxy:").unwrap_or(word);
        let (kind, name) = word.split_once(':')?;
        let known = TYPES.iter().any(|(known, _)| *known == kind);
        let found = known && !name.is_empty() && !name.starts_with('.');
        found.then(|| Table { kind: kind.to_string(), name: name.to_string() })
    })
}

/// What is wrong with words in braces, at any depth.
pub(super) fn bad_braces(value: &str) -> Vec<BadEntry> {
    let mut out = Vec::new();
    for word in words(value, |byte| byte == b',' || is_space(byte)) {
        let word = word.strip_prefix("proxy:").unwrap_or(word);
        // The name of a table may be in braces.
        let name = word.split_once(':').map_or("", |(_, name)| name);
        let word = if word.starts_with('{') { word } else { name };
        if word.starts_with('{') {
            let (inner, wrong) = within_braces(word);
            out.extend(wrong);
            out.append(&mut bad_braces(inner));
        }
    }
    out
}

/// The parameters that a table of type `kind` has in its file; the crate that reads them holds
/// this list to what it asks for.
pub fn parameters(kind: &str) -> impl Iterator<Item = &'static str> + '_ {
    let own = TYPES.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, own)| *own);
    let shared = SHARED.iter().filter(move |(_, kinds)| kinds.contains(&kind));
    let shared = shared.flat_map(|(parameters, _)| *parameters);
    COMMON.iter().chain(shared).chain(own).copied()
}

/// The same as a table without a file has them in main.cf.
pub fn prefixed_parameters(kind: &str, name: &str) -> impl Iterator<Item = String> {
    parameters(kind).map(move |suffix| alloc::format!("{name}_{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_parameters_in_main_cf_or_in_a_file() {
        let value = "hash:/a, proxy:mysql:ours ldap:/etc/x.cf,unionmap:{sqlite:db,static:a} \
                     ldap: pgsql:./x";
        let found: Vec<Table> = tables(value).collect();
        let found: Vec<_> =
            found.iter().map(|t| (t.kind.as_str(), t.name.as_str(), t.has_file())).collect();
        let expected =
            [("mysql", "ours", false), ("ldap", "/etc/x.cf", true), ("sqlite", "db", false)];
        assert_eq!(found, expected);
        let all: Vec<String> = prefixed_parameters("mysql", "ours").collect();
        for name in ["ours_hosts", "ours_query", "ours_tls_CAfile"] {
            assert!(all.iter().any(|known| known == name), "{name}");
        }
        assert!(!parameters("sqlite").any(|name| name == "server_host"));
    }
}
