//! One header after the other, as far as they have come.
//!
//! **Limits**: `header_size_limit` bytes of a header are kept.

use super::checks::unfolded;
use mail::header;
use std::borrow::Cow;

/// What is passed over of a header that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Nothing,
    /// The rest of a line.
    Line,
    /// Lines that go on with it.
    Continuations,
}

impl Skip {
    /// How much of `rest` is passed over, and what behind it.
    pub(super) fn pass_over(self, rest: &[u8]) -> (usize, Skip) {
        let (mut at, mut skip) = (0, self);
        loop {
            skip = match (skip, rest.get(at)) {
                (Skip::Nothing, _) | (_, None) => return (at, skip),
                (Skip::Continuations, Some(b' ' | b'\t')) => Skip::Line,
                (Skip::Continuations, Some(_)) => Skip::Nothing,
                (Skip::Line, Some(_)) => match line_end(rest, at) {
                    Some(end) => {
                        at = end;
                        Skip::Continuations
                    }
                    None => return (rest.len(), Skip::Line),
                },
            };
        }
    }
}

/// A header in wire form without what is beyond `header_size_limit`.
pub(super) fn tidy(line: &[u8], size_limit: usize) -> Cow<'_, [u8]> {
    if line.len() <= size_limit || unfolded(line).len() <= size_limit {
        return Cow::Borrowed(line);
    }
    let mut text = unfolded(line).into_owned();
    text.truncate(size_limit);
    let mut out = Vec::with_capacity(size_limit + b"\r\n".len());
    for piece in text.split(|byte| *byte == b'\n').filter(|piece| !piece.is_empty()) {
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

/// The first header of `rest` in wire form; offsets are into it.
pub(super) fn next_header(rest: &[u8], size_limit: usize) -> Next {
    // By far too long already, whatever line ends there are in it.
    let too_long = rest.len() > size_limit.saturating_mul(2);
    let Some(first_end) = line_end(rest, 0) else {
        return match too_long && header::name(rest).is_some() {
            true => Next::Header { end: rest.len() },
            false => Next::Incomplete,
        };
    };
    if &rest[..first_end] == b"\r\n" {
        return Next::End { blank: true };
    }
    if header::name(&rest[..first_end]).is_none() {
        return Next::End { blank: false };
    }
    let mut end = first_end;
    while end < rest.len() && header::is_continuation(&rest[end..]) {
        match line_end(rest, end) {
            Some(next) => end = next,
            None if too_long => return Next::Header { end: rest.len() },
            None => return Next::Incomplete,
        }
    }
    // The next line may go on with this header: it must have begun before we know.
    if end == rest.len() { Next::Incomplete } else { Next::Header { end } }
}

/// What comes next in a header.
pub(super) enum Next {
    Header { end: usize },
    End { blank: bool },
    Incomplete,
}

/// Where the line ends that goes on at `from`.
pub(super) fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_goes() {
        assert!(matches!(tidy(b"Subject: x\r\n", 10), Cow::Borrowed(_)));
        assert_eq!(tidy(b"A: bc\r\n d\r\n e\r\n", 7), b"A: bc\r\n \r\n".as_slice());
        assert_eq!(tidy(b"A: bc\r\n d\r\n", 6), b"A: bc\r\n".as_slice());
        let skipped = |skip: Skip, rest: &[u8]| skip.pass_over(rest);
        assert_eq!(skipped(Skip::Line, b"x\r\n y\r\n z"), (9, Skip::Line));
        assert_eq!(skipped(Skip::Line, b"x\r\n"), (3, Skip::Continuations));
        assert_eq!(skipped(Skip::Continuations, b"A: b"), (0, Skip::Nothing));
    }
}
