//! Whole dialogues as bytes, without a connection: what both ends write, read as the other end
//! reads it, in pieces of any length.

use alloc::vec::Vec;

use crate::{Asked, Code, Reply, Verdict, VirtualRequest, chunk, frame, reply};

fn request() -> VirtualRequest {
    VirtualRequest {
        service: b"virtual".into(),
        path: b"abc.example/ceo".into(),
        uid: 1003,
        gid: 105,
        from_line: b"From a@b  Sun Nov 22 11:44:06 2026".into(),
    }
}

/// What the engine writes.
fn from_engine() -> Vec<u8> {
    let mut out = request().encode();
    for piece in [b"Subject: x\n".as_slice(), b"\nText\n"] {
        out.extend(chunk::header(piece.len()));
        out.extend_from_slice(piece);
    }
    out.extend(chunk::END);
    out
}

/// deliver's end: the request, then the content, from bytes that come in pieces.
#[derive(Default)]
struct Deliver {
    input: Vec<u8>,
    asked: Option<Asked>,
    content: Vec<u8>,
    ended: bool,
    output: Vec<u8>,
}

impl Deliver {
    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.step().is_some() {}
    }

    /// Reads one message, if it is there.
    fn step(&mut self) -> Option<()> {
        if self.asked.is_none() {
            let (header, rest) = self.input.split_first_chunk()?;
            let (kind, len) = Asked::kind(*header).unwrap();
            let body = rest.get(..len)?;
            self.asked = Some(Asked::decode(kind, body).unwrap());
            self.input.drain(..frame::HEADER_BYTES + len);
            self.output.extend(Reply::Go.encode());
            return Some(());
        }
        let (header, rest) = self.input.split_first_chunk()?;
        let len = chunk::len(*header).unwrap();
        let piece = rest.get(..len.unwrap_or_default())?;
        self.content.extend_from_slice(piece);
        self.input.drain(..chunk::HEADER_BYTES + len.unwrap_or_default());
        if len.is_none() {
            self.ended = true;
            self.output.extend(Reply::Done(delivered()).encode());
        }
        Some(())
    }
}

fn delivered() -> Verdict {
    let (text, warnings) = ("delivered to mailbox".into(), Vec::new());
    Verdict { code: Code::Ok, status: (2, 0, 0), text, warnings }
}

/// The replies as the engine reads them.
fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut out = Vec::new();
    while let Some((body, rest)) = frame::split(reply::KIND, bytes).unwrap() {
        out.push(Reply::decode(body).unwrap());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "nothing is left over");
    out
}

#[test]
fn a_virtual_delivery_is_the_same_in_any_pieces() {
    let bytes = from_engine();
    for size in 1..=bytes.len() {
        let mut deliver = Deliver::default();
        bytes.chunks(size).for_each(|piece| deliver.feed(piece));
        assert_eq!(deliver.asked, Some(Asked::Virtual(request())), "{size}");
        assert_eq!(deliver.content, b"Subject: x\n\nText\n", "{size}");
        assert!(deliver.ended && deliver.input.is_empty(), "{size}");
        assert_eq!(replies(&deliver.output), [Reply::Go, Reply::Done(delivered())], "{size}");
    }
}

#[test]
fn content_that_stops_before_its_end_is_never_taken_for_a_message() {
    let bytes = from_engine();
    for len in 0..bytes.len() {
        let mut deliver = Deliver::default();
        deliver.feed(&bytes[..len]);
        assert!(!deliver.ended, "{len}");
        assert!(replies(&deliver.output).iter().all(|reply| *reply == Reply::Go), "{len}");
    }
}
