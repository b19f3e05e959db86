//! TLS and SASL on the server side.
//!
//! One row per parameter, sorted by name within its area (facts: postconf(5) of Postfix 3.7).

use super::Row;
use super::row::{int, no, text, text1, time, time_in, yes};

/// Area `smtpd-sasl`.
pub(super) static SMTPD_SASL: &[Row] = &[
    no("broken_sasl_auth_clients"),
    text("cyrus_sasl_config_path", ""),
    no("smtpd_sasl_auth_enable"),
    no("smtpd_sasl_authenticated_header"),
    text("smtpd_sasl_exceptions_networks", ""),
    text("smtpd_sasl_local_domain", ""),
    text("smtpd_sasl_mechanism_filter", "!external, static:rest"),
    text1("smtpd_sasl_path", "smtpd"),
    int("smtpd_sasl_response_limit", 12288, 12288),
    text("smtpd_sasl_security_options", "noanonymous"),
    text1("smtpd_sasl_service", "smtp"),
    text("smtpd_sasl_tls_security_options", "$smtpd_sasl_security_options"),
    text1("smtpd_sasl_type", "cyrus"),
    text("smtpd_sender_login_maps", ""),
];

/// Area `smtpd-tls`.
pub(super) static SMTPD_TLS: &[Row] = &[
    text("relay_clientcerts", ""),
    no("smtpd_enforce_tls"),
    time("smtpd_starttls_timeout", "${stress?{10}:{300}}s", 1),
    text("smtpd_tls_CAfile", ""),
    text("smtpd_tls_CApath", ""),
    yes("smtpd_tls_always_issue_session_ids"),
    no("smtpd_tls_ask_ccert"),
    no("smtpd_tls_auth_only"),
    int("smtpd_tls_ccert_verifydepth", 9, 0),
    text("smtpd_tls_cert_file", ""),
    text("smtpd_tls_chain_files", ""),
    text1("smtpd_tls_ciphers", "medium"),
    text("smtpd_tls_dcert_file", ""),
    text("smtpd_tls_dh1024_param_file", ""),
    text("smtpd_tls_dh512_param_file", ""),
    text("smtpd_tls_dkey_file", "$smtpd_tls_dcert_file"),
    text("smtpd_tls_eccert_file", ""),
    text("smtpd_tls_eckey_file", "$smtpd_tls_eccert_file"),
    text1("smtpd_tls_eecdh_grade", "auto"),
    text("smtpd_tls_exclude_ciphers", ""),
    text1(
        "smtpd_tls_fingerprint_digest",
        "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
    ),
    text("smtpd_tls_key_file", "$smtpd_tls_cert_file"),
    text("smtpd_tls_loglevel", "0"),
    text1("smtpd_tls_mandatory_ciphers", "medium"),
    text("smtpd_tls_mandatory_exclude_ciphers", ""),
    text("smtpd_tls_mandatory_protocols", ">=TLSv1"),
    text("smtpd_tls_protocols", ">=TLSv1"),
    no("smtpd_tls_received_header"),
    no("smtpd_tls_req_ccert"),
    text("smtpd_tls_security_level", ""),
    text("smtpd_tls_session_cache_database", ""),
    time_in("smtpd_tls_session_cache_timeout", "3600s", 0, 8640000),
    no("smtpd_tls_wrappermode"),
    no("smtpd_use_tls"),
];
