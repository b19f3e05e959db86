//! Parameters of a virtual service, as far as the engine goes by them; the rest are the helper's
//! rules, which master reads.

use super::owner::Tables;
use crate::lookup::Opener;
use config::Params;
use config::params::BadValue;
use privsep::Locks;
use std::time::Duration;

/// One service's settings.
#[derive(Debug)]
pub struct Settings {
    /// Its name in master.cf.
    pub service: String,
    /// Where mailboxes are and whose.
    pub tables: Tables,
    /// `soft_bounce`
    pub soft_bounce: bool,
    /// How long the helper may wait for locks.
    pub lock_wait: Duration,
    /// Why virtual(8) would not start: mail waits until somebody has changed it.
    pub unusable: Option<String>,
}

impl Settings {
    /// Reads the parameters of the service `name` and opens its tables.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn read(name: &str, params: &Params, opener: &Opener) -> Result<Settings, BadValue> {
        let attempts = params.int("deliver_lock_attempts")?.unsigned_abs();
        let delay = params.seconds("deliver_lock_delay")?;
        Ok(Settings {
            service: name.to_string(),
            tables: Tables::open(params, opener)?,
            soft_bounce: params.flag("soft_bounce")?,
            // The dotlock, then flock and fcntl, each with as many attempts.
            lock_wait: Duration::from_secs(attempts.saturating_mul(delay).saturating_mul(3)),
            unusable: unusable(params)?,
        })
    }
}

/// The words of virtual(8) when it ends at its start.
fn unusable(params: &Params) -> Result<Option<String>, BadValue> {
    let base = match params.text("virtual_mailbox_base") {
        Ok(base) => base,
        // By default it is empty, which is no valid value.
        Err(bad) => return Ok(Some(bad.to_string().trim_start_matches("fatal: ").to_owned())),
    };
    if !base.starts_with('/') {
        let what = "do not specify relative pathname: virtual_mailbox_base";
        return Ok(Some(format!("{what} = {base}")));
    }
    let locks = params.list("virtual_mailbox_lock")?;
    if let Some(word) = locks.iter().find(|word| Locks::of(std::slice::from_ref(word)).is_none()) {
        let all = params.text("virtual_mailbox_lock")?;
        return Ok(Some(format!("unknown mailbox_delivery_lock value \"{word}\" in \"{all}\"")));
    }
    let limit = params.int("virtual_mailbox_limit")?;
    let message = params.int("message_size_limit")?;
    Ok(limits(limit, message).map(|what| format!("configuration error: {what}")))
}

/// What is wrong with the two limits, zero for none.
fn limits(mailbox: i64, message: i64) -> Option<&'static str> {
    match (mailbox, message) {
        (0, _) => None,
        (_, 0) => Some("virtual_mailbox_limit is limited but message_size_limit is unlimited"),
        _ if mailbox < message => Some("virtual_mailbox_limit is smaller than message_size_limit"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::snapshot;

    #[test]
    fn what_keeps_virtual_from_starting_is_said_in_its_words() {
        let base = "virtual_mailbox_base = /b\n";
        for (main_cf, why) in [
            (String::new(), "bad string length 0 < 1: virtual_mailbox_base = "),
            (
                "virtual_mailbox_base = $none\n".into(),
                "bad string length 0 < 1: virtual_mailbox_base = ",
            ),
            (
                "virtual_mailbox_base = srv/b\n".into(),
                "do not specify relative pathname: virtual_mailbox_base = srv/b",
            ),
            (
                format!("{base}virtual_mailbox_lock = fcntl, paper\n"),
                "unknown mailbox_delivery_lock value \"paper\" in \"fcntl, paper\"",
            ),
            (
                format!("{base}message_size_limit = 0\n"),
                "configuration error: virtual_mailbox_limit is limited but message_size_limit is \
                 unlimited",
            ),
            (
                format!("{base}message_size_limit = 9\nvirtual_mailbox_limit = 8\n"),
                "configuration error: virtual_mailbox_limit is smaller than message_size_limit",
            ),
        ] {
            let said = unusable(&snapshot(&main_cf).params).unwrap();
            assert_eq!(said.as_deref(), Some(why), "{main_cf}");
        }
        let fine = format!("{base}message_size_limit = 0\nvirtual_mailbox_limit = 0\n");
        assert_eq!(unusable(&snapshot(&fine).params), Ok(None));
        assert_eq!(unusable(&snapshot(base).params), Ok(None));
    }
}
