//! What operators ask for: listing, flushing, holding, releasing, deleting, expiring.

use super::{FLAG_EXPIRE, Known, Qmgr, Stage, Urge, Wish};
use crate::core::Core;
use crate::parcel::{Parcel, Settle};
use mail::queue_id::QueueId;
use queue::Number;
use std::rc::Rc;

impl Stage {
    pub(super) fn queue_name(self) -> &'static str {
        match self {
            Stage::Active => "active",
            Stage::Incoming => "incoming",
            Stage::Deferred { .. } => "deferred",
            Stage::Held => "hold",
        }
    }
}

impl Qmgr {
    /// Whether a message is in one of these queues, or anywhere when none is named.
    pub fn is_in(&self, number: Number, queues: &[&str]) -> bool {
        let stage = self.stage(number);
        stage.is_some_and(|stage| queues.is_empty() || queues.contains(&stage.queue_name()))
    }

    /// Applies a command to messages: the ids of those it changed.
    pub fn change(&mut self, core: &Rc<Core>, verb: &str, numbers: &[Number]) -> Vec<QueueId> {
        let mut changed = Vec::new();
        for number in numbers {
            let Some(known) = self.known.get(*number) else { continue };
            let id = core.queue_id(known.arrival_us, *number);
            let done = match verb {
                "hold" => self.hold(core, *number),
                "release" => self.release(core, *number),
                "delete" => self.delete(core, *number),
                "expire" => self.expire(core, *number),
                // What is held stays so.
                "flush-message" if self.stage(*number) == Some(Stage::Held) => false,
                "flush-message" | "requeue" => self.hurry(core, *number),
                _ => false,
            };
            if done {
                changed.push(id);
            }
        }
        changed
    }

    fn stage(&self, number: Number) -> Option<Stage> {
        self.known.get(number).map(Known::stage)
    }

    fn set_stage(&mut self, number: Number, stage: Stage) {
        if let Some(Stage::Deferred { until }) = self.stage(number) {
            self.leave_deferred(until, number);
        }
        if let Some(known) = self.known.get_mut(number) {
            known.set_stage(stage);
        }
    }

    fn hold(&mut self, core: &Rc<Core>, number: Number) -> bool {
        match self.stage(number) {
            None | Some(Stage::Held) => return false,
            Some(Stage::Active) => {
                return self.take_back(core, number, Wish::Hold);
            }
            Some(_) => self.set_stage(number, Stage::Held),
        }
        core.port.send(self.home(number), Parcel::Settle(Settle::Hold { number }));
        true
    }

    fn release(&mut self, core: &Core, number: Number) -> bool {
        if self.stage(number) == Some(Stage::Active) {
            return self.unhold(number);
        }
        if self.stage(number) != Some(Stage::Held) {
            return false;
        }
        core.port.send(self.home(number), Parcel::Settle(Settle::Release { number }));
        let until = core.rt.unix_time().seconds();
        self.set_stage(number, Stage::Deferred { until });
        self.deferred.insert((until, number));
        self.scan_until = self.scan_until.max(until + 1);
        true
    }

    fn delete(&mut self, core: &Rc<Core>, number: Number) -> bool {
        if self.stage(number) == Some(Stage::Active) {
            return self.take_back(core, number, Wish::Delete);
        }
        self.set_stage(number, Stage::Held);
        self.remove(core, number);
        true
    }

    /// Returns a message soon, whatever its age; one that is held when it is released.
    fn expire(&mut self, core: &Core, number: Number) -> bool {
        let Some(known) = self.known.get_mut(number) else { return false };
        known.flags |= FLAG_EXPIRE;
        let (flags, stage) = (known.flags, known.stage());
        core.port.send(self.home(number), Parcel::Settle(Settle::Flags { number, flags }));
        if matches!(stage, Stage::Deferred { .. }) {
            self.set_stage(number, Stage::Incoming);
            self.line_up(number, Urge::Usual);
        }
        true
    }

    /// Tries a message now.
    fn hurry(&mut self, core: &Core, number: Number) -> bool {
        match self.stage(number) {
            Some(Stage::Held) => {
                core.port.send(self.home(number), Parcel::Settle(Settle::Release { number }));
            }
            Some(Stage::Deferred { .. }) => {}
            _ => return false,
        }
        self.set_stage(number, Stage::Incoming);
        self.line_up(number, Urge::Message);
        true
    }

    /// Withdraws what waits of an active message; the wish is granted when nothing is under way.
    fn take_back(&mut self, core: &Rc<Core>, number: Number, wish: Wish) -> bool {
        let settling = self.noticing.get_mut(&number).map(|(active, _)| active);
        if let Some(active) = settling.or(self.recalling.get_mut(&number)) {
            active.wish = wish;
            return true;
        }
        let Some(active) = self.active.get_mut(&number) else { return false };
        active.wish = wish;
        self.withdraw(number);
        self.finish_if_done(core, number);
        true
    }

    /// An active message that was to be held is deferred instead when it is over.
    fn unhold(&mut self, number: Number) -> bool {
        let settling = self.noticing.get_mut(&number).map(|(active, _)| active);
        let settling = settling.or(self.recalling.get_mut(&number));
        let active = settling.or(self.active.get_mut(&number));
        let Some(active) = active.filter(|active| active.wish == Wish::Hold) else { return false };
        active.wish = Wish::None;
        true
    }

    /// Takes recipients that wait, in the scheduler or unread, out of the attempt.
    pub(super) fn withdraw(&mut self, number: Number) {
        let Some(active) = self.active.get_mut(&number) else { return };
        let taken = active.scheduled.map(|id| self.scheduler.withdraw(id)).unwrap_or_default();
        let count = taken.len() + active.unread.len();
        active.unread.clear();
        active.pending -= count;
        active.withdrawn |= count > 0;
    }
}
