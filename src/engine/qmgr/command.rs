//! What operators ask for: listing, flushing, holding, releasing, deleting, expiring.

use super::{Active, FLAG_EXPIRE, Qmgr, Stage, Waiting};
use crate::core::Core;
use crate::parcel::{Parcel, Settle};
use crate::showq::Listed;
use mail::queue_id::QueueId;
use queue::Number;
use std::rc::Rc;

impl Qmgr {
    /// Every message with its queue's Postfix name, in Postfix's order of queues.
    pub fn listing(&self) -> Vec<Listed> {
        let mut all: Vec<(u8, Listed)> = self
            .known
            .iter()
            .map(|(number, known)| {
                let (order, name) = match known.stage {
                    Stage::Active => (0, "active"),
                    Stage::Incoming => (1, "incoming"),
                    Stage::Deferred { .. } => (2, "deferred"),
                    Stage::Held => (3, "hold"),
                };
                (order, (*number, name))
            })
            .collect();
        all.sort_by_key(|(order, (number, _))| (*order, *number));
        all.into_iter().map(|(_, listed)| listed).collect()
    }

    /// The messages of some queues; of the four that hold mail when none is named.
    pub fn numbers_in(&self, queues: &[&str]) -> Vec<Number> {
        let wanted = |name: &str| queues.is_empty() || queues.contains(&name);
        let all = self.listing().into_iter();
        all.filter(|(_, name)| wanted(name)).map(|(number, _)| number).collect()
    }

    /// `postqueue -f`: forget what is known about dead destinations and try everything now.
    pub fn flush(&mut self, core: &Core) {
        self.scheduler.flush_dead();
        self.scan_until = u64::MAX;
        self.next_scan = core.rt.now() + self.settings.run_delay;
    }

    /// Applies a command to messages: the ids of those it changed.
    pub fn change(&mut self, core: &Rc<Core>, verb: &str, numbers: &[Number]) -> Vec<QueueId> {
        let mut changed = Vec::new();
        for number in numbers {
            let Some(known) = self.known.get(number) else { continue };
            let id = core.queue_id(known.arrival_us, *number);
            let done = match verb {
                "hold" => self.hold(core, *number),
                "release" => self.release(core, *number),
                "delete" => self.delete(core, *number),
                "expire" => self.expire(core, *number),
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
        self.known.get(&number).map(|known| known.stage)
    }

    fn set_stage(&mut self, number: Number, stage: Stage) {
        if let Some(known) = self.known.get_mut(&number) {
            if let Stage::Deferred { until } = known.stage {
                self.deferred.remove(&(until, number));
            }
            known.stage = stage;
        }
    }

    fn hold(&mut self, core: &Core, number: Number) -> bool {
        match self.stage(number) {
            None | Some(Stage::Held) => return false,
            Some(Stage::Active) => {
                return self.with_active(number, |active| active.hold = true);
            }
            Some(_) => self.set_stage(number, Stage::Held),
        }
        core.port.send(self.home(number), Parcel::Settle(Settle::Hold { number }));
        true
    }

    fn release(&mut self, core: &Core, number: Number) -> bool {
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

    fn delete(&mut self, core: &Core, number: Number) -> bool {
        if self.stage(number) == Some(Stage::Active) {
            return self.with_active(number, |active| active.delete = true);
        }
        self.set_stage(number, Stage::Held);
        self.remove(core, number);
        true
    }

    fn expire(&mut self, core: &Core, number: Number) -> bool {
        let Some(known) = self.known.get_mut(&number) else { return false };
        known.flags |= FLAG_EXPIRE;
        let flags = known.flags;
        core.port.send(self.home(number), Parcel::Settle(Settle::Flags { number, flags }));
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
        self.incoming.push_back(Waiting { number, info: None });
        self.scheduler.flush_dead();
        true
    }

    fn with_active(&mut self, number: Number, change: impl FnOnce(&mut Active)) -> bool {
        self.active.get_mut(&number).map(change).is_some()
    }
}
