//! Records: the byte map of everything after a segment's header page. See FORMAT.md.
//!
//! Called by `log` (to write), `scan` and `store` (to read). Pure; no I/O.
//!
//! Diagnostics: bytes from disk are never asserted on; what does not parse is `None` or `Broken`.
//!
//! Limits: a record is at most `u32::MAX` bytes and starts at a multiple of `ALIGN`.

/// First word of every record: "RPQr".
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"RPQr");
/// Records start at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// Bytes of a record's header.
pub(crate) const HEADER: usize = 48;
/// Bytes before the envelope in a Message record, header included.
pub(crate) const MESSAGE_FIXED: usize = HEADER + 16;
/// Bytes before the envelope in a Commit record, header included.
pub(crate) const COMMIT_FIXED: usize = HEADER + 32;
/// Bytes before the content in an Extent record, header included.
pub(crate) const EXTENT_FIXED: usize = HEADER + 8;
/// Bytes before the detail in a Defer record, header included.
pub(crate) const DEFER_FIXED: usize = HEADER + 8;
/// Bytes before marks and detail in a State record, header included.
pub(crate) const STATE_FIXED: usize = HEADER + 24;
/// Bytes of one entry of a Commit's extent table.
pub(crate) const EXTENT_ENTRY: usize = 12;

/// Flag of a Message or Commit record: the message starts in the hold queue.
///
/// The engine sets it in `Log::append` and `Log::commit`; it never comes back in `Live::flags`.
pub const FLAG_HELD: u32 = 1 << 31;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A whole message.
    Message = 1,
    /// A part of a large message.
    Extent = 2,
    /// The end of a large message.
    Commit = 3,
    /// Recipients that are done.
    Mark = 4,
    /// The next attempt.
    Defer = 5,
    /// Into the hold queue.
    Hold = 6,
    /// Out of the hold queue.
    Release = 7,
    /// New engine-defined flags.
    Flags = 8,
    /// The message is done.
    Remove = 9,
    /// All mutable state of a message that was copied forward.
    State = 10,
    /// Numbers that may be handed out.
    Lease = 11,
    /// Orderly end: the next number.
    Close = 12,
    /// Bytes that recovery has dealt with.
    Skip = 13,
}

impl Kind {
    fn from_u8(value: u8) -> Option<Kind> {
        use Kind::*;
        const ALL: [Kind; 13] = [
            Message, Extent, Commit, Mark, Defer, Hold, Release, Flags, Remove, State, Lease,
            Close, Skip,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == value)
    }
}

/// What tells this use of a segment from every other: nobody outside can guess the salt, so no
/// message content can pass for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) epoch: u32,
    pub(crate) salt: u64,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Header and body, without padding.
    pub(crate) length: u32,
    pub(crate) lsn: u64,
    /// 0 for records that are about no message.
    pub(crate) number: u64,
    /// Page on which the record's batch starts.
    pub(crate) batch: u32,
    pub(crate) key: Key,
}

/// What stands at a place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// No record of this use of the segment starts here.
    Nothing,
    /// The start of a record whose bytes are not what was written.
    Broken(Option<Header>),
    /// A whole record.
    Valid(Header),
}

/// `length` rounded up to where the next record may start.
pub(crate) fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGN)
}

/// Writes header and checksum over a record whose body is already at `record[HEADER..]`.
pub(crate) fn finish(record: &mut [u8], header: &Header) {
    assert_eq!(record.len(), header.length as usize, "the body is in place");
    assert!(record.len() >= HEADER, "a record has a header");
    record[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    record[4..8].copy_from_slice(&[header.kind as u8, 0, 0, 0]);
    record[8..12].copy_from_slice(&header.length.to_le_bytes());
    record[16..24].copy_from_slice(&header.lsn.to_le_bytes());
    record[24..32].copy_from_slice(&header.number.to_le_bytes());
    record[32..36].copy_from_slice(&header.key.epoch.to_le_bytes());
    record[36..40].copy_from_slice(&header.batch.to_le_bytes());
    record[40..48].copy_from_slice(&header.key.salt.to_le_bytes());
    let crc = checksum(record);
    record[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32C over everything but the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[16..])
}

/// Looks at what starts at the beginning of `bytes`, which reach to the end of the segment.
pub(crate) fn probe(bytes: &[u8], key: Key) -> Probe {
    if bytes.len() < HEADER || !starts_here(bytes, key) {
        return Probe::Nothing;
    }
    let Some(header) = parse(bytes) else { return Probe::Broken(None) };
    let length = header.length as usize;
    if length < HEADER || length > bytes.len() {
        return Probe::Broken(Some(header));
    }
    let stored = u32_at(bytes, 12).unwrap_or(0);
    if checksum(&bytes[..length]) == stored {
        Probe::Valid(header)
    } else {
        Probe::Broken(Some(header))
    }
}

/// Whether the words that nobody can guess stand here.
fn starts_here(bytes: &[u8], key: Key) -> bool {
    u32_at(bytes, 0) == Some(MAGIC) && parse_key(bytes) == key
}

/// The epoch and salt words of a header.
pub(crate) fn parse_key(header: &[u8]) -> Key {
    let (epoch, salt) = (u32_at(header, 32), u64_at(header, 40));
    Key { epoch: epoch.unwrap_or(0), salt: salt.unwrap_or(0) }
}

/// The header's fields, unchecked but for the kind.
pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
    if u32_at(bytes, 0)? != MAGIC {
        return None;
    }
    Some(Header {
        kind: Kind::from_u8(bytes[4])?,
        length: u32_at(bytes, 8)?,
        lsn: u64_at(bytes, 16)?,
        number: u64_at(bytes, 24)?,
        batch: u32_at(bytes, 36)?,
        key: Key { epoch: u32_at(bytes, 32)?, salt: u64_at(bytes, 40)? },
    })
}

/// The little-endian word at `at`, if there is one.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The little-endian double word at `at`, if there is one.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Body of a Message record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) arrival_us: u64,
    pub(crate) flags: u32,
    pub(crate) envelope: &'a [u8],
    pub(crate) content: &'a [u8],
}

impl<'a> Message<'a> {
    /// The fixed part of the body.
    pub(crate) fn fixed(arrival_us: u64, flags: u32, envelope_len: u32) -> [u8; 16] {
        let mut fixed = [0; 16];
        fixed[0..8].copy_from_slice(&arrival_us.to_le_bytes());
        fixed[8..12].copy_from_slice(&flags.to_le_bytes());
        fixed[12..16].copy_from_slice(&envelope_len.to_le_bytes());
        fixed
    }

    /// Reads a whole record, header included.
    pub(crate) fn read(record: &'a [u8]) -> Option<Message<'a>> {
        let envelope_len = u32_at(record, HEADER + 12)? as usize;
        let (envelope, content) = record.get(MESSAGE_FIXED..)?.split_at_checked(envelope_len)?;
        let arrival_us = u64_at(record, HEADER)?;
        Some(Message { arrival_us, flags: u32_at(record, HEADER + 8)?, envelope, content })
    }
}

/// Where a part of a large message's content stands: the bytes themselves, not their record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) epoch: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Body of a Commit record.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) arrival_us: u64,
    pub(crate) flags: u32,
    pub(crate) size: u64,
    pub(crate) envelope: &'a [u8],
    table: &'a [u8],
}

impl<'a> Commit<'a> {
    /// The fixed part of the body.
    pub(crate) fn fixed(
        arrival_us: u64,
        flags: u32,
        envelope_len: u32,
        size: u64,
        extents: u32,
    ) -> [u8; 32] {
        let mut fixed = [0; 32];
        fixed[..16].copy_from_slice(&Message::fixed(arrival_us, flags, envelope_len));
        fixed[16..24].copy_from_slice(&size.to_le_bytes());
        fixed[24..28].copy_from_slice(&extents.to_le_bytes());
        fixed
    }

    /// The extent table as it is written.
    pub(crate) fn table(extents: &[Extent]) -> Vec<u8> {
        let words = extents.iter().flat_map(|e| [e.epoch, e.offset, e.length]);
        words.flat_map(u32::to_le_bytes).collect()
    }

    /// Reads a whole record, header included; the extents must add up to the size.
    pub(crate) fn read(record: &'a [u8]) -> Option<Commit<'a>> {
        let envelope_len = u32_at(record, HEADER + 12)? as usize;
        let count = u32_at(record, HEADER + 24)? as usize;
        let (envelope, table) = record.get(COMMIT_FIXED..)?.split_at_checked(envelope_len)?;
        let commit = Commit {
            arrival_us: u64_at(record, HEADER)?,
            flags: u32_at(record, HEADER + 8)?,
            size: u64_at(record, HEADER + 16)?,
            envelope,
            table,
        };
        let total: u64 = commit.extents().map(|e| u64::from(e.length)).sum();
        let whole = table.len() == count.checked_mul(EXTENT_ENTRY)? && total == commit.size;
        whole.then_some(commit)
    }

    /// The extents in the order of the content.
    pub(crate) fn extents(&self) -> impl ExactSizeIterator<Item = Extent> + use<'a> {
        self.table.chunks_exact(EXTENT_ENTRY).map(|entry| {
            let word = |at| u32_at(entry, at).unwrap_or(0);
            Extent { epoch: word(0), offset: word(4), length: word(8) }
        })
    }
}

/// Body of a State record: everything about a message that can change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State<'a> {
    pub(crate) flags: u32,
    pub(crate) held: bool,
    /// Next attempt, Unix seconds; none when the message was never deferred.
    pub(crate) until: Option<u64>,
    /// Bit set of done recipients, 64 per little-endian word.
    pub(crate) marks: &'a [u8],
    pub(crate) detail: &'a [u8],
}

impl<'a> State<'a> {
    const HELD: u32 = 1;
    const DEFERRED: u32 = 2;

    /// The fixed part of the body.
    pub(crate) fn fixed(&self) -> [u8; 24] {
        let mut fixed = [0; 24];
        let held = if self.held { Self::HELD } else { 0 };
        let deferred = if self.until.is_some() { Self::DEFERRED } else { 0 };
        fixed[0..4].copy_from_slice(&self.flags.to_le_bytes());
        fixed[4..8].copy_from_slice(&(held | deferred).to_le_bytes());
        fixed[8..16].copy_from_slice(&self.until.unwrap_or(0).to_le_bytes());
        fixed[16..20].copy_from_slice(&(self.marks.len() as u32).to_le_bytes());
        fixed
    }

    /// Reads a whole record, header included.
    pub(crate) fn read(record: &'a [u8]) -> Option<State<'a>> {
        let bits = u32_at(record, HEADER + 4)?;
        let until = u64_at(record, HEADER + 8)?;
        let marks_len = u32_at(record, HEADER + 16)? as usize;
        let (marks, detail) = record.get(STATE_FIXED..)?.split_at_checked(marks_len)?;
        Some(State {
            flags: u32_at(record, HEADER)?,
            held: bits & Self::HELD != 0,
            until: (bits & Self::DEFERRED != 0).then_some(until),
            marks,
            detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { epoch: 3, salt: 0x0123_4567_89ab_cdef };

    fn sample() -> Vec<u8> {
        let mut record = vec![0; HEADER];
        record.extend(Message::fixed(77, 5, 3));
        record.extend(b"envcontent");
        let length = record.len() as u32;
        let header = Header { kind: Kind::Message, length, lsn: 9, number: 64, batch: 1, key: KEY };
        finish(&mut record, &header);
        record
    }

    #[test]
    fn a_message_reads_back_as_written() {
        let record = sample();
        assert!(matches!(probe(&record, KEY), Probe::Valid(h) if h.lsn == 9 && h.number == 64));
        let message = Message::read(&record).unwrap();
        assert_eq!((message.arrival_us, message.flags), (77, 5));
        assert_eq!((message.envelope, message.content), (&b"env"[..], &b"content"[..]));
    }

    #[test]
    fn every_single_bit_flip_is_noticed() {
        let record = sample();
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(probe(&damaged, KEY), Probe::Valid(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_use_of_the_segment_is_nothing() {
        assert_eq!(probe(&sample(), Key { epoch: 4, ..KEY }), Probe::Nothing);
        assert_eq!(probe(&sample(), Key { salt: 1, ..KEY }), Probe::Nothing);
    }

    #[test]
    fn a_commit_whose_extents_do_not_add_up_is_refused() {
        let extents = [Extent { epoch: 1, offset: 4096, length: 10 }];
        for (size, good) in [(10, true), (11, false)] {
            let mut record = vec![0; HEADER];
            record.extend(Commit::fixed(1, 0, 0, size, 1));
            record.extend(Commit::table(&extents));
            assert_eq!(Commit::read(&record).is_some(), good);
        }
    }
}
