//! Single operations that fail: the disk says no, and then the power may go as well.

use crate::{
    images::Examiner,
    world::{World, open},
};
use ringpost_queue::storage::sim::{Failure, Fault, Op, Rng, Tear};

const OPERATIONS: u64 = 150;
const VOLUME: u64 = 12 << 20;
const KINDS: [(Op, Failure); 7] = [
    (Op::Read, Failure::Device),
    (Op::Write, Failure::Device),
    (Op::Write, Failure::Short),
    (Op::Write, Failure::NoSpace),
    (Op::Sync, Failure::Device),
    (Op::Name, Failure::Device),
    (Op::Name, Failure::NoSpace),
];

/// A history in which operations fail now and then; after a failed write the engine starts anew.
fn run(seed: u64, (op, failure): (Op, Failure)) -> u64 {
    let cores = 1 + (seed % 2) as u8;
    let mut world = World::new(seed, cores, VOLUME * u64::from(cores));
    let rng = Rng::new(seed ^ 0xfa);
    let mut examiner = Examiner { count: 0, rng, cores, sync: world.sync };
    for _ in 0..OPERATIONS {
        let certain = world.certain();
        if world.rng.one_in(4) {
            let (after, times) = (world.rng.below(4), 1 + world.rng.below(2));
            world.disk.fail(Fault { op, after, times, failure });
        }
        world.step();
        if world.rng.one_in(3) || world.poisoned() {
            world.disk.heal();
        }
        if !world.poisoned() {
            continue;
        }
        let image = match world.rng.one_in(2) {
            // The engine alone starts anew.
            true => world.disk.crashed(Tear::Keep, &mut world.rng),
            false => world.disk.crashed(Tear::random(&mut world.rng), &mut world.rng),
        };
        let (image, logs) = examiner.examine(image, &world.models, &certain);
        world.adopt(image, logs);
    }
    world.disk.heal();
    let certain = world.certain();
    let image = examiner.tear(&world.disk.picture());
    examiner.examine(image, &world.models, &certain);
    examiner.count
}

#[test]
fn no_failing_operation_loses_or_invents_mail() {
    let mut count = 0;
    for (at, kind) in KINDS.into_iter().enumerate() {
        for seed in 0..2 {
            let seed = 100 * at as u64 + seed;
            let result = std::panic::catch_unwind(|| run(seed, kind));
            count += result.unwrap_or_else(|_| panic!("seed {seed} of {kind:?} fails"));
        }
    }
    println!("{count} images after failed operations, 0 violations");
}

/// A start during which any one operation fails either succeeds or is refused, and the next start
/// finds everything.
#[test]
fn a_start_on_a_failing_disk_gives_nothing_up() {
    for (at, (op, failure)) in KINDS.into_iter().enumerate() {
        let mut world = World::new(at as u64, 2, 2 * VOLUME);
        (0..120).for_each(|_| world.step());
        let certain = world.certain();
        let picture = world.disk.picture();
        let mut examiner = Examiner { count: 0, rng: Rng::new(1), cores: 2, sync: world.sync };
        for after in 0..40 {
            for times in [1, u64::MAX] {
                let image = picture.torn(Tear::random(&mut world.rng), &mut world.rng);
                image.fail(Fault { op, after, times, failure });
                drop(open(&image, 2, world.sync, 0));
                image.heal();
                // The failure, and then the power.
                let image = image.crashed(Tear::random(&mut world.rng), &mut world.rng);
                examiner.examine(image, &world.models, &certain);
            }
        }
    }
}
