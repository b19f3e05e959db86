//! A destination of one transport (Postfix: `QMGR_QUEUE`): its state, window and counters.
//!
//! A destination exists while something waits or is under way for it, while it is dead, and while
//! it is suspended by a rate delay. Dead and empty ones go early when there are too many.
//!
//! | state     | waits for                      | new mail           |
//! |-----------|--------------------------------|--------------------|
//! | Ready     | a delivery to start or to end  | queued             |
//! | Suspended | the end of the rate delay      | queued             |
//! | Dead      | the end of the minimal backoff | deferred at once   |
//!
//! Standards: postconf(5) `default_destination_rate_delay`, `minimal_backoff_time`,
//! `smtp_connection_cache_on_demand`.

use alloc::sync::Arc;

use crate::feedback::{Verdict, Window, WindowRules};
use crate::job::OfDestination;
use crate::slab::{List, PeerId, TransportId};
use crate::transport::Reason;

/// A delivery this soon after the last one is back to back.
const BACK_TO_BACK_MS: u64 = 1000;

/// Whether deliveries may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Suspended { until_ms: u64 },
    Dead { until_ms: u64 },
}

/// A state without its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Ready,
    Suspended,
    Dead,
}

/// What happens to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A delivery ended without a site problem.
    Succeeded,
    /// A delivery met a site problem, and the cohorts are not used up.
    Failed,
    /// A delivery met a site problem that used up the cohorts.
    Condemned,
    /// A delivery ended and the destination has a rate delay.
    Paused,
    /// The deadline of the state has passed.
    TimerDue,
    /// Somebody asked to forget what is known about dead sites.
    Forgiven,
}

/// The one table of legal transitions; `None` is a bug of ours.
pub(crate) const fn transition(phase: Phase, event: Event) -> Option<Phase> {
    Some(match (phase, event) {
        (Phase::Ready, Event::Succeeded | Event::Failed | Event::Forgiven) => Phase::Ready,
        (Phase::Ready, Event::Condemned) => Phase::Dead,
        (Phase::Ready, Event::Paused) => Phase::Suspended,
        (Phase::Suspended, Event::Forgiven) => Phase::Suspended,
        // More than one can be under way when a reload brings the rate delay.
        (Phase::Suspended, Event::Succeeded | Event::Failed | Event::Paused) => Phase::Suspended,
        (Phase::Suspended, Event::TimerDue) => Phase::Ready,
        // A success of a delivery that was under way when the others failed revives the site.
        (Phase::Dead, Event::Succeeded | Event::TimerDue | Event::Forgiven) => Phase::Ready,
        (Phase::Dead, Event::Failed) => Phase::Dead,
        (Phase::Suspended, Event::Condemned)
        | (Phase::Ready, Event::TimerDue)
        | (Phase::Dead, Event::Condemned | Event::Paused) => return None,
    })
}

impl State {
    const fn phase(self) -> Phase {
        match self {
            Self::Ready => Phase::Ready,
            Self::Suspended { .. } => Phase::Suspended,
            Self::Dead { .. } => Phase::Dead,
        }
    }
}

/// Everything known about one destination.
pub(crate) struct Destination {
    pub(crate) transport: TransportId,
    /// Queue key.
    pub(crate) name: Arc<str>,
    /// Where its deliveries go.
    pub(crate) nexthop: Arc<str>,
    state: State,
    window: Window,
    /// Why it is dead; kept until it is revived.
    pub(crate) reason: Option<Reason>,
    /// Entries under way.
    pub(crate) busy: u32,
    /// Entries waiting.
    pub(crate) waiting: u32,
    /// Peers with waiting entries.
    pub(crate) peers: List<PeerId, OfDestination>,
    /// The transport's blocker generation in which it held a job back.
    pub(crate) blocker_tag: u64,
    /// Whether its transport counts it among the startable ones.
    pub(crate) counted: bool,
    /// When the administrator may be warned of its share of the queue again.
    pub(crate) warn_ms: u64,
    last_done_ms: Option<u64>,
    keep_connection: bool,
}

impl Destination {
    pub(crate) const fn new(
        transport: TransportId,
        name: Arc<str>,
        nexthop: Arc<str>,
        rules: &WindowRules,
    ) -> Self {
        Self {
            transport,
            name,
            nexthop,
            state: State::Ready,
            window: Window::new(rules.initial),
            reason: None,
            busy: 0,
            waiting: 0,
            peers: List::EMPTY,
            blocker_tag: 0,
            counted: false,
            warn_ms: 0,
            last_done_ms: None,
            keep_connection: false,
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.busy == 0 && self.waiting == 0
    }

    /// Whether one more delivery may be under way.
    pub(crate) const fn has_room(&self) -> bool {
        matches!(self.state, State::Ready) && self.busy < self.window.size()
    }

    /// Whether a delivery waits that may start.
    pub(crate) const fn is_startable(&self) -> bool {
        self.waiting > 0 && self.has_room()
    }

    pub(crate) const fn window_size(&self) -> u32 {
        self.window.size()
    }

    /// Counts a delivery in; answers whether its connection is worth keeping afterwards.
    pub(crate) fn start(&mut self, now_ms: u64) -> bool {
        assert!(self.has_room() && self.waiting > 0, "only a ready destination starts deliveries");
        self.waiting -= 1;
        self.busy += 1;
        let back_to_back = self
            .last_done_ms
            .is_some_and(|last_done_ms| now_ms.saturating_sub(last_done_ms) <= BACK_TO_BACK_MS);
        self.keep_connection = back_to_back || (self.keep_connection && self.busy > 1);
        self.keep_connection
    }

    /// Counts a delivery out.
    pub(crate) fn end(&mut self, now_ms: u64) {
        assert!(self.busy > 0, "a delivery ends once");
        self.busy -= 1;
        self.last_done_ms = Some(now_ms);
    }

    /// A delivery, still counted as busy, ended without a site problem.
    pub(crate) fn succeeded(&mut self, rules: &WindowRules) {
        if self.is_dead() {
            self.window = Window::new(self.busy.max(1));
        } else {
            self.window.succeeded(rules, self.busy);
        }
        let suspended = matches!(self.state, State::Suspended { .. });
        self.go(Event::Succeeded, if suspended { self.state } else { State::Ready });
    }

    /// A delivery met a site problem; on `Dead` the caller takes the waiting entries away.
    pub(crate) fn failed(
        &mut self,
        rules: &WindowRules,
        reason: impl FnOnce() -> Reason,
        dead_until_ms: u64,
    ) -> Verdict {
        let state = self.state;
        let ready = state == State::Ready;
        if !ready || self.window.failed(rules) == Verdict::Alive {
            self.go(Event::Failed, state);
            return Verdict::Alive;
        }
        self.go(Event::Condemned, State::Dead { until_ms: dead_until_ms });
        self.reason = Some(reason());
        Verdict::Dead
    }

    /// Rate delay: nothing until then. A dead destination is forgiven first.
    pub(crate) fn pause(&mut self, rules: &WindowRules, until_ms: u64) {
        self.forgive(rules);
        self.go(Event::Paused, State::Suspended { until_ms });
    }

    /// The timer of a dead or suspended destination; answers whether the state changed.
    pub(crate) fn timer_due(&mut self, rules: &WindowRules, now_ms: u64) -> bool {
        match self.state {
            State::Dead { until_ms } if until_ms <= now_ms => self.reopen(rules, Event::TimerDue),
            State::Suspended { until_ms } if until_ms <= now_ms => {
                // The window, at 1 by the rate delay, keeps its count of failed cohorts.
                self.go(Event::TimerDue, State::Ready);
            }
            // The timer of an earlier death.
            State::Ready | State::Dead { .. } | State::Suspended { .. } => return false,
        }
        true
    }

    /// New rules: the window stays what it has learned, within the limit.
    pub(crate) fn adopt(&mut self, rules: &WindowRules) {
        self.window.adopt(rules);
    }

    /// Revives a dead destination at once.
    pub(crate) fn forgive(&mut self, rules: &WindowRules) {
        if self.is_dead() {
            self.reopen(rules, Event::Forgiven);
        }
    }

    fn reopen(&mut self, rules: &WindowRules, event: Event) {
        // What is under way is the best guess at what the site can take.
        let size = if self.busy > 0 { self.busy } else { rules.initial };
        self.window = Window::new(size);
        self.go(event, State::Ready);
    }

    fn go(&mut self, event: Event, state: State) {
        let legal = transition(self.state.phase(), event);
        assert!(legal == Some(state.phase()), "no such transition of a destination");
        self.state = state;
        if state == State::Ready {
            self.reason = None;
        }
    }
}

#[cfg(test)]
mod tests;
