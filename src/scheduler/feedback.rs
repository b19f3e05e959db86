//! The concurrency window of a destination: up with success, down with failure, dead after enough.
//!
//! Success raises the window at the end of a feedback cycle, failure lowers it at the start of one
//! (hysteresis 1). A cohort is one window's worth of deliveries; a destination whose consecutive
//! failures fill the allowed cohorts is dead.
//!
//! Diagnostics: [`parse_feedback`] returns an error; Postfix warns and goes on with 1, which is
//! `Feedback::default()`.
//! Standards: postconf(5) `default_destination_concurrency_positive_feedback`,
//! `..._negative_feedback`, `..._failed_cohort_limit`.

/// How much one delivery moves the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feedback {
    /// The same at any window, 0 to 1.
    Constant(f64),
    /// This number, 0 to 1, divided by the current window.
    PerConcurrency(f64),
}

impl Default for Feedback {
    fn default() -> Self {
        Self::Constant(1.0)
    }
}

impl Feedback {
    fn at(self, window: u32) -> f64 {
        match self {
            Self::Constant(step) => step,
            Self::PerConcurrency(step) => step / f64::from(window),
        }
    }
}

/// Why a feedback text is no feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedbackError {
    /// Neither a number, nor `a/b`, nor `a/concurrency`.
    Malformed,
    /// The value is not within 0 to 1.
    OutOfRange,
}

/// Reads `number`, `a/b` or `a/concurrency`.
///
/// # Errors
/// When the text has another form or its value is outside 0 to 1.
pub fn parse_feedback(text: &str) -> Result<Feedback, FeedbackError> {
    let Some((upper, lower)) = text.split_once('/') else {
        return in_range(number(text)?).map(Feedback::Constant);
    };
    if lower.trim() == "concurrency" {
        return in_range(number(upper)?).map(Feedback::PerConcurrency);
    }
    in_range(number(upper)? / number(lower)?).map(Feedback::Constant)
}

fn number(text: &str) -> Result<f64, FeedbackError> {
    text.trim().parse().map_err(|_| FeedbackError::Malformed)
}

fn in_range(value: f64) -> Result<f64, FeedbackError> {
    // Also refuses "nan" and 0/0.
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(FeedbackError::OutOfRange) }
}

/// The settings a window moves by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowRules {
    /// 0: no limit.
    pub(crate) limit: u32,
    /// At least 1, at most the limit.
    pub(crate) initial: u32,
    pub(crate) positive: Feedback,
    pub(crate) negative: Feedback,
    /// 0: never dead.
    pub(crate) failed_cohort_limit: u32,
}

/// What a failure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    Dead,
}

/// How many deliveries a destination may have at once, and the feedback on the way to a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// At least 1.
    size: u32,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
}

impl Window {
    pub(crate) const fn new(size: u32) -> Self {
        assert!(size > 0, "a closed window would never open");
        Self { size, success: 0.0, failure: 0.0, failed_cohorts: 0.0 }
    }

    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// Comes within a limit that may be new.
    pub(crate) fn adopt(&mut self, rules: &WindowRules) {
        if rules.limit > 0 {
            self.size = self.size.min(rules.limit);
        }
    }

    /// A delivery ended without a site problem; `busy` counts it too.
    pub(crate) fn succeeded(&mut self, rules: &WindowRules, busy: u32) {
        self.failed_cohorts = 0.0;
        let below_limit = rules.limit == 0 || self.size < rules.limit;
        // A window far above what is really in use says nothing about the destination.
        if !below_limit || self.size >= busy.saturating_add(rules.initial) {
            return;
        }
        let step = rules.positive.at(self.size);
        self.success += step;
        while self.success + step / 2.0 >= 1.0 {
            self.size = self.size.saturating_add(1);
            self.success -= 1.0;
            self.failure = 0.0;
        }
        if rules.limit > 0 {
            self.size = self.size.min(rules.limit);
        }
    }

    /// A delivery met a site problem.
    pub(crate) fn failed(&mut self, rules: &WindowRules) -> Verdict {
        self.failed_cohorts += 1.0 / f64::from(self.size);
        let cohorts_max = f64::from(rules.failed_cohort_limit);
        if rules.failed_cohort_limit > 0 && self.failed_cohorts >= cohorts_max {
            return Verdict::Dead;
        }
        let step = rules.negative.at(self.size);
        self.failure -= step;
        while self.failure - step / 2.0 < 0.0 {
            self.size = self.size.saturating_sub(1);
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.size = self.size.max(1);
        Verdict::Alive
    }
}

#[cfg(test)]
mod tests;
