//! Parameters of a local service, as far as the engine decides by them; the rest are the helper's
//! rules, which master reads.

use config::Params;
use config::params::BadValue;
use mail::extension::Splitting;
use std::time::Duration;

/// One service's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name in master.cf.
    pub service: String,
    /// How users are told from their extensions.
    pub splitting: Splitting,
    /// `prepend_delivered_header` has `file`.
    pub delivered_header: bool,
    /// `soft_bounce`
    pub soft_bounce: bool,
    /// How long the helper may wait for locks.
    pub lock_wait: Duration,
    /// A parameter that is set, would take every local recipient elsewhere and is not obeyed yet.
    pub before_mailbox: Option<&'static str>,
    /// The same for recipients that are not users.
    pub for_unknown: Option<&'static str>,
}

impl Settings {
    /// Reads the parameters of the service `name`.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn read(name: &str, params: &Params) -> Result<Settings, BadValue> {
        let headers = params.list("prepend_delivered_header")?;
        let attempts = params.int("deliver_lock_attempts")?.unsigned_abs();
        let delay = params.seconds("deliver_lock_delay")?;
        Ok(Settings {
            service: name.to_string(),
            splitting: Splitting {
                delimiters: params.text("recipient_delimiter")?,
                owner_request_special: params.flag("owner_request_special")?,
            },
            delivered_header: headers.iter().any(|word| word == "file"),
            soft_bounce: params.flag("soft_bounce")?,
            // The dotlock, then flock and fcntl, each with as many attempts.
            lock_wait: Duration::from_secs(attempts.saturating_mul(delay).saturating_mul(3)),
            before_mailbox: first_set(params, &["mailbox_transport_maps", "mailbox_transport"])?,
            for_unknown: first_set(
                params,
                &["fallback_transport_maps", "fallback_transport", "luser_relay"],
            )?,
        })
    }
}

fn first_set(params: &Params, names: &[&'static str]) -> Result<Option<&'static str>, BadValue> {
    for name in names {
        if !params.text(name)?.is_empty() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
