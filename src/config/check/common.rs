//! What every Postfix program checks before it does anything: the parameters all of them read.
//!
//! Called by the commands through the supervisor's `Settings`, one place for all of them. The
//! order is Postfix's, since only the first mistake is told.
//!
//! **Diagnostics**: [`Refusal`], worded as Postfix words it, with the warning that comes before
//! it; warnings about what is read past are returned.
//! **Standards**: postconf(5) of Postfix 3.7; RFC 1035 section 2.3.1 for host names.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::hostname;
use crate::params::{BadValue, Params};

/// Texts that are read before tables are opened.
static FIRST: &[&str] = &[
    "compatibility_level",
    "mail_version",
    "syslog_facility",
    "inet_protocols",
    "multi_instance_directories",
    "multi_instance_group",
    "multi_instance_name",
    "maillog_file",
    "maillog_file_prefixes",
    "maillog_file_compressor",
    "maillog_file_rotate_suffix",
    "postlog_service_name",
    "dnssec_probe",
    "known_tcp_ports",
];

/// Switches that are read next.
static FIRST_FLAGS: &[&str] = &[
    "daemon_table_open_error_is_fatal",
    "dns_ncache_ttl_fix_enable",
    "smtputf8_enable",
    "enable_idna2003_compatibility",
    "respectful_logging",
];

/// Names of this host and of its domain, which must be valid.
static HOST_NAMES: &[&str] = &["myhostname", "mydomain"];

/// All others: texts, numbers, switches, times.
static OTHERS: &[&str] = &[
    "mail_name",
    "syslog_name",
    "mail_owner",
    "setgid_group",
    "mydestination",
    "myorigin",
    "relayhost",
    "daemon_directory",
    "data_directory",
    "command_directory",
    "meta_directory",
    "queue_directory",
    "shlib_directory",
    "process_id_directory",
    "inet_interfaces",
    "proxy_interfaces",
    "double_bounce_sender",
    "default_privs",
    "alias_database",
    "mail_release_date",
    "default_database_type",
    "hash_queue_names",
    "recipient_delimiter",
    "relay_domains",
    "fast_flush_domains",
    "export_environment",
    "import_environment",
    "mynetworks_style",
    "debug_peer_list",
    "default_verp_delimiters",
    "verp_delimiter_filter",
    "parent_domain_matches_subdomains",
    "alternate_config_directories",
    "bounce_service_name",
    "cleanup_service_name",
    "defer_service_name",
    "pickup_service_name",
    "queue_service_name",
    "rewrite_service_name",
    "showq_service_name",
    "error_service_name",
    "flush_service_name",
    "address_verify_service_name",
    "trace_service_name",
    "proxymap_service_name",
    "proxywrite_service_name",
    "internal_mail_filter_classes",
    "multi_instance_wrapper",
    "default_delivery_status_filter",
    "smtputf8_autodetect_classes",
    "message_drop_headers",
    "info_log_address_format",
    "default_process_limit",
    "max_use",
    "dont_remove",
    "line_length_limit",
    "hash_queue_depth",
    "fork_attempts",
    "deliver_lock_attempts",
    "debug_peer_level",
    "fault_injection_code",
    "berkeley_db_create_buffer_size",
    "berkeley_db_read_buffer_size",
    "header_size_limit",
    "header_address_token_limit",
    "mime_nesting_limit",
    "mime_boundary_length_limit",
    "delay_logging_resolution_limit",
    "tcp_windowsize",
    "message_size_limit",
    "lmdb_map_size",
    "disable_dns_lookups",
    "soft_bounce",
    "owner_request_special",
    "strict_8bitmime",
    "strict_7bit_headers",
    "strict_8bitmime_body",
    "strict_mime_encoding_domain",
    "disable_mime_input_processing",
    "disable_mime_output_conversion",
    "address_verify_negative_cache",
    "backwards_bounce_logfile_compatibility",
    "helpful_warnings",
    "send_cyrus_sasl_authzid",
    "multi_instance_enable",
    "enable_long_queue_ids",
    "strict_smtputf8",
    "enable_original_recipient",
    "application_event_drain_time",
    "max_idle",
    "ipc_timeout",
    "ipc_idle",
    "ipc_ttl",
    "trigger_timeout",
    "fork_delay",
    "deliver_lock_delay",
    "stale_lock_time",
    "daemon_timeout",
    "in_flow_delay",
];

/// What `syslog_facility` may be, besides `local0` to `local7`.
static FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user",
    "uucp",
];

/// The system's users and groups, as the caller can ask for them.
pub trait Accounts {
    /// User and group id of a user.
    fn user(&self, name: &str) -> Option<(u32, u32)>;
    /// The id of a group.
    fn group(&self, name: &str) -> Option<u32>;
}

/// Why no program can work with this main.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Warnings that come before.
    pub warnings: Vec<String>,
    /// What ends the program; the text after `fatal: `.
    pub fatal: String,
}

impl From<BadValue> for Refusal {
    fn from(bad: BadValue) -> Self {
        let warnings = bad.warning().map(ToString::to_string).into_iter().collect();
        let text = bad.to_string();
        Self { warnings, fatal: text.strip_prefix("fatal: ").unwrap_or(&text).to_string() }
    }
}

/// Checks what all programs read; what is only warned about. Without `accounts` nothing is said of
/// users and groups.
pub fn common(params: &Params, accounts: Option<&dyn Accounts>) -> Result<Vec<String>, Refusal> {
    let all = |names: &[&str]| names.iter().try_for_each(|name| params.check(name));
    all(FIRST)?;
    facility(params)?;
    all(FIRST_FLAGS)?;
    let warnings = ports(&params.text("known_tcp_ports")?);
    let checked = (|| {
        params.protocols()?;
        all(HOST_NAMES)?;
        HOST_NAMES.iter().try_for_each(|name| host_name(params, name))?;
        all(OTHERS)?;
        accounts.map_or(Ok(()), |accounts| owners(params, accounts))?;
        params.check("mynetworks")?;
        params.check_interfaces()?;
        relay(params)?;
        verp(params)
    })();
    match checked {
        Ok(()) => Ok(warnings),
        Err(refusal) => Err(Refusal { warnings: [warnings, refusal.warnings].concat(), ..refusal }),
    }
}

/// A refusal of a value in main.cf that fits its kind.
fn refused(params: &Params, what: &str) -> Refusal {
    let fatal = format!("file {}: {what}", params.main().file());
    Refusal { warnings: Vec::new(), fatal }
}

fn facility(params: &Params) -> Result<(), Refusal> {
    let name = params.text("syslog_facility")?;
    let local = name
        .strip_prefix("local")
        .is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|b| matches!(b, b'0'..=b'7')));
    if local || FACILITIES.contains(&name.as_str()) {
        return Ok(());
    }
    Err(refused(params, &format!("parameter syslog_facility: unrecognized value: {name}")))
}

fn host_name(params: &Params, name: &str) -> Result<(), Refusal> {
    let value = params.text(name)?;
    hostname::check(&value).map_err(|bad| Refusal {
        warnings: [format!("valid_hostname: {bad}: {value}")].into(),
        ..refused(params, &format!("parameter {name}: bad parameter value: {value}"))
    })
}

/// The accounts must exist, and may do nothing for each other.
fn owners(params: &Params, accounts: &dyn Accounts) -> Result<(), Refusal> {
    let user = |name: &str| {
        let value = params.text(name)?;
        let (uid, gid) = accounts.user(&value).ok_or_else(|| {
            refused(params, &format!("parameter {name}: unknown user name value: {value}"))
        })?;
        if uid == 0 {
            let what = format!("parameter {name}: user {value} has privileged user ID");
            return Err(refused(params, &what));
        }
        if gid == 0 {
            let what = format!("parameter {name}: user {value} has privileged group ID");
            return Err(refused(params, &what));
        }
        Ok((value, uid, gid))
    };
    let (_, default_uid, _) = user("default_privs")?;
    let (owner, owner_uid, owner_gid) = user("mail_owner")?;
    let group = params.text("setgid_group")?;
    let gid = accounts.group(&group).ok_or_else(|| {
        refused(params, &format!("parameter setgid_group: unknown group name: {group}"))
    })?;
    if gid == 0 {
        let what = format!("parameter setgid_group: group {group} has privileged group ID");
        return Err(refused(params, &what));
    }
    if default_uid == owner_uid {
        let what = format!("parameters default_privs and mail_owner specify the same user {owner}");
        return Err(refused(params, &what));
    }
    if owner_gid == gid {
        let what = format!(
            "parameters mail_owner and setgid_group: user {owner} and group {group} have the \
             same group ID: {gid}"
        );
        return Err(refused(params, &what));
    }
    Ok(())
}

/// Mail for this host must not be relayed to it.
fn relay(params: &Params) -> Result<(), Refusal> {
    let host = params.text("myhostname")?;
    if !host.eq_ignore_ascii_case(&params.text("relayhost")?) {
        return Ok(());
    }
    let what = "myhostname and relayhost parameter settings must not be identical";
    Err(Refusal { warnings: Vec::new(), fatal: format!("{what}: {host}") })
}

fn verp(params: &Params) -> Result<(), Refusal> {
    let allowed = params.text("verp_delimiter_filter")?;
    let delimiters = params.text("default_verp_delimiters")?;
    for (delimiter, which) in delimiters.chars().zip(["first", "second"]) {
        if !allowed.contains(delimiter) {
            let names = "parameters default_verp_delimiters and verp_delimiter_filter";
            return Err(refused(params, &format!("{names}: bad {which} VERP delimiter character")));
        }
    }
    Ok(())
}

/// What is wrong with `known_tcp_ports`.
fn ports(text: &str) -> Vec<String> {
    let items = text.split(',').filter(|item| !item.trim().is_empty());
    let bad = items.filter_map(|item| {
        let why = bad_ports(item)?;
        let colon = if why.starts_with("is ") { "" } else { ":" };
        Some(format!("known_tcp_ports: in \"{item}\"{colon} {why}"))
    });
    bad.collect()
}

/// What is wrong with `name=name=port`.
fn bad_ports(item: &str) -> Option<&'static str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts: Vec<&str> = item.split('=').map(str::trim).collect();
    let port = parts.pop().filter(|_| !parts.is_empty());
    let Some(port) = port else { return Some("is not in \"name = value\" form") };
    if parts.iter().any(|name| name.is_empty()) {
        return Some("missing service name before \"=\"");
    }
    if port.is_empty() {
        return Some("missing port value after \"=\"");
    }
    if parts.iter().any(|name| digits(name)) {
        return Some("numerical service name");
    }
    (!digits(port)).then_some("non-numerical service port")
}
