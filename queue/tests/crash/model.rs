//! What should be in the queue: plain maps, and how far each value is certain.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use ringpost_queue::{Live, Log, Lsn, Number, State};

/// Everything a message's changing state has been set to, with the record that did it.
#[derive(Clone, Debug)]
pub struct History<T>(pub Vec<(Lsn, T)>);

impl<T: Clone + PartialEq + Debug> History<T> {
    pub fn new(first: T) -> Self {
        History(vec![(Lsn::default(), first)])
    }

    /// The last flushed value or any later one.
    fn allows(&self, durable: Lsn, found: &T) -> bool {
        let flushed = self.0.iter().rposition(|(lsn, _)| *lsn <= durable).unwrap();
        self.0[flushed..].iter().any(|(_, value)| value == found)
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Model {
    pub arrival: u64,
    pub envelope: Vec<u8>,
    pub content: Arc<Vec<u8>>,
    pub committed: Lsn,
    pub removed: Option<Lsn>,
    pub marks: Vec<(Lsn, u32)>,
    pub flags: History<u32>,
    pub held: History<bool>,
    pub until: History<Option<(u64, Vec<u8>)>>,
}

impl Model {
    pub fn new(arrival: u64, envelope: Vec<u8>, content: Vec<u8>, committed: Lsn) -> Model {
        Model {
            arrival,
            envelope,
            content: Arc::new(content),
            committed,
            removed: None,
            marks: Vec::new(),
            flags: History::new(FLAGS),
            held: History::new(false),
            until: History::new(None),
        }
    }

    /// What was found is from now on what is certain.
    pub fn settle(&mut self, log: &Log, live: &Live) {
        self.committed = Lsn::default();
        self.removed = None;
        self.marks = live.marks.iter().map(|index| (Lsn::default(), index)).collect();
        self.flags = History::new(live.flags);
        self.held = History::new(live.state == State::Held);
        self.until = History::new(until(log, live));
    }

    fn check(&self, log: &Log, live: &Live, durable: Lsn) {
        let number = live.number;
        assert_eq!(live.arrival_us, self.arrival, "{number}");
        assert_eq!(live.size, self.content.len() as u64, "{number}");
        assert!(log.content(number).unwrap().to_vec() == **self.content, "{number} is not whole");
        assert_eq!(*log.envelope(number).unwrap(), self.envelope, "{number}");
        let marks: BTreeSet<u32> = live.marks.iter().collect();
        for (lsn, index) in &self.marks {
            assert!(*lsn > durable || marks.contains(index), "{number}: mark {index} is lost");
        }
        let known = |index: &u32| self.marks.iter().any(|(_, known)| known == index);
        assert!(marks.iter().all(known), "{number}: a mark from nowhere");
        assert!(self.flags.allows(durable, &live.flags), "{number}: flags {}", live.flags);
        let held = live.state == State::Held;
        assert!(self.held.allows(durable, &held), "{number}: held {held}");
        let until = until(log, live);
        assert!(self.until.allows(durable, &until), "{number}: {until:?} {:?}", self.until);
    }
}

/// Flags that every message starts with.
pub const FLAGS: u32 = 5;

fn until(log: &Log, live: &Live) -> Option<(u64, Vec<u8>)> {
    let detail = log.defer_detail(live.number).unwrap();
    live.until.map(|until| (until, detail.map(|piece| piece.to_vec()).unwrap_or_default()))
}

/// All messages of all cores.
pub type Models = BTreeMap<Number, Model>;

/// Holds what one core's log has against the model; `durable` was certain when the power went.
pub fn check(models: &Models, log: &Log, durable: Lsn) {
    let live: BTreeMap<Number, Live> = log.live().map(|live| (live.number, live)).collect();
    for (number, model) in models.iter().filter(|(number, _)| number.core() == log.core()) {
        let gone = model.removed.is_some_and(|lsn| lsn <= durable);
        assert!(!gone || !live.contains_key(number), "{number} came back from the dead");
        let promised = model.committed <= durable && model.removed.is_none();
        assert!(!promised || live.contains_key(number), "{number} was promised and is lost");
    }
    for (number, live) in &live {
        let model = models.get(number);
        let model = model.unwrap_or_else(|| panic!("{number} was never committed"));
        model.check(log, live, durable);
    }
}
