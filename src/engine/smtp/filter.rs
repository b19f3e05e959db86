//! What content goes through when a server cannot take it as it is.

use super::downgrade::Downgrade;
use super::fold::Fold;

/// Whether 8-bit parts have to become 7-bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EightBit {
    /// The server takes them, or there are none.
    Keep,
    /// They become quoted-printable.
    Downgrade,
}

/// A change of content on its way, in wire form on both sides.
pub struct Filter {
    downgrade: Option<Downgrade>,
    fold: Fold,
    /// Between the two; empty between two pieces.
    between: Vec<u8>,
}

impl Filter {
    /// Breaks lines longer than `line_length_limit` (0 for none), after making 7-bit what must be.
    pub fn new(line_length_limit: usize, eight_bit: EightBit) -> Filter {
        let downgrade = (eight_bit == EightBit::Downgrade).then(Downgrade::new);
        Filter { downgrade, fold: Fold::new(line_length_limit), between: Vec::new() }
    }

    /// Takes a piece and appends what can be sent.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(downgrade) = &mut self.downgrade else { return self.fold.write(piece, out) };
        downgrade.write(piece, &mut self.between);
        self.fold.write(&self.between, out);
        self.between.clear();
    }

    /// Appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(downgrade) = &mut self.downgrade {
            downgrade.finish(&mut self.between);
            self.fold.write(&self.between, out);
            self.between.clear();
        }
        self.fold.finish(out);
    }
}
