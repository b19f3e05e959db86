//! Parameters that something in this system reads and obeys, sorted by name.
//!
//! Whoever teaches a room a parameter adds it here; what is set but not listed is named by
//! `postfix check` and at start.

/// The names.
pub(super) static NAMES: &[&str] = &[
    "alias_database",
    "alternate_config_directories",
    "authorized_flush_users",
    "authorized_mailq_users",
    "authorized_submit_users",
    "command_directory",
    "compatibility_level",
    "config_directory",
    "daemon_directory",
    "data_directory",
    "default_verp_delimiters",
    "enable_long_queue_ids",
    "import_environment",
    "inet_interfaces",
    "inet_protocols",
    "known_tcp_ports",
    "line_length_limit",
    "mail_name",
    "mail_owner",
    "mail_version",
    "maillog_file",
    "maillog_file_compressor",
    "maillog_file_prefixes",
    "maillog_file_rotate_suffix",
    "message_size_limit",
    "multi_instance_directories",
    "mydomain",
    "myhostname",
    "myorigin",
    "process_id_directory",
    "queue_directory",
    "sendmail_fix_line_endings",
    "service_throttle_time",
    "setgid_group",
    "syslog_facility",
    "syslog_name",
];
