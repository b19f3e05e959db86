//! postscreen(8), dnsblog(8).
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{flag, int, nint, no, raw, text, text1, time};

/// Area `postscreen`.
pub(super) static POSTSCREEN: &[Row] = &[
    time("dnsblog_reply_delay", "0s", 0),
    text1("dnsblog_service_name", "dnsblog"),
    text("postscreen_access_list", "permit_mynetworks"),
    text(
        "postscreen_allowlist_interfaces",
        "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}",
    ),
    text1("postscreen_bare_newline_action", "ignore"),
    no("postscreen_bare_newline_enable"),
    time("postscreen_bare_newline_ttl", "30d", 1),
    time("postscreen_cache_cleanup_interval", "12h", 0),
    text("postscreen_cache_map", "btree:$data_directory/postscreen_cache"),
    time("postscreen_cache_retention_time", "7d", 1),
    nint("postscreen_client_connection_count_limit", "$smtpd_client_connection_count_limit", 0),
    int("postscreen_command_count_limit", 20, 1),
    text("postscreen_command_filter", ""),
    time("postscreen_command_time_limit", "${stress?{10}:{300}}s", 1),
    text1(
        "postscreen_denylist_action",
        "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}",
    ),
    flag("postscreen_disable_vrfy_command", "$disable_vrfy_command"),
    text(
        "postscreen_discard_ehlo_keyword_address_maps",
        "$smtpd_discard_ehlo_keyword_address_maps",
    ),
    text("postscreen_discard_ehlo_keywords", "$smtpd_discard_ehlo_keywords"),
    text1("postscreen_dnsbl_action", "ignore"),
    nint(
        "postscreen_dnsbl_allowlist_threshold",
        "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
        0,
    ),
    time("postscreen_dnsbl_max_ttl", "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h", 1),
    time("postscreen_dnsbl_min_ttl", "60s", 1),
    text("postscreen_dnsbl_reply_map", ""),
    text("postscreen_dnsbl_sites", ""),
    int("postscreen_dnsbl_threshold", 1, 1),
    time("postscreen_dnsbl_timeout", "10s", 1),
    flag("postscreen_enforce_tls", "$smtpd_enforce_tls"),
    raw("postscreen_expansion_filter", "$smtpd_expansion_filter", 1),
    text("postscreen_forbidden_commands", "$smtpd_forbidden_commands"),
    text1("postscreen_greet_action", "ignore"),
    text("postscreen_greet_banner", "$smtpd_banner"),
    time("postscreen_greet_ttl", "1d", 1),
    time("postscreen_greet_wait", "${stress?{2}:{6}}s", 1),
    flag("postscreen_helo_required", "$smtpd_helo_required"),
    text1("postscreen_non_smtp_command_action", "drop"),
    no("postscreen_non_smtp_command_enable"),
    time("postscreen_non_smtp_command_ttl", "30d", 1),
    text1("postscreen_pipelining_action", "enforce"),
    no("postscreen_pipelining_enable"),
    time("postscreen_pipelining_ttl", "30d", 1),
    nint("postscreen_post_queue_limit", "$default_process_limit", 5),
    nint("postscreen_pre_queue_limit", "$default_process_limit", 10),
    raw("postscreen_reject_footer", "$smtpd_reject_footer", 0),
    text("postscreen_reject_footer_maps", "$smtpd_reject_footer_maps"),
    text("postscreen_tls_security_level", "$smtpd_tls_security_level"),
    text("postscreen_upstream_proxy_protocol", ""),
    time("postscreen_upstream_proxy_timeout", "5s", 1),
    flag("postscreen_use_tls", "$smtpd_use_tls"),
    time("postscreen_watchdog_timeout", "10s", 10),
];
