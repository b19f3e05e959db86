//! What is known about every message in the queue, packed: there may be millions.
//!
//! Limits: `KNOWN_BYTES_MAX` per message and the number; messages of which some recipients are done
//! a little more.

use super::{Qmgr, Stage};
use crate::showq::Listed;
use queue::{Location, Number};

/// Largest entry.
const KNOWN_BYTES_MAX: usize = 56;
/// Messages looked at in one step of a walk.
const STEP: usize = 32 * 1024;

const _: () = assert!(size_of::<Known>() <= KNOWN_BYTES_MAX);

/// `Stage` without its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Incoming,
    Active,
    Deferred,
    Held,
}

/// One message.
pub(super) struct Known {
    pub(super) location: Location,
    pub(super) arrival_us: u64,
    until: u64,
    #[expect(clippy::box_collection, reason = "one word for the many that have none")]
    done: Option<Box<Vec<u32>>>,
    pub(super) flags: u32,
    kind: Kind,
    /// It was deferred before: the log knows why.
    pub(super) tried: bool,
}

impl Known {
    /// A message that has just come.
    pub(super) fn new(location: Location, arrival_us: u64) -> Known {
        let (kind, done) = (Kind::Incoming, None);
        Known { location, arrival_us, until: 0, done, flags: 0, kind, tried: false }
    }

    pub(super) fn stage(&self) -> Stage {
        match self.kind {
            Kind::Incoming => Stage::Incoming,
            Kind::Active => Stage::Active,
            Kind::Deferred => Stage::Deferred { until: self.until },
            Kind::Held => Stage::Held,
        }
    }

    pub(super) fn set_stage(&mut self, stage: Stage) {
        self.kind = match stage {
            Stage::Incoming => Kind::Incoming,
            Stage::Active => Kind::Active,
            Stage::Deferred { until } => {
                self.until = until;
                Kind::Deferred
            }
            Stage::Held => Kind::Held,
        };
    }

    /// Recipients that are done, when not all are.
    pub(super) fn done(&self) -> &[u32] {
        self.done.as_deref().map_or(&[], Vec::as_slice)
    }

    pub(super) fn add_done(&mut self, indices: impl IntoIterator<Item = u32>) {
        let mut indices = indices.into_iter().peekable();
        if indices.peek().is_some() {
            self.done.get_or_insert_default().extend(indices);
        }
    }
}

/// A walk over the messages of some queues, in order of their numbers, a few at a time: what comes
/// and goes meanwhile may be met or not.
pub struct Walk<'a> {
    queues: &'a [&'a str],
    after: Option<Number>,
}

impl<'a> Walk<'a> {
    /// Over these queues, or all when none is named.
    pub fn new(queues: &'a [&'a str]) -> Walk<'a> {
        Walk { queues, after: None }
    }

    fn wants(&self, name: &str) -> bool {
        self.queues.is_empty() || self.queues.contains(&name)
    }
}

impl Qmgr {
    /// The next messages of a walk, at most `max` and perhaps none; `None` at its end.
    pub fn walk(&self, walk: &mut Walk<'_>, max: usize) -> Option<Vec<Listed>> {
        let (mut found, mut seen) = (Vec::new(), 0);
        for (number, known) in self.known.iter_after(walk.after).take(STEP) {
            (walk.after, seen) = (Some(number), seen + 1);
            let name = known.stage().queue_name();
            if walk.wants(name) {
                found.push((number, name));
            }
            if found.len() == max {
                break;
            }
        }
        (seen > 0).then_some(found)
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        self.known.len()
    }
}
