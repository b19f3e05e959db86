//! Numbers for the scheduler, read from the configuration.

use config::Params;
use config::params::BadValue;
use scheduler::backoff::RetryPolicy;
use scheduler::{Feedback, Limits, TransportSettings, parse_feedback};

/// Retry times and lifetimes.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn retry_policy(params: &Params, warnings: &mut Vec<String>) -> Result<RetryPolicy, BadValue> {
    let seconds = |name: &str| params.seconds(name).map(clamp);
    let policy = RetryPolicy {
        minimal_backoff_s: seconds("minimal_backoff_time")?,
        maximal_backoff_s: seconds("maximal_backoff_time")?,
        maximal_queue_lifetime_s: seconds("maximal_queue_lifetime")?,
        bounce_queue_lifetime_s: seconds("bounce_queue_lifetime")?,
    };
    if policy.bounce_queue_lifetime_s > policy.maximal_queue_lifetime_s {
        let (name, bound) = ("bounce_queue_lifetime", "maximal_queue_lifetime");
        warnings.push(format!("{name} is larger than {bound} - adjusting {name}"));
    }
    Ok(policy)
}

/// Bounds of the active queue.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn limits(params: &Params, warnings: &mut Vec<String>) -> Result<Limits, BadValue> {
    let count = |name: &str| params.int(name).map(|value| clamp(value.unsigned_abs()));
    let helpful = params.flag("helpful_warnings")?;
    let clog_warn_s = clamp(params.seconds("qmgr_clog_warn_time")?);
    let limits = Limits {
        message_active_limit: count("qmgr_message_active_limit")?,
        message_recipient_limit: count("qmgr_message_recipient_limit")?,
        message_recipient_minimum: count("qmgr_message_recipient_minimum")?,
        minimal_backoff_s: clamp(params.seconds("minimal_backoff_time")?),
        transport_retry_s: clamp(params.seconds("transport_retry_time")?),
        clog_warn_s: if helpful { clog_warn_s } else { 0 },
    };
    if limits.message_recipient_limit < limits.message_active_limit {
        let (name, bound) = ("qmgr_message_recipient_limit", "qmgr_message_active_limit");
        warnings.push(format!("{name} is smaller than {bound} - adjusting {name}"));
    }
    Ok(limits)
}

/// A transport's numbers.
///
/// # Errors
/// The first parameter whose value is not valid.
pub fn settings(
    params: &Params,
    transport: &str,
    warnings: &mut Vec<String>,
) -> Result<TransportSettings, BadValue> {
    let count = |suffix: &str| {
        params.transport_int(transport, suffix).map(|value| clamp(value.unsigned_abs()))
    };
    let seconds = |suffix: &str| params.transport_seconds(transport, suffix).map(clamp);
    let mut feedback = |suffix: &str| {
        let text = params.transport_text(transport, suffix)?;
        Ok(parse_feedback(&text).unwrap_or_else(|_| {
            let what = "ignoring malformed or unreasonable feedback";
            warnings.push(format!("{transport}{suffix}: {what}: {text}"));
            Feedback::default()
        }))
    };
    let positive_feedback = feedback("_destination_concurrency_positive_feedback")?;
    let negative_feedback = feedback("_destination_concurrency_negative_feedback")?;
    Ok(TransportSettings {
        destination_concurrency_limit: count("_destination_concurrency_limit")?,
        initial_destination_concurrency: count("_initial_destination_concurrency")?,
        positive_feedback,
        negative_feedback,
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
