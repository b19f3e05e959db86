//! What content goes through when a server cannot take it as it is.

use super::fold::Fold;

/// A change of content on its way, in wire form on both sides.
pub struct Filter {
    fold: Fold,
}

impl Filter {
    /// Breaks lines longer than `line_length_limit`.
    pub fn new(line_length_limit: usize) -> Filter {
        Filter { fold: Fold::new(line_length_limit) }
    }

    /// Takes a piece and appends what can be sent.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.fold.write(piece, out);
    }

    /// Appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.fold.finish(out);
    }
}
