//! Every parameter of Postfix 3.7: name, kind, bounds, default, area.
//!
//! The one source for [`crate::Params`] and postconf(1). Rows are kept by area in the files below;
//! per-transport families such as `smtp_destination_rate_delay` are in [`super::family`].

mod access;
mod lmtp;
mod local;
mod postscreen;
mod queue;
mod rewrite;
mod row;
mod smtp;
mod smtpd;
mod smtpd_tls;
mod system;
#[cfg(test)]
mod tests;
mod tls;

pub use row::{Fallback, Kind, Row};

/// All rows by area; each area is sorted by name.
static AREAS: &[(&str, &[Row])] = &[
    ("bounce-dsn", queue::BOUNCE_DSN),
    ("cleanup-content", rewrite::CLEANUP_CONTENT),
    ("cleanup-rewrite", rewrite::CLEANUP_REWRITE),
    ("flush", queue::FLUSH),
    ("lmtp", lmtp::LMTP),
    ("lmtp-sasl", lmtp::LMTP_SASL),
    ("lmtp-tls", lmtp::LMTP_TLS),
    ("local-delivery", local::LOCAL_DELIVERY),
    ("logging", system::LOGGING),
    ("milter", smtpd::MILTER),
    ("multi-instance", system::MULTI_INSTANCE),
    ("postscreen", postscreen::POSTSCREEN),
    ("qmgr-per-transport", queue::QMGR_PER_TRANSPORT),
    ("qmqpd", smtpd::QMQPD),
    ("queue", queue::QUEUE),
    ("rate-limit", smtpd::RATE_LIMIT),
    ("rewrite", rewrite::REWRITE),
    ("routing-identity", rewrite::ROUTING_IDENTITY),
    ("scache", queue::SCACHE),
    ("smtp", smtp::SMTP),
    ("smtp-sasl", smtp::SMTP_SASL),
    ("smtp-tls", smtp::SMTP_TLS),
    ("smtpd", smtpd::SMTPD),
    ("smtpd-access", access::SMTPD_ACCESS),
    ("smtpd-policy", smtpd::SMTPD_POLICY),
    ("smtpd-proxy", smtpd::SMTPD_PROXY),
    ("smtpd-sasl", smtpd_tls::SMTPD_SASL),
    ("smtpd-tls", smtpd_tls::SMTPD_TLS),
    ("system", system::SYSTEM),
    ("tables", local::TABLES),
    ("tls-general", tls::TLS_GENERAL),
    ("tlsproxy", tls::TLSPROXY),
    ("verify", access::VERIFY),
    ("virtual", local::VIRTUAL),
];

/// Old names that still have a meaning in some default; postconf -d does not show them.
static LEGACY: &[&str] = &[
    "authorized_verp_clients",
    "fallback_relay",
    "lmtp_per_record_deadline",
    "postscreen_blacklist_action",
    "postscreen_dnsbl_ttl",
    "postscreen_dnsbl_whitelist_threshold",
    "postscreen_whitelist_interfaces",
    "smtp_per_record_deadline",
    "smtpd_client_connection_limit_exceptions",
    "smtpd_per_record_deadline",
    "tlsproxy_client_level",
    "tlsproxy_client_policy",
    "virtual_maps",
];

/// The row of `name`.
pub fn find(name: &str) -> Option<&'static Row> {
    AREAS.iter().find_map(|(_, rows)| {
        rows.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &rows[at])
    })
}

/// The area of `name`, for documentation.
pub fn area(name: &str) -> Option<&'static str> {
    AREAS.iter().find(|(_, rows)| rows.iter().any(|row| row.name == name)).map(|(area, _)| *area)
}

/// All rows, area by area.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    AREAS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Whether `name` is an old name whose value a default still reads.
pub fn is_legacy(name: &str) -> bool {
    LEGACY.binary_search(&name).is_ok()
}
