//! Decisions of one actor of the simulation: seeded, and independent of what others decide.

use runtime::sim::Rng;
use std::time::Duration;

/// A source of decisions.
#[derive(Clone, Debug)]
pub struct Chance(Rng);

impl Chance {
    /// The decisions of the actor with this name under this seed.
    pub fn new(seed: u64, name: u64) -> Chance {
        Chance(Rng::new(mix(mix(seed) ^ name)))
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// A number in a range with both ends.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    /// True once in `n` times on average, never for 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.0.one_in(n)
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len() as u64) as usize]
    }

    /// A time between `least` and `most` seconds, short ones more often: each doubling is as
    /// likely.
    pub fn seconds(&mut self, least: u64, most: u64) -> Duration {
        let doublings = (most / least.max(1)).max(1).ilog2() as u64;
        let base = least << self.0.below(doublings + 1);
        let millis = base * 1000 + self.0.below(base * 1000 + 1);
        Duration::from_millis(millis.min(most * 1000))
    }

    /// Around `mean`: from nothing to twice of it.
    pub fn around(&mut self, mean: Duration) -> Duration {
        Duration::from_millis(self.0.below(2 * mean.as_millis() as u64 + 1))
    }
}

/// Neighbouring numbers become strangers (splitmix64).
pub fn mix(value: u64) -> u64 {
    let mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
