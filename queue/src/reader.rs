//! The reader: a read-only walk of a queue directory, with or without a running engine.
//!
//! Called by tools. Takes no lock and changes nothing. Every record is checked as it is read, so
//! beside a running engine a message may be missed or gone, never wrong.
//!
//! Diagnostics: `OpenError` for the directory, `ReadError::Moved` for a message that is gone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Core, Live, Number, OpenError, ReadError,
    index::{Entry, Place},
    record::{self, Commit, EXTENT_FIXED, Key, Kind, Probe},
    recover::{self, Loaded},
    replay::Replay,
    segment::{core_dir, file_name},
    storage::{Access, RealStorage, Storage},
    store::cores_on_disk,
};

/// How often a log that a running engine overtakes is walked.
const WALKS_MAX: u32 = 4;

/// A queue directory as it was when it was opened.
#[derive(Debug)]
pub struct Reader {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    cores: BTreeMap<Core, CoreView>,
}

#[derive(Debug)]
struct CoreView {
    replay: Replay,
    segments: Vec<Loaded>,
}

/// One live message, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is known about it.
    pub live: Live,
    /// The envelope as it was given.
    pub envelope: Vec<u8>,
    /// What the last defer said; empty when nothing.
    pub detail: Vec<u8>,
}

impl CoreView {
    /// Reads a core's log; again when segments came or went meanwhile, but not for ever.
    fn read(storage: &dyn Storage, dir: &Path, core: Core) -> Result<CoreView, OpenError> {
        let mut tries = 0;
        loop {
            let before = recover::keys(storage, dir, core)?;
            let survey = recover::find(storage, dir, core)?;
            tries += 1;
            if tries == WALKS_MAX || before == recover::keys(storage, dir, core)? {
                return Ok(CoreView { replay: survey.replay, segments: survey.segments });
            }
        }
    }
}

impl Reader {
    /// Reads the logs of all cores in the queue directory `dir`.
    ///
    /// # Errors
    /// What the system said, or an unknown format version.
    pub fn open(dir: &Path) -> Result<Reader, OpenError> {
        Reader::open_on(Arc::new(RealStorage), dir)
    }

    /// As `open`, on another storage.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_on(storage: Arc<dyn Storage>, dir: &Path) -> Result<Reader, OpenError> {
        let mut cores = BTreeMap::new();
        for core in cores_on_disk(&*storage, dir).map_err(OpenError::io(dir))? {
            let path = dir.join("log").join(core_dir(core));
            cores.insert(core, CoreView::read(&*storage, &path, core)?);
        }
        Ok(Reader { storage, dir: dir.to_path_buf(), cores })
    }

    /// All live messages, by number within each core.
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        let all = self.cores.values().flat_map(|view| view.replay.index.iter());
        let mut live: Vec<Live> = all.map(|(number, entry)| Live::of(number, entry)).collect();
        live.sort_by_key(|live| (live.number.core(), live.number));
        live
    }

    /// One live message with its envelope and defer detail.
    ///
    /// # Errors
    /// `Moved` when it is not (or no longer) there, `Damaged`, or what the system said.
    pub fn message(&self, number: Number) -> Result<Message, ReadError> {
        let entry = self.entry(number)?;
        let record = self.record(number, entry.place)?;
        let (message, commit) = (record::Message::read(&record), Commit::read(&record));
        let envelope = match entry.spans {
            Some(_) => commit.map(|commit| commit.envelope),
            None => message.map(|message| message.envelope),
        };
        let envelope = envelope.ok_or(ReadError::Damaged)?.to_vec();
        let detail = match entry.detail_place() {
            Some(place) => self.bytes(number.core(), place)?.0,
            None => Vec::new(),
        };
        Ok(Message { live: Live::of(number, entry), envelope, detail })
    }

    /// Hands the content of a live message to `each`, piece by piece.
    ///
    /// # Errors
    /// As `message`; pieces handed out before an error are right.
    pub fn content(&self, number: Number, each: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        let entry = self.entry(number)?;
        let record = self.record(number, entry.place)?;
        if entry.spans.is_none() {
            let message = record::Message::read(&record).ok_or(ReadError::Damaged)?;
            each(message.content);
            return Ok(());
        }
        let commit = Commit::read(&record).ok_or(ReadError::Damaged)?;
        for extent in commit.extents() {
            let fixed = EXTENT_FIXED as u32;
            let offset = extent.offset.checked_sub(fixed).ok_or(ReadError::Damaged)?;
            let length = extent.length.checked_add(fixed).ok_or(ReadError::Damaged)?;
            let place = Place { epoch: extent.epoch, offset, length };
            let piece = self.record(number, place)?;
            each(&piece[EXTENT_FIXED..]);
        }
        Ok(())
    }

    fn entry(&self, number: Number) -> Result<&Entry, ReadError> {
        let view = self.cores.get(&number.core()).ok_or(ReadError::Moved)?;
        view.replay.index.find(number).ok_or(ReadError::Moved)
    }

    /// Reads a record of this message again, and checks it again.
    fn record(&self, number: Number, place: Place) -> Result<Vec<u8>, ReadError> {
        let (bytes, key) = self.bytes(number.core(), place)?;
        match record::probe(&bytes, key) {
            Probe::Valid(header)
                if header.number == number.get()
                    && matches!(header.kind, Kind::Message | Kind::Commit | Kind::Extent) =>
            {
                Ok(bytes)
            }
            Probe::Nothing => Err(ReadError::Moved),
            _ => Err(ReadError::Damaged),
        }
    }

    fn bytes(&self, core: Core, place: Place) -> Result<(Vec<u8>, Key), ReadError> {
        let view = self.cores.get(&core).ok_or(ReadError::Moved)?;
        let at = view.segments.iter().find(|s| s.head.key.epoch == place.epoch);
        let head = at.ok_or(ReadError::Moved)?.head;
        let end = u64::from(place.offset) + u64::from(place.length);
        if end > head.size {
            return Err(ReadError::Damaged);
        }
        let path = self.dir.join("log").join(core_dir(core)).join(file_name(core, head.slot));
        let file = self.storage.open(&path, Access::Read)?;
        let mut bytes = vec![0; place.length as usize];
        file.read_at(u64::from(place.offset), &mut bytes)?;
        Ok((bytes, head.key))
    }
}
