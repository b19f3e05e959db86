//! Messages that are returned without an attempt: on request (`postsuper -e`, `-f`), or because
//! checks have refused them when they were here already.
//!
//! One that was tried before is returned with the reasons of its last attempt, which its home core
//! reads from the log; one that never was is deferred first, for this reason. Refusals are logged
//! as cleanup's.

use super::{Active, Qmgr};
use crate::core::Core;
use crate::defer::{self, Deferral};
use crate::error;
use crate::maillog::{Daemon, Event};
use crate::parcel::Parcel;
use mail::{Dsn, Status};
use queue::Number;
use scheduler::Reason;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

const STATUS: Status = Status::new(4, 7, 0);
const TEXT: &str = "message is administratively expired";

impl Qmgr {
    pub(super) fn return_as_it_is(&mut self, core: &Rc<Core>, mut active: Active, pending: &[u32]) {
        let number = active.info.number;
        active.unread = pending.to_vec();
        if self.known.get(number).is_some_and(|known| known.tried) {
            self.recalling.insert(number, active);
            core.port.send(self.home(number), Parcel::Recall { number });
            return;
        }
        let reason = Reason { status: STATUS.to_string().into(), text: TEXT.into() };
        let delays = active.delays(core.rt.now());
        active.deferred = error::suspend(core, &active.info, pending, delays, &reason);
        self.end(core, active);
    }

    pub(super) fn recalled(&mut self, core: &Rc<Core>, number: Number, detail: &[u8]) {
        let Some(mut active) = self.recalling.remove(&number) else { return };
        let read = defer::decode(detail).into_iter();
        let reasons: BTreeMap<u32, Arc<Dsn>> = read.map(|it| (it.index, it.dsn)).collect();
        let unknown = Arc::new(Dsn::local(STATUS, TEXT));
        let deferral = |index: &u32| {
            let dsn = reasons.get(index).unwrap_or(&unknown).clone();
            Deferral { index: *index, dsn }
        };
        active.deferred = active.unread.iter().map(deferral).collect();
        self.end(core, active);
    }

    pub(super) fn return_refused(
        &mut self,
        core: &Rc<Core>,
        mut active: Active,
        pending: &[u32],
        why: Dsn,
    ) {
        let delays = active.delays(core.rt.now());
        let dsn = Arc::new(why);
        for index in pending {
            let recipient = &active.info.envelope.recipients[*index as usize];
            core.log.log(&Event::Delivery {
                daemon: &Daemon::Cleanup,
                id: active.info.id,
                recipient: &recipient.address,
                original: &recipient.original,
                relay: "none",
                conn_use: 1,
                delays,
                dsn: dsn.status,
                status: "bounced",
                text: &dsn.reason,
            });
        }
        let failure = |index: &u32| Deferral { index: *index, dsn: dsn.clone() };
        active.failed = pending.iter().map(failure).collect();
        self.end(core, active);
    }

    fn end(&mut self, core: &Rc<Core>, mut active: Active) {
        let number = active.info.number;
        active.unread.clear();
        active.pending = 0;
        self.active.insert(number, active);
        self.finish_if_done(core, number);
    }
}
