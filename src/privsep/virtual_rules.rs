//! What deliver may do for a master.cf service with the command `virtual`.
//!
//! Part of [`crate::Rules`], which master sends: the engine names the service and cannot change
//! where its mailboxes are and whose they may be.
//!
//! **Limits**: [`crate::rules::SERVICES_MAX`], [`crate::rules::VALUE_MAX`].

use alloc::string::String;

use crate::codec::{Reader, Writer};
use crate::rules::VALUE_MAX;
use crate::{CodecError, Locks};

/// The most bytes a service takes in its encoding.
pub(crate) const BYTES_MAX: usize = 2 * (VALUE_MAX + 4) + 64;

/// The parameters of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// Its name in master.cf.
    pub name: String,
    /// `virtual_mailbox_base`, an absolute path
    pub base: String,
    /// `virtual_minimum_uid`
    pub minimum_uid: u32,
    /// `virtual_mailbox_lock`
    pub locks: Locks,
    /// `deliver_lock_attempts`
    pub lock_attempts: u32,
    /// `deliver_lock_delay`, seconds
    pub lock_delay_s: u32,
    /// `stale_lock_time`, seconds
    pub stale_lock_s: u32,
    /// `virtual_mailbox_limit`, bytes; zero for none
    pub mailbox_limit: u64,
    /// `strict_mailbox_ownership`
    pub strict_mailbox_ownership: bool,
}

impl VirtualService {
    /// Whether its values are short lines and the base is a path from the root.
    pub fn is_valid(&self) -> bool {
        let line = |value: &&String| {
            value.len() <= VALUE_MAX && !value.bytes().any(|byte| byte.is_ascii_control())
        };
        [&self.name, &self.base].iter().all(line) && self.base.starts_with('/')
    }

    /// Whether mail may be written with these ids.
    pub fn allows(&self, uid: u32, gid: u32) -> bool {
        // The largest stands for no id at all in setresuid(2).
        let id = |id: u32| id != 0 && id != u32::MAX;
        id(uid) && id(gid) && uid >= self.minimum_uid
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes());
        out.bytes(self.base.as_bytes());
        out.u32(self.minimum_uid);
        let Locks { fcntl, flock, dotlock } = self.locks;
        [fcntl, flock, dotlock].iter().for_each(|lock| out.u8(u8::from(*lock)));
        out.u32(self.lock_attempts);
        out.u32(self.lock_delay_s);
        out.u32(self.stale_lock_s);
        out.u64(self.mailbox_limit);
        out.u8(u8::from(self.strict_mailbox_ownership));
    }

    pub(crate) fn decode(fields: &mut Reader<'_>) -> Result<VirtualService, CodecError> {
        let service = VirtualService {
            name: fields.string(VALUE_MAX)?,
            base: fields.string(VALUE_MAX)?,
            minimum_uid: fields.u32()?,
            locks: Locks { fcntl: fields.flag()?, flock: fields.flag()?, dotlock: fields.flag()? },
            lock_attempts: fields.u32()?,
            lock_delay_s: fields.u32()?,
            stale_lock_s: fields.u32()?,
            mailbox_limit: fields.u64()?,
            strict_mailbox_ownership: fields.flag()?,
        };
        if service.is_valid() { Ok(service) } else { Err(CodecError::Value) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Rules, frame, rules};

    /// Rules as the defaults have them.
    pub fn service() -> VirtualService {
        VirtualService {
            name: "virtual".into(),
            base: "/var/vmail".into(),
            minimum_uid: 100,
            locks: Locks { fcntl: true, flock: false, dotlock: true },
            lock_attempts: 20,
            lock_delay_s: 1,
            stale_lock_s: 500,
            mailbox_limit: 51_200_000,
            strict_mailbox_ownership: true,
        }
    }

    #[test]
    fn rules_with_virtual_services_come_back() {
        let other = VirtualService { name: "other".into(), minimum_uid: 1, ..service() };
        let virtuals = alloc::vec![service(), other];
        let rules = Rules { mail_owner: 101, services: alloc::vec![], virtuals };
        let bytes = rules.encode();
        assert_eq!(Rules::decode(&bytes).as_ref(), Ok(&rules));
        assert_eq!(Rules::decode(&bytes[..bytes.len() - 1]), Err(CodecError::Short));
        assert_eq!(rules.virtual_service(b"other").unwrap().minimum_uid, 1);
        assert_eq!(rules.virtual_service(b"none"), None);
    }

    #[test]
    fn a_base_that_is_no_path_from_the_root_is_refused() {
        for base in ["", "var/vmail", "/var/\nvmail"] {
            assert!(!VirtualService { base: base.into(), ..service() }.is_valid(), "{base:?}");
        }
        let rules =
            Rules { mail_owner: 0, services: alloc::vec![], virtuals: alloc::vec![service()] };
        let mut bytes = rules.encode();
        let slash = bytes.iter().position(|byte| *byte == b'/').unwrap();
        bytes[slash] = b'.';
        assert_eq!(Rules::decode(&bytes), Err(CodecError::Value));
        assert!(frame::whole(rules::KIND, &bytes).is_ok());
    }

    #[test]
    fn root_and_whoever_is_below_the_least_id_are_nobody_to_write_as() {
        let service = service();
        assert!(service.allows(100, 1) && service.allows(5000, 5000));
        let refused = [(99, 5), (0, 5), (100, 0), (u32::MAX, 5), (100, u32::MAX)];
        assert!(refused.iter().all(|(uid, gid)| !service.allows(*uid, *gid)));
        let lenient = VirtualService { minimum_uid: 0, ..service };
        assert!(!lenient.allows(0, 5) && lenient.allows(1, 5));
    }
}
