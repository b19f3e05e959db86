//! A log out of a script, so that a fuzzer's mutations stay logs: records with right headers,
//! extent tables that name what is there, and what must be live in the end.
//!
//! One step is four bytes, and a body: what (low five bits) and what is wrong with it (high three),
//! which message, how long the body is. Called by `fuzz`. Pure.

use std::collections::{BTreeSet, HashMap};

use crate::{
    Core, Number,
    record::{
        ALIGN, COMMIT_FIXED, Commit, EXTENT_FIXED, Extent, HEADER, Header, Key, Kind, Message,
        aligned, finish,
    },
    segment::PAGE,
};

/// Steps of one script.
const STEPS_MAX: usize = 512;
/// Different messages.
const MESSAGES: u8 = 8;
const KINDS: [Kind; 13] = [
    Kind::Message,
    Kind::Extent,
    Kind::Commit,
    Kind::Mark,
    Kind::Defer,
    Kind::Hold,
    Kind::Release,
    Kind::Flags,
    Kind::Remove,
    Kind::State,
    Kind::Lease,
    Kind::Close,
    Kind::Skip,
];

/// What is wrong with a record.
const DAMAGED: u8 = 0x80;
const LEFT_OUT: u8 = 0x40;
const WRONG_EXTENT: u8 = 0x20;

/// What the script has written so far.
#[derive(Default)]
pub(super) struct Script {
    lsn: u64,
    drafts: HashMap<u64, Vec<Extent>>,
    /// The messages that are there, as long as nothing was damaged or left out.
    live: BTreeSet<u64>,
    damaged: bool,
    steps: usize,
}

impl Script {
    /// The numbers that replay must find, when every record can be read.
    pub(super) fn expected(&self) -> Option<&BTreeSet<u64>> {
        (!self.damaged).then_some(&self.live)
    }

    /// One segment: its header page, and what `script` says.
    pub(super) fn segment(&mut self, mut script: &[u8], key: Key) -> Vec<u8> {
        let mut bytes = vec![0; PAGE];
        while let [what, which, length, tail @ ..] = script
            && self.steps < STEPS_MAX
        {
            self.steps += 1;
            let (body, after) = tail.split_at(usize::from(*length).min(tail.len()));
            script = after;
            // A batch begins on a page.
            if which & 0x80 != 0 {
                bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
            }
            self.step(&mut bytes, key, *what, which & 0x7f, body);
        }
        bytes
    }

    fn step(&mut self, bytes: &mut Vec<u8>, key: Key, what: u8, which: u8, body: &[u8]) {
        let core = Core::new(0).expect("core 0");
        let number = Number::new(u64::from(which % MESSAGES) + 1, core).get();
        let kind = KINDS[usize::from(what & 0x1f) % KINDS.len()];
        // What recovery has dealt with has no number of its own.
        self.lsn += u64::from(kind != Kind::Skip);
        if what & LEFT_OUT != 0 {
            self.damaged = true;
            return;
        }
        let at = bytes.len();
        let mut record = vec![0; HEADER];
        record.extend_from_slice(&self.body(kind, number, what, body));
        let length = record.len() as u32;
        let batch = (at / PAGE) as u32;
        finish(&mut record, &Header { kind, length, lsn: self.lsn, number, batch, key });
        if what & DAMAGED != 0 {
            self.damaged = true;
            let last = record.len() - 1;
            record[last] ^= 1;
        } else {
            self.note(kind, number, key, at, length);
        }
        // Skipped bytes may have been anything.
        self.damaged |= kind == Kind::Skip;
        bytes.extend_from_slice(&record);
        bytes.resize(aligned(bytes.len()), 0);
        assert!(bytes.len().is_multiple_of(ALIGN), "the next record may start here");
    }

    fn body(&mut self, kind: Kind, number: u64, what: u8, body: &[u8]) -> Vec<u8> {
        let half = (body.len() / 2) as u32;
        match kind {
            Kind::Message => [&Message::fixed(7, half, half)[..], body].concat(),
            Kind::Extent => [&[0; EXTENT_FIXED - HEADER][..], body].concat(),
            Kind::Commit => {
                let mut extents = self.drafts.get(&number).cloned().unwrap_or_default();
                if what & WRONG_EXTENT != 0 {
                    self.damaged = true;
                    extents.iter_mut().for_each(|extent| extent.offset += ALIGN as u32);
                }
                let size = extents.iter().map(|extent| u64::from(extent.length)).sum();
                let count = extents.len() as u32;
                let fixed = Commit::fixed(7, half, body.len() as u32, size, count);
                assert_eq!(fixed.len(), COMMIT_FIXED - HEADER);
                [&fixed[..], body, &Commit::table(&extents)].concat()
            }
            _ => body.to_vec(),
        }
    }

    /// What a whole record means for the messages that are there.
    fn note(&mut self, kind: Kind, number: u64, key: Key, at: usize, length: u32) {
        match kind {
            Kind::Message => drop(self.live.insert(number)),
            Kind::Extent if length as usize > EXTENT_FIXED => {
                let offset = (at + EXTENT_FIXED) as u32;
                let length = length - EXTENT_FIXED as u32;
                let extent = Extent { epoch: key.epoch, offset, length };
                self.drafts.entry(number).or_default().push(extent);
            }
            Kind::Commit => {
                self.drafts.remove(&number);
                self.live.insert(number);
            }
            Kind::Remove => {
                self.drafts.remove(&number);
                self.live.remove(&number);
            }
            _ => {}
        }
    }
}
