//! One simulated file: what a reader sees, what is durable, and every write between the two.
//!
//! Used by `sim` and `sim::picture`. A write is kept sector by sector, in order, until a sync: a
//! crash may keep any of them, a later one without an earlier one too. Pages are shared between
//! copies of a file, so a picture of a disk costs little.
//!
//! Limits: a hole reads as zeros; nobody ever sees another file's old bytes.

use std::sync::Arc;

use crate::segment::PAGE;

/// What the device writes whole or not at all, bytes.
pub(super) const SECTOR: usize = 512;

/// Sparse bytes with pages shared between copies.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
    len: usize,
}

impl Bytes {
    fn new(bytes: &[u8]) -> Bytes {
        let mut new = Bytes::default();
        new.set_len(bytes.len());
        for (at, page) in bytes.chunks(PAGE).enumerate() {
            new.put(at * PAGE, page);
        }
        new
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        self.len = len;
    }

    /// Puts bytes that lie inside one page.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len, "inside the file");
        let slot = &mut self.pages[offset / PAGE];
        if slot.is_none() && bytes.iter().all(|byte| *byte == 0) {
            return;
        }
        let page = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE])));
        page[offset % PAGE..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Fills `into`, which lies inside the file.
    pub(super) fn read(&self, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let at = offset + done;
            let count = (PAGE - at % PAGE).min(into.len() - done);
            let part = &mut into[done..done + count];
            match &self.pages[at / PAGE] {
                Some(page) => part.copy_from_slice(&page[at % PAGE..][..count]),
                None => part.fill(0),
            }
            done += count;
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

/// Something that was done and may be lost.
#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Sector(usize, Box<[u8; SECTOR]>),
}

/// A file without a name.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) seen: Bytes,
    durable: Bytes,
    pending: Vec<Change>,
    /// A sync failed: what is seen may never be durable.
    spoiled: bool,
}

impl File {
    /// A file that has always been there.
    pub(super) fn solid(bytes: &[u8]) -> File {
        let seen = Bytes::new(bytes);
        File { durable: seen.clone(), seen, ..File::default() }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.seen.set_len(len);
        self.pending.push(Change::Length(len));
    }

    /// Writes at a sector boundary; the last sector may be short only at the end of the file.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset.is_multiple_of(SECTOR), "the device knows sectors");
        for (at, part) in bytes.chunks(SECTOR).enumerate() {
            let mut sector = [0; SECTOR];
            sector[..part.len()].copy_from_slice(part);
            self.seen.put(offset + at * SECTOR, part);
            self.pending.push(Change::Sector(offset / SECTOR + at, Box::new(sector)));
        }
    }

    pub(super) fn sync(&mut self) {
        self.settle(&mut |_| true);
    }

    /// A sync that failed: what was written may be on the disk or not, and no later sync will put
    /// it there, as the kernel has forgotten about it.
    pub(super) fn sync_failed(&mut self, made_it: &mut dyn FnMut(usize) -> bool) {
        self.settle(made_it);
        self.spoiled = true;
    }

    /// Whether a crash would leave it as it is seen.
    pub(super) fn is_certain(&self) -> bool {
        self.pending.is_empty() && !self.spoiled
    }

    /// How many things may or may not have made it.
    pub(super) fn units(&self) -> usize {
        self.pending.len()
    }

    /// What is on the disk after a crash.
    pub(super) fn crash(mut self, made_it: &mut dyn FnMut(usize) -> bool) -> File {
        self.settle(made_it);
        File { seen: self.durable.clone(), durable: self.durable, ..File::default() }
    }

    fn settle(&mut self, made_it: &mut dyn FnMut(usize) -> bool) {
        for (at, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if !made_it(at) {
                continue;
            }
            match change {
                Change::Length(len) => self.durable.set_len(len),
                Change::Sector(sector, bytes) => self.keep(sector, &bytes[..]),
            }
        }
    }

    /// A sector beyond the length that made it is not part of the file.
    fn keep(&mut self, sector: usize, bytes: &[u8]) {
        let start = sector * SECTOR;
        let len = self.durable.len().saturating_sub(start).min(SECTOR);
        if len > 0 {
            self.durable.put(start, &bytes[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_write_may_survive_without_an_earlier_one() {
        let mut file = File::solid(&[0; 2 * PAGE]);
        file.write(0, &[1; SECTOR]);
        file.write(PAGE, &[2; SECTOR]);
        file.write(0, &[3; SECTOR]);
        assert_eq!(file.units(), 3);
        let image = |keep: &[usize]| {
            let bytes = file.clone().crash(&mut |unit| keep.contains(&unit)).seen.to_vec();
            (bytes[0], bytes[PAGE])
        };
        assert_eq!(image(&[]), (0, 0));
        assert_eq!(image(&[1]), (0, 2));
        assert_eq!(image(&[0]), (1, 0));
        assert_eq!(image(&[0, 2]), (3, 0));
    }

    #[test]
    fn bytes_without_their_length_are_lost() {
        let mut file = File::default();
        file.set_len(700);
        file.write(0, &[5; 700]);
        assert_eq!(file.clone().crash(&mut |unit| unit > 0).seen.len(), 0);
        assert_eq!(file.clone().crash(&mut |unit| unit == 0).seen.to_vec(), [0; 700]);
        file.sync();
        assert_eq!(file.crash(&mut |_| false).seen.to_vec(), [5; 700]);
    }
}
