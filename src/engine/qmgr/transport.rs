//! Numbers for the scheduler, read from the configuration.

use config::Params;
use config::params::BadValue;
use scheduler::{Limits, TransportSettings, backoff, parse_feedback};

/// Retry times and lifetimes.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn backoff(params: &Params) -> Result<backoff::Settings, BadValue> {
    Ok(backoff::Settings {
        minimal_s: params.seconds("minimal_backoff_time")?,
        maximal_s: params.seconds("maximal_backoff_time")?,
        lifetime_s: params.seconds("maximal_queue_lifetime")?,
        bounce_lifetime_s: params.seconds("bounce_queue_lifetime")?,
    })
}

/// Bounds of the active queue.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn limits(params: &Params) -> Result<Limits, BadValue> {
    Ok(Limits {
        message_active_limit: params.int("qmgr_message_active_limit")? as usize,
        message_recipient_limit: params.int("qmgr_message_recipient_limit")? as usize,
        message_recipient_minimum: params.int("qmgr_message_recipient_minimum")? as usize,
        minimal_backoff_s: params.seconds("minimal_backoff_time")?,
        transport_retry_s: params.seconds("transport_retry_time")?,
    })
}

/// A transport's numbers. A value that is not valid was reported at start: the default is used.
pub fn settings(params: &Params, transport: &str) -> TransportSettings {
    let defaults = TransportSettings::default();
    let number = |suffix: &str| params.transport_int(transport, suffix).ok();
    let seconds = |suffix: &str| params.transport_seconds(transport, suffix).ok();
    let feedback = |suffix: &str| {
        let text = params.transport_text(transport, suffix).ok()?;
        parse_feedback(&text)
    };
    let count = |suffix: &str, default: u32| number(suffix).map_or(default, |n| n as u32);
    TransportSettings {
        destination_concurrency_limit: count(
            "_destination_concurrency_limit",
            defaults.destination_concurrency_limit,
        ),
        initial_destination_concurrency: count(
            "_initial_destination_concurrency",
            defaults.initial_destination_concurrency,
        ),
        positive_feedback: feedback("_destination_concurrency_positive_feedback")
            .unwrap_or(defaults.positive_feedback),
        negative_feedback: feedback("_destination_concurrency_negative_feedback")
            .unwrap_or(defaults.negative_feedback),
        ..defaults
    }
    .with_rest(&count, &seconds)
}
