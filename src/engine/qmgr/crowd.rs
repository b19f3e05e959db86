//! The clog warning: one destination has so much of the active queue that other mail may wait.

use super::Qmgr;
use crate::core::Core;
use crate::maillog::Daemon;
use scheduler::{Advice, Crowded};

/// Below this share of the active queue, in tenths, other mail may be slowed down.
const ALONE_TENTHS: u64 = 9;

impl Qmgr {
    pub(super) fn warn_of_crowds(&mut self, core: &Core) {
        while let Some(crowded) = self.scheduler.take_crowded() {
            for line in lines(&crowded) {
                core.log.warn(Daemon::Qmgr, &line);
            }
        }
    }
}

fn lines(crowded: &Crowded) -> Vec<String> {
    let Crowded { transport, nexthop, entries, messages, advice } = crowded;
    let first =
        format!("mail for {nexthop} is using up {entries} of {messages} active queue entries");
    let mut lines = vec![first];
    if u64::from(*entries) * 10 < *messages as u64 * ALONE_TENTHS {
        lines.push("this may slow down other mail deliveries".into());
    }
    lines.extend(advise(*advice, transport, nexthop));
    lines.push("please avoid flushing the whole queue when you have".into());
    lines.push("lots of deferred mail, that is bad for performance".into());
    lines.push("to turn off these warnings specify: qmgr_clog_warn_time = 0".into());
    lines
}

fn advise(advice: Advice, transport: &str, nexthop: &str) -> Vec<String> {
    let may = "you may need to";
    match advice {
        Advice::RaiseConcurrency(limit) => {
            let name = format!("{transport}_destination_concurrency_limit");
            vec![format!("{may} increase the main.cf {name} from {limit}")]
        }
        Advice::RaiseActiveLimit(limit) => {
            vec![format!("{may} increase the main.cf qmgr_message_active_limit from {limit}")]
        }
        Advice::SeparateTransport => {
            vec![format!("you may need a separate master.cf transport for {nexthop}")]
        }
        Advice::SkipSooner => vec![
            format!("{may} reduce {transport} connect and helo timeouts"),
            "so that Postfix quickly skips unavailable hosts".into(),
            format!("{may} increase the main.cf minimal_backoff_time and maximal_backoff_time"),
            "so that Postfix wastes less time on undeliverable mail".into(),
            format!("{may} increase the master.cf {transport} process limit"),
        ],
    }
}
