//! Long random histories, cut short at random steps.

use crate::{images::Examiner, world::World};
use ringpost_queue::storage::sim::Rng;

const OPERATIONS: u64 = 700;
/// Room for stragglers, and little enough for a full disk now and then.
const VOLUME_PER_CORE: u64 = 14 << 20;

struct Outcome {
    images: u64,
    copied: usize,
    checkpoints: usize,
}

fn run(seed: u64) -> Outcome {
    let cores = 1 + (seed % 3) as u8;
    let mut world = World::new(seed, cores, VOLUME_PER_CORE * u64::from(cores));
    let rng = Rng::new(seed ^ 0x5eed);
    let mut examiner = Examiner { count: 0, rng, cores, sync: world.sync };
    for _ in 0..OPERATIONS {
        if world.rng.one_in(120) {
            world.restart();
        }
        if world.rng.one_in(8) {
            crash(&mut world, &mut examiner);
        } else {
            world.step();
        }
    }
    Outcome { images: examiner.count, copied: world.copied, checkpoints: world.checkpoints }
}

/// One step, and the power goes at one of its moments, or right after it.
fn crash(world: &mut World, examiner: &mut Examiner) {
    let certain = world.certain();
    let mut pictures = world.watched(World::step);
    pictures.push(world.disk.picture());
    let at = world.rng.below(pictures.len() as u64) as usize;
    let image = examiner.tear(&pictures[at]);
    let (image, logs) = examiner.examine(image, &world.models, &certain);
    if world.rng.one_in(3) {
        world.adopt(image, logs);
    }
}

fn run_naming_the_seed(seed: u64) -> Outcome {
    let result = std::panic::catch_unwind(|| run(seed));
    result.unwrap_or_else(|_| panic!("SEED={seed} fails"))
}

/// Histories that found something, by what they found.
const FOUND: [u64; 2] = [
    // A record in the middle of a torn write that left nothing of itself was called missing.
    62,
    // What a torn write left in the page after a record that was put aside was called damage.
    289,
];

#[test]
fn what_was_found_stays_mended() {
    for seed in FOUND {
        run_naming_the_seed(seed);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_crash_loses_or_invents_mail() {
    if let Some(seed) = number("SEED") {
        run(seed);
        return;
    }
    let (wanted, base) = (number("IMAGES").unwrap_or(900), number("SEED_BASE").unwrap_or(1));
    let (mut images, mut copied, mut checkpoints, mut seed) = (0, 0, 0, base);
    while images < wanted {
        let outcome = run_naming_the_seed(seed);
        (images, copied, seed) = (images + outcome.images, copied + outcome.copied, seed + 1);
        checkpoints += outcome.checkpoints;
    }
    println!("{images} crash images of {} histories, 0 violations", seed - base);
    assert!(copied > 0, "no straggler was ever copied");
    assert!(checkpoints > 0, "no checkpoint was ever made");
}
