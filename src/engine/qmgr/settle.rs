//! The end of an attempt: notices first, then the log, then the message is gone or waits.
//!
//! | step | when its notice is durable, or nobody wants one |
//! | --- | --- |
//! | Failures | Successes |
//! | Successes | gone; or held; or Expiry; or Delay; or deferred |
//! | Expiry | gone |
//! | Delay | the message is marked, deferred |
//!
//! Nothing is removed before the notice about it is durable. When a notice cannot be made now, or
//! what it is to return cannot be read now, the failed recipients stay undone and the message is
//! tried again later: twice is better than never. A report of success that cannot be made is lost,
//! with a warning.

use super::{Active, FLAG_EXPIRE, FLAG_WARNED, Qmgr, Stage, Step, Wish};
use crate::bounce::{self, Action, Entry, Occasion, Reader};
use crate::core::Core;
use crate::defer;
use crate::delivery::MessageInfo;
use crate::maillog::{Daemon, Event};
use crate::parcel::{Notice, Parcel, Settle};
use queue::{Number, ReadError};
use scheduler::backoff::{SenderKind, is_delay_warning_due};
use std::rc::Rc;

/// Recipients marked with one record of the log.
const MARKS_PER_RECORD: usize = 16 * 1024;

impl Step {
    fn occasion(self) -> Occasion {
        match self {
            Step::Failures | Step::Expiry => Occasion::Failure,
            Step::Successes => Occasion::Success,
            Step::Delay => Occasion::Delay,
        }
    }
}

impl Active {
    /// The recipients a step reports.
    fn entries(&self, step: Step) -> Vec<Entry> {
        match step {
            Step::Failures => self.failures(),
            Step::Successes => self.reports.clone(),
            Step::Expiry => Entry::all(&self.deferred, Action::Failed),
            Step::Delay => Entry::all(&self.deferred, Action::Delayed),
        }
    }

    /// Recipients that failed, or what of them did.
    fn failures(&self) -> Vec<Entry> {
        let mut entries = Entry::all(&self.failed, Action::Failed);
        if !self.parts.is_empty() {
            entries.retain(|entry| !self.parts.iter().any(|part| part.index == entry.index));
            entries.extend(self.parts.iter().cloned());
        }
        entries
    }

    /// When the message was queued, seconds since 1970.
    fn created(&self) -> i64 {
        (self.info.id.micros / 1_000_000) as i64
    }
}

impl Qmgr {
    /// All recipients of this attempt have a result.
    pub(super) fn settle(&mut self, core: &Rc<Core>, number: Number) {
        let Some(active) = self.active.remove(&number) else { return };
        self.unpin(&active);
        if let Some(scheduled) = active.scheduled {
            self.scheduler.finish(scheduled);
        }
        self.step(core, active, Step::Failures);
    }

    /// Asks for the notices of a step and goes on when they are durable.
    fn step(&mut self, core: &Rc<Core>, active: Active, step: Step) {
        if active.wish == Wish::Delete {
            return self.remove(core, active.info.number);
        }
        let entries = active.entries(step);
        if entries.is_empty() {
            return self.go_on(core, active, step);
        }
        match self.notify(core, &active, step.occasion(), &entries) {
            Ok(true) => {
                self.noticing.insert(active.info.number, (active, step));
            }
            Ok(false) => self.go_on(core, active, step),
            Err(error) => {
                let text = format!("{}: no notice without the message: {error}", active.info.id);
                core.log.warn(Daemon::Bounce, &text);
                self.not_made(core, active, step);
            }
        }
    }

    /// Sends notices to be made; whether one is to be waited for.
    ///
    /// Diagnostics: what the log says when the message cannot be read; then nothing was sent.
    fn notify(
        &self,
        core: &Rc<Core>,
        active: &Active,
        occasion: Occasion,
        entries: &[Entry],
    ) -> Result<bool, ReadError> {
        let info = &active.info;
        let readers = bounce::audience(&core.snapshot(), info, occasion, entries);
        say_nobody(core, info, occasion, readers.as_deref());
        let readers = readers.unwrap_or_default();
        if readers.is_empty() {
            return Ok(false);
        }
        let wait = readers.iter().any(|reader| *reader != Reader::Copy);
        let content = match &active.content {
            Some(content) => content.clone(),
            None => self.content(core, info.number)?,
        };
        for reader in readers {
            let (about, content) = (info.clone(), content.clone());
            let entries = entries.to_vec();
            let notice = Notice { about, content, occasion, reader, entries, owner: None };
            core.port.send(self.home(info.number), Parcel::Notice(Box::new(notice)));
        }
        Ok(wait)
    }

    pub(super) fn noticed(&mut self, core: &Rc<Core>, about: Number, made: bool) {
        let Some((active, step)) = self.noticing.remove(&about) else { return };
        match made {
            true => self.go_on(core, active, step),
            false => self.not_made(core, active, step),
        }
    }

    /// There is no notice of this step, and will be none in this attempt.
    fn not_made(&mut self, core: &Rc<Core>, mut active: Active, step: Step) {
        match step {
            Step::Successes => {
                let text = format!("{}: report of success lost", active.info.id);
                core.log.warn(Daemon::Bounce, &text);
                self.go_on(core, active, step);
            }
            Step::Failures => {
                let failed = std::mem::take(&mut active.failed);
                active.deferred.extend(failed);
                self.defer(core, active);
            }
            // The failed ones have had their notice; only the others have not.
            Step::Expiry | Step::Delay => self.defer(core, active),
        }
    }

    fn go_on(&mut self, core: &Rc<Core>, active: Active, step: Step) {
        match step {
            Step::Failures => self.step(core, active, Step::Successes),
            Step::Successes => self.after_attempt(core, active),
            Step::Expiry => self.remove_logged(core, &active),
            Step::Delay => {
                self.mark_warned(core, active.info.number);
                self.defer(core, active);
            }
        }
    }

    fn remove_logged(&mut self, core: &Core, active: &Active) {
        // What was refused was never in the queue, as far as the log is concerned.
        if active.info.refusal().is_none() {
            core.log.log(&Event::Removed { id: active.info.id });
        }
        self.remove(core, active.info.number);
    }

    /// Failures and successes are reported: what becomes of the rest?
    fn after_attempt(&mut self, core: &Rc<Core>, active: Active) {
        let number = active.info.number;
        let forced = self.flags(number) & FLAG_EXPIRE != 0;
        if active.wish == Wish::Delete {
            self.remove(core, number);
        } else if active.deferred.is_empty() && !active.withdrawn {
            self.remove_logged(core, &active);
        } else if active.wish == Wish::Hold || active.withdrawn {
            // Who was withdrawn is in no report: such a message is never given up here.
            self.defer(core, active);
        } else if forced || self.is_expired(core, &active) {
            let sender = &active.info.envelope.sender;
            core.log.log(&Event::Expired { id: active.info.id, sender, forced });
            self.step(core, active, Step::Expiry);
        } else if self.is_warning_due(core, &active) {
            self.step(core, active, Step::Delay);
        } else {
            self.defer(core, active);
        }
    }

    fn flags(&self, number: Number) -> u32 {
        self.known.get(number).map_or(0, |known| known.flags)
    }

    fn is_expired(&self, core: &Core, active: &Active) -> bool {
        let now = core.rt.unix_time().seconds();
        let null = active.info.envelope.sender.is_null();
        let kind = if null { SenderKind::Null } else { SenderKind::Address };
        self.settings.retry.is_expired(kind, active.created(), now as i64)
    }

    /// One warning for each message, ever.
    fn is_warning_due(&self, core: &Core, active: &Active) -> bool {
        let now = core.rt.unix_time().seconds();
        let warn_at = active.info.envelope.warn_at.unwrap_or(0);
        let warned = self.flags(active.info.number) & FLAG_WARNED != 0;
        !warned && is_delay_warning_due(warn_at as i64, now as i64)
    }

    fn mark_warned(&mut self, core: &Core, number: Number) {
        let Some(known) = self.known.get_mut(number) else { return };
        known.flags |= FLAG_WARNED;
        let flags = known.flags;
        core.port.send(self.home(number), Parcel::Settle(Settle::Flags { number, flags }));
    }

    fn defer(&mut self, core: &Rc<Core>, active: Active) {
        let number = active.info.number;
        if active.wish == Wish::Delete {
            return self.remove(core, number);
        }
        let home = self.home(number);
        let failed = active.failed.iter().map(|failure| failure.index);
        let done: Vec<u32> = active.sent.iter().copied().chain(failed).collect();
        for recipients in done.chunks(MARKS_PER_RECORD) {
            let mark = Settle::Mark { number, recipients: recipients.to_vec() };
            core.port.send(home, Parcel::Settle(mark));
        }
        let Some(known) = self.known.get_mut(number) else { return };
        known.add_done(done);
        let now = core.rt.unix_time().seconds();
        let until = self.settings.retry.next_attempt_s(active.created(), now as i64) as u64;
        if !active.deferred.is_empty() {
            let detail = defer::encode(&active.deferred);
            known.tried = true;
            core.port.send(home, Parcel::Settle(Settle::Defer { number, until, detail }));
        }
        if active.wish == Wish::Hold {
            known.set_stage(Stage::Held);
            core.port.send(home, Parcel::Settle(Settle::Hold { number }));
        } else {
            known.set_stage(Stage::Deferred { until });
            self.deferred.insert((until, number));
        }
    }
}

/// Says that a notice is not made, where Postfix does.
fn say_nobody(core: &Core, info: &MessageInfo, occasion: Occasion, readers: Option<&[Reader]>) {
    let (daemon, id) = (Daemon::Bounce, info.id);
    let kind = match (occasion, readers) {
        (Occasion::Success, None) => "double",
        (Occasion::Success, Some([])) => "single",
        (_, None) => {
            let text = "undeliverable postmaster notification discarded";
            return core.log.log(&Event::MessageWarning { daemon, id, text });
        }
        _ => return,
    };
    let text = format!("{id}: not sending trace/success notification for {kind}-bounce message");
    core.log.log(&Event::Info { daemon, text: &text });
}
