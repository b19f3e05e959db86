//! Queue manager, bounces, fast flush, connection cache.
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{flag, int, int_in, long, no, text, text_in, text1, time, time_in, yes};

/// Area `queue`.
pub(super) static QUEUE: &[Row] = &[
    time_in("bounce_queue_lifetime", "5d", 0, 8640000),
    int("default_delivery_slot_cost", 5, 0),
    int_in("default_delivery_slot_discount", 50, 0, 100),
    int("default_delivery_slot_loan", 3, 0),
    int("default_destination_concurrency_failed_cohort_limit", 1, 0),
    int("default_destination_concurrency_limit", 20, 0),
    text1("default_destination_concurrency_negative_feedback", "1"),
    text1("default_destination_concurrency_positive_feedback", "1"),
    time("default_destination_rate_delay", "0s", 0),
    int("default_destination_recipient_limit", 50, 0),
    int("default_extra_recipient_limit", 1000, 0),
    int("default_minimum_delivery_slots", 3, 0),
    int("default_recipient_limit", 20000, 0),
    time("default_recipient_refill_delay", "5s", 1),
    int("default_recipient_refill_limit", 100, 1),
    time("default_transport_rate_delay", "0s", 0),
    text("defer_transports", ""),
    no("destination_concurrency_feedback_debug"),
    no("enable_long_queue_ids"),
    int("hash_queue_depth", 1, 1),
    text1("hash_queue_names", "deferred, defer"),
    time_in("in_flow_delay", "1s", 0, 10),
    int("initial_destination_concurrency", 5, 1),
    time("maximal_backoff_time", "4000s", 1),
    time_in("maximal_queue_lifetime", "5d", 0, 8640000),
    time("minimal_backoff_time", "300s", 1),
    time("qmgr_clog_warn_time", "300s", 0),
    time("qmgr_daemon_timeout", "1000s", 1),
    int_in("qmgr_fudge_factor", 100, 10, 100),
    time("qmgr_ipc_timeout", "60s", 1),
    int("qmgr_message_active_limit", 20000, 1),
    int("qmgr_message_recipient_limit", 20000, 1),
    int("qmgr_message_recipient_minimum", 10, 1),
    text1("queue_directory", "/var/spool/postfix"),
    int("queue_file_attribute_count_limit", 100, 1),
    long("queue_minfree", 0, 0),
    time("queue_run_delay", "300s", 1),
    text1("queue_service_name", "qmgr"),
    time("transport_retry_time", "60s", 1),
];

/// Area `bounce-dsn`.
pub(super) static BOUNCE_DSN: &[Row] = &[
    text1("2bounce_notice_recipient", "postmaster"),
    yes("backwards_bounce_logfile_compatibility"),
    text1("bounce_notice_recipient", "postmaster"),
    text1("bounce_service_name", "bounce"),
    int("bounce_size_limit", 50000, 1),
    text("bounce_template_file", ""),
    no("confirm_delay_cleared"),
    text_in("default_verp_delimiters", "+=", 2, 2),
    int("defer_code", 450, 0),
    text1("defer_service_name", "defer"),
    text1("delay_notice_recipient", "postmaster"),
    time("delay_warning_time", "0h", 0),
    no("disable_verp_bounces"),
    text1("double_bounce_sender", "double-bounce"),
    flag("enable_threaded_bounces", "no"),
    text1("error_notice_recipient", "postmaster"),
    text1("error_service_name", "error"),
    text("notify_classes", "resource, software"),
    text1("trace_service_name", "trace"),
    text1("verp_delimiter_filter", "-=+"),
];

/// Area `flush`.
pub(super) static FLUSH: &[Row] = &[
    text("authorized_flush_users", "static:anyone"),
    text("fast_flush_domains", "$relay_domains"),
    time("fast_flush_purge_time", "7d", 1),
    time("fast_flush_refresh_time", "12h", 1),
    text1("flush_service_name", "flush"),
];

/// Area `scache`.
pub(super) static SCACHE: &[Row] = &[
    time("connection_cache_protocol_timeout", "5s", 1),
    text1("connection_cache_service_name", "scache"),
    time("connection_cache_status_update_time", "600s", 1),
    time("connection_cache_ttl_limit", "2s", 1),
];

/// Area `qmgr-per-transport`.
pub(super) static QMGR_PER_TRANSPORT: &[Row] = &[
    int("local_destination_concurrency_limit", 2, 0),
    int("local_destination_recipient_limit", 1, 0),
];
