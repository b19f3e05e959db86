//! A message's bytes on their way to a server, borrowed from the queue log.
//!
//! Content that the server can take as it is goes out as pieces of the log, in sends of at most
//! [`SEND_BYTES_MAX`]; anything else goes through a [`Filter`] piece by piece. Either way memory is
//! bounded, whatever the size of the message.

use super::filter::Filter;
use super::generic::Head;
use queue::{Content, Piece, Pieces};
use runtime::io::SEND_CHUNKS_MAX;
use runtime::{Chunk, SendData, Shared};
use std::sync::Arc;

/// Bytes handed to one send.
pub const SEND_BYTES_MAX: usize = 256 * 1024;

/// Content, send by send.
pub struct Sends<'a> {
    pieces: Pieces<'a>,
    rest: Option<Piece>,
    head: Option<Vec<u8>>,
    /// Bytes of the content in whose place the head is.
    skip: usize,
    filter: Option<Filter>,
    /// The last two bytes sent.
    last: [u8; 2],
    after: Option<&'static [u8]>,
}

impl<'a> Sends<'a> {
    /// Sends of `content`, its header replaced by another one if there is any, and of the bytes
    /// that follow it.
    pub fn new(
        content: &'a Content,
        head: Option<Head>,
        filter: Option<Filter>,
        after: &'static [u8],
    ) -> Sends<'a> {
        let (pieces, last) = (content.pieces(), *b"\r\n");
        let Head { bytes, instead: skip } = head.unwrap_or_default();
        let head = (!bytes.is_empty()).then_some(bytes);
        Sends { pieces, rest: None, head, skip, filter, last, after: Some(after) }
    }

    fn piece(&mut self) -> Option<Piece> {
        let piece = match self.rest.take() {
            Some(rest) => rest,
            None => self.next_piece()?,
        };
        if piece.len() <= SEND_BYTES_MAX {
            return Some(piece);
        }
        self.rest = Some(piece.slice(SEND_BYTES_MAX..piece.len()));
        Some(piece.slice(0..SEND_BYTES_MAX))
    }

    /// The next piece of what is not skipped.
    fn next_piece(&mut self) -> Option<Piece> {
        loop {
            let piece = self.pieces.next()?;
            if self.skip < piece.len() {
                let skipped = std::mem::take(&mut self.skip);
                return Some(piece.slice(skipped..piece.len()));
            }
            self.skip -= piece.len();
        }
    }

    fn end(&mut self) -> Option<Vec<u8>> {
        let after = self.after.take()?;
        let mut out = Vec::with_capacity(after.len() + 2);
        if let Some(filter) = &mut self.filter {
            filter.finish(&mut out);
        }
        // The dot needs a line of its own.
        if self.last != *b"\r\n" && !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(after);
        Some(out)
    }

    /// Bytes that are not the log's.
    fn owned(&mut self, bytes: &[u8]) -> Chunk {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
        match &mut self.filter {
            Some(filter) => filter.write(bytes, &mut out),
            None => out.extend_from_slice(bytes),
        }
        self.last = last_two(self.last, &out);
        Chunk::Owned(out)
    }

    fn chunk(&mut self, piece: Piece) -> Chunk {
        if self.filter.is_some() {
            return self.owned(&piece);
        }
        self.last = last_two(self.last, &piece);
        Chunk::Shared(Shared::whole(Arc::new(piece)))
    }
}

fn last_two(before: [u8; 2], bytes: &[u8]) -> [u8; 2] {
    match bytes {
        [.., a, b] => [*a, *b],
        [b] => [before[1], *b],
        [] => before,
    }
}

impl Iterator for Sends<'_> {
    type Item = SendData;

    fn next(&mut self) -> Option<SendData> {
        self.after?;
        let mut data = SendData::with_capacity(4);
        let mut bytes = 0;
        if let Some(head) = self.head.take() {
            bytes += head.len();
            data.push(self.owned(&head));
        }
        while bytes < SEND_BYTES_MAX && data.len() < SEND_CHUNKS_MAX {
            match self.piece() {
                Some(piece) => {
                    let chunk = self.chunk(piece);
                    bytes += chunk.bytes().len();
                    data.push(chunk);
                }
                None => {
                    data.extend(self.end().map(Chunk::Owned));
                    break;
                }
            }
        }
        Some(data)
    }
}
