//! Numbers for the scheduler, read from the configuration.

use config::Params;
use config::params::BadValue;
use scheduler::backoff::RetryPolicy;
use scheduler::{Feedback, Limits, TransportSettings, parse_feedback};

/// Retry times and lifetimes.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn retry_policy(params: &Params) -> Result<RetryPolicy, BadValue> {
    let seconds = |name: &str| params.seconds(name).map(clamp);
    Ok(RetryPolicy {
        minimal_backoff_s: seconds("minimal_backoff_time")?,
        maximal_backoff_s: seconds("maximal_backoff_time")?,
        maximal_queue_lifetime_s: seconds("maximal_queue_lifetime")?,
        bounce_queue_lifetime_s: seconds("bounce_queue_lifetime")?,
    })
}

/// Bounds of the active queue.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn limits(params: &Params) -> Result<Limits, BadValue> {
    let count = |name: &str| params.int(name).map(|value| clamp(value.unsigned_abs()));
    Ok(Limits {
        message_active_limit: count("qmgr_message_active_limit")?,
        message_recipient_limit: count("qmgr_message_recipient_limit")?,
        message_recipient_minimum: count("qmgr_message_recipient_minimum")?,
        minimal_backoff_s: clamp(params.seconds("minimal_backoff_time")?),
        transport_retry_s: clamp(params.seconds("transport_retry_time")?),
    })
}

/// A transport's numbers.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn settings(params: &Params, transport: &str) -> Result<TransportSettings, BadValue> {
    let count = |suffix: &str| {
        params.transport_int(transport, suffix).map(|value| clamp(value.unsigned_abs()))
    };
    let seconds = |suffix: &str| params.transport_seconds(transport, suffix).map(clamp);
    let feedback = |suffix: &str| {
        let text = params.transport_text(transport, suffix)?;
        // Postfix warns and goes on with 1.
        Ok(parse_feedback(&text).unwrap_or_else(|_| Feedback::default()))
    };
    Ok(TransportSettings {
        destination_concurrency_limit: count("_destination_concurrency_limit")?,
        initial_destination_concurrency: count("_initial_destination_concurrency")?,
        positive_feedback: feedback("_destination_concurrency_positive_feedback")?,
        negative_feedback: feedback("_destination_concurrency_negative_feedback")?,
        failed_cohort_limit: count("_destination_concurrency_failed_cohort_limit")?,
        destination_recipient_limit: count("_destination_recipient_limit")?,
        recipient_limit: count("_recipient_limit")?,
        extra_recipient_limit: count("_extra_recipient_limit")?,
        recipient_refill_limit: count("_recipient_refill_limit")?,
        recipient_refill_delay_s: seconds("_recipient_refill_delay")?,
        delivery_slot_cost: count("_delivery_slot_cost")?,
        delivery_slot_loan: count("_delivery_slot_loan")?,
        delivery_slot_discount: count("_delivery_slot_discount")?,
        minimum_delivery_slots: count("_minimum_delivery_slots")?,
        destination_rate_delay_s: seconds("_destination_rate_delay")?,
        transport_rate_delay_s: seconds("_transport_rate_delay")?,
        process_limit: clamp(params.int("default_process_limit")?.unsigned_abs()),
    })
}

fn clamp(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
