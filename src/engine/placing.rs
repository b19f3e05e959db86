//! A message that is there whole on its way into the queue log: small ones in one step, large ones
//! piece by piece.
//!
//! Used by pickup and for notices; smtpd writes as its bytes arrive.

use mail::Envelope;
use queue::{Full, Log, Number, Placed};

/// A message on its way.
pub struct Placing<'a> {
    number: Number,
    micros: u64,
    encoded: Vec<u8>,
    content: &'a [u8],
    draft: Option<queue::Draft>,
    /// Bytes of the content that the draft has.
    taken: usize,
}

impl<'a> Placing<'a> {
    /// Nothing of it is in the log yet.
    pub fn new(number: Number, micros: u64, envelope: &Envelope, content: &'a [u8]) -> Self {
        let mut encoded = Vec::new();
        envelope.encode(&mut encoded);
        Placing { number, micros, encoded, content, draft: None, taken: 0 }
    }

    /// One step; where it stands once it is whole. A step that finds no room may be tried again.
    ///
    /// # Errors
    /// No room now, or not at all.
    pub fn step(&mut self, log: &mut Log) -> Result<Option<Placed>, Full> {
        let most = log.append_max();
        if self.content.len() <= most {
            let content = [self.content];
            return log.append(self.number, self.micros, 0, &self.encoded, &content).map(Some);
        }
        let mut draft = self.draft.take().unwrap_or_else(|| log.begin(self.number));
        let rest = &self.content[self.taken..];
        if rest.is_empty() {
            let committed = log.commit(draft, self.micros, 0, &self.encoded);
            return committed.map(Some).map_err(|(full, draft)| {
                self.draft = Some(draft);
                full
            });
        }
        let piece = &rest[..rest.len().min(most)];
        let extended = log.extend(&mut draft, piece);
        self.draft = Some(draft);
        extended.map(|()| {
            self.taken += piece.len();
            None
        })
    }

    /// Takes what is in the log already back.
    pub fn abandon(self, log: &mut Log) {
        if let Some(draft) = self.draft {
            log.abandon(draft);
        }
    }
}
