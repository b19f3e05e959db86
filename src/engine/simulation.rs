//! The whole engine, simulated: virtual days in seconds, everything goes wrong, no mail is lost.
//!
//! The engine's own code runs on one thread over a simulated network, clock, DNS and disk. Clients
//! send, sites receive, operators meddle, and troubles come and go ([`faults`]); then all is calm
//! until the queue is empty, and the [`oracle`] looks at what everybody has written down. Called by
//! `ringpost simulate` and by `tests/simulation.rs`.
//!
//! A seed names one exact history, the same on every machine: no thread, no file, no real clock.
//!
//! Diagnostics: what is wrong is in [`Outcome::violations`], with the lines about the message
//! concerned; a panic of the engine is one of them.
//!
//! Limits: [`HOURS_MAX`]; what is known of every message stays in memory.

pub mod chance;
pub mod dialogue;
pub mod faults;
pub mod journal;
pub mod ledger;
pub mod letter;
pub mod machine;
pub mod names;
pub mod operators;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod scene;
pub mod senders;
pub mod sites;
pub mod stage;

use ledger::{Kind, Rcpt};
use oracle::{Counts, Oracle};
use runtime::Instant;
use scene::{Order, Scene};
use stage::Stage;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// The longest run.
pub const HOURS_MAX: u64 = 10_000;
const HOUR: Duration = Duration::from_secs(3600);
/// How often the queue is looked at, once all is calm.
const LOOK: Duration = Duration::from_secs(600);

/// What to run.
#[derive(Default)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Virtual hours with trouble; the calm after it comes on top.
    pub hours: u64,
    /// Sees every line of the record.
    pub echo: Option<journal::Echo>,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How.
    pub text: String,
    /// What the record says about it.
    pub lines: Vec<String>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was counted.
    pub counts: Counts,
    /// How often the engine ended without being asked to.
    pub crashes: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Lines of the record.
    pub lines: u64,
    /// The same for the same record.
    pub digest: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// Runs a simulation.
///
/// # Errors
/// The system has no descriptors left.
pub fn run(mut options: Options) -> io::Result<Outcome> {
    assert!(options.hours <= HOURS_MAX, "hours are at most HOURS_MAX");
    let scene = stage::scene(&mut options)?;
    let began = scene.world.now();
    let crashes = catch_unwind(AssertUnwindSafe(|| play(&scene, options.hours)));
    let panic = crashes.as_ref().err().map(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of another kind").to_string()
    });
    let (found, counts) = judge(&scene, panic);
    let journal = scene.journal.borrow();
    let words = |id: Option<u32>| id.map_or(Vec::new(), |id| words(&scene, id));
    let violation = |(id, text): &(Option<u32>, String)| {
        let lines = journal.about(&words(*id)).into_iter().map(String::from).collect();
        Violation {
            text: id.map_or_else(|| text.clone(), |id| format!("message {id}: {text}")),
            lines,
        }
    };
    Ok(Outcome {
        seed: options.seed,
        counts,
        crashes: crashes.unwrap_or(0),
        virtual_time: scene.world.now().since(began),
        lines: journal.count(),
        digest: journal.digest(),
        violations: found.iter().map(violation).collect(),
    })
}

/// After a panic the books are not worth reading: it is the only violation then.
fn judge(scene: &Scene, panic: Option<String>) -> (Vec<(Option<u32>, String)>, Counts) {
    let ledger = scene.ledger.borrow();
    match panic {
        Some(text) => (vec![(None, format!("panic: {text}"))], Counts::default()),
        None => Oracle::judge(&scene.plan, &ledger),
    }
}

/// What a line about a message has in it.
fn words(scene: &Scene, id: u32) -> Vec<String> {
    let ledger = scene.ledger.borrow();
    let mut words = vec![format!("<m{id}r"), format!("<s{id}@")];
    let copies = ledger.mail[&id].rcpts.iter().flat_map(|rcpt| &rcpt.copies);
    words.extend(copies.map(|copy| format!("{}:", copy.queue_id)));
    words.extend(ledger.mail[&id].taken().map(|(_, id)| format!("{id}:")));
    words.sort();
    words.dedup();
    words
}

/// Trouble, then calm: how often the engine ended.
fn play(scene: &Rc<Scene>, hours: u64) -> u64 {
    let mut stage = Stage::new(scene);
    stage.run_until(scene.world.now() + HOUR * hours as u32);
    scene.note("* all is calm");
    scene.calm.set(true);
    stage.run_until(scene.world.now() + LOOK);
    let release = scene.clone();
    scene.rt.spawn(async move { operators::release_all(&release).await });
    let plan = &scene.plan;
    let patience = Duration::from_secs(3 * plan.maximal_backoff + 2 * plan.run_delay) + HOUR * 3;
    stage.run_until(scene.world.now() + patience);
    nobody_waits(scene);
    empty(&mut stage, scene, scene.world.now() + Duration::from_secs(3 * plan.lifetime) + patience);
    // What the log says is gone is gone after a restart, too.
    scene.order(Order::Restart { cores: plan.cores });
    stage.run_until(scene.world.now() + HOUR);
    all_gone(&stage, scene);
    scene.rt.drop_tasks();
    stage.crashes
}

/// Some time after the last trouble, only mail that nobody takes is left.
fn nobody_waits(scene: &Scene) {
    let mut ledger = scene.ledger.borrow_mut();
    let waits = |rcpt: &Rcpt, name: &str| {
        let mut lines = rcpt.lines.iter().filter(|line| line.queue_id == name);
        rcpt.kind != Kind::Later && lines.all(|line| line.status == "deferred")
    };
    let mut late = Vec::new();
    for (id, mail) in &ledger.mail {
        let Some((taken, name)) = mail.taken() else { continue };
        let over =
            ledger.queued.get(name).is_some_and(|it| it.deleted.is_some() || it.expired.is_some());
        for at in taken.accepted.iter().filter(|at| waits(&mail.rcpts[**at], name) && !over) {
            late.push((*id, format!("{name} to {}: waits and waits", mail.rcpts[*at].address)));
        }
    }
    late.into_iter().for_each(|(id, text)| ledger.accuse(Some(id), text));
}

fn empty(stage: &mut Stage, scene: &Scene, until: Instant) {
    while scene.world.now() < until && !stage.queue().is_some_and(|queue| queue.is_empty()) {
        let before = scene.world.now();
        stage.run_until(before + LOOK);
        if scene.world.now() == before {
            return;
        }
    }
}

fn all_gone(stage: &Stage, scene: &Scene) {
    let mut ledger = scene.ledger.borrow_mut();
    match stage.queue() {
        None => ledger.accuse(None, "the engine does not start any more".into()),
        Some(left) => {
            for (number, queue) in left {
                ledger.accuse(None, format!("message {number} is in queue {queue} for ever"));
            }
        }
    }
}
