//! Operators: they ask at `public/control` for what postqueue and postsuper ask there, now and
//! then, of a message they know or of all.

use super::chance::Chance;
use super::dialogue::Dialogue;
use super::scene::Scene;
use std::rc::Rc;
use std::time::Duration;

/// Where the engine takes commands.
pub const CONTROL: &str = "public/control";
/// Mean time between two commands.
const PAUSE: Duration = Duration::from_secs(2 * 3600);
/// How long somebody leaves a message on hold.
const HOLDING: u64 = 4 * 3600;

/// Starts one.
pub fn start(scene: &Rc<Scene>) {
    let (scene, mut chance) = (scene.clone(), scene.chance(5000));
    let rt = scene.rt.clone();
    rt.spawn(async move {
        loop {
            let pause = chance.around(PAUSE);
            scene.sleep(pause).await;
            if scene.calm.get() {
                return;
            }
            work(&scene, &mut chance).await;
        }
    });
}

async fn work(scene: &Rc<Scene>, chance: &mut Chance) {
    let verb = match chance.below(10) {
        0..2 => return flush(scene).await,
        2..5 => "hold",
        5 => "delete",
        6 => "expire",
        7 => "requeue",
        8 => "flush-message",
        _ => "release",
    };
    let Some(id) = some_message(scene, chance) else { return };
    if verb == "delete" {
        // Whether it works or not is not known when the answer is lost.
        let now = scene.now();
        scene.ledger.borrow_mut().queued(&id).deleted = Some(now);
    }
    ask(scene, &format!("{verb} {id}\n")).await;
    if verb == "hold" {
        let (scene, pause) = (scene.clone(), chance.seconds(60, HOLDING));
        let rt = scene.rt.clone();
        rt.spawn(async move {
            scene.sleep(pause).await;
            ask(&scene, &format!("release {id}\n")).await;
        });
    }
}

/// A message that the engine has, as far as the books know; a young one mostly.
fn some_message(scene: &Scene, chance: &mut Chance) -> Option<String> {
    let ledger = scene.ledger.borrow();
    let waits = |id: &u32| {
        let mail = &ledger.mail[id];
        let undone = mail.rcpts.iter().any(|rcpt| rcpt.copies.is_empty() && rcpt.notices == 0);
        undone && mail.taken().is_some()
    };
    let waiting: Vec<u32> = ledger.mail.keys().rev().copied().filter(waits).take(20).collect();
    if waiting.is_empty() {
        return None;
    }
    let mail = &ledger.mail[&chance.one_of(&waiting)];
    mail.taken().map(|(_, id)| id.to_string())
}

/// `postqueue -f`.
pub async fn flush(scene: &Scene) {
    ask(scene, "flush\n").await;
}

/// `postsuper -H ALL`.
pub async fn release_all(scene: &Scene) {
    ask(scene, "release ALL\n").await;
}

/// Asks, and books what the answer names.
async fn ask(scene: &Scene, request: &str) {
    scene.note(&format!("* operator: {}", request.trim_end()));
    let verb = request.split([' ', '\n']).next().unwrap_or_default();
    if verb == "flush" {
        book(scene, verb, "");
    }
    // The engine may not be there, or end meanwhile: what it did then is not known.
    if let Some(id) = request.trim_end().split(' ').nth(1).filter(|id| *id != "ALL") {
        book(scene, verb, id);
    }
    let Ok(mut dialogue) = Dialogue::local(&scene.rt, CONTROL) else { return };
    if dialogue.say(request).await.is_err() {
        return;
    }
    while let Ok(line) = dialogue.line().await {
        match line.trim_end().strip_prefix("message ") {
            Some(id) => book(scene, verb, id),
            None => break,
        }
    }
    // Once more: it took some time.
    if let Some(id) = request.trim_end().split(' ').nth(1).filter(|id| *id != "ALL") {
        book(scene, verb, id);
    }
}

fn book(scene: &Scene, verb: &str, id: &str) {
    let now = scene.now();
    let mut ledger = scene.ledger.borrow_mut();
    match verb {
        "flush" => ledger.excuses.flushes.push(now),
        "hold" => ledger.queued(id).held = true,
        "release" | "requeue" | "flush-message" | "expire" => {
            ledger.queued(id).hurried.push(now);
        }
        _ => {}
    }
}
