//! Delivery to this machine: local(8), virtual(8); lookup tables.
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{int, long, no, raw, text, text1, time, yes};

/// Area `local-delivery`.
pub(super) static LOCAL_DELIVERY: &[Row] = &[
    text("alias_database", "hash:/etc/aliases"),
    text("alias_maps", "hash:/etc/aliases, nis:mail.aliases"),
    text("allow_mail_to_commands", "alias, forward"),
    text("allow_mail_to_files", "alias, forward"),
    yes("biff"),
    text1("command_directory", "/usr/sbin"),
    raw("command_execution_directory", "", 0),
    text1(
        "command_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ),
    time("command_time_limit", "1000s", 1),
    text("default_delivery_status_filter", ""),
    text1("default_privs", "nobody"),
    int("deliver_lock_attempts", 20, 1),
    time("deliver_lock_delay", "1s", 1),
    text1(
        "execution_directory_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ),
    no("expand_owner_alias"),
    text1(
        "forward_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ),
    raw("forward_path", "$home/.forward${recipient_delimiter}${extension}, $home/.forward", 0),
    yes("frozen_delivered_to"),
    text("home_mailbox", ""),
    text("local_command_shell", ""),
    text("local_delivery_status_filter", "$default_delivery_status_filter"),
    text("local_login_sender_maps", "static:*"),
    raw("luser_relay", "", 0),
    text("mail_spool_directory", "/var/mail"),
    raw("mailbox_command", "", 0),
    text("mailbox_command_maps", ""),
    text1("mailbox_delivery_lock", "fcntl, dotlock"),
    long("mailbox_size_limit", 51200000, 0),
    text("mailbox_transport", ""),
    text("mailbox_transport_maps", ""),
    text1("newaliases_path", "/usr/bin/newaliases"),
    text("pipe_delivery_status_filter", "$default_delivery_status_filter"),
    text("prepend_delivered_header", "command, file, forward"),
    no("require_home_directory"),
    no("reset_owner_alias"),
    time("stale_lock_time", "500s", 1),
    yes("strict_mailbox_ownership"),
    no("sun_mailtool_compatibility"),
];

/// Area `virtual`.
pub(super) static VIRTUAL: &[Row] = &[
    text("virtual_delivery_status_filter", "$default_delivery_status_filter"),
    text("virtual_gid_maps", ""),
    text1("virtual_mailbox_base", ""),
    text("virtual_mailbox_domains", "$virtual_mailbox_maps"),
    long("virtual_mailbox_limit", 51200000, 0),
    text1("virtual_mailbox_lock", "fcntl, dotlock"),
    text("virtual_mailbox_maps", ""),
    int("virtual_minimum_uid", 100, 1),
    text1("virtual_transport", "virtual"),
    text("virtual_uid_maps", ""),
];

/// Area `tables`.
pub(super) static TABLES: &[Row] = &[
    int("berkeley_db_create_buffer_size", 16777216, 1),
    int("berkeley_db_read_buffer_size", 131072, 1),
    no("daemon_table_open_error_is_fatal"),
    text1("default_database_type", "hash"),
    long("lmdb_map_size", 16777216, 1),
    text("proxy_interfaces", ""),
    text(
        "proxy_read_maps",
        "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks",
    ),
    text(
        "proxy_write_maps",
        "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
    ),
    text1("proxymap_service_name", "proxymap"),
    text1("proxywrite_service_name", "proxywrite"),
];
