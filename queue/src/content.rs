//! Content handles: a message's bytes without copying, valid on any core while they are held.
//!
//! Made by `Store` (any core) and `Log::content` (the owner). A handle pins what it points into: a
//! sealed batch in memory, or one use of a segment, which is not recycled while it is held.
//!
//! Diagnostics: making a handle can fail (`ReadError`), reading through it cannot.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{Number, batch::Batch, index::Place, record::Extent, segment::Segment, store::Shelf};

/// Where a live message stands, as any core can read it through the `Store`.
///
/// It goes stale when the owner copies the message forward; the store notices (`Moved`), never
/// reads anything else in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub(crate) number: Number,
    pub(crate) place: Place,
    /// Length of the envelope, and whether the message is in extents: the engine keeps one of these
    /// for every message.
    shape: u32,
}

/// Where `Location::shape` says that a message is large: no envelope is that long.
const LARGE: u32 = 1 << 31;

impl Location {
    pub(crate) fn new(number: Number, place: Place, envelope: u32, spans: bool) -> Location {
        assert!(envelope < LARGE, "an envelope fits a record");
        Location { number, place, shape: if spans { envelope | LARGE } else { envelope } }
    }

    pub(crate) fn envelope(&self) -> usize {
        (self.shape & !LARGE) as usize
    }

    pub(crate) fn is_large(&self) -> bool {
        self.shape & LARGE != 0
    }

    /// The message that stands there.
    #[must_use]
    pub fn number(&self) -> Number {
        self.number
    }
}

/// Who keeps the bytes of a piece alive.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A recent batch.
    Batch(Arc<Batch>),
    /// One use of a segment, whose map has been made.
    Mapped(Arc<Segment>),
    /// A copy, where there are no maps.
    Copied(Arc<[u8]>),
}

/// A run of bytes and whatever keeps them alive.
#[derive(Clone)]
pub struct Piece {
    pub(crate) owner: Owner,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Piece {
    /// A part of it, sharing its owner.
    ///
    /// # Panics
    /// When the range is not inside: a bug of the caller.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Piece {
        assert!(range.start <= range.end, "a range runs forward");
        assert!(range.end <= self.len, "inside the piece");
        let (start, len) = (self.start + range.start, range.len());
        Piece { owner: self.owner.clone(), start, len }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.owner {
            Owner::Batch(batch) => &batch[self.start..self.start + self.len],
            Owner::Mapped(segment) => segment.mapped(self.start, self.len),
            Owner::Copied(bytes) => &bytes[self.start..self.start + self.len],
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = match self.owner {
            Owner::Batch(_) => "batch",
            Owner::Mapped(_) => "map",
            Owner::Copied(_) => "copy",
        };
        f.debug_struct("Piece").field("owner", &owner).field("len", &self.len).finish()
    }
}

/// A large message: its segments are pinned; recent batches are used while the tail has them.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) shelf: Arc<Shelf>,
    /// In order of epoch.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) extents: Vec<Extent>,
}

impl Large {
    fn piece(&self, extent: Extent) -> Piece {
        let (start, len) = (extent.offset as usize, extent.length as usize);
        if let Some(piece) = self.shelf.recent(extent.epoch, start, len) {
            return piece;
        }
        let at = self.segments.binary_search_by_key(&extent.epoch, |s| s.epoch());
        let segment = &self.segments[at.expect("every extent's segment was pinned")];
        Piece { owner: Owner::Mapped(Arc::clone(segment)), start, len }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Parts {
    Pieces(Arc<[Piece]>),
    One(Piece),
    Large(Arc<Large>),
}

/// A message's content: cheap to clone, may be sent to any core, valid while held.
#[derive(Clone, Debug)]
pub struct Content {
    pub(crate) parts: Parts,
    pub(crate) len: u64,
}

/// Content that is in no log, for fuzzing.
impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        let len = bytes.len();
        let piece = Piece { owner: Owner::Copied(bytes.into()), start: 0, len };
        Content { parts: Parts::One(piece), len: len as u64 }
    }
}

impl Content {
    /// Bytes of content.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The content in order; each piece stays valid by itself.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces { content: self, next: 0 }
    }

    /// All of it in one vector, for tools and tests.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len as usize);
        self.pieces().for_each(|piece| bytes.extend_from_slice(&piece));
        assert_eq!(bytes.len() as u64, self.len, "the pieces add up");
        bytes
    }

    fn piece(&self, at: usize) -> Option<Piece> {
        match &self.parts {
            Parts::One(piece) => (at == 0).then(|| piece.clone()),
            Parts::Pieces(pieces) => pieces.get(at).cloned(),
            Parts::Large(large) => large.extents.get(at).map(|extent| large.piece(*extent)),
        }
    }
}

/// The pieces of a content in order.
#[derive(Debug)]
pub struct Pieces<'a> {
    content: &'a Content,
    next: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let piece = self.content.piece(self.next)?;
        self.next += 1;
        Some(piece)
    }
}

const _: () = {
    const fn sendable<T: Send + Sync + Clone>() {}
    sendable::<Content>();
    sendable::<Location>();
};
