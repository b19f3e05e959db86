//! What an alias or an include file lists: addresses, files, commands, other lists.
//!
//! | an entry | is |
//! | --- | --- |
//! | `/file/name`, `~/file/name` | a file; with a slash at the end a Maildir |
//! | a bar and a command, in quotes when it has blanks | a command |
//! | `:include:/file/name` | a file with more entries |
//! | anything else | addresses, as in a mail header |
//!
//! An empty address in angle brackets is none, one in quotes is.
//!
//! Read by the engine when it expands an alias, and by deliver, which looks whether what it is
//! asked for stands there. Quotes and comments are those of a header; a comma inside them
//! separates nothing.
//!
//! **Diagnostics**: none; any bytes are some list.
//! **Limits**: the caller's; a list is as long as a table's value or an include file.
//! **Standards**: aliases(5).

use alloc::vec::Vec;

use crate::address::Address;
use crate::tok822::{AddressList, Piece};

/// The start of an entry that names another list.
const INCLUDE: &[u8] = b":include:";
/// Tokens of one entry; more are not looked at.
const TOKENS_MAX: usize = 10_240;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address as it is written, not qualified.
    Address(Address),
    /// A file to append to, or a Maildir.
    File(Vec<u8>),
    /// A command, without its bar.
    Command(Vec<u8>),
    /// A file with entries.
    Include(Vec<u8>),
}

/// The entries of an alias: of the right-hand side of one.
pub fn list(text: &[u8]) -> Vec<Destination> {
    let mut out = Vec::new();
    if text.contains(&b';') {
        // A group's commas are its own.
        let whole = AddressList::parse(text, TOKENS_MAX);
        if whole.pieces.contains(&Piece::Group) {
            return whole.addresses().map(of).collect();
        }
    }
    for element in elements(text) {
        let mut rest = element.trim_ascii_start();
        if is_nobody(rest) {
            continue;
        }
        // Not a word of RFC 822: the colon would begin a group.
        while starts_with_include(rest) {
            let path = &rest[INCLUDE.len()..];
            // It may be in quotes.
            let (quotes, path) = path.strip_prefix(b"\"").map_or((0, path), |inner| (1, inner));
            let ends =
                |byte: &u8| if quotes > 0 { *byte == b'"' } else { byte.is_ascii_whitespace() };
            let end = path.iter().position(ends).unwrap_or(path.len());
            out.push(Destination::Include(path[..end].to_vec()));
            rest = path.get(end + quotes..).unwrap_or_default().trim_ascii_start();
        }
        let addresses = AddressList::parse(rest, TOKENS_MAX);
        out.extend(addresses.addresses().map(of));
    }
    out
}

/// The entries of a file, line by line: every line a list, those that begin with `#` none.
pub fn by_line(text: &[u8]) -> impl Iterator<Item = Vec<Destination>> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    lines.map(line).filter(|line| !line.is_empty())
}

/// The entries of a line, which ends at a NUL. Its end is a blank in quotes that are left open.
fn line(text: &[u8]) -> Vec<Destination> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    match text.strip_suffix(b"\n") {
        Some(line) if line.contains(&b'"') => list(&[line, b" "].concat()),
        Some(line) => list(line),
        None => list(text),
    }
}

/// Whether it is `<>`.
fn is_nobody(element: &[u8]) -> bool {
    let inside = element.trim_ascii().strip_prefix(b"<").and_then(|it| it.strip_suffix(b">"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// The entries of a file.
pub fn lines(text: &[u8]) -> Vec<Destination> {
    by_line(text).flatten().collect()
}

fn starts_with_include(text: &[u8]) -> bool {
    text.get(..INCLUDE.len()).is_some_and(|start| start.eq_ignore_ascii_case(INCLUDE))
}

fn of(address: &Address) -> Destination {
    let text = address.as_bytes();
    match text.first() {
        Some(b'/' | b'~') => Destination::File(text.to_vec()),
        Some(b'|') => Destination::Command(blanks(&text[1..])),
        _ if starts_with_include(text) => Destination::Include(text[INCLUDE.len()..].to_vec()),
        _ => Destination::Address(address.clone()),
    }
}

/// A command on one line.
fn blanks(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect()
}

/// What commas separate, those in quotes, comments and brackets apart.
fn elements(text: &[u8]) -> Vec<&[u8]> {
    let (mut out, mut start, mut at) = (Vec::new(), 0, 0);
    let mut inside = Vec::new();
    while let Some(&byte) = text.get(at) {
        match (byte, inside.last()) {
            (b'\\', _) => at += 1,
            (byte, Some(end)) if byte == *end => drop(inside.pop()),
            (b'(', None | Some(b')')) => inside.push(b')'),
            (b'"', None) => inside.push(b'"'),
            (b'<', None) => inside.push(b'>'),
            (b',', None) => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.push(&text[start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Destination {
        Destination::Address(Address::from_internal(text.as_bytes()))
    }

    #[test]
    fn each_kind_of_entry_is_told_by_its_first_characters() {
        let text = b"alice, \"|/bin/x 'a, b' $HOME\", /srv/a.b, ~/c, :include:/l/ist, b@c.d (x, y)";
        let expected = [
            address("alice"),
            Destination::Command(b"/bin/x 'a, b' $HOME".into()),
            Destination::File(b"/srv/a.b".into()),
            Destination::File(b"~/c".into()),
            Destination::Include(b"/l/ist".into()),
            address("b@c.d"),
        ];
        assert_eq!(list(text), expected);
        assert_eq!(list(b"|/bin/true"), [Destination::Command(b"/bin/true".into())]);
        assert_eq!(list(b"\"/with blank/x/\""), [Destination::File(b"/with blank/x/".into())]);
        let include = Destination::Include(b"/a b".into());
        assert_eq!(list(b"\":INCLUDE:/a b\"").first(), Some(&include));
        let both = [include, address("c")];
        assert_eq!(list(b":include:\"/a b\" c"), both);
        assert_eq!(list(b":include:\"/a b\", c"), both);
    }

    #[test]
    fn addresses_are_those_of_a_header() {
        assert_eq!(list(b"a b"), [address("a"), address("b")]);
        assert_eq!(list(b"Joe <j@k>, Group: c, d;"), ["j@k", "c", "d"].map(address));
        assert_eq!(list(b"\"odd user\"@x, <@r:e@f>"), ["odd user@x", "@r:e@f"].map(address));
        assert_eq!(list(b"\"\""), [address("")]);
        assert!(list(b" , (nobody) ").is_empty() && list(b"<>, < > ").is_empty());
        let paths = [Destination::Include(b"/a".into()), Destination::Include(b"/b".into())];
        assert_eq!(list(b":include:/a :include:/b c")[..2], paths);
    }

    #[test]
    fn a_file_is_lines_of_lists() {
        let text = b"# alice\nbob, carol\n\n  dave\n:include:/x\n\"|cat\"\n";
        let expected = [
            address("bob"),
            address("carol"),
            address("dave"),
            Destination::Include(b"/x".into()),
            Destination::Command(b"cat".into()),
        ];
        assert_eq!(lines(text), expected);
        assert_eq!(lines(b"bob\0carol\ndave"), [address("bob"), address("dave")]);
        assert_eq!(lines(b"\"open, bob\ncarol\n"), [address("open, bob "), address("carol")]);
    }
}
