//! Parameters of a local service, as far as the engine decides by them; the rest are the helper's
//! rules, which master reads.

use crate::lookup::{Maps, Opener};
use config::Params;
use config::params::BadValue;
use mail::extension::Splitting;
use privsep::alias::Allowed;
use std::time::Duration;

/// In what a destination stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The message's envelope.
    Message,
    /// An alias.
    Alias,
    /// A user's `.forward` file.
    Forward,
    /// An include file.
    Include,
}

/// Which kinds of deliveries add `Delivered-To:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveredHeader {
    /// To commands.
    pub command: bool,
    /// To files and mailboxes.
    pub file: bool,
    /// Forwarded ones.
    pub forward: bool,
}

/// Where one kind of destination may stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(Allowed);

impl Places {
    /// Whether it may stand there.
    pub fn allow(self, origin: Origin) -> bool {
        match origin {
            Origin::Message => false,
            Origin::Alias => self.0.alias,
            Origin::Forward => self.0.forward,
            Origin::Include => self.0.include,
        }
    }
}

/// One service's settings.
#[derive(Debug)]
pub struct Settings {
    /// Its name in master.cf.
    pub service: String,
    /// How users are told from their extensions.
    pub splitting: Splitting,
    /// `allow_mail_to_files`
    pub files: Places,
    /// `allow_mail_to_commands`
    pub commands: Places,
    /// `propagate_unmatched_extensions` has `alias`.
    pub propagates_alias: bool,
    /// `propagate_unmatched_extensions` has `forward`.
    pub propagates_forward: bool,
    /// `propagate_unmatched_extensions` has `include`.
    pub propagates_include: bool,
    /// `forward_path` or `require_home_directory`: homes decide what becomes of mail.
    pub looks_at_homes: bool,
    /// `expand_owner_alias`
    pub expand_owner_alias: bool,
    /// `reset_owner_alias`
    pub reset_owner_alias: bool,
    /// `frozen_delivered_to`
    pub frozen_delivered_to: bool,
    /// `duplicate_filter_limit`, zero for none
    pub duplicate_filter_limit: usize,
    /// `prepend_delivered_header`
    pub delivered_header: DeliveredHeader,
    /// How long the helper may wait for a command.
    pub command_time_limit: Duration,
    /// `mailbox_command` or `mailbox_command_maps` is set: the helper wants to know more.
    pub mailbox_command: bool,
    /// `soft_bounce`
    pub soft_bounce: bool,
    /// How long the helper may wait for locks.
    pub lock_wait: Duration,
    /// `mailbox_transport`
    pub mailbox_transport: String,
    /// `fallback_transport`
    pub fallback_transport: String,
    /// `luser_relay`, names not filled in.
    pub luser_relay: String,
    /// Tables of transports.
    pub transports: Transports,
}

/// Which transport takes which user's mail.
#[derive(Debug, Default)]
pub struct Transports {
    /// `mailbox_transport_maps`
    pub mailbox: Maps,
    /// `fallback_transport_maps`, for names that are nobody's.
    pub fallback: Maps,
}

impl Transports {
    /// Opens the tables.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn open(params: &Params, opener: &Opener) -> Result<Transports, BadValue> {
        Ok(Transports {
            mailbox: opener.sensitive_maps(params, "mailbox_transport_maps")?,
            fallback: opener.sensitive_maps(params, "fallback_transport_maps")?,
        })
    }
}

impl Settings {
    /// Reads the parameters of the service `name`; its tables are opened apart.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn read(name: &str, params: &Params) -> Result<Settings, BadValue> {
        let has = |name: &str, word: &str| -> Result<bool, BadValue> {
            Ok(params.list(name)?.iter().any(|it| it.eq_ignore_ascii_case(word)))
        };
        let places = |name: &str| -> Result<Places, BadValue> {
            let (alias, forward) = (has(name, "alias")?, has(name, "forward")?);
            Ok(Places(Allowed { alias, forward, include: has(name, "include")? }))
        };
        let header = "prepend_delivered_header";
        let propagated = "propagate_unmatched_extensions";
        let commands = ["mailbox_command_maps", "mailbox_command"];
        let attempts = params.int("deliver_lock_attempts")?.unsigned_abs();
        let delay = params.seconds("deliver_lock_delay")?;
        Ok(Settings {
            service: name.to_string(),
            splitting: Splitting {
                delimiters: params.text("recipient_delimiter")?,
                owner_request_special: params.flag("owner_request_special")?,
            },
            files: places("allow_mail_to_files")?,
            commands: places("allow_mail_to_commands")?,
            propagates_alias: has(propagated, "alias")?,
            propagates_forward: has(propagated, "forward")?,
            propagates_include: has(propagated, "include")?,
            looks_at_homes: !params.raw("forward_path")?.trim().is_empty()
                || params.flag("require_home_directory")?,
            expand_owner_alias: params.flag("expand_owner_alias")?,
            reset_owner_alias: params.flag("reset_owner_alias")?,
            frozen_delivered_to: params.flag("frozen_delivered_to")?,
            duplicate_filter_limit: params.int("duplicate_filter_limit")?.unsigned_abs() as usize,
            delivered_header: DeliveredHeader {
                command: has(header, "command")?,
                file: has(header, "file")?,
                forward: has(header, "forward")?,
            },
            command_time_limit: Duration::from_secs(params.seconds("command_time_limit")?),
            mailbox_command: commands.iter().try_fold(false, |any, name| {
                params.raw(name).map(|value| any || !value.is_empty())
            })?,
            soft_bounce: params.flag("soft_bounce")?,
            // The dotlock, then flock and fcntl, each with as many attempts.
            lock_wait: Duration::from_secs(attempts.saturating_mul(delay).saturating_mul(3)),
            mailbox_transport: params.text("mailbox_transport")?,
            fallback_transport: params.text("fallback_transport")?,
            luser_relay: params.raw("luser_relay")?,
            transports: Transports::default(),
        })
    }
}
