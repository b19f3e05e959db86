//! What deliver may do, from the administrator's files by way of master: services and their rules.
//!
//! Nobody but master sends them, so deliver reads no configuration and believes nobody else.

use alloc::string::String;
use alloc::vec::Vec;

use crate::CodecError;
use crate::VirtualService;
use crate::alias::{AliasRules, RULES_BYTES_MAX};
use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};
use crate::virtual_rules;

/// The longest body.
pub const BODY_MAX: usize = 4 << 20;
/// Most services of each of the two commands.
pub const SERVICES_MAX: usize = 32;
/// The longest parameter value.
pub const VALUE_MAX: usize = 1024;
/// Frames of rules.
pub const KIND: Kind = Kind { letters: *b"RPR2", body_max: BODY_MAX };

const LOCAL_BYTES_MAX: usize = 4 * (VALUE_MAX + 4) + RULES_BYTES_MAX + 128;
const _: () = assert!(SERVICES_MAX * (LOCAL_BYTES_MAX + virtual_rules::BYTES_MAX) + 64 <= BODY_MAX);

/// Everything deliver goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The user id of `mail_owner`: who else may ask than the helper's own user.
    pub mail_owner: u32,
    /// The services it may be asked for.
    pub services: Vec<Service>,
    /// The same of the command `virtual`.
    pub virtuals: Vec<VirtualService>,
}

/// The parameters of one master.cf service with the command `local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in master.cf.
    pub name: String,
    /// `home_mailbox`
    pub home_mailbox: String,
    /// `mail_spool_directory`
    pub mail_spool_directory: String,
    /// `forward_path`
    pub forward_path: String,
    /// `mailbox_delivery_lock`
    pub locks: Locks,
    /// `deliver_lock_attempts`
    pub lock_attempts: u32,
    /// `deliver_lock_delay`, seconds
    pub lock_delay_s: u32,
    /// `stale_lock_time`, seconds
    pub stale_lock_s: u32,
    /// `mailbox_size_limit`, bytes; zero for none
    pub mailbox_size_limit: u64,
    /// `require_home_directory`
    pub require_home_directory: bool,
    /// `strict_mailbox_ownership`
    pub strict_mailbox_ownership: bool,
    /// What it may do for aliases.
    pub aliases: AliasRules,
}

/// How an mbox is locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// `fcntl`
    pub fcntl: bool,
    /// `flock`
    pub flock: bool,
    /// `dotlock`
    pub dotlock: bool,
}

impl Locks {
    /// The locks that these words name; none when a word names no lock.
    pub fn of(words: &[String]) -> Option<Locks> {
        let mut locks = Locks::default();
        for word in words {
            match word.as_str() {
                "fcntl" => locks.fcntl = true,
                "flock" => locks.flock = true,
                "dotlock" => locks.dotlock = true,
                _ => return None,
            }
        }
        Some(locks)
    }
}

impl Rules {
    /// The rules of a service.
    pub fn service(&self, name: &[u8]) -> Option<&Service> {
        self.services.iter().find(|service| service.name.as_bytes() == name)
    }

    /// The rules of a service with the command `virtual`.
    pub fn virtual_service(&self, name: &[u8]) -> Option<&VirtualService> {
        self.virtuals.iter().find(|service| service.name.as_bytes() == name)
    }

    /// Whether every service is within its bounds and [`Rules::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        self.services.len() <= SERVICES_MAX
            && self.services.iter().all(Service::is_valid)
            && self.virtuals.len() <= SERVICES_MAX
            && self.virtuals.iter().all(VirtualService::is_valid)
    }

    /// The rules as a frame. Panics when they [are not valid](Rules::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "rules within their bounds");
        let mut out = Writer::default();
        out.u32(self.mail_owner);
        out.u8(self.services.len() as u8);
        self.services.iter().for_each(|service| service.encode(&mut out));
        out.u8(self.virtuals.len() as u8);
        self.virtuals.iter().for_each(|service| service.encode(&mut out));
        frame::build(KIND, &out.finish())
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When it is not what [`Rules::encode`] makes.
    pub fn decode(frame: &[u8]) -> Result<Rules, CodecError> {
        let mut fields = Reader(frame::whole(KIND, frame)?);
        let mail_owner = fields.u32()?;
        let services = several(&mut fields, Service::decode)?;
        let virtuals = several(&mut fields, VirtualService::decode)?;
        fields.finish()?;
        Ok(Rules { mail_owner, services, virtuals })
    }
}

/// A number of services, and as many of them.
fn several<T>(
    fields: &mut Reader<'_>,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = usize::from(fields.u8()?);
    if count > SERVICES_MAX {
        return Err(CodecError::TooLong);
    }
    (0..count).map(|_| decode(fields)).collect()
}

impl Service {
    fn values(&self) -> [&String; 4] {
        [&self.name, &self.home_mailbox, &self.mail_spool_directory, &self.forward_path]
    }

    /// Whether its values are short lines.
    pub fn is_valid(&self) -> bool {
        let line = |value: &&String| {
            value.len() <= VALUE_MAX && !value.bytes().any(|byte| byte.is_ascii_control())
        };
        self.values().iter().all(line) && self.aliases.is_valid()
    }

    fn encode(&self, out: &mut Writer) {
        self.values().iter().for_each(|value| out.bytes(value.as_bytes()));
        let Locks { fcntl, flock, dotlock } = self.locks;
        [fcntl, flock, dotlock].iter().for_each(|lock| out.u8(u8::from(*lock)));
        out.u32(self.lock_attempts);
        out.u32(self.lock_delay_s);
        out.u32(self.stale_lock_s);
        out.u64(self.mailbox_size_limit);
        out.u8(u8::from(self.require_home_directory));
        out.u8(u8::from(self.strict_mailbox_ownership));
        self.aliases.encode(out);
    }

    fn decode(fields: &mut Reader<'_>) -> Result<Service, CodecError> {
        Ok(Service {
            name: fields.string(VALUE_MAX)?,
            home_mailbox: fields.string(VALUE_MAX)?,
            mail_spool_directory: fields.string(VALUE_MAX)?,
            forward_path: fields.string(VALUE_MAX)?,
            locks: Locks { fcntl: fields.flag()?, flock: fields.flag()?, dotlock: fields.flag()? },
            lock_attempts: fields.u32()?,
            lock_delay_s: fields.u32()?,
            stale_lock_s: fields.u32()?,
            mailbox_size_limit: fields.u64()?,
            require_home_directory: fields.flag()?,
            strict_mailbox_ownership: fields.flag()?,
            aliases: AliasRules::decode(fields)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn service() -> impl Strategy<Value = Service> {
        let texts = proptest::array::uniform4("[ -~]{0,50}");
        (texts, any::<[bool; 5]>(), any::<[u32; 3]>(), any::<u64>()).prop_map(
            |(texts, flags, numbers, mailbox_size_limit)| {
                let [name, home_mailbox, mail_spool_directory, forward_path] = texts;
                let [fcntl, flock, dotlock, require_home_directory, strict] = flags;
                let [lock_attempts, lock_delay_s, stale_lock_s] = numbers;
                Service {
                    name,
                    home_mailbox,
                    mail_spool_directory,
                    forward_path,
                    locks: Locks { fcntl, flock, dotlock },
                    lock_attempts,
                    lock_delay_s,
                    stale_lock_s,
                    mailbox_size_limit,
                    require_home_directory,
                    strict_mailbox_ownership: strict,
                    aliases: AliasRules {
                        alias_maps: alloc::vec!["hash:/etc/aliases".into()],
                        utf8: strict,
                        ..AliasRules::default()
                    },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn rules_come_back(
            mail_owner: u32,
            services in proptest::collection::vec(service(), 0..4),
        ) {
            let rules = Rules { mail_owner, services, virtuals: Vec::new() };
            let bytes = rules.encode();
            prop_assert_eq!(Rules::decode(&bytes), Ok(rules));
            prop_assert_eq!(Rules::decode(&bytes[..bytes.len() - 1]), Err(CodecError::Short));
            let more = [&bytes[..], b"x"].concat();
            prop_assert_eq!(Rules::decode(&more), Err(CodecError::LeftOver));
        }

        #[test]
        fn any_bytes_are_rules_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let len = (bytes.len() as u32).to_le_bytes();
            let _either = Rules::decode(&[&KIND.letters[..], &len, &bytes].concat());
        }
    }
}
