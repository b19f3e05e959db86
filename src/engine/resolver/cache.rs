//! Answers of one core, positive and negative, for as long as they hold.
//!
//! A full cache drops what has expired, and everything when nothing has: simple, bounded, and rare.

use super::{Answer, Cause, Found, Question};
use runtime::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Answers kept per core.
pub const ENTRIES_MAX: usize = 4096;
/// No answer is kept longer, so that a change of DNS is seen soon.
pub const TTL_MAX: Duration = Duration::from_secs(300);

struct Entry {
    result: Result<Found, Cause>,
    until: Instant,
}

/// The answers.
#[derive(Default)]
pub struct Cache(BTreeMap<Question, Entry>);

impl Cache {
    /// A known answer that still holds.
    pub fn get(&mut self, question: &Question, now: Instant) -> Option<Result<Found, Cause>> {
        let entry = self.0.get(question)?;
        if entry.until <= now {
            self.0.remove(question);
            return None;
        }
        Some(entry.result.clone())
    }

    /// Keeps an answer; one that does not hold is not kept.
    pub fn put(&mut self, question: Question, answer: Answer, now: Instant) {
        let until = now + answer.ttl.min(TTL_MAX);
        if until <= now {
            return;
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, entry| entry.until > now);
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.clear();
        }
        self.0.insert(question, Entry { result: answer.result, until });
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
