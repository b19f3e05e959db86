//! The pure heart of Postfix's queue manager, qmgr(8): which delivery starts next.
//!
//! The crate has no I/O, no clock and no mail in it: the caller hands in messages with recipients
//! that are already resolved, asks for deliveries to start, reports how each ended, and passes the
//! time. One [`Scheduler`] runs on one core and owns every message of that core's active queue.
//!
//! Where a reader of Postfix finds things:
//!
//! | Postfix                                  | here                                          |
//! |------------------------------------------|-----------------------------------------------|
//! | `QMGR_TRANSPORT`, throttle, rate lock    | `transport` ([`TransportSettings`])           |
//! | `QMGR_QUEUE`, window, throttle, suspend  | `destination`, `feedback`                     |
//! | `QMGR_MESSAGE`, `QMGR_JOB`, `QMGR_PEER`, `QMGR_ENTRY` | `job`                            |
//! | slots, candidates, job stack, blockers   | `preempt`, `select`                           |
//! | recipient slots, refill                  | `slots`                                       |
//! | end of a delivery, deferring what waits  | `done`                                        |
//! | retry time, expiry, delay warning        | `backoff`                                     |
//! | clog warning                             | `crowd`                                       |
//! | `postsuper` on active mail, reload       | `withdraw`, `reload`                          |
//!
//! The caller's loop, once per event: [`Scheduler::tick`]; [`Scheduler::select`] until `None`;
//! if [`Scheduler::room_for_message`], import one message with [`Scheduler::admit`]; serve
//! [`Scheduler::wants_refill`] with [`Scheduler::add_recipients`]; sleep until
//! [`Scheduler::next_event`]. A message whose `message_finished` was reported stays counted until
//! [`Scheduler::finish`].
//!
//! Diagnostics: a stale id, or an entry that is done twice, is a bug of the caller and panics.
//! Feedback texts return errors. Nothing is logged here.
//! Limits: [`Limits`] per core and [`TransportSettings`] per transport. Times are monotonic
//! milliseconds and may stand still, but not go back.
//! Standards: qmgr(8) and postconf(5) of Postfix 3.7.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backoff;
mod crowd;
mod destination;
mod done;
mod drain;
mod feedback;
mod job;
mod preempt;
mod recipients;
mod reload;
mod scheduler;
mod select;
mod slab;
mod slots;
#[cfg(test)]
mod tests;
mod transport;
mod wake;
mod withdraw;

pub use crowd::{Advice, Crowded};
pub use done::{Done, Flushed, NewlyDead, SiteResult};
pub use drain::drain;
pub use feedback::{Feedback, FeedbackError, parse_feedback};
pub use recipients::Recipients;
pub use scheduler::{Admitted, Counts, DeferredAtOnce, Limits, RoutedRecipient, Scheduler};
pub use select::Selected;
pub use slab::{EntryId, MessageId, TransportId};
pub use slots::Wanted;
pub use transport::{Reason, TransportSettings};
