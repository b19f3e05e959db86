//! What the engine asks of master about sockets that are to outlive it, and what master gives to
//! the next engine.
//!
//! | state of a slot | request | next |
//! | --- | --- | --- |
//! | free | `Keep`, with a descriptor | a socket and its record |
//! | a socket and its record | `Answered` | a record alone |
//! | any | `Forget`, or its time is over | free |
//!
//! One request is one packet. Records are bytes to master: only engines read them
//! ([`crate::Transaction`]). The slots are the engine's to choose.
//!
//! **Limits**: [`RECORD_MAX`], [`SLOTS_MAX`], [`ORPHANS_MAX`].

use alloc::vec::Vec;

use crate::CodecError;
use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};

pub use crate::transaction::RECORD_MAX;

/// The longest body.
pub const BODY_MAX: usize = 8 * 1024;
/// Slots that one request forgets.
pub const SLOTS_MAX: usize = 512;
/// Slots that master keeps; what is more is not kept.
pub const ORPHANS_MAX: usize = 4096;
/// Frames of requests.
pub const KIND: Kind = Kind { letters: *b"RPk1", body_max: BODY_MAX };
/// Frames of orphans.
pub const ORPHAN_KIND: Kind = Kind { letters: *b"RPo1", body_max: BODY_MAX };

const _: () = assert!(RECORD_MAX + 32 <= BODY_MAX && SLOTS_MAX * 8 + 32 <= BODY_MAX);

/// What the engine asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Keep the descriptor that comes along, and this, for the next engine.
    Keep {
        /// Where.
        slot: u64,
        /// For how long at most.
        seconds: u32,
        /// What the next engine has to know.
        record: Vec<u8>,
    },
    /// The descriptor is not needed any more: this is what it was kept for.
    Answered {
        /// Where it was kept.
        slot: u64,
        /// What the next engine has to know now.
        record: Vec<u8>,
    },
    /// Nothing of it is needed any more.
    Forget {
        /// Where it was kept.
        slots: Vec<u64>,
    },
}

/// What master has kept, as it hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Where it is kept.
    pub slot: u64,
    /// The descriptor's number in the new engine; none when it is not needed any more.
    pub descriptor: Option<u32>,
    /// As it was given.
    pub record: Vec<u8>,
}

impl Request {
    /// Whether it is within its bounds and [`Request::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        match self {
            Request::Keep { record, .. } | Request::Answered { record, .. } => {
                record.len() <= RECORD_MAX
            }
            Request::Forget { slots } => slots.len() <= SLOTS_MAX,
        }
    }

    /// The request as a frame. Panics when it [is not valid](Request::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "a request within its bounds");
        let mut out = Writer::default();
        match self {
            Request::Keep { slot, seconds, record } => {
                out.u8(0);
                out.u64(*slot);
                out.u32(*seconds);
                out.bytes(record);
            }
            Request::Answered { slot, record } => {
                out.u8(1);
                out.u64(*slot);
                out.bytes(record);
            }
            Request::Forget { slots } => {
                out.u8(2);
                out.u16(slots.len() as u16);
                slots.iter().for_each(|slot| out.u64(*slot));
            }
        }
        frame::build(KIND, &out.finish())
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// When it is not what [`Request::encode`] makes.
    pub fn decode(packet: &[u8]) -> Result<Request, CodecError> {
        let mut fields = Reader(frame::whole(KIND, packet)?);
        let request = match fields.u8()? {
            0 => {
                let (slot, seconds) = (fields.u64()?, fields.u32()?);
                Request::Keep { slot, seconds, record: fields.bytes(RECORD_MAX)?.into() }
            }
            1 => {
                let slot = fields.u64()?;
                Request::Answered { slot, record: fields.bytes(RECORD_MAX)?.into() }
            }
            2 => {
                let count = usize::from(fields.u16()?);
                if count > SLOTS_MAX {
                    return Err(CodecError::TooLong);
                }
                Request::Forget {
                    slots: (0..count).map(|_| fields.u64()).collect::<Result<_, _>>()?,
                }
            }
            _ => return Err(CodecError::Value),
        };
        fields.finish()?;
        Ok(request)
    }
}

impl Orphan {
    /// The orphan as a frame. Panics when its record is over its bound.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.record.len() <= RECORD_MAX, "an orphan within its bounds");
        let mut out = Writer::default();
        out.u64(self.slot);
        out.u8(u8::from(self.descriptor.is_some()));
        out.u32(self.descriptor.unwrap_or_default());
        out.bytes(&self.record);
        frame::build(ORPHAN_KIND, &out.finish())
    }

    fn decode(body: &[u8]) -> Result<Orphan, CodecError> {
        let mut fields = Reader(body);
        let slot = fields.u64()?;
        let descriptor = match (fields.flag()?, fields.u32()?) {
            (true, number) => Some(number),
            (false, 0) => None,
            (false, _) => return Err(CodecError::Value),
        };
        let record = fields.bytes(RECORD_MAX)?.into();
        fields.finish()?;
        Ok(Orphan { slot, descriptor, record })
    }
}

/// Reads orphans that stand one behind the other.
///
/// # Errors
/// When they are not what [`Orphan::encode`] makes, or too many.
pub fn orphans(mut bytes: &[u8]) -> Result<Vec<Orphan>, CodecError> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        if found.len() == ORPHANS_MAX {
            return Err(CodecError::TooLong);
        }
        let (body, rest) = frame::split(ORPHAN_KIND, bytes)?.ok_or(CodecError::Short)?;
        found.push(Orphan::decode(body)?);
        bytes = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn request() -> impl Strategy<Value = Request> {
        let record = || vec(any::<u8>(), 0..300);
        prop_oneof![
            (any::<u64>(), any::<u32>(), record())
                .prop_map(|(slot, seconds, record)| Request::Keep { slot, seconds, record }),
            (any::<u64>(), record()).prop_map(|(slot, record)| Request::Answered { slot, record }),
            vec(any::<u64>(), 0..SLOTS_MAX).prop_map(|slots| Request::Forget { slots }),
        ]
    }

    fn orphan() -> impl Strategy<Value = Orphan> {
        (any::<u64>(), any::<Option<u32>>(), vec(any::<u8>(), 0..300))
            .prop_map(|(slot, descriptor, record)| Orphan { slot, descriptor, record })
    }

    proptest! {
        #[test]
        fn a_request_comes_back_and_no_part_of_it_does(request in request()) {
            let packet = request.encode();
            prop_assert_eq!(Request::decode(&packet), Ok(request));
            for len in 0..packet.len() {
                prop_assert!(Request::decode(&packet[..len]).is_err());
            }
            prop_assert!(Request::decode(&[&packet[..], b"x"].concat()).is_err());
        }

        #[test]
        fn orphans_come_back(all in vec(orphan(), 0..20)) {
            let bytes: Vec<u8> = all.iter().flat_map(Orphan::encode).collect();
            prop_assert_eq!(orphans(&bytes), Ok(all));
        }

        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let _either = (Request::decode(&bytes), orphans(&bytes));
        }
    }

    #[test]
    fn what_is_over_its_bound_is_refused() {
        let record = alloc::vec![0; RECORD_MAX];
        let full = Request::Keep { slot: 1, seconds: 2, record: record.clone() };
        assert!(Request::decode(&full.encode()).is_ok());
        let more = Request::Answered { slot: 1, record: [&record[..], b"x"].concat() };
        assert!(!more.is_valid());
        let orphan = Orphan { slot: 1, descriptor: None, record };
        let bytes: Vec<u8> = (0..=ORPHANS_MAX).flat_map(|_| orphan.encode()).collect();
        assert_eq!(orphans(&bytes), Err(CodecError::TooLong));
    }
}
