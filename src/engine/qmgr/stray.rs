//! Messages whose bytes are not where they are looked for: copied forward since, or not written
//! yet. What was to be done with one is done once its home core has said where it is.

use super::{Qmgr, Stage, Urge};
use crate::core::Core;
use crate::parcel::Parcel;
use queue::{Location, Number, ReadError};
use scheduler::Selected;
use std::rc::Rc;
use std::time::Duration;

/// What is being written is asked for again after this time.
const WRITING: Duration = Duration::from_millis(2);

/// What waits for the place of a message.
pub(super) enum Errand {
    /// It was to become active.
    Import(Urge),
    /// It was to be delivered.
    Deliver(Selected),
}

/// Whether an answer of the home core may help.
pub(super) fn is_stray(error: &ReadError) -> bool {
    matches!(error, ReadError::Moved | ReadError::NotYet)
}

impl Qmgr {
    /// Asks the home core for a message's place, once for all errands.
    pub(super) fn seek(
        &mut self,
        core: &Rc<Core>,
        number: Number,
        errand: Errand,
        error: &ReadError,
    ) {
        if let (Errand::Import(_), Some(known)) = (&errand, self.known.get_mut(number)) {
            known.set_stage(Stage::Incoming);
        }
        let errands = self.strays.entry(number).or_default();
        errands.push(errand);
        if errands.len() > 1 {
            return;
        }
        let (core, home) = (core.clone(), self.home(number));
        if !matches!(error, ReadError::NotYet) {
            return core.port.send(home, Parcel::Locate { number });
        }
        core.rt.clone().spawn(async move {
            core.rt.sleep_until(core.rt.now() + WRITING).await;
            core.port.send(home, Parcel::Locate { number });
        });
    }

    pub(super) fn located(&mut self, core: &Rc<Core>, number: Number, location: Location) {
        if let Some(known) = self.known.get_mut(number) {
            known.location = location;
        }
        for errand in self.strays.remove(&number).unwrap_or_default() {
            match errand {
                // If it was held or deleted meanwhile, its turn finds that out.
                Errand::Import(urge) => self.line_up(number, urge),
                // What is not started before a stop is found in the log at the next start.
                Errand::Deliver(_) if core.is_stopping() => {}
                Errand::Deliver(selected) => self.start(core, selected),
            }
        }
    }

    /// The log has no such message.
    pub(super) fn gone(&mut self, core: &Rc<Core>, number: Number) {
        for errand in self.strays.remove(&number).unwrap_or_default() {
            if let Errand::Deliver(selected) = errand {
                self.unreadable(core, number, &selected, &ReadError::Moved);
            }
        }
        self.forget(number);
    }
}
