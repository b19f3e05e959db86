//! What the fuzz targets of this crate share: configurations, a clock that stands still, checks.
//!
//! Called by `resolver/fuzz.rs`, `bounce/fuzz.rs` and `pickup/fuzz.rs`. Diagnostics: a panic is our
//! bug.

use crate::localtime::LocalTime;
use crate::snapshot::Snapshot;
use config::{Host, MainCf, MasterCf, Params};
use mail::header;
use mail::queue_id::QueueId;
use std::sync::Arc;
use tables::catalog::System;

/// When everything happens: a time with a date header of known length.
pub(crate) const NOW: u64 = 1_795_600_000;

const MASTER_CF: &str = "smtp unix - - n - - smtp\n";
const MAIN_CF: &str = "compatibility_level = 3.6\nmyhostname = mx.example\n\
    mydestination = mx.example\nalias_maps =\nmynetworks = 127.0.0.0/8\n";

/// What differs between the configurations.
const VARIANTS: [&str; 4] = [
    "",
    "enable_threaded_bounces = yes\nsmtp_randomize_addresses = no\n\
     smtp_address_preference = ipv6\nappend_dot_mydomain = no\n",
    "header_from_format = obsolete\nsmtputf8_enable = no\nenable_long_queue_ids = yes\n\
     smtp_host_lookup = dns, native\nsmtp_balance_inet_protocols = no\n",
    "notify_classes = bounce, 2bounce, delay\nbounce_size_limit = 200\ninet_protocols = ipv4\n\
     smtp_randomize_addresses = no\nsmtp_address_preference = ipv4\n\
     undisclosed_recipients_header = To: undisclosed-recipients:;\n",
];

thread_local! {
    /// Read once: a fuzzer runs its target many times.
    static SNAPSHOTS: [Arc<Snapshot>; VARIANTS.len()] = VARIANTS.map(read);
}

/// One of a few configurations.
pub(crate) fn snapshot(choice: u8) -> Arc<Snapshot> {
    SNAPSHOTS.with(|all| all[usize::from(choice) % all.len()].clone())
}

fn read(variant: &str) -> Arc<Snapshot> {
    let text = format!("{MAIN_CF}{variant}");
    let main = MainCf::parse("main.cf", text.as_bytes()).expect("a main.cf");
    let master = MasterCf::parse("master.cf", MASTER_CF.as_bytes()).expect("a master.cf");
    let host = Host {
        hostname: "mx.example".into(),
        interfaces: vec![(OWN.into(), 24)],
        ..Host::default()
    };
    let system = System {
        read: |_| Err(String::new()),
        stamp: |_| None,
        variable: |_| None,
        random: || 0,
        remote: tables::catalog::no_remote,
    };
    Arc::new(Snapshot::new(Params::new(main, host), &master, system).expect("a configuration"))
}

/// This host's address.
pub(crate) const OWN: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 10);

/// Greenwich.
pub(crate) fn local_time() -> LocalTime {
    LocalTime::utc()
}

/// The message's name in the mail log.
pub(crate) fn queue_id(long: bool) -> QueueId {
    QueueId { micros: NOW * 1_000_000, number: 1, long }
}

/// What goes to a log line or into a reply is one line that can be read.
pub(crate) fn check_line(text: &str, length_max: usize) {
    assert!(!text.chars().any(char::is_control), "one line: {text:?}");
    assert!(text.len() <= length_max, "a line of {} bytes", text.len());
}

/// Names of the headers at the start of `text`, up to the blank line if there is one; nothing else
/// is there.
pub(crate) fn header_names(text: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            break;
        }
        match header::name(line) {
            Some(name) => names.push(String::from_utf8_lossy(name).into_owned()),
            None => assert!(header::is_continuation(line) && !names.is_empty(), "a header"),
        }
    }
    names
}
