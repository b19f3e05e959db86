//! When a message is tried again, when it is given up, when its sender is told of the delay.
//!
//! Per message, not per recipient: all three are computed from the age of the message. Times are
//! whole seconds of the wall clock, as the caller keeps them with the message.
//!
//! Standards: qmgr(8) `minimal_backoff_time`, `maximal_backoff_time`, `maximal_queue_lifetime`,
//! `bounce_queue_lifetime`, `delay_warning_time`.

/// Times of the retry policy, all in seconds, as main.cf has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `minimal_backoff_time`, 300.
    pub minimal_backoff_s: u32,
    /// `maximal_backoff_time`, 4000.
    pub maximal_backoff_s: u32,
    /// `maximal_queue_lifetime`, 5 days; 0 means one attempt.
    pub maximal_queue_lifetime_s: u32,
    /// `bounce_queue_lifetime`, 5 days; never effective above the maximal lifetime.
    pub bounce_queue_lifetime_s: u32,
}

/// Whose lifetime limit a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// An ordinary sender.
    Address,
    /// `<>`: a bounce or other notice.
    Null,
}

impl RetryPolicy {
    /// The time of the next attempt: the message waits as long again as it is old, within bounds.
    ///
    /// A minimal time above the maximal one wins, so that the answer is always in the future.
    #[must_use]
    pub fn next_attempt_s(&self, created_s: i64, now_s: i64) -> i64 {
        let age_s = now_s.saturating_sub(created_s);
        let wait_s = age_s.min(self.maximal_backoff_s.into()).max(self.minimal_backoff_s.into());
        now_s.saturating_add(wait_s)
    }

    /// Whether a message with something left after an attempt goes back to its sender.
    #[must_use]
    pub fn is_expired(&self, sender: SenderKind, created_s: i64, now_s: i64) -> bool {
        let lifetime_s = match sender {
            SenderKind::Address => self.maximal_queue_lifetime_s,
            SenderKind::Null => self.bounce_queue_lifetime_s.min(self.maximal_queue_lifetime_s),
        };
        now_s >= created_s.saturating_add(lifetime_s.into())
    }
}

/// Whether the one delay notice is due after an attempt that left something deferred.
///
/// `warn_at_s` is the message's warning time: 0 when none was asked for, negative once sent.
#[must_use]
pub const fn is_delay_warning_due(warn_at_s: i64, now_s: i64) -> bool {
    // One second early: the scan that brings the message is itself one second coarse.
    warn_at_s > 0 && now_s >= warn_at_s - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u32 = 86_400;
    const POLICY: RetryPolicy = RetryPolicy {
        minimal_backoff_s: 300,
        maximal_backoff_s: 4000,
        maximal_queue_lifetime_s: 5 * DAY_S,
        bounce_queue_lifetime_s: 5 * DAY_S,
    };

    #[test]
    fn intervals_double_because_age_doubles() {
        let mut now_s = 1000;
        let mut waits = [0; 7];
        for wait in &mut waits {
            let next_s = POLICY.next_attempt_s(1000, now_s);
            *wait = next_s - now_s;
            now_s = next_s;
        }
        assert_eq!(waits, [300, 300, 600, 1200, 2400, 4000, 4000]);
    }

    #[test]
    fn a_clock_set_back_still_waits_the_minimum() {
        assert_eq!(POLICY.next_attempt_s(5000, 1000), 1300);
    }

    #[test]
    fn expiry_is_at_the_lifetime_exactly() {
        let end_s = 100 + i64::from(5 * DAY_S);
        assert!(!POLICY.is_expired(SenderKind::Address, 100, end_s - 1));
        assert!(POLICY.is_expired(SenderKind::Address, 100, end_s));
    }

    #[test]
    fn zero_lifetime_is_one_attempt() {
        let policy = RetryPolicy { maximal_queue_lifetime_s: 0, ..POLICY };
        assert!(policy.is_expired(SenderKind::Address, 100, 100));
        assert!(policy.is_expired(SenderKind::Null, 100, 100));
    }

    #[test]
    fn bounces_never_outlive_the_maximal_lifetime() {
        let longer = RetryPolicy { maximal_queue_lifetime_s: DAY_S, ..POLICY };
        assert!(longer.is_expired(SenderKind::Null, 0, DAY_S.into()));
        let shorter = RetryPolicy { bounce_queue_lifetime_s: DAY_S, ..POLICY };
        assert!(shorter.is_expired(SenderKind::Null, 0, DAY_S.into()));
        assert!(!shorter.is_expired(SenderKind::Address, 0, DAY_S.into()));
    }

    #[test]
    fn the_delay_notice_is_due_once_and_one_second_early() {
        assert!(!is_delay_warning_due(1000, 998));
        assert!(is_delay_warning_due(1000, 999));
        assert!(!is_delay_warning_due(0, 999));
        assert!(!is_delay_warning_due(-1, 999));
    }
}
