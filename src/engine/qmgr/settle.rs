//! The end of an attempt: notices first, then the log, then the message is gone or waits.
//!
//! Nothing is removed before the notice about it is durable. When a notice cannot be made now, the
//! failed recipients stay undone and the message is tried again later: twice is better than never.

use super::{Active, After, FLAG_EXPIRE, Qmgr, Stage};
use crate::core::Core;
use crate::defer::{self, Deferral};
use crate::maillog::{Daemon, Event};
use crate::parcel::{Parcel, Settle};
use crate::{bounce, delivery::MessageInfo};
use queue::Number;
use scheduler::backoff::SenderKind;
use std::rc::Rc;
use std::sync::Arc;

impl Qmgr {
    /// All recipients of this attempt have a result.
    pub(super) fn settle(&mut self, core: &Rc<Core>, number: Number) {
        let Some(active) = self.active.remove(&number) else { return };
        self.pinned -= active.content.as_ref().map_or(0, queue::Content::len);
        self.scheduler.finish(active.scheduled);
        if active.delete {
            return self.remove_logged(core, &active);
        }
        let failed = active.failed.clone();
        self.notify(core, active, &failed, After::Settle);
    }

    /// Asks for a notice about `failures`, if somebody wants one, and goes on when it is durable.
    fn notify(&mut self, core: &Rc<Core>, active: Active, failures: &[Deferral], after: After) {
        let number = active.info.number;
        let content = match &active.content {
            Some(content) => Some(content.clone()),
            None if failures.is_empty() => None,
            None => self.content(core, number).ok(),
        };
        match make_notice(core, &active.info, content.as_ref(), failures) {
            Some(notice) => {
                self.noticing.insert(number, (active, after));
                core.port.send(self.home(number), Parcel::Notice(Box::new(notice)));
            }
            None => self.go_on(core, active, after),
        }
    }

    pub(super) fn noticed(&mut self, core: &Rc<Core>, about: Number, made: bool) {
        let Some((mut active, after)) = self.noticing.remove(&about) else { return };
        if made {
            return self.go_on(core, active, after);
        }
        // After the end of a lifetime the failed ones have had their notice; only the expired have
        // not.
        if matches!(after, After::Settle) {
            let failed = std::mem::take(&mut active.failed);
            active.deferred.extend(failed);
        }
        self.defer(core, active);
    }

    fn go_on(&mut self, core: &Rc<Core>, active: Active, after: After) {
        match after {
            After::Remove => self.remove_logged(core, &active),
            After::Settle if active.deferred.is_empty() => self.remove_logged(core, &active),
            After::Settle => self.expire_or_defer(core, active),
        }
    }

    fn remove_logged(&mut self, core: &Core, active: &Active) {
        core.log.log(&Event::Removed { id: active.info.id });
        self.remove(core, active.info.number);
    }

    fn expire_or_defer(&mut self, core: &Rc<Core>, active: Active) {
        let now = core.rt.unix_time().seconds();
        let created = created(&active);
        let null = active.info.envelope.sender.is_null();
        let kind = if null { SenderKind::Null } else { SenderKind::Address };
        let forced =
            self.known.get(&active.info.number).is_some_and(|k| k.flags & FLAG_EXPIRE != 0);
        if !forced && !self.settings.retry.is_expired(kind, created, now as i64) {
            return self.defer(core, active);
        }
        let sender = &active.info.envelope.sender;
        core.log.log(&Event::Expired { id: active.info.id, sender, forced });
        let deferred = active.deferred.clone();
        self.notify(core, active, &deferred, After::Remove);
    }

    fn defer(&mut self, core: &Rc<Core>, active: Active) {
        let number = active.info.number;
        let home = self.home(number);
        let now = core.rt.unix_time().seconds();
        let until = self.settings.retry.next_attempt_s(created(&active), now as i64) as u64;
        let failed = active.failed.iter().map(|failure| failure.index);
        let done: Vec<u32> = active.sent.iter().copied().chain(failed).collect();
        if !done.is_empty() {
            let mark = Settle::Mark { number, recipients: done.clone() };
            core.port.send(home, Parcel::Settle(mark));
        }
        let detail = defer::encode(&active.deferred);
        core.port.send(home, Parcel::Settle(Settle::Defer { number, until, detail }));
        let Some(known) = self.known.get_mut(&number) else { return };
        known.done.extend(done);
        if active.hold {
            known.stage = Stage::Held;
            core.port.send(home, Parcel::Settle(Settle::Hold { number }));
        } else {
            known.stage = Stage::Deferred { until };
            self.deferred.insert((until, number));
        }
    }
}

/// When the message was queued, seconds since 1970.
fn created(active: &Active) -> i64 {
    (active.info.id.micros / 1_000_000) as i64
}

fn make_notice(
    core: &Core,
    info: &Arc<MessageInfo>,
    content: Option<&queue::Content>,
    failures: &[Deferral],
) -> Option<crate::parcel::Notice> {
    if failures.is_empty() {
        return None;
    }
    let snapshot = core.snapshot();
    let Some(kind) = bounce::kind(&snapshot, info) else {
        let text = "undeliverable postmaster notification discarded";
        core.log.log(&Event::MessageWarning { daemon: Daemon::Bounce, id: info.id, text });
        return None;
    };
    bounce::notice(core, kind, info, content, failures)
}
