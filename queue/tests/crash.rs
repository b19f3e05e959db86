//! Random histories on a lying disk, cut short at random writes, against a model of plain maps.
//!
//! After every crash image: every message whose commit was flushed is there whole, unless its
//! removal was appended; nothing is there that was not committed; what was flushed of its state
//! counts, what was only appended may. A failure prints its seed: `SEED=n cargo test --test crash`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use ringpost_queue::{
    Core, Draft, Full, Live, Log, Lsn, Number, Options, Reader, Refused, SEGMENT_MIN, State, Store,
    SyncMode,
    storage::sim::{Rng, SimDisk, Tear},
};

const VOLUME: u64 = 14 << 20;
const OPERATIONS: u64 = 600;
const TEARS: [Tear; 4] = [Tear::Lose, Tear::Keep, Tear::Cut, Tear::Shuffle];

/// Everything a message's changing state has been set to, with the record that did it.
#[derive(Clone, Debug)]
struct History<T>(Vec<(Lsn, T)>);

impl<T: Clone + PartialEq + std::fmt::Debug> History<T> {
    fn new(first: T) -> Self {
        History(vec![(Lsn::default(), first)])
    }

    fn latest(&self) -> &T {
        &self.0.last().unwrap().1
    }

    /// The last flushed value or any later one.
    fn allows(&self, durable: Lsn, found: &T) -> bool {
        let flushed = self.0.iter().rposition(|(lsn, _)| *lsn <= durable).unwrap();
        self.0[flushed..].iter().any(|(_, value)| value == found)
    }
}

#[derive(Clone, Debug)]
struct Model {
    arrival: u64,
    envelope: Vec<u8>,
    content: Arc<Vec<u8>>,
    committed: Lsn,
    removed: Option<Lsn>,
    marks: Vec<(Lsn, u32)>,
    flags: History<u32>,
    held: History<bool>,
    until: History<Option<(u64, Vec<u8>)>>,
}

struct World {
    rng: Rng,
    disk: SimDisk,
    log: Option<Log>,
    messages: BTreeMap<Number, Model>,
    drafts: Vec<(Draft, Vec<u8>)>,
    largest: u64,
    serial: u64,
    crashes: u64,
    copied: usize,
}

fn options(rng: &mut Rng) -> Options {
    let sync = if rng.one_in(2) { SyncMode::Dsync } else { SyncMode::Linked };
    let tail_bytes = if rng.one_in(2) { 0 } else { 1 << 20 };
    Options { cores: 1, segment_bytes: SEGMENT_MIN, tail_bytes, sync }
}

fn open(disk: &SimDisk, rng: &mut Rng) -> (Log, ringpost_queue::Recovery) {
    let storage = Arc::new(disk.clone());
    let store = Store::open_on(storage, Path::new("/q"), options(rng)).unwrap();
    Log::join(&store, Core::new(0).unwrap()).unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next_u64(), VOLUME);
        let log = Some(open(&disk, &mut rng).0);
        let (messages, drafts) = (BTreeMap::new(), Vec::new());
        let (largest, serial, crashes, copied) = (0, 0, 0, 0);
        World { rng, disk, log, messages, drafts, largest, serial, crashes, copied }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = self.rng.below(max + 1);
        let word = self.rng.next_u64().to_le_bytes();
        (0..len).map(|at| word[at as usize % 8] ^ (at / 8) as u8).collect()
    }

    fn any_message(&mut self) -> Option<Number> {
        let live = self.messages.iter().filter(|(_, m)| m.removed.is_none());
        let live: Vec<Number> = live.map(|(number, _)| *number).collect();
        (!live.is_empty()).then(|| live[self.rng.below(live.len() as u64) as usize])
    }

    fn number(&mut self) -> Number {
        let number = self.log().reserve_number();
        assert!(number.get() > self.largest, "numbers are never used again");
        self.largest = number.get();
        number
    }

    fn committed(&mut self, number: Number, content: Vec<u8>, envelope: Vec<u8>, lsn: Lsn) {
        let model = Model {
            arrival: self.serial,
            envelope,
            content: Arc::new(content),
            committed: lsn,
            removed: None,
            marks: Vec::new(),
            flags: History::new(5),
            held: History::new(false),
            until: History::new(None),
        };
        self.messages.insert(number, model);
    }

    fn append(&mut self) {
        let max = if self.rng.one_in(20) { 400_000 } else { 9_000 };
        let (content, envelope) = (self.bytes(max), self.bytes(300));
        let number = self.number();
        self.serial += 1;
        let arrival = self.serial;
        match self.log().append(number, arrival, 5, &envelope, &[&content]) {
            Ok(placed) => self.committed(number, content, envelope, placed.lsn),
            Err(full) => assert!(matches!(full, Full::Busy | Full::NoSpace), "{full:?}"),
        }
    }

    fn draft(&mut self) {
        if self.drafts.len() < 3 && self.rng.one_in(3) {
            let number = self.number();
            let draft = self.log().begin(number);
            self.drafts.push((draft, Vec::new()));
        }
        if self.drafts.is_empty() {
            return;
        }
        let at = self.rng.below(self.drafts.len() as u64) as usize;
        let (mut draft, mut content) = self.drafts.swap_remove(at);
        if self.rng.one_in(6) {
            return self.end_draft(draft, content);
        }
        let piece = self.bytes(200_000);
        if self.log().extend(&mut draft, &piece).is_ok() {
            content.extend(piece);
        }
        self.drafts.push((draft, content));
    }

    fn end_draft(&mut self, draft: Draft, content: Vec<u8>) {
        let (number, envelope) = (draft.number(), self.bytes(300));
        if self.rng.one_in(3) {
            return self.log().abandon(draft);
        }
        self.serial += 1;
        let arrival = self.serial;
        match self.log().commit(draft, arrival, 5, &envelope) {
            Ok(placed) => self.committed(number, content, envelope, placed.lsn),
            Err((_, draft)) => self.log().abandon(draft),
        }
    }

    fn change(&mut self) -> Result<(), Refused> {
        let Some(number) = self.any_message() else { return Ok(()) };
        let (kind, value) = (self.rng.below(8), self.rng.below(200));
        let detail = self.bytes(200);
        let log = self.log.as_mut().unwrap();
        let model = self.messages.get_mut(&number).unwrap();
        match kind {
            0 | 1 => {
                let indices = [value as u32, value as u32 + 1];
                let lsn = log.mark(number, &indices)?;
                model.marks.extend(indices.map(|index| (lsn, index)));
            }
            2 => model.held.0.push((log.hold(number)?, true)),
            3 => model.held.0.push((log.release(number)?, false)),
            4 => model.flags.0.push((log.set_flags(number, value as u32)?, value as u32)),
            5 => model.until.0.push((log.defer(number, value, &detail)?, Some((value, detail)))),
            _ => model.removed = Some(log.remove(number)?),
        }
        Ok(())
    }

    fn flush(&mut self) {
        let log = self.log.as_mut().unwrap();
        while let Some(flush) = log.seal() {
            let written = flush.write_blocking();
            log.flushed(flush.id, written).unwrap();
        }
    }

    fn supply(&mut self) {
        let log = self.log.as_mut().unwrap();
        log.retry_segments();
        if let Some(request) = log.wants_segment() {
            match request.prepare() {
                Ok(ready) => log.supply(ready),
                Err(error) => log.segment_failed(&error),
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..4 => self.append(),
            4..6 => self.draft(),
            6..10 => match self.change() {
                Ok(()) | Err(Refused::Full(Full::NoSpace | Full::Busy)) => {}
                Err(other) => panic!("{other:?}"),
            },
            10..13 => self.flush(),
            13..15 => self.supply(),
            _ => self.copied += self.log().reclaim_step(300_000).copied,
        }
    }

    /// An orderly end and a new start.
    fn restart(&mut self) {
        self.drafts.clear();
        self.log.take().unwrap().close().unwrap();
        let (log, recovery) = open(&self.disk, &mut self.rng);
        assert!(recovery.torn.is_none() && recovery.corrupt.is_empty(), "{recovery:?}");
        self.check(&log, &recovery.live, Lsn::MAX);
        self.adopt(&log, &recovery.live);
        self.log = Some(log);
    }

    /// One step, perhaps with a picture taken at one of its writes.
    fn turn(&mut self) {
        if self.rng.one_in(100) {
            self.restart();
        }
        if !self.rng.one_in(12) {
            return self.step();
        }
        let nth = self.rng.below(3) + 1;
        self.disk.capture_after(nth);
        let durable = self.log().durable();
        self.step();
        let tear = TEARS[self.rng.below(4) as usize];
        let image = match self.disk.captured(tear, &mut self.rng) {
            Some(image) => image,
            None => self.disk.crashed(tear, &mut self.rng),
        };
        self.crash_to(image, durable);
    }

    /// Opens the image (crashing once more while it is repaired), checks it, may go on with it.
    fn crash_to(&mut self, image: SimDisk, durable: Lsn) {
        self.crashes += 1;
        image.capture_after(1);
        drop(open(&image, &mut self.rng));
        let tear = TEARS[self.rng.below(4) as usize];
        let image = image.captured(tear, &mut self.rng).unwrap_or(image);
        let (log, recovery) = open(&image, &mut self.rng);
        assert!(recovery.missing.is_empty(), "{recovery:?}");
        assert!(recovery.unreadable.is_empty(), "{recovery:?}");
        self.check(&log, &recovery.live, durable);
        let reader = Reader::open_on(Arc::new(image.clone()), Path::new("/q")).unwrap();
        assert_eq!(reader.live(), recovery.live, "the reader sees the same");
        if self.rng.one_in(3) {
            self.drafts.clear();
            self.log = None;
            self.adopt(&log, &recovery.live);
            (self.log, self.disk) = (Some(log), image);
        }
    }

    fn check(&self, log: &Log, live: &[Live], durable: Lsn) {
        let found: BTreeSet<Number> = live.iter().map(|live| live.number).collect();
        for (number, model) in &self.messages {
            let gone = model.removed.is_some_and(|lsn| lsn <= durable);
            assert!(!gone || !found.contains(number), "{number} came back from the dead");
            let promised = model.committed <= durable && model.removed.is_none();
            assert!(!promised || found.contains(number), "{number} was promised and is lost");
        }
        for live in live {
            let model = self.messages.get(&live.number);
            let model = model.unwrap_or_else(|| panic!("{} was never committed", live.number));
            check_message(log, live, model, durable);
        }
    }

    /// What was found is from now on what is durable.
    fn adopt(&mut self, log: &Log, live: &[Live]) {
        let old = std::mem::take(&mut self.messages);
        for live in live {
            let mut model = old[&live.number].clone();
            model.committed = Lsn::default();
            model.removed = None;
            model.marks = live.marks.iter().map(|index| (Lsn::default(), index)).collect();
            model.flags = History::new(live.flags);
            model.held = History::new(live.state == State::Held);
            model.until = History::new(until(log, live));
            self.messages.insert(live.number, model);
        }
    }
}

fn until(log: &Log, live: &Live) -> Option<(u64, Vec<u8>)> {
    let detail = log.defer_detail(live.number).unwrap();
    live.until.map(|until| (until, detail.map(|piece| piece.to_vec()).unwrap_or_default()))
}

fn check_message(log: &Log, live: &Live, model: &Model, durable: Lsn) {
    let number = live.number;
    assert_eq!(live.arrival_us, model.arrival, "{number}");
    assert_eq!(live.size, model.content.len() as u64, "{number}");
    assert!(log.content(number).unwrap().to_vec() == **model.content, "{number} is not whole");
    assert_eq!(*log.envelope(number).unwrap(), model.envelope, "{number}");
    let marks: BTreeSet<u32> = live.marks.iter().collect();
    for (lsn, index) in &model.marks {
        assert!(*lsn > durable || marks.contains(index), "{number}: mark {index} is lost");
    }
    let known = |index: &u32| model.marks.iter().any(|(_, known)| known == index);
    assert!(marks.iter().all(known), "{number}: a mark from nowhere");
    assert!(model.flags.allows(durable, &live.flags), "{number}: flags {}", live.flags);
    let held = live.state == State::Held;
    assert!(model.held.allows(durable, &held), "{number}: held {held}");
    let until = until(log, live);
    assert!(model.until.allows(durable, &until), "{number}: {until:?} {:?}", model.until.latest());
}

fn run(seed: u64) -> (u64, usize) {
    let mut world = World::new(seed);
    for _ in 0..OPERATIONS {
        world.turn();
    }
    (world.crashes, world.copied)
}

fn run_naming_the_seed(seed: u64) -> (u64, usize) {
    let result = std::panic::catch_unwind(|| run(seed));
    result.unwrap_or_else(|_| panic!("SEED={seed} fails"))
}

#[test]
fn no_crash_loses_or_invents_mail() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        run(seed);
        return;
    }
    let count = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let base = std::env::var("SEED_BASE").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let (mut crashes, mut copied) = (0, 0);
    for seed in base..base + count {
        let (c, b) = run_naming_the_seed(seed);
        (crashes, copied) = (crashes + c, copied + b);
    }
    assert!(crashes > 20 * count, "only {crashes} crashes");
    assert!(count < 5 || copied > 0, "no straggler was ever copied");
}
