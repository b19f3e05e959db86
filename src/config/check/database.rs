//! Parameters that belong to a table behind a server: `name_hosts` where some value has
//! `mysql:name`.
//!
//! **Standards**: mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5),
//! memcache_table(5): a table whose name is no file has its parameters in main.cf.

use alloc::string::String;

/// What tables of all these types have.
const COMMON: &[&str] = &["domain", "expansion_limit", "query", "result_format"];
/// What tables of SQL servers have.
const SQL: &[&str] = &[
    "additional_conditions",
    "dbname",
    "hosts",
    "password",
    "select_field",
    "table",
    "user",
    "where_field",
];

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

/// Types of SQL servers.
const SQL_TYPES: [&str; 3] = ["mysql", "pgsql", "sqlite"];

/// The tables without a file that `value` names, each with its type.
pub(super) fn tables(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = value.split([',', ' ', '\t', '{', '}']);
    words.filter_map(|word| {
        let word = word.strip_prefix("proxy:").unwrap_or(word);
        let (kind, name) = word.split_once(':')?;
        let known = TYPES.iter().any(|(known, _)| *known == kind);
        (known && !name.is_empty() && !name.starts_with(['/', '.'])).then_some((kind, name))
    })
}

/// The parameters that such a table has in main.cf; the crate that reads them holds this list to
/// what it asks for.
pub fn parameters(kind: &str, name: &str) -> impl Iterator<Item = String> {
    let own = TYPES.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, own)| *own);
    let sql = if SQL_TYPES.contains(&kind) { SQL } else { &[] };
    let all = COMMON.iter().chain(sql).chain(own);
    all.map(move |suffix| alloc::format!("{name}_{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn tables_that_are_no_files_have_parameters() {
        let value = "hash:/a, proxy:mysql:ours ldap:/etc/x.cf,unionmap:{sqlite:db,static:a} ldap:";
        assert_eq!(tables(value).collect::<Vec<_>>(), [("mysql", "ours"), ("sqlite", "db")]);
        let all: Vec<String> = parameters("mysql", "ours").collect();
        for name in ["ours_hosts", "ours_query", "ours_tls_CAfile"] {
            assert!(all.iter().any(|known| known == name), "{name}");
        }
        assert!(!parameters("sqlite", "db").any(|name| name == "db_server_host"));
    }
}
