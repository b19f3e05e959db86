//! Directories, processes, logging, multi-instance.
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{computed, flag, int, int_in, level, no, text, text1, time, yes};

/// Area `system`.
pub(super) static SYSTEM: &[Row] = &[
    no("allow_min_user"),
    text("alternate_config_directories", ""),
    time("application_event_drain_time", "100s", 1),
    text("authorized_mailq_users", "static:anyone"),
    text("authorized_submit_users", "static:anyone"),
    level("compatibility_level", "0"),
    text1("config_directory", "/etc/postfix"),
    text1("daemon_directory", "/usr/lib/postfix/sbin"),
    time("daemon_timeout", "18000s", 1),
    text1("data_directory", "/var/lib/postfix"),
    int("debug_peer_level", 2, 1),
    text("debug_peer_list", ""),
    text("debugger_command", ""),
    int("default_process_limit", 100, 1),
    int("dont_remove", 0, 0),
    text("export_environment", "TZ MAIL_CONFIG LANG"),
    int("fault_injection_code", 0, 0),
    int("fork_attempts", 5, 1),
    time("fork_delay", "1s", 1),
    yes("helpful_warnings"),
    text1("html_directory", "/usr/share/doc/postfix/html"),
    text(
        "import_environment",
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME",
    ),
    time("ipc_idle", "5s", 1),
    time("ipc_timeout", "3600s", 1),
    time("ipc_ttl", "1000s", 1),
    text("known_tcp_ports", "lmtp=24, smtp=25, smtps=submissions=465, submission=587"),
    text1("mail_name", "Postfix"),
    text1("mail_owner", "postfix"),
    text1("mail_release_date", "20240304"),
    text1("mail_version", "3.7.11"),
    text1("mailq_path", "/usr/bin/mailq"),
    text1("manpage_directory", "/usr/share/man"),
    text("master_service_disable", ""),
    time("max_idle", "100s", 1),
    int("max_use", 100, 1),
    text1("meta_directory", "/etc/postfix"),
    text1("pickup_service_name", "pickup"),
    computed("process_id", 0),
    text1("process_id_directory", "pid"),
    computed("process_name", 0),
    text1("readme_directory", "/usr/share/doc/postfix"),
    int("reject_code", 554, 0),
    text1("sample_directory", "/etc/postfix"),
    text1("sendmail_fix_line_endings", "always"),
    text1("sendmail_path", "/usr/sbin/sendmail"),
    computed("service_name", 0),
    time("service_throttle_time", "60s", 1),
    text1("setgid_group", "postdrop"),
    text1("shlib_directory", "/usr/lib/postfix"),
    text1("showq_service_name", "showq"),
    no("soft_bounce"),
    text("stress", ""),
    int("tcp_windowsize", 0, 0),
    time("trigger_timeout", "10s", 1),
];

/// Area `logging`.
pub(super) static LOGGING: &[Row] = &[
    int_in("delay_logging_resolution_limit", 2, 0, 6),
    text1("info_log_address_format", "external"),
    text("maillog_file", ""),
    text1("maillog_file_compressor", "gzip"),
    text1("maillog_file_prefixes", "/var, /dev/stdout"),
    text1("maillog_file_rotate_suffix", "%Y%m%d-%H%M%S"),
    text1("postlog_service_name", "postlog"),
    time("postlogd_watchdog_timeout", "10s", 10),
    flag("respectful_logging", "${{$compatibility_level} <level {3.6} ? {no} : {yes}}"),
    text1("syslog_facility", "mail"),
    text1("syslog_name", "${multi_instance_name?{$multi_instance_name}:{postfix}}"),
];

/// Area `multi-instance`.
pub(super) static MULTI_INSTANCE: &[Row] = &[
    text("multi_instance_directories", ""),
    no("multi_instance_enable"),
    text("multi_instance_group", ""),
    text("multi_instance_name", ""),
    text("multi_instance_wrapper", ""),
    text("postmulti_control_commands", "reload flush"),
    text("postmulti_start_commands", "start"),
    text("postmulti_stop_commands", "stop abort drain quick-stop"),
];
