//! Walking one segment: whole records, and the gaps between them.
//!
//! Called by `recover` and `reader`, with all bytes of the segment in memory. Any bytes are
//! allowed; what is not a whole record of this use of the segment is a gap or old bytes.
//!
//! Limits: one pass; at worst one checksum per place that carries the segment's secret salt.

use crate::{
    record::{self, ALIGN, HEADER, Header, Key, Kind, MAGIC, Probe},
    segment::PAGE,
};

/// Bytes in which something that was written is not readable any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What is still readable of the record's header; its checksum failed.
    pub(crate) header: Option<Header>,
    /// Nothing at all is there, and yet something must have been: the sequence numbers jump.
    pub(crate) void: bool,
}

/// What the walk met, in order of place.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Record(usize, Header, &'a [u8]),
    /// A gap with a whole record after it: damage, not a torn tail.
    Gap(Gap),
}

/// Where the log ends in this segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// First page after the last whole record; `PAGE` when there is none.
    pub(crate) next: usize,
    /// Whether there was any whole record.
    pub(crate) any: bool,
    /// Broken records after the last whole one.
    pub(crate) tail: Vec<Gap>,
    /// Where the last whole record ends, when anything but zeros follows in its page.
    pub(crate) debris: Option<usize>,
}

/// Walks the segment `bytes`, header page included, from `from` on, where a record may start.
pub(crate) fn scan(bytes: &[u8], from: usize, key: Key, visit: &mut dyn FnMut(Found<'_>)) -> End {
    let mut walk = Walk { bytes, after: from, broken: Vec::new(), last: None };
    let mut any = false;
    let mut at = from;
    while let Some(hit) = find(bytes, at, key) {
        match record::probe(&bytes[hit..], key) {
            Probe::Valid(header) => {
                walk.gaps_before(hit, &header, visit);
                let length = header.length as usize;
                visit(Found::Record(hit, header, &bytes[hit..hit + length]));
                any = true;
                at = (hit + record::aligned(length)).min(bytes.len());
                walk.after = at;
                walk.last = (header.kind != Kind::Skip).then_some(header.lsn);
            }
            Probe::Broken(header) => {
                walk.broken.push((hit, header));
                at = hit + ALIGN;
            }
            Probe::Nothing => at = hit + ALIGN,
        }
    }
    let next = walk.after.next_multiple_of(PAGE);
    let padding = &bytes[walk.after..next.min(bytes.len())];
    let debris = padding.iter().any(|byte| *byte != 0).then_some(walk.after);
    End { next, any, tail: walk.tail(), debris }
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// End of the last whole record.
    after: usize,
    broken: Vec<(usize, Option<Header>)>,
    last: Option<u64>,
}

impl Walk<'_> {
    /// Reports what is unreadable between the last whole record and the one at `hit`.
    fn gaps_before(&mut self, hit: usize, next: &Header, visit: &mut dyn FnMut(Found<'_>)) {
        let first = self.broken.first().map_or(hit, |(at, _)| *at);
        let nothing_lost = self.last.is_some_and(|last| next.lsn == last.wrapping_add(1));
        let holes = self.bytes[self.after..first].iter().any(|byte| *byte != 0);
        // Stray bits in the padding lose nothing; the sequence numbers know.
        let void = !holes && self.broken.is_empty() && self.last.is_some();
        if (holes || void) && !nothing_lost && first - self.after >= HEADER {
            visit(Found::Gap(Gap { start: self.after, end: first, header: None, void }));
        }
        let ends = self.broken.iter().skip(1).map(|(at, _)| *at).chain([hit]);
        for ((start, header), end) in self.broken.iter().copied().zip(ends) {
            visit(Found::Gap(Gap { start, end, header, void: false }));
        }
        self.broken.clear();
    }

    /// Broken records with nothing whole after them, each as long as it claims or a page.
    fn tail(&self) -> Vec<Gap> {
        let limit = self.bytes.len();
        let ends = self.broken.iter().skip(1).map(|(at, _)| *at).chain([limit]);
        let gap = |((start, header), end): ((usize, Option<Header>), usize)| {
            let claimed = header.map_or(HEADER, |h: Header| (h.length as usize).max(HEADER));
            let page = (start + HEADER).next_multiple_of(PAGE);
            let claimed = start.saturating_add(claimed).max(page).min(end);
            Gap { start, end: claimed.min(limit), header, void: false }
        };
        self.broken.iter().copied().zip(ends).map(gap).collect()
    }
}

/// The next place at or after `from` that carries this use's magic, epoch and salt.
fn find(bytes: &[u8], from: usize, key: Key) -> Option<usize> {
    let magic = MAGIC.to_le_bytes();
    let last = bytes.len().checked_sub(HEADER)?;
    let mut at = from;
    while at <= last {
        if at.is_multiple_of(PAGE) && bytes[at..].starts_with(&[0; PAGE]) {
            // Most of a segment that is new, or not yet full.
            at += PAGE;
            continue;
        }
        let here = &bytes[at..at + HEADER];
        if here[..4] == magic && record::parse_key(here) == key {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}
