//! Which message comes into the active queue next: incoming and deferred mail in turn.
//!
//! A scan of the deferred queue takes what is due; a flush takes all that was there when it was
//! asked for, and what it defers again waits for its time.

use super::{Qmgr, Stage, Urge};
use crate::core::Core;
use crate::limits::{IMPORTS_PER_TURN, REHEARSING_MAX};
use queue::Number;
use std::rc::Rc;

impl Qmgr {
    pub(super) fn start_scan(&mut self, core: &Core) {
        if core.rt.now() >= self.next_scan {
            self.scan_until = core.rt.unix_time().seconds() + 1;
            self.next_scan = core.rt.now() + self.settings.run_delay;
        }
    }

    pub(super) fn import_some(&mut self, core: &Rc<Core>) {
        for _ in 0..IMPORTS_PER_TURN {
            if self.rehearsing >= REHEARSING_MAX {
                return;
            }
            if !self.scheduler.room_beside(self.rehearsing) {
                // New mail comes first once there is room.
                self.from_deferred = true;
                return;
            }
            if !self.import_next(core) {
                return;
            }
        }
        // There may be more: the next turn comes at once.
        core.rt.spawn(async {});
    }

    /// Imports one message, alternately from incoming and from deferred; false when neither has
    /// one.
    fn import_next(&mut self, core: &Rc<Core>) -> bool {
        self.from_deferred = !self.from_deferred;
        // Not one expression for both: whose turn it is decides who is asked first.
        let first = match self.from_deferred {
            true => self.import_deferred(core),
            false => self.import_incoming(core),
        };
        first
            || match self.from_deferred {
                true => self.import_incoming(core),
                false => self.import_deferred(core),
            }
    }

    fn import_incoming(&mut self, core: &Rc<Core>) -> bool {
        let Some(waiting) = self.incoming.pop_front() else { return false };
        let incoming =
            self.known.get(waiting.number).is_some_and(|known| known.stage() == Stage::Incoming);
        // It may have been held or deleted while it waited.
        if incoming {
            self.import(core, waiting);
        }
        true
    }

    fn import_deferred(&mut self, core: &Rc<Core>) -> bool {
        let Some((number, urge)) = self.next_deferred() else {
            self.scan_until = 0;
            return false;
        };
        self.import(core, super::Waiting { number, info: None, urge });
        true
    }

    fn next_deferred(&mut self) -> Option<(Number, Urge)> {
        if let Some((_, number)) = self.flushed.pop_first() {
            return Some((number, Urge::Flush));
        }
        let (until, number) = self.deferred.first().copied()?;
        if until > self.scan_until {
            return None;
        }
        self.deferred.remove(&(until, number));
        Some((number, Urge::Usual))
    }

    /// `postqueue -f`: forget what is known about dead destinations and try everything now.
    pub fn flush(&mut self, core: &Core) {
        self.scheduler.flush_dead();
        if self.flushed.is_empty() {
            std::mem::swap(&mut self.flushed, &mut self.deferred);
        } else {
            self.flushed.append(&mut self.deferred);
        }
        self.next_scan = core.rt.now() + self.settings.run_delay;
    }

    /// A message is not among the deferred any more.
    pub(super) fn leave_deferred(&mut self, until: u64, number: Number) {
        if !self.deferred.remove(&(until, number)) {
            self.flushed.remove(&(until, number));
        }
    }
}
