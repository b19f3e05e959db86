//! What deliver answers: go on, or how it ended.
//!
//! **Standards**: codes of sysexits.h; status codes of RFC 3463.

use alloc::string::String;
use alloc::vec::Vec;

use crate::CodecError;
use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};

/// The longest body.
pub const BODY_MAX: usize = 32 * 1024;
/// The longest text or warning; longer ones are cut.
pub const TEXT_MAX: usize = 4 * 1024;
/// Most warnings of one delivery; more are left out.
pub const WARNINGS_MAX: usize = 2;
/// Frames of replies.
pub const KIND: Kind = Kind { letters: *b"RPr1", body_max: BODY_MAX };

const _: () = assert!((2 + WARNINGS_MAX) * (TEXT_MAX + 4) + 64 <= BODY_MAX);

/// How a delivery ended, as a process would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// EX_OK: it is on the disk.
    Ok = 0,
    /// EX_USAGE: the request is not one, or names a service without rules.
    Usage = 64,
    /// EX_NOUSER: there is no such user.
    NoUser = 67,
    /// EX_OSERR: the user could not be looked up or become.
    OsErr = 71,
    /// EX_CANTCREAT: the mailbox cannot be opened.
    CantCreate = 73,
    /// EX_IOERR: the message cannot be written.
    IoErr = 74,
    /// EX_TEMPFAIL: the mailbox is in use.
    TempFail = 75,
    /// EX_CONFIG: the configuration asks for what is not there.
    Config = 78,
}

const CODES: [Code; 8] = [
    Code::Ok,
    Code::Usage,
    Code::NoUser,
    Code::OsErr,
    Code::CantCreate,
    Code::IoErr,
    Code::TempFail,
    Code::Config,
];

/// The end of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub code: Code,
    /// Class 2, 4 or 5, subject, detail. Class 2 if and only if the code is [`Code::Ok`].
    pub status: (u8, u16, u16),
    /// One line for the log and for notices.
    pub text: String,
    /// Lines an administrator should see.
    pub warnings: Vec<String>,
}

/// A file of a user's that `forward_path` names; its text follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Its name.
    pub path: String,
    /// Whether the address extension is a part of the name.
    pub extended: bool,
    /// Lines an administrator should see: why it is not obeyed, when no text follows.
    pub warnings: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The content may come.
    Go,
    /// Nothing more comes.
    Done(Verdict),
    /// The same, of a command, with what it said itself or what its end means.
    Command(Verdict, String),
    /// The text of this file comes.
    Forward(Forward),
}

impl Reply {
    /// The reply as a frame; texts that are too long are cut, control characters become `?`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Reply::Go => out.u8(0),
            Reply::Done(verdict) => {
                out.u8(1);
                verdict.encode(&mut out);
            }
            Reply::Command(verdict, said) => {
                out.u8(2);
                verdict.encode(&mut out);
                out.bytes(line(said).as_bytes());
            }
            Reply::Forward(Forward { path, extended, warnings: lines }) => {
                out.u8(3);
                out.bytes(line(path).as_bytes());
                out.u8(u8::from(*extended));
                write_warnings(lines, &mut out);
            }
        }
        frame::build(KIND, &out.finish())
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When it is not what [`Reply::encode`] makes.
    pub fn decode(body: &[u8]) -> Result<Reply, CodecError> {
        let mut fields = Reader(body);
        let reply = match fields.u8()? {
            0 => Reply::Go,
            1 => Reply::Done(Verdict::decode(&mut fields)?),
            2 => Reply::Command(Verdict::decode(&mut fields)?, fields.string(TEXT_MAX)?),
            3 => Reply::Forward(Forward {
                path: fields.string(TEXT_MAX)?,
                extended: fields.flag()?,
                warnings: warnings(&mut fields)?,
            }),
            _ => return Err(CodecError::Value),
        };
        fields.finish()?;
        Ok(reply)
    }
}

impl Verdict {
    fn encode(&self, out: &mut Writer) {
        let (class, subject, detail) = self.status;
        out.u8(self.code as u8);
        out.u8(class);
        out.u16(subject);
        out.u16(detail);
        out.bytes(line(&self.text).as_bytes());
        write_warnings(&self.warnings, out);
    }

    fn decode(fields: &mut Reader<'_>) -> Result<Verdict, CodecError> {
        let byte = fields.u8()?;
        let code = *CODES.iter().find(|code| **code as u8 == byte).ok_or(CodecError::Value)?;
        let status = (fields.u8()?, fields.u16()?, fields.u16()?);
        let text = fields.string(TEXT_MAX)?;
        let warnings = warnings(fields)?;
        let (class, subject, detail) = status;
        let known = matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999;
        if !known || (class == 2) != (code == Code::Ok) {
            return Err(CodecError::Value);
        }
        Ok(Verdict { code, status, text, warnings })
    }
}

fn write_warnings(warnings: &[String], out: &mut Writer) {
    let warnings = &warnings[..warnings.len().min(WARNINGS_MAX)];
    out.u8(warnings.len() as u8);
    warnings.iter().for_each(|warning| out.bytes(line(warning).as_bytes()));
}

fn warnings(fields: &mut Reader<'_>) -> Result<Vec<String>, CodecError> {
    let count = usize::from(fields.u8()?);
    if count > WARNINGS_MAX {
        return Err(CodecError::TooLong);
    }
    (0..count).map(|_| fields.string(TEXT_MAX)).collect()
}

/// `text` as one line within its bound.
fn line(text: &str) -> String {
    let clean = |character: char| if character.is_ascii_control() { '?' } else { character };
    let mut line: String = text.chars().map(clean).collect();
    line.truncate(line.floor_char_boundary(TEXT_MAX));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict() -> impl Strategy<Value = Verdict> {
        let warnings = proptest::collection::vec("[ -~]{0,60}", 0..=WARNINGS_MAX);
        (1..CODES.len(), 0u16..1000, 0u16..1000, "[ -~]{0,200}", warnings, any::<bool>()).prop_map(
            |(code, subject, detail, text, warnings, ok)| Verdict {
                code: if ok { Code::Ok } else { CODES[code] },
                status: (if ok { 2 } else { 4 }, subject, detail),
                text,
                warnings,
            },
        )
    }

    proptest! {
        #[test]
        fn a_reply_comes_back(verdict in verdict()) {
            let reply = Reply::Done(verdict);
            let bytes = reply.encode();
            let body = frame::whole(KIND, &bytes).unwrap();
            prop_assert_eq!(Reply::decode(body), Ok(reply));
            let more = [body, b"x"].concat();
            prop_assert_eq!(Reply::decode(&more), Err(CodecError::LeftOver));
        }

        #[test]
        fn a_users_file_comes_back(path in "[ -~]{0,200}", extended: bool) {
            let reply = Reply::Forward(Forward { path, extended, warnings: Vec::new() });
            let bytes = reply.encode();
            prop_assert_eq!(Reply::decode(frame::whole(KIND, &bytes).unwrap()), Ok(reply));
        }

        #[test]
        fn any_bytes_are_a_reply_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let _either = Reply::decode(&bytes);
        }
    }

    #[test]
    fn texts_become_one_line_within_the_bound() {
        let text = alloc::format!("a\nb{}", "\u{e9}".repeat(TEXT_MAX));
        let verdict = Verdict { code: Code::IoErr, status: (4, 3, 0), text, warnings: Vec::new() };
        let bytes = Reply::Done(verdict).encode();
        let Ok(Reply::Done(read)) = Reply::decode(frame::whole(KIND, &bytes).unwrap()) else {
            panic!("a verdict");
        };
        assert!(read.text.starts_with("a?b") && read.text.len() <= TEXT_MAX);
    }

    #[test]
    fn success_and_its_status_belong_together() {
        for (code, class) in [(Code::Ok, 4), (Code::IoErr, 2), (Code::NoUser, 3)] {
            let warnings = Vec::new();
            let verdict = Verdict { code, status: (class, 0, 0), text: String::new(), warnings };
            let bytes = Reply::Done(verdict).encode();
            let body = frame::whole(KIND, &bytes).unwrap();
            assert_eq!(Reply::decode(body), Err(CodecError::Value));
        }
    }
}
