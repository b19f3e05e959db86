//! What goes wrong: each kind of trouble comes and goes by itself, until all is to be calm.
//!
//! | trouble | comes every | and lasts |
//! | --- | --- | --- |
//! | a site is unwell | some hours, for each | minutes to hours |
//! | names | an hour or two | minutes to an hour |
//! | the network | some hours | minutes |
//! | the engine ends | some hours | seconds to minutes |
//! | the disk | some hours | minutes |
//! | the wall clock jumps | half a day | - |
//! | new bounds | some hours | - |

use super::chance::Chance;
use super::names::Health;
use super::plan::{FIRST_UNWELL, HOMES, Plan};
use super::scene::{Order, Scene};
use super::sites::{Mood, Site};
use queue::storage::sim::Tear;
use runtime::sim::{Route, Weather};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// The most cores an engine is started with.
pub const CORES_MAX: u64 = 4;
const HOUR: Duration = Duration::from_secs(3600);

/// Starts all of them.
pub fn start(scene: &Rc<Scene>, sites: &[Rc<Site>]) {
    for (number, site) in sites.iter().enumerate() {
        if number >= FIRST_UNWELL || HOMES.contains(&number) {
            let trouble = SiteTrouble { number, site: site.clone() };
            play(scene, 3000 + number as u64, HOUR * 4, move |scene, chance| {
                trouble.begin(scene, chance)
            });
        }
    }
    play(scene, 4000, HOUR * 2, names);
    play(scene, 4001, HOUR * 5, weather);
    play(scene, 4002, HOUR * 3, ending);
    play(scene, 4003, HOUR * 6, disk);
    play(scene, 4004, HOUR * 12, clock);
    play(scene, 4005, HOUR * 5, reload);
}

/// What ends a trouble, and when.
type Cure = (Duration, Box<dyn FnOnce(&Scene)>);

/// Trouble every now and then, one at a time of each kind; the last one is cured when all is to be
/// calm.
fn play(
    scene: &Rc<Scene>,
    name: u64,
    every: Duration,
    begin: impl Fn(&Scene, &mut Chance) -> Option<Cure> + 'static,
) {
    let (scene, mut chance) = (scene.clone(), scene.chance(name));
    let rt = scene.rt.clone();
    rt.spawn(async move {
        loop {
            let pause = chance.around(every);
            calm_or(&scene, pause).await;
            if scene.calm.get() {
                return;
            }
            if let Some((lasts, cure)) = begin(&scene, &mut chance) {
                calm_or(&scene, lasts).await;
                cure(&scene);
            }
        }
    });
}

/// Waits, but not into the calm.
async fn calm_or(scene: &Scene, time: Duration) {
    const LOOK: Duration = Duration::from_secs(30);
    let until = scene.now() + time;
    while scene.now() < until && !scene.calm.get() {
        scene.rt.sleep_until(until.min(scene.now() + LOOK)).await;
    }
}

struct SiteTrouble {
    number: usize,
    site: Rc<Site>,
}

impl SiteTrouble {
    fn begin(&self, scene: &Scene, chance: &mut Chance) -> Option<Cure> {
        let plan = &scene.plan.sites[self.number];
        let home = HOMES.contains(&self.number);
        let lasts = chance.seconds(60, if home { 1800 } else { 8 * 3600 });
        let hosts: Vec<IpAddr> = plan.hosts.iter().map(|host| IpAddr::V4(*host)).collect();
        // One host of several, or all of them.
        let hosts = if chance.one_in(2) { hosts } else { hosts[..1].to_vec() };
        let (what, route, mood) = trouble(chance);
        scene.note(&format!("* {} is {what} for {} s", plan.domain, lasts.as_secs()));
        *self.site.mood.borrow_mut() = mood;
        hosts.iter().for_each(|host| scene.world.route(*host, route));
        let (site, domain) = (self.site.clone(), plan.domain.clone());
        let cure = move |scene: &Scene| {
            scene.note(&format!("* {domain} is well"));
            *site.mood.borrow_mut() = Mood::default();
            hosts.iter().for_each(|host| scene.world.route(*host, Route::Open));
        };
        Some((lasts, Box::new(cure)))
    }
}

fn trouble(chance: &mut Chance) -> (&'static str, Route, Mood) {
    let well = Mood::default();
    match chance.below(8) {
        0 => ("down", Route::Refused, well),
        1 => ("out of reach", Route::Lost, well),
        2 => ("closed", Route::Open, Mood { closed: true, ..well }),
        3 => ("hanging", Route::Open, Mood { hang_one_in: chance.between(2, 20), ..well }),
        4 => ("dropping", Route::Open, Mood { drop_one_in: chance.between(2, 20), ..well }),
        5 => ("deferring", Route::Open, Mood { defer_one_in: chance.between(1, 4), ..well }),
        6 => {
            let slow = Duration::from_millis(chance.between(200, 40_000));
            ("slow", Route::Open, Mood { slow, ..well })
        }
        _ => {
            let slow = Duration::from_millis(chance.between(1, 3000));
            let mood = Mood { slow, drop_one_in: 30, hang_one_in: 60, defer_one_in: 10, ..well };
            ("in all kinds of trouble", Route::Open, mood)
        }
    }
}

fn names(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    let site = chance.between(FIRST_UNWELL as u64, scene.plan.sites.len() as u64 - 1) as usize;
    let domain = scene.plan.sites[site].domain.clone();
    let health = match chance.below(9) {
        0..3 => Health::Slow,
        3..5 => Health::Silent,
        5..8 => Health::Failing,
        _ => Health::Absent,
    };
    if health == Health::Absent {
        scene.ledger.borrow_mut().excuses.vanished.insert(site);
    }
    scene.note(&format!("* DNS of {domain}: {health:?}"));
    scene.names.set(&domain, health);
    let cure = move |scene: &Scene| {
        scene.note(&format!("* DNS of {domain}: well"));
        scene.names.set(&domain, Health::Well);
    };
    Some((chance.seconds(60, 3600), Box::new(cure)))
}

fn weather(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    let latency = Duration::from_millis(chance.one_of(&[1, 50, 400, 2000]));
    let weather = Weather { latency, cut_one_in: chance.one_of(&[0, 20, 100, 1000]) };
    scene.note(&format!("* {weather:?}"));
    scene.world.set_weather(weather);
    let cure = |scene: &Scene| {
        scene.note("* fair weather");
        scene.world.set_weather(Weather::default());
    };
    Some((chance.seconds(60, 3600), Box::new(cure)))
}

fn ending(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    let down = chance.seconds(1, 600);
    scene.order(match chance.below(4) {
        0 => Order::Restart { cores: chance.between(1, CORES_MAX) as usize },
        1 => Order::Kill { down },
        _ => {
            let tear = chance.one_of(&[Tear::Lose, Tear::Keep, Tear::Cut, Tear::Shuffle]);
            Order::PowerCut { down, tear }
        }
    });
    None
}

fn disk(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    let lasts = chance.seconds(1, 1800);
    let cure: Box<dyn FnOnce(&Scene)> = match chance.below(3) {
        0 => {
            let time = Duration::from_millis(chance.between(10, 3000));
            scene.note(&format!("* a write takes {time:?}"));
            scene.world.set_write_time(time);
            Box::new(|scene| {
                scene.note("* writes are fast");
                scene.world.set_write_time(Duration::from_micros(150));
            })
        }
        1 => {
            scene.order(Order::FailWrites(true));
            Box::new(|scene| scene.order(Order::FailWrites(false)))
        }
        _ => {
            scene.order(Order::Room(Some(chance.below(2 << 20))));
            Box::new(|scene| scene.order(Order::Room(None)))
        }
    };
    Some((lasts, cure))
}

fn clock(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    let seconds = chance.seconds(1, 7200).as_secs() as i64;
    let seconds = if chance.one_in(2) { -seconds } else { seconds };
    scene.note(&format!("* the wall clock jumps by {seconds} s"));
    scene.world.shift_clock(seconds * 1_000_000);
    let now = scene.now();
    scene.ledger.borrow_mut().excuses.jumps.push(now);
    None
}

fn reload(scene: &Scene, chance: &mut Chance) -> Option<Cure> {
    scene.order(Order::Reload(Plan::limits(chance)));
    None
}
