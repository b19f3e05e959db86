//! error(8), retry and discard(8): deliveries that go nowhere.
//!
//! The next hop is the reason: an optional enhanced status code and text.
//!
//! Standards: error(8), discard(8).

use crate::bounce::Action;
use crate::core::Core;
use crate::defer::Deferral;
use crate::delivery::{
    DeliverRequest, Disposition, MessageInfo, Outcome, Receipt, RecipientResult,
    TRANSPORT_UNAVAILABLE,
};
use crate::maillog::{Daemon, Delays, Event};
use mail::{Dsn, Status};
use scheduler::Reason;
use std::sync::Arc;

/// What error and retry say when the next hop says nothing.
const UNDELIVERABLE: &str = "Address is undeliverable";

/// error(8): every recipient fails; under the service name `retry`, every recipient is deferred.
pub fn refuse(core: &Core, request: DeliverRequest) -> Outcome {
    let retry = request.transport.as_ref() == "retry";
    let class = if retry { 4 } else { 5 };
    let (dsn, ignored) = reason(&request.nexthop, Status::new(class, 0, 0));
    if let Some(status) = ignored {
        let who = if retry { "defer_append" } else { "bounce_append" };
        core.log.warn(Daemon::Error, &format!("{who}: ignoring dsn code \"{status}\""));
    }
    finish(core, request, &Daemon::Error, "none", &dsn)
}

/// A transport nobody serves: what is meant for it waits.
pub fn unavailable(core: &Core, request: DeliverRequest) -> Outcome {
    let dsn = Dsn::local(Status::new(4, 3, 0), TRANSPORT_UNAVAILABLE);
    let mut outcome = finish(core, request, &Daemon::Error, "none", &dsn);
    outcome.site_failure = Some(dsn);
    outcome
}

/// discard(8): success without a trace.
pub fn discard(core: &Core, request: DeliverRequest) -> Outcome {
    let (dsn, ignored) = match request.nexthop.as_ref() {
        "" => (Dsn::local(Status::new(2, 0, 0), "none"), None),
        nexthop => reason(nexthop, Status::new(2, 0, 0)),
    };
    if let Some(status) = ignored {
        core.log.warn(Daemon::Discard, &format!("sent: ignoring dsn code \"{status}\""));
    }
    finish(core, request, &Daemon::Discard, "none", &dsn)
}

/// Recipients whose destination is out of service: deferred without an attempt, logged.
pub fn suspend(
    core: &Core,
    message: &MessageInfo,
    indices: &[u32],
    delays: Delays,
    reason: &Reason,
) -> Vec<Deferral> {
    let parsed = Status::parse_prefix(reason.status.as_bytes());
    let status = parsed.map_or(Status::new(4, 3, 0), |(status, _)| status);
    let dsn = Arc::new(Dsn::local(Status { class: 4, ..status }, reason.text.as_ref()));
    for index in indices {
        let recipient = &message.envelope.recipients[*index as usize];
        core.log.log(&Event::Delivery {
            daemon: &Daemon::Error,
            id: message.id,
            recipient: &recipient.address,
            original: &recipient.original,
            relay: "none",
            conn_use: 1,
            delays,
            dsn: dsn.status,
            status: "deferred",
            text: &dsn.reason,
        });
    }
    indices.iter().map(|index| Deferral { index: *index, dsn: dsn.clone() }).collect()
}

/// What the next hop says, and a status in it that is of another class and so means nothing.
fn reason(nexthop: &str, default: Status) -> (Dsn, Option<Status>) {
    match Status::parse_prefix(nexthop.as_bytes()) {
        Some((status, used)) => {
            let ignored = Some(status).filter(|status| status.class != default.class);
            let status = if ignored.is_some() { default } else { status };
            (Dsn::local(status, nexthop[used..].trim_start()), ignored)
        }
        None if nexthop.is_empty() => (Dsn::local(default, UNDELIVERABLE), None),
        None => (Dsn::local(default, nexthop), None),
    }
}

/// The same result for every recipient, logged.
pub fn finish(
    core: &Core,
    request: DeliverRequest,
    daemon: &Daemon,
    relay: &str,
    dsn: &Dsn,
) -> Outcome {
    let mut dsn = dsn.clone();
    let (disposition, status) = Disposition::of(&mut dsn, core.snapshot().bounce.is_soft());
    let delays = request.delays(core.rt.now());
    for (_, recipient) in request.recipients() {
        core.log.log(&Event::Delivery {
            daemon,
            id: request.message.id,
            recipient: &recipient.address,
            original: &recipient.original,
            relay,
            conn_use: 1,
            delays,
            dsn: dsn.status,
            status,
            text: &dsn.reason,
        });
    }
    let (relay, action) = (relay.to_string(), Action::Delivered);
    let delivered = Receipt { relay, action, told: None };
    let receipt = (disposition == Disposition::Sent).then_some(delivered);
    let result = |index: &u32| RecipientResult {
        index: *index,
        disposition,
        dsn: dsn.clone(),
        dsn_passed_on: false,
        receipt: receipt.clone(),
        failures: Vec::new(),
    };
    request.outcome(request.recipients.iter().map(result).collect(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_is_the_reason() {
        let told = |nexthop, class| {
            let (dsn, ignored) = reason(nexthop, Status::new(class, 0, 0));
            (dsn.status, dsn.reason, ignored)
        };
        let moved = (Status::new(5, 1, 6), "User has moved to b@c".to_string(), None);
        assert_eq!(told("5.1.6 User has moved to b@c", 5), moved);
        assert_eq!(told("", 4).1, UNDELIVERABLE);
        assert_eq!(told("4.3.2 deferred transport", 4).0, Status::new(4, 3, 2));
        let odd = (Status::new(5, 0, 0), "odd".to_string(), Some(Status::new(4, 3, 0)));
        assert_eq!(told("4.3.0 odd", 5), odd);
        assert_eq!(told("2.1.5 text", 2), (Status::new(2, 1, 5), "text".to_string(), None));
    }
}
