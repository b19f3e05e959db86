//! Short histories: the power goes after every single step, and of everything that was not synced
//! then every subset made it, as far as that can be counted.

use crate::{images::Examiner, world::World};
use ringpost_queue::storage::sim::{Picture, Rng, SimDisk};

/// With at most so many units in doubt, all subsets are looked at.
const ALL_SUBSETS: usize = 5;
/// With more: none, all, so many prefixes, suffixes, single losses and single survivors.
const SAMPLES: usize = 6;
/// Enough for everything below.
const VOLUME: u64 = 24 << 20;

type Act = (&'static str, fn(&mut World));

/// Runs a history and looks at every image of every step.
fn exhaust(cores: u8, seed: u64, acts: &[Act]) -> u64 {
    let mut world = World::new(seed, cores, VOLUME);
    let rng = Rng::new(seed);
    let mut examiner = Examiner { count: 0, rng, cores, sync: world.sync };
    for (name, act) in acts {
        let certain = world.certain();
        let mut pictures = world.watched(act);
        pictures.push(world.disk.picture());
        for picture in &pictures {
            for image in images(picture) {
                let look = || examiner.examine(image, &world.models, &certain);
                let look = std::panic::AssertUnwindSafe(look);
                if std::panic::catch_unwind(look).is_err() {
                    panic!("seed {seed}, in {name}");
                }
            }
        }
    }
    examiner.count
}

fn images(picture: &Picture) -> Vec<SimDisk> {
    let units = picture.units();
    let image = |made_it: &dyn Fn(usize) -> bool| picture.image(1, &mut |unit| made_it(unit));
    if units <= ALL_SUBSETS {
        return (0..1usize << units).map(|set| image(&|unit| set & 1 << unit != 0)).collect();
    }
    let mut all = vec![image(&|_| false), image(&|_| true)];
    for at in (0..units).step_by(units.div_ceil(SAMPLES)) {
        all.push(image(&|unit| unit < at));
        all.push(image(&|unit| unit >= at));
        all.push(image(&|unit| unit != at));
        all.push(image(&|unit| unit == at));
    }
    all
}

fn append(world: &mut World) {
    world.append(0, 2_000);
}

fn append_elsewhere(world: &mut World) {
    let last = world.parts.len() - 1;
    world.append(last, 2_000);
}

fn fly(world: &mut World) {
    (0..world.parts.len()).for_each(|core| world.fly(core));
}

fn supply(world: &mut World) {
    (0..world.parts.len()).for_each(|core| world.supply(core));
}

fn mark(world: &mut World) {
    world.change(0, 0);
}

fn hold(world: &mut World) {
    world.change(0, 2);
}

fn defer(world: &mut World) {
    world.change(0, 5);
}

fn remove(world: &mut World) {
    world.change(0, 6);
}

fn checkpoint(world: &mut World) {
    for core in 0..world.parts.len() {
        world.parts[core].log.hurry_checkpoint();
        world.checkpoint(core);
    }
}

fn draft(world: &mut World) {
    (0..3).for_each(|_| world.draft(0));
}

const LIFE: &[Act] = &[
    ("append", append),
    ("append", append),
    ("append elsewhere", append_elsewhere),
    ("start", fly),
    ("write", fly),
    ("mark while writing", mark),
    ("prepare while writing", supply),
    ("complete", fly),
    ("checkpoint", checkpoint),
    ("defer", defer),
    ("append", append),
    ("large messages", draft),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
    ("hold", hold),
    ("checkpoint", checkpoint),
    ("large messages", draft),
    ("remove", remove),
    ("start", fly),
    ("remove while starting", remove),
    ("checkpoint while starting", checkpoint),
    ("write", fly),
    ("complete", fly),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
    ("checkpoint", checkpoint),
    ("orderly end", World::restart),
    ("append", append),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
];

#[test]
fn every_image_of_a_short_life_is_whole() {
    let count: u64 = (1..=2).map(|cores| exhaust(cores, 10 + u64::from(cores), LIFE)).sum();
    println!("{count} crash images of short lives, 0 violations");
    assert!(count > 500, "{count}");
}

/// Fills a segment with mail that goes at once, but for some that stays.
fn fill(world: &mut World) {
    for at in 0..18 {
        world.append(0, 400_000);
        world.supply(0);
        world.flush(0);
        if at % 6 != 0 {
            world.change(0, 6);
        }
    }
    world.flush(0);
}

fn recycle(world: &mut World) {
    world.reclaim(0, 1 << 20);
}

const RECYCLING: &[Act] = &[
    ("fill", |world| world.watched(fill).clear()),
    ("copy", recycle),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
    ("mark a copy", mark),
    ("checkpoint", checkpoint),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
    ("follow", recycle),
    ("give back", supply),
    ("checkpoint", checkpoint),
    ("give back", supply),
    ("copy", recycle),
    ("start", fly),
    ("write", fly),
    ("complete", fly),
    ("follow", recycle),
    ("give back", supply),
];

#[test]
fn every_image_of_recycling_and_copying_is_whole() {
    let count: u64 = (1..=2).map(|seed| exhaust(1, seed, RECYCLING)).sum();
    println!("{count} crash images of recycling, 0 violations");
    assert!(count > 50, "{count}");
}
