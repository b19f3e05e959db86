//! The roll call: after a start each core tells the queue manager what its logs had, in batches.
//!
//! A core serves meanwhile: new mail has higher numbers than anything that is told here. Nothing
//! is changed about a message before the queue manager knows it.
//!
//! Limits: `BATCH` messages under way per core and millisecond.

use crate::core::Core;
use crate::limits::OUTBOX_HIGH_WATER;
use crate::parcel::Parcel;
use queue::{Live, Number};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Messages told at once.
const BATCH: usize = 2000;
/// Between two batches: the queue manager's core has other things to do.
const PAUSE: Duration = Duration::from_millis(1);

/// Starts telling.
pub fn call(core: &Rc<Core>) {
    let newest: Vec<Option<Number>> = core.logs().map(|log| log.borrow().newest()).collect();
    let (core, rt) = (core.clone(), core.rt.clone());
    rt.spawn(async move {
        for (log, newest) in core.logs().zip(newest) {
            tell(&core, log, newest).await;
        }
        let (live, last) = (Vec::new(), true);
        core.port.send(crate::qmgr::CORE, Parcel::Recovered { live, last });
    });
}

async fn tell(core: &Core, log: &RefCell<queue::Log>, newest: Option<Number>) {
    let Some(newest) = newest else { return };
    let mut after = None;
    loop {
        let live = batch(&log.borrow(), after, newest);
        let Some(told) = live.last() else { return };
        after = Some(told.number);
        core.port.send(crate::qmgr::CORE, Parcel::Recovered { live, last: false });
        if after < Some(newest) {
            core.rt.sleep_until(core.rt.now() + PAUSE).await;
        }
        while core.port.backlog() >= OUTBOX_HIGH_WATER {
            core.rt.sleep_until(core.rt.now() + PAUSE).await;
        }
    }
}

fn batch(log: &queue::Log, after: Option<Number>, newest: Number) -> Vec<Live> {
    log.live_after(after).take_while(|live| live.number <= newest).take(BATCH).collect()
}
