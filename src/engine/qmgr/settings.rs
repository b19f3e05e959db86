//! What the queue manager needs of the configuration.

use config::params::BadValue;
use config::{MasterCf, Params};
use mail::extension::Splitting;
use scheduler::TransportSettings;
use std::collections::BTreeMap;
use std::time::Duration;

use super::transport;

/// The parameters, read once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `minimal_backoff_time`, `maximal_backoff_time`, lifetimes: seconds.
    pub retry: scheduler::backoff::RetryPolicy,
    /// Bounds of the active queue.
    pub limits: scheduler::Limits,
    /// `queue_run_delay`.
    pub run_delay: Duration,
    /// `defer_transports`.
    pub defer_transports: Vec<String>,
    /// `double_bounce_sender`.
    pub double_bounce: String,
    /// `confirm_delay_cleared`.
    pub confirm_cleared: bool,
    /// How users are told from their extensions.
    pub splitting: Splitting,
    /// The numbers of every transport in master.cf.
    pub transports: BTreeMap<String, TransportSettings>,
}

impl Settings {
    /// Reads the parameters; what is strange and usable is said in `warnings`.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(
        params: &Params,
        master: &MasterCf,
        warnings: &mut Vec<String>,
    ) -> Result<Settings, BadValue> {
        let mut transports = BTreeMap::new();
        for service in master.services().iter().filter(|service| service.endpoint.is_none()) {
            let mut settings = transport::settings(params, &service.name, warnings)?;
            settings.process_limit = service.max_proc.unwrap_or(settings.process_limit);
            transports.insert(service.name.clone(), settings);
        }
        Ok(Settings {
            transports,
            retry: transport::retry_policy(params, warnings)?,
            limits: transport::limits(params, warnings)?,
            run_delay: Duration::from_secs(params.seconds("queue_run_delay")?),
            defer_transports: params.list("defer_transports")?,
            double_bounce: params.text("double_bounce_sender")?,
            confirm_cleared: params.flag("confirm_delay_cleared")?,
            splitting: Splitting {
                delimiters: params.text("recipient_delimiter")?,
                owner_request_special: params.flag("owner_request_special")?,
            },
        })
    }

    /// The numbers of a transport; of one that is not in master.cf the defaults.
    pub fn transport(&self, name: &str) -> TransportSettings {
        self.transports.get(name).copied().unwrap_or_default()
    }
}
