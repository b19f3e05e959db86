//! What the engine asks deliver for on behalf of virtual(8): a service of master.cf, a mailbox
//! below its `virtual_mailbox_base`, and whose it is by the administrator's tables.
//!
//! The engine looks the tables up, so the ids and the path come from it and are believed as far as
//! [`crate::VirtualService`] lets them go: never root's, never below the least user id, never a
//! way out of the base.
//!
//! **Limits**: [`BODY_MAX`], [`PATH_MAX`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};
use crate::request::{FROM_LINE_MAX, NAME_MAX};
use crate::{CodecError, alias};

/// The longest body.
pub const BODY_MAX: usize = 16 * 1024;
/// The longest path: what a system call takes, with room for the base.
pub const PATH_MAX: usize = 3 * 1024;
/// Frames of these requests.
pub const KIND: Kind = Kind { letters: *b"RPv1", body_max: BODY_MAX };

const _: () = assert!(FROM_LINE_MAX + NAME_MAX + PATH_MAX + 64 <= BODY_MAX);

/// A delivery to a virtual mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRequest {
    /// The master.cf service, whose rules hold.
    pub service: Vec<u8>,
    /// The mailbox, from the base on: a Maildir when it is empty or ends with a slash.
    pub path: Vec<u8>,
    /// The user id that writes.
    pub uid: u32,
    /// The group id that writes.
    pub gid: u32,
    /// The line in front of a message in an mbox, without its end: `From sender  date`.
    pub from_line: Vec<u8>,
}

impl VirtualRequest {
    /// Whether every field is within its bounds and [`VirtualRequest::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        let text = |bytes: &[u8]| !bytes.iter().any(u8::is_ascii_control);
        !self.service.is_empty()
            && self.service.len() <= NAME_MAX
            && self.path.len() <= PATH_MAX
            && self.from_line.len() <= FROM_LINE_MAX
            && self.from_line.starts_with(b"From ")
            && [&self.service, &self.path, &self.from_line].iter().all(|field| text(field))
    }

    /// Whether a component of the path is `..`.
    pub fn climbs(&self) -> bool {
        self.path.split(|byte| *byte == b'/').any(|part| part == b"..")
    }

    /// The request as a frame. Panics when it [is not valid](VirtualRequest::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "a request within its bounds");
        let mut out = Writer::default();
        out.bytes(&self.service);
        out.bytes(&self.path);
        out.u32(self.uid);
        out.u32(self.gid);
        out.bytes(&self.from_line);
        frame::build(KIND, &out.finish())
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When it is not what [`VirtualRequest::encode`] makes.
    pub fn decode(body: &[u8]) -> Result<VirtualRequest, CodecError> {
        let mut fields = Reader(body);
        let request = VirtualRequest {
            service: fields.text(NAME_MAX)?.into(),
            path: fields.text(PATH_MAX)?.into(),
            uid: fields.u32()?,
            gid: fields.u32()?,
            from_line: fields.text(FROM_LINE_MAX)?.into(),
        };
        fields.finish()?;
        if request.is_valid() { Ok(request) } else { Err(CodecError::Value) }
    }
}

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A delivery to a user's mailbox.
    Local(crate::Request),
    /// A delivery to a virtual mailbox.
    Virtual(VirtualRequest),
    /// What an alias, or `mailbox_command`, asks for.
    Alias(Box<alias::Request>),
}

impl Asked {
    /// The kind of request behind `header`, and how many bytes of body it has.
    ///
    /// # Errors
    /// When it is none of them, or its body is too long.
    pub fn kind(header: [u8; frame::HEADER_BYTES]) -> Result<(Kind, usize), CodecError> {
        let kinds = [KIND, alias::KIND];
        let named = kinds.into_iter().find(|kind| header.starts_with(&kind.letters));
        let kind = named.unwrap_or(crate::request::KIND);
        Ok((kind, frame::body_len(kind, header)?))
    }

    /// Reads the body of a frame of this kind.
    ///
    /// # Errors
    /// When it is not what the kind's `encode` makes.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Asked, CodecError> {
        if kind == KIND {
            return VirtualRequest::decode(body).map(Asked::Virtual);
        }
        if kind == alias::KIND {
            return alias::Request::decode(body).map(Box::new).map(Asked::Alias);
        }
        crate::Request::decode(body).map(Asked::Local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> VirtualRequest {
        VirtualRequest {
            service: b"virtual".into(),
            path: b"abc.example/ceo".into(),
            uid: 1003,
            gid: 105,
            from_line: b"From a@b  Sun Nov 22 11:44:06 2026".into(),
        }
    }

    fn text(max: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(32u8..127, 1..max)
    }

    proptest! {
        #[test]
        fn a_request_comes_back_and_a_byte_more_or_less_is_refused(
            service in text(40), path in text(300), uid: u32, gid: u32, line in text(200),
        ) {
            let from_line = [b"From ", line.as_slice()].concat();
            let request = VirtualRequest { service, path, uid, gid, from_line };
            let bytes = request.encode();
            let body = frame::whole(KIND, &bytes).unwrap();
            prop_assert_eq!(VirtualRequest::decode(body), Ok(request));
            let less = &body[..body.len() - 1];
            prop_assert_eq!(VirtualRequest::decode(less), Err(CodecError::Short));
            let more = [body, b"x"].concat();
            prop_assert_eq!(VirtualRequest::decode(&more), Err(CodecError::LeftOver));
        }
    }

    #[test]
    fn lines_and_bounds_are_checked() {
        let good = request();
        assert!(good.is_valid());
        assert!(VirtualRequest { path: Vec::new(), ..good.clone() }.is_valid());
        let bad = [
            VirtualRequest { service: Vec::new(), ..good.clone() },
            VirtualRequest { path: b"a\0b".into(), ..good.clone() },
            VirtualRequest { path: alloc::vec![b'a'; PATH_MAX + 1], ..good.clone() },
            VirtualRequest { from_line: b"From a\nFrom b".into(), ..good },
        ];
        assert!(bad.iter().all(|request| !request.is_valid()));
    }

    #[test]
    fn a_way_up_is_seen_wherever_it_stands_and_two_dots_in_a_name_are_none() {
        let climbs = |path: &[u8]| VirtualRequest { path: path.into(), ..request() }.climbs();
        for path in [b"..".as_slice(), b"../x", b"a/../b", b"a/..", b"/../x/"] {
            assert!(climbs(path), "{path:?}");
        }
        assert!(!climbs(b"a..b/..c/d../.e/"));
    }

    #[test]
    fn the_letters_tell_which_request_it_is() {
        let bytes = request().encode();
        let (header, body) = bytes.split_first_chunk().unwrap();
        let (kind, len) = Asked::kind(*header).unwrap();
        assert_eq!((kind, len), (KIND, body.len()));
        assert_eq!(Asked::decode(kind, body), Ok(Asked::Virtual(request())));
        assert_eq!(Asked::decode(crate::request::KIND, body), Err(CodecError::Short));
        assert_eq!(Asked::kind(*b"RPr1\0\0\0\0"), Err(CodecError::Kind));
    }
}
