//! What the engine asks deliver for: a service of master.cf and a user, by their names.
//!
//! Never a uid, a path or a command: those come from the password file and from [`crate::Rules`].

use alloc::vec::Vec;

use crate::CodecError;
use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};

/// The longest body.
pub const BODY_MAX: usize = 16 * 1024;
/// The longest service name or user name.
pub const NAME_MAX: usize = 1024;
/// The longest From_ line.
pub const FROM_LINE_MAX: usize = 8 * 1024;
/// Frames of requests.
pub const KIND: Kind = Kind { letters: *b"RPq2", body_max: BODY_MAX };

const _: () = assert!(FROM_LINE_MAX + 2 * NAME_MAX + 64 <= BODY_MAX);

/// A delivery to a user's mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The master.cf service, whose rules hold.
    pub service: Vec<u8>,
    /// The user's login name.
    pub user: Vec<u8>,
    /// The line in front of a message in an mbox, without its end: `From sender  date`.
    pub from_line: Vec<u8>,
}

impl Request {
    /// Whether every field is within its bounds and [`Request::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        let names = [&self.service, &self.user];
        let text = |bytes: &[u8]| !bytes.iter().any(u8::is_ascii_control);
        names.iter().all(|name| name.len() <= NAME_MAX && text(name))
            && !self.service.is_empty()
            && !self.user.is_empty()
            && self.from_line.starts_with(b"From ")
            && self.from_line.len() <= FROM_LINE_MAX
            && text(&self.from_line)
    }

    /// The request as a frame. Panics when it [is not valid](Request::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "a request within its bounds");
        let mut out = Writer::default();
        [&self.service, &self.user, &self.from_line].iter().for_each(|field| out.bytes(field));
        frame::build(KIND, &out.finish())
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When it is not what [`Request::encode`] makes.
    pub fn decode(body: &[u8]) -> Result<Request, CodecError> {
        let mut fields = Reader(body);
        let request = Request {
            service: fields.text(NAME_MAX)?.into(),
            user: fields.text(NAME_MAX)?.into(),
            from_line: fields.text(FROM_LINE_MAX)?.into(),
        };
        fields.finish()?;
        if request.is_valid() { Ok(request) } else { Err(CodecError::Value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(max: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(32u8..127, 1..max)
    }

    proptest! {
        #[test]
        fn a_request_comes_back_and_a_byte_more_or_less_is_refused(
            service in text(40), user in text(300), line in text(200),
        ) {
            let from_line = [b"From ", line.as_slice()].concat();
            let request = Request { service, user, from_line };
            let bytes = request.encode();
            let body = frame::whole(KIND, &bytes).unwrap();
            prop_assert_eq!(Request::decode(body), Ok(request));
            prop_assert_eq!(Request::decode(&body[..body.len() - 1]), Err(CodecError::Short));
            let more = [body, b"x"].concat();
            prop_assert_eq!(Request::decode(&more), Err(CodecError::LeftOver));
            prop_assert_eq!(frame::split(KIND, &bytes[..bytes.len() - 1]), Ok(None));
        }

        #[test]
        fn any_bytes_are_a_request_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            crate::fuzz_privsep_request(&bytes);
        }
    }

    #[test]
    fn lines_and_bounds_are_checked() {
        let good = Request {
            service: b"local".into(),
            user: b"alice".into(),
            from_line: b"From a@b  Sun Nov 22 11:44:06 2026".into(),
        };
        assert!(good.is_valid());
        let bad = [
            Request { user: Vec::new(), ..good.clone() },
            Request { user: b"a\nb".into(), ..good.clone() },
            Request { user: alloc::vec![b'a'; NAME_MAX + 1], ..good.clone() },
            Request { from_line: b"Subject: x".into(), ..good.clone() },
            Request { from_line: b"From a\n\nFrom b".into(), ..good },
        ];
        assert!(bad.iter().all(|request| !request.is_valid()));
        let wrong = [b"RPr1".as_slice(), &[0; 4]].concat();
        assert_eq!(frame::whole(KIND, &wrong), Err(CodecError::Kind));
        let long = [b"RPq2".as_slice(), &[255; 4]].concat();
        assert_eq!(frame::whole(KIND, &long), Err(CodecError::TooLong));
    }
}
