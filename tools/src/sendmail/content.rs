//! A message on standard input as records: lines, and for `-t` the recipients of its header.
//!
//! **Limits**: `line_length_limit` bytes in a record; longer lines are several. A header that is
//! read for recipients has no limit of its own: the message has one.
//! **Standards**: sendmail(1): a lone dot ends the message, `From ` lines before the header go,
//! CRLF becomes LF as `sendmail_fix_line_endings` says.

use std::io::{self, BufRead};

use mail::record::{kind, put};

use super::address;

/// What becomes of CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEndings {
    /// Always LF.
    Always,
    /// LF when the first line ended with CRLF.
    Strict,
    /// Left alone.
    Never,
}

/// How the input is read.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes per record.
    pub line_max: usize,
    /// What becomes of CRLF.
    pub endings: LineEndings,
    /// Whether a lone dot ends the message.
    pub dot_ends: bool,
    /// Whether recipients come from the header.
    pub extract: bool,
}

/// Reads `input`, hands records to `write`; the header's recipients.
pub fn copy(
    input: &mut dyn BufRead,
    rules: Rules,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Vec<Vec<u8>>> {
    let mut header = rules.extract.then(Header::default);
    let mut lines =
        Lines { input, rules, fixes: rules.endings == LineEndings::Always, first: true };
    let mut before_header = true;
    let mut out = Vec::new();
    while let Some((line, ended)) = lines.next()? {
        if before_header && is_from(&line) {
            continue;
        }
        before_header = false;
        if line == b"." && rules.dot_ends && ended {
            break;
        }
        out.clear();
        if let Some(header) = &mut header
            && header.take(&line) == HeaderEnd::Here
            && !line.is_empty()
        {
            put(&mut out, kind::LINE, b"");
        }
        put_line(&mut out, &line, ended, rules.line_max);
        write(&out)?;
    }
    Ok(header.map(Header::recipients).unwrap_or_default())
}

/// An mbox separator, once quoted or not.
fn is_from(line: &[u8]) -> bool {
    line.strip_prefix(b">").unwrap_or(line).starts_with(b"From ")
}

fn put_line(out: &mut Vec<u8>, line: &[u8], ended: bool, max: usize) {
    let mut rest = line;
    while rest.len() > max {
        put(out, kind::PARTIAL, &rest[..max]);
        rest = &rest[max..];
    }
    put(out, if ended { kind::LINE } else { kind::PARTIAL }, rest);
}

struct Lines<'a> {
    input: &'a mut dyn BufRead,
    rules: Rules,
    fixes: bool,
    first: bool,
}

impl Lines<'_> {
    /// The next line without its end, and whether it had one.
    fn next(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let ended = line.last() == Some(&b'\n');
        if ended {
            line.pop();
        }
        let carriage = ended && line.last() == Some(&b'\r');
        if self.first {
            self.first = false;
            self.fixes |= self.rules.endings == LineEndings::Strict && carriage;
        }
        if carriage && self.fixes {
            line.pop();
        }
        Ok(Some((line, ended)))
    }
}

/// Whether a line is the first after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderEnd {
    Here,
    Elsewhere,
}

/// The header of a `-t` message.
#[derive(Debug, Default)]
struct Header {
    done: bool,
    field: Vec<u8>,
    plain: Vec<Vec<u8>>,
    resent: Vec<Vec<u8>>,
    is_resent: bool,
}

impl Header {
    fn take(&mut self, line: &[u8]) -> HeaderEnd {
        if self.done {
            return HeaderEnd::Elsewhere;
        }
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        if continues && !self.field.is_empty() {
            self.field.push(b'\n');
            self.field.extend_from_slice(line);
            return HeaderEnd::Elsewhere;
        }
        self.end_field();
        if is_field(line) {
            self.field = line.to_vec();
            return HeaderEnd::Elsewhere;
        }
        self.done = true;
        HeaderEnd::Here
    }

    fn end_field(&mut self) {
        let field = std::mem::take(&mut self.field);
        let Some(colon) = field.iter().position(|byte| *byte == b':') else { return };
        let name = String::from_utf8_lossy(&field[..colon]).trim_end().to_ascii_lowercase();
        let addresses = || address::list(&field[colon + 1..]);
        match name.as_str() {
            "to" | "cc" | "bcc" => self.plain.extend(addresses()),
            "resent-to" | "resent-cc" | "resent-bcc" => self.resent.extend(addresses()),
            _ => {}
        }
        // Any other name that begins like that says nothing.
        let known = mail::header::classify(name.as_bytes()) != mail::header::Known::Other;
        self.is_resent |= known && name.starts_with("resent-");
    }

    fn recipients(mut self) -> Vec<Vec<u8>> {
        self.end_field();
        if self.is_resent { self.resent } else { self.plain }
    }
}

/// A field name of printable characters, blanks, a colon.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::record::take;

    const RULES: Rules =
        Rules { line_max: 8, endings: LineEndings::Always, dot_ends: true, extract: false };

    fn read(text: &str, rules: Rules) -> (Vec<String>, Vec<String>) {
        let mut records = Vec::new();
        let mut write = |bytes: &[u8]| {
            records.extend_from_slice(bytes);
            Ok(())
        };
        let recipients = copy(&mut text.as_bytes(), rules, &mut write).unwrap();
        let mut rest = records.as_slice();
        let mut shown = Vec::new();
        while let Some((kind, body)) = take(&mut rest).unwrap() {
            shown.push(format!("{}{}", char::from(kind), String::from_utf8_lossy(body)));
        }
        (shown, recipients.into_iter().map(|a| String::from_utf8(a).unwrap()).collect())
    }

    #[test]
    fn lines_become_records_and_a_dot_ends_them() {
        let text = "From a b\n>From c\na\r\n123456789\nb\n.\nc\n";
        assert_eq!(read(text, RULES).0, ["Na", "L12345678", "N9", "Nb"]);
        let all = Rules { dot_ends: false, ..RULES };
        assert_eq!(read(".\nx", all).0, ["N.", "Lx"]);
    }

    #[test]
    fn carriage_returns_stay_when_they_are_not_line_ends() {
        let rules = |endings| Rules { endings, ..RULES };
        assert_eq!(read("a\nb\r\n", rules(LineEndings::Strict)).0, ["Na", "Nb\r"]);
        assert_eq!(read("a\r\nb\r\n", rules(LineEndings::Strict)).0, ["Na", "Nb"]);
        assert_eq!(read("a\r\n", rules(LineEndings::Never)).0, ["Na\r"]);
    }

    #[test]
    fn recipients_come_from_the_header_only() {
        let rules = Rules { extract: true, line_max: 100, ..RULES };
        let (records, to) = read("To: a,\n b\nBcc: c\nfoo\n\nTo: d\n", rules);
        assert_eq!(to, ["a", "b", "c"]);
        assert_eq!(records, ["NTo: a,", "N b", "NBcc: c", "N", "Nfoo", "N", "NTo: d"]);
        assert_eq!(read("To: a\nResent-To: b\nResent-bcc: c\n\n", rules).1, ["b", "c"]);
        assert_eq!(read("To: a\nResent-Foo: b\n\n", rules).1, ["a"]);
        assert_eq!(read("Foo bar: x\nTo: q\n\nx", rules).1, Vec::<String>::new());
        assert_eq!(read("\nTo: q\n", rules).1, Vec::<String>::new());
    }
}
