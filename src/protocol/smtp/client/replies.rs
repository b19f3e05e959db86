//! Reading a remote server's replies from bytes that come in any pieces.
//!
//! A reply that stands complete in what was just received is read where it stands; only a reply
//! cut by the network is copied. Lines without a code belong to the reply and do not end it.
//!
//! Limits: [`REPLY_BYTES_MAX`] bytes in one reply; more is the server's fault.
//!
//! Standards: RFC 5321 section 4.2, RFC 2034.

use alloc::string::String;
use mail::Status;

/// Bytes one reply may have, line ends included.
pub const REPLY_BYTES_MAX: usize = 32 * 1024;

/// A reply where it was read: all its lines, the last line end excluded.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The code of the last line.
    pub code: u16,
    bytes: &'a [u8],
}

/// A reply that is kept: what log lines and notices say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The code of its last line.
    pub code: u16,
    /// Its enhanced code, or `class.0.0` without one.
    pub status: Status,
    /// All lines with their codes, joined with blanks.
    pub text: String,
}

/// Why bytes are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// More than [`REPLY_BYTES_MAX`].
    TooLong,
}

/// The complete reply that `input` begins with, and how many bytes it takes; `None` when more must
/// come.
///
/// # Errors
/// When the reply is too long.
pub fn first(input: &[u8]) -> Result<Option<(Answer<'_>, usize)>, ReplyError> {
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'\n', &input[start..]) {
        let end = start + length;
        // What has arrived already must not matter: the bound holds for the whole reply.
        if end >= REPLY_BYTES_MAX {
            return Err(ReplyError::TooLong);
        }
        if let Some(code) = final_code(&input[start..end]) {
            let bytes = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
            return Ok(Some((Answer { code, bytes }, end + 1)));
        }
        start = end + 1;
    }
    if input.len() > REPLY_BYTES_MAX { Err(ReplyError::TooLong) } else { Ok(None) }
}

/// The code of a line that ends a reply: three digits, then a blank or nothing.
fn final_code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    match line.get(3) {
        None | Some(b' ' | b'\r') => {}
        Some(_) => return None,
    }
    Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

impl<'a> Answer<'a> {
    /// The first digit.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// The texts of the lines, without codes.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> {
        self.raw_lines().map(|line| match line {
            [a, b, c, b' ' | b'-', text @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
                text
            }
            other => other,
        })
    }

    /// The reply for keeping.
    pub fn said(&self) -> Said {
        let mut text = String::with_capacity(self.bytes.len());
        for line in self.raw_lines() {
            if !text.is_empty() {
                text.push(' ');
            }
            mail::address::write_printable(&mut text, line)
                .expect("writing to a string does not fail");
        }
        Said { code: self.code, status: self.status(), text }
    }

    /// An enhanced code counts only on the last line and when its class is that of the reply.
    fn status(&self) -> Status {
        let class = self.class();
        let last = self.lines().last().unwrap_or_default().trim_ascii_start();
        match Status::parse_prefix(last) {
            Some((status, _)) if u16::from(status.class) == class => status,
            _ if matches!(class, 2 | 4 | 5) => Status::new(class as u8, 0, 0),
            // Neither success nor a refusal: the server does not follow the protocol.
            _ => Status::new(5, 5, 0),
        }
    }

    fn raw_lines(&self) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &[u8]) -> Said {
        first(input).unwrap().unwrap().0.said()
    }

    #[test]
    fn all_lines_are_reported_and_the_last_one_decides() {
        let reply =
            said(b"551-5.7.1 first line\r\n551-5.7.1 second line\r\n551 last line\r\n250 next\r\n");
        assert_eq!(reply.text, "551-5.7.1 first line 551-5.7.1 second line 551 last line");
        assert_eq!((reply.code, reply.status), (551, Status::new(5, 0, 0)));
        assert_eq!(said(b"450 4.2.0 greylisted\n").status, Status::new(4, 2, 0));
        assert_eq!(said(b"450 5.2.0 out of step\n").status, Status::new(4, 0, 0));
        assert_eq!(said(b"999 what\r\n").status, Status::new(5, 5, 0));
    }

    #[test]
    fn lines_without_a_code_do_not_end_a_reply() {
        let (answer, used) = first(b"hello\r\n250 ok\r\nrest").unwrap().unwrap();
        assert_eq!((answer.code, used), (250, 15));
        assert_eq!(answer.said().text, "hello 250 ok");
        assert!(first(b"250-more\r\n").unwrap().is_none());
        assert_eq!(first(&[b'x'; REPLY_BYTES_MAX + 1]).err(), Some(ReplyError::TooLong));
        let long = [[b'x'; REPLY_BYTES_MAX].as_slice(), b"\r\n250 ok\r\n"].concat();
        assert_eq!(first(&long).err(), Some(ReplyError::TooLong));
    }
}
