//! A hierarchical timing wheel: insert and cancel in constant time, however many timers wait.
//!
//! Six levels of 64 slots; a tick is 2^18 ns (about a quarter of a millisecond), so the wheel spans
//! about 200 days; a later timer goes round again. A timer never fires early; it fires at most one
//! tick late.

use crate::clock::Instant;
use crate::slab::{Key, Slab};

const TICK_BITS: u32 = 18;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
/// The farthest tick from now the wheel can hold; a later timer is kept there and goes round again.
const SPAN: u64 = 1 << (SLOT_BITS * LEVELS as u32);

/// Names a waiting timer.
pub type TimerKey = Key;

struct Timer<T> {
    tick: u64,
    value: T,
}

struct Level {
    occupied: u64,
    slots: Vec<Vec<TimerKey>>,
}

/// Timers that carry a `T`.
pub struct Wheel<T> {
    now_tick: u64,
    timers: Slab<Timer<T>>,
    levels: Vec<Level>,
}

impl<T> Wheel<T> {
    /// An empty wheel at time `now`.
    pub fn new(now: Instant) -> Self {
        let level = || Level { occupied: 0, slots: (0..SLOTS).map(|_| Vec::new()).collect() };
        Wheel {
            now_tick: now.0 >> TICK_BITS,
            timers: Slab::default(),
            levels: (0..LEVELS).map(|_| level()).collect(),
        }
    }

    /// Adds a timer for `at`; one in the past fires at the next [`Wheel::expire`].
    pub fn insert(&mut self, at: Instant, value: T) -> TimerKey {
        let exact = (at.0 >> TICK_BITS).saturating_add(1);
        let tick = exact.max(self.now_tick + 1);
        let key = self.timers.insert(Timer { tick, value });
        self.place(key, tick);
        key
    }

    /// Forgets a timer; its value, unless it has fired.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.timers.remove(key).map(|timer| timer.value)
    }

    /// Hands every timer that is due at `now` to `fire`.
    pub fn expire(&mut self, now: Instant, mut fire: impl FnMut(T)) {
        let target = now.0 >> TICK_BITS;
        while self.now_tick < target {
            match self.next_tick() {
                Some(tick) if tick <= target => self.advance(tick, &mut fire),
                _ => self.now_tick = target,
            }
        }
    }

    /// When [`Wheel::expire`] should be called next; `None` when no timer waits. May be early,
    /// because far timers are known only by their coarse slot, and cancelled ones still hold
    /// theirs.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.next_tick().map(|tick| Instant(tick << TICK_BITS))
    }

    fn place(&mut self, key: TimerKey, tick: u64) {
        debug_assert!(tick > self.now_tick);
        let tick = tick.min(self.now_tick + SPAN - 1);
        let level = level_of(self.now_tick, tick);
        let slot = slot_of(tick, level);
        self.levels[level].slots[slot].push(key);
        self.levels[level].occupied |= 1 << slot;
    }

    fn next_tick(&self) -> Option<u64> {
        (0..LEVELS).find_map(|level| self.next_in_level(level))
    }

    /// The first tick of the next occupied slot of a level. Levels below always come earlier, so
    /// the first level with an occupied slot decides.
    fn next_in_level(&self, level: usize) -> Option<u64> {
        let shift = SLOT_BITS * level as u32;
        let here = slot_of(self.now_tick, level) as u32;
        let occupied = self.levels[level].occupied;
        if occupied == 0 {
            return None;
        }
        let ahead = occupied.rotate_right(here).trailing_zeros();
        let ahead = if ahead == 0 { SLOTS as u64 } else { u64::from(ahead) };
        Some(((self.now_tick >> shift) + ahead) << shift)
    }

    fn advance(&mut self, tick: u64, fire: &mut impl FnMut(T)) {
        self.now_tick = tick;
        for level in (0..LEVELS).rev() {
            let boundary = (1u64 << (SLOT_BITS * level as u32)) - 1;
            if tick & boundary == 0 {
                self.empty_slot(level, fire);
            }
        }
    }

    fn empty_slot(&mut self, level: usize, fire: &mut impl FnMut(T)) {
        let slot = slot_of(self.now_tick, level);
        let mut keys = std::mem::take(&mut self.levels[level].slots[slot]);
        self.levels[level].occupied &= !(1 << slot);
        for key in keys.drain(..) {
            let Some(timer) = self.timers.get(key) else { continue };
            if timer.tick > self.now_tick {
                let tick = timer.tick;
                self.place(key, tick);
            } else if let Some(timer) = self.timers.remove(key) {
                fire(timer.value);
            }
        }
        if self.levels[level].slots[slot].is_empty() {
            self.levels[level].slots[slot] = keys;
        }
    }
}

fn slot_of(tick: u64, level: usize) -> usize {
    (tick >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1)
}

/// The level whose slots separate `tick` from `now`: that of their highest differing bit.
fn level_of(now: u64, tick: u64) -> usize {
    let differing = now ^ tick;
    let level = (63 - (differing | 1).leading_zeros()) / SLOT_BITS;
    (level as usize).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_timer_fires_once_and_not_early() {
        let mut wheel = Wheel::new(Instant(0));
        wheel.insert(Instant(50 * MS), "a");
        let mut fired = Vec::new();
        wheel.expire(Instant(49 * MS), |v| fired.push(v));
        assert!(fired.is_empty());
        wheel.expire(Instant(60 * MS), |v| fired.push(v));
        wheel.expire(Instant(70 * MS), |v| fired.push(v));
        assert_eq!(fired, ["a"]);
        assert_eq!(wheel.next_expiry(), None);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_list(
            timers in proptest::collection::vec((0u64..400_000, any::<bool>()), 1..80),
            steps in proptest::collection::vec(1u64..50_000, 1..40),
        ) {
            let mut wheel = Wheel::new(Instant(7 * MS));
            let mut model: Vec<(u64, usize)> = Vec::new();
            for (id, (at, cancelled)) in timers.iter().enumerate() {
                let key = wheel.insert(Instant((7 + at) * MS), id);
                if *cancelled {
                    prop_assert_eq!(wheel.cancel(key), Some(id));
                } else {
                    model.push((7 + at, id));
                }
            }
            let mut now = 7;
            for step in steps {
                now += step;
                let mut fired = Vec::new();
                wheel.expire(Instant(now * MS), |id| fired.push(id));
                for id in &fired {
                    let at = model.iter().find(|(_, other)| other == id).map(|(at, _)| *at);
                    prop_assert!(at.is_some_and(|at| at <= now), "fired early or twice");
                }
                model.retain(|(_, id)| !fired.contains(id));
                let tick_ms = (1u64 << TICK_BITS) / MS + 1;
                prop_assert!(model.iter().all(|(at, _)| at + tick_ms >= now), "fired late");
                if let Some((at, _)) = model.iter().min() {
                    let next = wheel.next_expiry().map(|next| next.0 / MS);
                    prop_assert!(next.is_some_and(|next| next <= at + tick_ms));
                }
            }
        }
    }
}
