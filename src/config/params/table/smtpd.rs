//! What smtpd(8) says and takes: dialogue, limits, proxy filters, policy.
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{flag, int, int_in, nint, no, raw, text, text1, time, yes};

/// Area `smtpd`.
pub(super) static SMTPD: &[Row] = &[
    text("smtpd_authorized_verp_clients", "$authorized_verp_clients"),
    text1("smtpd_banner", "$myhostname ESMTP $mail_name"),
    no("smtpd_client_port_logging"),
    text("smtpd_command_filter", ""),
    yes("smtpd_delay_open_until_valid_rcpt"),
    text("smtpd_discard_ehlo_keyword_address_maps", ""),
    text("smtpd_discard_ehlo_keywords", ""),
    text("smtpd_dns_reply_filter", ""),
    time("smtpd_error_sleep_time", "1s", 0),
    raw(
        "smtpd_expansion_filter",
        "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        1,
    ),
    text1("smtpd_forbid_bare_newline", "no"),
    text("smtpd_forbid_bare_newline_exclusions", "$mynetworks"),
    int_in("smtpd_forbid_bare_newline_reject_code", 550, 500, 599),
    no("smtpd_forbid_unauth_pipelining"),
    text("smtpd_forbidden_commands", "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}"),
    nint("smtpd_hard_error_limit", "${stress?{1}:{20}}", 1),
    int("smtpd_history_flush_threshold", 100, 1),
    nint("smtpd_junk_command_limit", "${stress?{1}:{100}}", 1),
    int("smtpd_min_data_rate", 500, 1),
    text("smtpd_noop_commands", ""),
    yes("smtpd_peername_lookup"),
    flag(
        "smtpd_per_request_deadline",
        "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}",
    ),
    int("smtpd_recipient_limit", 1000, 1),
    int("smtpd_recipient_overshoot_limit", 1000, 1),
    raw("smtpd_reject_footer", "", 0),
    text("smtpd_reject_footer_maps", ""),
    text1("smtpd_service_name", "smtpd"),
    nint("smtpd_soft_error_limit", "10", 1),
    time("smtpd_timeout", "${stress?{10}:{300}}s", 1),
];

/// Area `smtpd-proxy`.
pub(super) static SMTPD_PROXY: &[Row] = &[
    text("smtpd_authorized_xclient_hosts", ""),
    text("smtpd_authorized_xforward_hosts", ""),
    text("smtpd_proxy_ehlo", "$myhostname"),
    text("smtpd_proxy_filter", ""),
    text("smtpd_proxy_options", ""),
    time("smtpd_proxy_timeout", "100s", 1),
    text("smtpd_upstream_proxy_protocol", ""),
    time("smtpd_upstream_proxy_timeout", "5s", 1),
];

/// Area `smtpd-policy`.
pub(super) static SMTPD_POLICY: &[Row] = &[
    text1("smtpd_policy_service_default_action", "451 4.3.5 Server configuration problem"),
    time("smtpd_policy_service_max_idle", "300s", 1),
    time("smtpd_policy_service_max_ttl", "1000s", 1),
    text("smtpd_policy_service_policy_context", ""),
    int("smtpd_policy_service_request_limit", 0, 0),
    time("smtpd_policy_service_retry_delay", "1s", 1),
    time("smtpd_policy_service_timeout", "100s", 1),
    int("smtpd_policy_service_try_limit", 2, 1),
];

/// Area `milter`.
pub(super) static MILTER: &[Row] = &[
    text("internal_mail_filter_classes", ""),
    time("milter_command_timeout", "30s", 1),
    text("milter_connect_macros", "j {daemon_name} {daemon_addr} v _"),
    time("milter_connect_timeout", "30s", 1),
    time("milter_content_timeout", "300s", 1),
    text("milter_data_macros", "i"),
    text1("milter_default_action", "tempfail"),
    text("milter_end_of_data_macros", "i"),
    text("milter_end_of_header_macros", "i"),
    text("milter_header_checks", ""),
    text("milter_helo_macros", "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"),
    text1("milter_macro_daemon_name", "$myhostname"),
    text("milter_macro_defaults", ""),
    text1("milter_macro_v", "$mail_name $mail_version"),
    text(
        "milter_mail_macros",
        "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    ),
    text1("milter_protocol", "6"),
    text("milter_rcpt_macros", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"),
    text("milter_unknown_command_macros", ""),
    text("non_smtpd_milters", ""),
    text("smtpd_milter_maps", ""),
    text("smtpd_milters", ""),
];

/// Area `qmqpd`.
pub(super) static QMQPD: &[Row] = &[
    text("qmqpd_authorized_clients", ""),
    no("qmqpd_client_port_logging"),
    time("qmqpd_error_delay", "1s", 0),
    time("qmqpd_timeout", "300s", 1),
];

/// Area `rate-limit`.
pub(super) static RATE_LIMIT: &[Row] = &[
    time("anvil_rate_time_unit", "60s", 1),
    time("anvil_status_update_time", "600s", 1),
    int("smtpd_client_auth_rate_limit", 0, 0),
    int("smtpd_client_connection_count_limit", 50, 0),
    int("smtpd_client_connection_rate_limit", 0, 0),
    text(
        "smtpd_client_event_limit_exceptions",
        "${smtpd_client_connection_limit_exceptions:$mynetworks}",
    ),
    int("smtpd_client_message_rate_limit", 0, 0),
    int("smtpd_client_new_tls_session_rate_limit", 0, 0),
    int("smtpd_client_recipient_rate_limit", 0, 0),
];
