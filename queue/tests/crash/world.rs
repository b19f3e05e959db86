//! Several cores on one disk, doing what an engine does, and the model that follows them.

use std::{io, path::Path, sync::Arc};

use ringpost_queue::{
    Core, Draft, Flush, Full, Log, Lsn, Number, OpenError, Options, Recovery, Refused, SEGMENT_MIN,
    Store, SyncMode,
    storage::sim::{Picture, Rng, SimDisk},
};

use crate::model::{FLAGS, Model, Models};

/// A write on its way.
struct Flying {
    flush: Flush,
    written: Option<io::Result<usize>>,
}

/// One core.
pub struct Part {
    pub log: Log,
    flying: Option<Flying>,
    drafts: Vec<(Draft, Vec<u8>)>,
    /// The last number that was handed out.
    pub largest: u64,
}

/// What is certain about every core at one moment.
#[derive(Clone, Debug)]
pub struct Certain {
    pub durable: Vec<Lsn>,
    pub largest: Vec<u64>,
}

pub struct World {
    pub rng: Rng,
    pub disk: SimDisk,
    pub cores: u8,
    pub sync: SyncMode,
    pub parts: Vec<Part>,
    pub models: Models,
    pub copied: usize,
    pub checkpoints: usize,
    serial: u64,
}

pub fn queue() -> &'static Path {
    Path::new("/q")
}

/// Opens every core's log.
pub fn open(
    disk: &SimDisk,
    cores: u8,
    sync: SyncMode,
    tail_bytes: usize,
) -> Result<Vec<(Log, Recovery)>, OpenError> {
    let options = Options { cores, segment_bytes: SEGMENT_MIN, tail_bytes, sync };
    let store = Store::open_on(Arc::new(disk.clone()), queue(), options)?;
    (0..cores).map(|core| Log::join(&store, Core::new(core).unwrap())).collect()
}

impl World {
    pub fn new(seed: u64, cores: u8, volume: u64) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next_u64(), volume);
        let sync = if rng.one_in(3) { SyncMode::Dsync } else { SyncMode::Linked };
        let (parts, models) = (Vec::new(), Models::new());
        let mut world =
            World { rng, disk, cores, sync, parts, models, copied: 0, checkpoints: 0, serial: 0 };
        let tail = world.tail();
        let opened = open(&world.disk, cores, sync, tail).unwrap();
        world.parts = opened.into_iter().map(|(log, _)| Part::new(log, 0)).collect();
        world
    }

    pub fn tail(&mut self) -> usize {
        if self.rng.one_in(2) { 0 } else { 1 << 20 }
    }

    /// Goes on with the logs of a disk.
    pub fn adopt(&mut self, disk: SimDisk, logs: Vec<Log>) {
        let largest: Vec<u64> = self.parts.iter().map(|part| part.largest).collect();
        self.parts =
            logs.into_iter().zip(largest).map(|(log, last)| Part::new(log, last)).collect();
        self.disk = disk;
        self.settle();
    }

    /// What was found is from now on what is certain.
    fn settle(&mut self) {
        let old = std::mem::take(&mut self.models);
        for part in &self.parts {
            for live in part.log.live() {
                let mut model = old[&live.number].clone();
                model.settle(&part.log, &live);
                self.models.insert(live.number, model);
            }
        }
    }

    pub fn certain(&self) -> Certain {
        let durable = self.parts.iter().map(|part| part.log.durable()).collect();
        Certain { durable, largest: self.parts.iter().map(|part| part.largest).collect() }
    }

    /// Runs `act` and returns a picture for every step that it made on the disk.
    pub fn watched(&mut self, act: impl FnOnce(&mut World)) -> Vec<Picture> {
        self.disk.watch();
        act(self);
        self.disk.watched()
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = self.rng.below(max + 1);
        let word = self.rng.next_u64().to_le_bytes();
        (0..len).map(|at| word[at as usize % 8] ^ (at / 8) as u8).collect()
    }

    fn any_message(&mut self, core: usize) -> Option<Number> {
        let here = |number: &Number| number.core().index() == core;
        let live = self.models.iter().filter(|(n, model)| here(n) && model.removed.is_none());
        let live: Vec<Number> = live.map(|(number, _)| *number).collect();
        (!live.is_empty()).then(|| live[self.rng.below(live.len() as u64) as usize])
    }

    fn committed(&mut self, number: Number, content: Vec<u8>, envelope: Vec<u8>, lsn: Lsn) {
        self.models.insert(number, Model::new(self.serial, envelope, content, lsn));
    }

    /// A message of at most `max` bytes of content.
    pub fn append(&mut self, core: usize, max: u64) {
        let (content, envelope) = (self.bytes(max), self.bytes(300));
        self.serial += 1;
        let arrival = self.serial;
        let part = &mut self.parts[core];
        let number = part.number();
        match part.log.append(number, arrival, FLAGS, &envelope, &[&content]) {
            Ok(placed) => self.committed(number, content, envelope, placed.lsn),
            Err(full) => allow(full),
        }
    }

    /// Begins, extends or ends a large message.
    pub fn draft(&mut self, core: usize) {
        let begin = self.parts[core].drafts.len() < 3 && self.rng.one_in(3);
        let piece = self.bytes(200_000);
        let part = &mut self.parts[core];
        if begin {
            let number = part.number();
            let draft = part.log.begin(number);
            part.drafts.push((draft, Vec::new()));
        }
        if part.drafts.is_empty() {
            return;
        }
        let at = self.rng.below(part.drafts.len() as u64) as usize;
        if self.rng.one_in(6) {
            return self.end_draft(core, at);
        }
        let (draft, content) = &mut part.drafts[at];
        match part.log.extend(draft, &piece) {
            Ok(()) => content.extend(piece),
            Err(full) => allow(full),
        }
    }

    fn end_draft(&mut self, core: usize, at: usize) {
        let (envelope, abandon) = (self.bytes(300), self.rng.one_in(3));
        self.serial += 1;
        let arrival = self.serial;
        let part = &mut self.parts[core];
        let (draft, content) = part.drafts.swap_remove(at);
        let number = draft.number();
        if abandon {
            return part.log.abandon(draft);
        }
        match part.log.commit(draft, arrival, FLAGS, &envelope) {
            Ok(placed) => self.committed(number, content, envelope, placed.lsn),
            Err((_, draft)) => part.log.abandon(draft),
        }
    }

    /// Changes some message's state.
    pub fn change(&mut self, core: usize, kind: u64) {
        let Some(number) = self.any_message(core) else { return };
        let (value, detail) = (self.rng.below(200), self.bytes(200));
        let log = &mut self.parts[core].log;
        let model = self.models.get_mut(&number).unwrap();
        let done = match kind {
            0 | 1 => {
                let indices = [value as u32, value as u32 + 1];
                let marked = log.mark(number, &indices);
                marked.map(|lsn| model.marks.extend(indices.map(|index| (lsn, index))))
            }
            2 => log.hold(number).map(|lsn| model.held.0.push((lsn, true))),
            3 => log.release(number).map(|lsn| model.held.0.push((lsn, false))),
            4 => log
                .set_flags(number, value as u32)
                .map(|lsn| model.flags.0.push((lsn, value as u32))),
            5 => log
                .defer(number, value, &detail)
                .map(|lsn| model.until.0.push((lsn, Some((value, detail))))),
            _ => log.remove(number).map(|lsn| model.removed = Some(lsn)),
        };
        match done {
            Ok(()) => {}
            Err(Refused::Full(full)) => allow(full),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The next step of a core's write: start, write, complete.
    pub fn fly(&mut self, core: usize) {
        self.parts[core].fly();
    }

    /// Writes everything a core has.
    pub fn flush(&mut self, core: usize) {
        let part = &mut self.parts[core];
        while part.fly() {}
    }

    /// What the side thread does for a core.
    pub fn supply(&mut self, core: usize) {
        let log = &mut self.parts[core].log;
        log.retry_segments();
        if let Some(request) = log.wants_segment() {
            match request.prepare() {
                Ok(ready) => log.supply(ready),
                Err(error) => log.segment_failed(&error),
            }
        }
    }

    pub fn reclaim(&mut self, core: usize, budget: usize) {
        let done = self.parts[core].log.reclaim_step(budget);
        assert!(done.corrupt.is_empty(), "{done:?}");
        self.copied += done.copied;
    }

    /// What the engine does about checkpoints each turn; sometimes one is wanted at once.
    pub fn checkpoint(&mut self, core: usize) {
        let log = &mut self.parts[core].log;
        if self.rng.one_in(2) {
            log.hurry_checkpoint();
        }
        if let Some(request) = log.checkpoint() {
            self.checkpoints += usize::from(request.write().is_ok());
            log.checkpointed();
        }
    }

    /// One thing that an engine does, on some core.
    pub fn step(&mut self) {
        let core = self.rng.below(u64::from(self.cores)) as usize;
        match self.rng.below(22) {
            0..4 => {
                let max = if self.rng.one_in(20) { 400_000 } else { 9_000 };
                self.append(core, max);
            }
            4..6 => self.draft(core),
            6..10 => {
                let kind = self.rng.below(8);
                self.change(core, kind);
            }
            10..15 => self.fly(core),
            15 => self.flush(core),
            16..18 => self.supply(core),
            18..20 => self.checkpoint(core),
            _ => self.reclaim(core, 300_000),
        }
    }

    /// Whether some write failed: its log takes nothing more.
    pub fn poisoned(&self) -> bool {
        self.parts.iter().any(|part| part.log.poisoned())
    }

    /// An orderly end and a new start.
    pub fn restart(&mut self) {
        let tail = self.tail();
        for core in 0..usize::from(self.cores) {
            self.flush(core);
        }
        let largest: Vec<u64> = self.parts.iter().map(|part| part.largest).collect();
        for part in std::mem::take(&mut self.parts) {
            drop(part.drafts);
            part.log.close().unwrap();
        }
        let opened = open(&self.disk, self.cores, self.sync, tail).unwrap();
        for ((log, recovery), largest) in opened.into_iter().zip(largest) {
            assert!(recovery.torn.is_none() && recovery.corrupt.is_empty(), "{recovery:?}");
            crate::model::check(&self.models, &log, Lsn::MAX);
            self.parts.push(Part::new(log, largest));
        }
        self.settle();
    }
}

/// Refusals that ordinary operation may meet.
fn allow(full: Full) {
    assert!(matches!(full, Full::Busy | Full::NoSpace | Full::Poisoned), "{full:?}");
}

impl Part {
    fn new(log: Log, largest: u64) -> Part {
        Part { log, flying: None, drafts: Vec::new(), largest }
    }

    fn number(&mut self) -> Number {
        let number = self.log.reserve_number();
        assert!(number.get() > self.largest, "numbers are never used again");
        self.largest = number.get();
        number
    }

    /// Whether there was anything to do.
    fn fly(&mut self) -> bool {
        let Some(mut flying) = self.flying.take() else {
            let flush = self.log.seal();
            self.flying = flush.map(|flush| Flying { flush, written: None });
            return self.flying.is_some();
        };
        let Some(written) = flying.written.take() else {
            let flush = &flying.flush;
            flying.written = Some(flush.file.write_at(flush.offset, &flush.batch));
            self.flying = Some(flying);
            return true;
        };
        let synced = written.and_then(|len| match flying.flush.needs_fdatasync {
            true => flying.flush.file.sync().map(|()| len),
            false => Ok(len),
        });
        // A failure poisons the log; what becomes of that is the caller's question.
        drop(self.log.flushed(flying.flush.id, synced));
        true
    }
}
