//! One row of the parameter table and the short constructors the table is written in.

use alloc::borrow::Cow;
use alloc::string::ToString;

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Expanded text; length bounds in bytes, 0 for no upper bound.
    Text {
        /// Shortest.
        min: u32,
        /// Longest, or 0.
        max: u32,
    },
    /// Text that is expanded later, with names of its own; shortest length in bytes.
    Raw {
        /// Shortest.
        min: u32,
    },
    /// `yes` or `no`.
    Bool,
    /// A whole number of 32 bits within bounds, 0 for no upper bound.
    Int {
        /// Least.
        min: i64,
        /// Greatest, or 0.
        max: i64,
    },
    /// A whole number of 64 bits, at least `min`.
    Long {
        /// Least.
        min: i64,
    },
    /// A time in seconds within bounds, 0 for no upper bound. The unit of a bare number is that of
    /// the default.
    Time {
        /// Least, in seconds.
        min: i64,
        /// Greatest, in seconds, or 0.
        max: i64,
    },
    /// A compatibility level.
    Level,
}

/// The default of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// As written in main.cf, with `$` references.
    Text(&'static str),
    /// A number.
    Int(i64),
    /// Computed from the system.
    Computed,
}

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// How its value is read.
    pub kind: Kind,
    /// Its default.
    pub fallback: Fallback,
}

impl Row {
    /// The default as `postconf -d` prints it, or nothing when it is computed.
    pub fn default_text(&self) -> Option<Cow<'static, str>> {
        match self.fallback {
            Fallback::Text(text) => Some(Cow::Borrowed(text)),
            Fallback::Int(number) => Some(Cow::Owned(number.to_string())),
            Fallback::Computed => None,
        }
    }
}

const fn row(name: &'static str, kind: Kind, fallback: Fallback) -> Row {
    Row { name, kind, fallback }
}

/// Text.
pub(super) const fn text(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Text { min: 0, max: 0 }, Fallback::Text(default))
}

/// Text that must not be empty.
pub(super) const fn text1(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Text { min: 1, max: 0 }, Fallback::Text(default))
}

/// Text of `min` to `max` bytes.
pub(super) const fn text_in(name: &'static str, default: &'static str, min: u32, max: u32) -> Row {
    row(name, Kind::Text { min, max }, Fallback::Text(default))
}

/// Text expanded by its user, with at least `min` bytes.
pub(super) const fn raw(name: &'static str, default: &'static str, min: u32) -> Row {
    row(name, Kind::Raw { min }, Fallback::Text(default))
}

/// Text whose default comes from the system, with at least `min` bytes.
pub(super) const fn computed(name: &'static str, min: u32) -> Row {
    row(name, Kind::Text { min, max: 0 }, Fallback::Computed)
}

/// A compatibility level.
pub(super) const fn level(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Level, Fallback::Text(default))
}

/// A switch that is on by default.
pub(super) const fn yes(name: &'static str) -> Row {
    flag(name, "yes")
}

/// A switch that is off by default.
pub(super) const fn no(name: &'static str) -> Row {
    flag(name, "no")
}

/// A switch whose default is an expression.
pub(super) const fn flag(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Bool, Fallback::Text(default))
}

/// A number of at least `min`.
pub(super) const fn int(name: &'static str, default: i64, min: i64) -> Row {
    row(name, Kind::Int { min, max: 0 }, Fallback::Int(default))
}

/// A number of `min` to `max`.
pub(super) const fn int_in(name: &'static str, default: i64, min: i64, max: i64) -> Row {
    row(name, Kind::Int { min, max }, Fallback::Int(default))
}

/// A number of 64 bits and at least `min`.
pub(super) const fn long(name: &'static str, default: i64, min: i64) -> Row {
    row(name, Kind::Long { min }, Fallback::Int(default))
}

/// A number of at least `min` whose default is an expression.
pub(super) const fn nint(name: &'static str, default: &'static str, min: i64) -> Row {
    row(name, Kind::Int { min, max: 0 }, Fallback::Text(default))
}

/// A time of at least `min` seconds.
pub(super) const fn time(name: &'static str, default: &'static str, min: i64) -> Row {
    row(name, Kind::Time { min, max: 0 }, Fallback::Text(default))
}

/// A time of `min` to `max` seconds.
pub(super) const fn time_in(name: &'static str, default: &'static str, min: i64, max: i64) -> Row {
    row(name, Kind::Time { min, max }, Fallback::Text(default))
}
