//! A new configuration: numbers at once, routes for what is not under way.
//!
//! Messages of which nothing is under way go back to the head of the incoming queue and are routed
//! anew, as Postfix does; the others end as they began. Dead destinations get another chance.

use super::{Active, Qmgr, Stage, Waiting};
use crate::snapshot::Snapshot;
use queue::Number;
use runtime::Instant;

impl Qmgr {
    /// Takes a new configuration over.
    pub fn reload(&mut self, snapshot: &Snapshot) {
        self.settings = snapshot.qmgr.clone();
        let settings = &self.settings;
        self.scheduler.reconfigure(settings.limits, |name| settings.transport(name));
        self.scheduler.flush_dead();
        self.next_scan = Instant(0);
        let idle = |active: &Active| {
            let fresh = active.sent.is_empty() && active.failed.is_empty();
            active.under_way == 0 && fresh && active.deferred.is_empty()
        };
        let idle = self.active.iter().filter(|(_, active)| idle(active));
        let numbers: Vec<Number> = idle.map(|(number, _)| *number).collect();
        // The first comes to the very front.
        numbers.into_iter().rev().for_each(|number| self.line_up_again(number));
    }

    fn line_up_again(&mut self, number: Number) {
        self.withdraw(number);
        let Some(active) = self.active.remove(&number) else { return };
        self.unpin(&active);
        if let Some(scheduled) = active.scheduled {
            self.scheduler.finish(scheduled);
        }
        if let Some(known) = self.known.get_mut(number) {
            known.set_stage(Stage::Incoming);
        }
        let waiting = Waiting { number, info: Some(active.info), urge: active.urge };
        self.incoming.push_front(waiting);
    }

    /// The bytes of a message need not stay in memory any more.
    pub(super) fn unpin(&mut self, active: &Active) {
        self.pinned -= active.content.as_ref().map_or(0, queue::Content::len);
    }
}
