//! Replies: what a server says. Building ours, reading a remote server's.
//!
//! Limits: a remote reply is cut at [`REPLY_LINES_MAX`] lines and [`REPLY_BYTES_MAX`] bytes; the
//! rest is read and dropped, so that a talkative server costs no memory.
//!
//! Standards: RFC 5321 section 4.2, RFC 2034 (enhanced codes).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use mail::Status;

/// Lines of a remote reply that are kept.
pub const REPLY_LINES_MAX: usize = 64;
/// Bytes of a remote reply that are kept.
pub const REPLY_BYTES_MAX: usize = 4096;
/// A remote reply line longer than this is a protocol error.
pub const REPLY_LINE_MAX: usize = 4096;

/// One of our replies, a single line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub Cow<'static, str>);

impl Reply {
    /// A reply known when the program is built.
    pub const fn fixed(text: &'static str) -> Reply {
        Reply(Cow::Borrowed(text))
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.0.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Whether this is a refusal.
    pub fn is_error(&self) -> bool {
        self.code() >= 400
    }

    /// The same reply with 5xx and 5.x.x made temporary (`soft_bounce`).
    pub fn softened(self) -> Reply {
        let text = self.0.as_ref();
        if !text.starts_with('5') {
            return self;
        }
        let mut soft = String::from("4");
        match text.get(3..6) {
            Some(" 5.") => {
                soft.push_str(&text[1..4]);
                soft.push_str("4.");
                soft.push_str(&text[6..]);
            }
            _ => soft.push_str(&text[1..]),
        }
        Reply(Cow::Owned(soft))
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Reply {
        Reply(Cow::Owned(text))
    }
}

/// What a remote server said, all lines of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The three-digit code; 0 when the reply had none.
    pub code: u16,
    /// The lines without code and line end, joined as Postfix logs them: with blanks.
    pub text: String,
    /// The enhanced code at the start of the last line's text.
    pub status: Option<Status>,
    /// The lines apart, for EHLO.
    pub lines: Vec<String>,
}

impl Remote {
    /// Whether the class (first digit) is `class`.
    pub fn is_class(&self, class: u16) -> bool {
        self.code / 100 == class
    }
}

/// Why a remote server's bytes are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line without end.
    LineTooLong,
}

/// Collects the lines of one reply after the other.
#[derive(Debug, Default)]
pub struct Reader {
    lines: Vec<String>,
    bytes: usize,
}

impl Reader {
    /// Reads from `input`: how many bytes were used, and the reply when it is complete.
    ///
    /// # Errors
    /// When a line is longer than [`REPLY_LINE_MAX`].
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Remote>), ReplyError> {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &input[used..]) {
            if end > REPLY_LINE_MAX {
                return Err(ReplyError::LineTooLong);
            }
            let line = &input[used..used + end];
            used += end + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(reply) = self.line(line) {
                return Ok((used, Some(reply)));
            }
        }
        if input.len() - used > REPLY_LINE_MAX {
            return Err(ReplyError::LineTooLong);
        }
        Ok((used, None))
    }

    /// A line belongs to the reply until one has no hyphen after the code. A line without a code is
    /// kept as text and does not end the reply; Postfix reads on, too.
    fn line(&mut self, line: &[u8]) -> Option<Remote> {
        let (code, last, text) = split(line);
        if self.lines.len() < REPLY_LINES_MAX && self.bytes < REPLY_BYTES_MAX {
            let text: String = printable(text);
            self.bytes += text.len();
            self.lines.push(text);
        }
        if !last {
            return None;
        }
        let lines = core::mem::take(&mut self.lines);
        self.bytes = 0;
        let last_text = lines.last().map(String::as_bytes).unwrap_or_default();
        let status = Status::parse_prefix(last_text).map(|(status, _)| status);
        Some(Remote { code, text: lines.join(" "), status, lines })
    }
}

/// Code, whether this is the last line, text.
fn split(line: &[u8]) -> (u16, bool, &[u8]) {
    let coded = line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit);
    if !coded {
        return (0, false, line);
    }
    let code = line[..3].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3) {
        None => (code, true, &line[3..]),
        Some(b'-') => (code, false, &line[4..]),
        Some(b' ') => (code, true, &line[4..]),
        Some(_) => (code, true, &line[3..]),
    }
}

fn printable(text: &[u8]) -> String {
    let mut out = String::new();
    mail::address::write_printable(&mut out, text).expect("writing to a string does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(input: &[u8]) -> Vec<Remote> {
        let mut reader = Reader::default();
        let mut rest = input;
        let mut replies = Vec::new();
        while let Ok((used, Some(reply))) = reader.read(rest) {
            rest = &rest[used..];
            replies.push(reply);
        }
        replies
    }

    #[test]
    fn lines_with_a_hyphen_go_on() {
        let replies = read_all(b"250-mx\r\n250-SIZE 10\r\n250 DSN\r\n550 5.1.1 no\n");
        assert_eq!(replies[0].lines, ["mx", "SIZE 10", "DSN"]);
        assert_eq!(replies[1].code, 550);
        assert_eq!(replies[1].status, Some(Status::new(5, 1, 1)));
        assert_eq!(replies[1].text, "5.1.1 no");
    }

    #[test]
    fn soft_bounce_makes_refusals_temporary() {
        let soft = |text| Reply::fixed(text).softened().0.into_owned();
        assert_eq!(soft("554 5.7.1 no"), "454 4.7.1 no");
        assert_eq!(soft("501 Syntax"), "401 Syntax");
        assert_eq!(soft("250 2.0.0 Ok"), "250 2.0.0 Ok");
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            input in proptest::collection::vec(
                prop_oneof![
                    Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'\n'),
                    any::<u8>(),
                ],
                0..200,
            ),
            cut in any::<proptest::sample::Index>(),
        ) {
            let whole = read_all(&input);
            let mut reader = Reader::default();
            let mut replies = Vec::new();
            let mut buffer: Vec<u8> = Vec::new();
            let at = cut.index(input.len() + 1);
            for piece in [&input[..at], &input[at..]] {
                buffer.extend_from_slice(piece);
                loop {
                    let (used, reply) = reader.read(&buffer).unwrap();
                    buffer.drain(..used);
                    match reply {
                        Some(reply) => replies.push(reply),
                        None => break,
                    }
                }
            }
            prop_assert_eq!(replies, whole);
        }
    }
}
