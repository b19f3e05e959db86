//! The queue manager on a simulated core: virtual time, a site that answers by rules.

mod adopted;
mod generic;
mod notices;
mod operator;
mod scheduling;
mod stray;

use super::Walk;
use crate::core::Core;
use crate::testing::site::{Kept, Rule};
use crate::testing::{World, world};
use queue::Number;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const INSIDE: &str = "127.0.0.1:40000";
/// Mail for `b.example` goes to the site; all else as the test says.
const TO_SITE: &str =
    "virtual_mailbox_domains = b.example\nvirtual_transport = smtp:[192.0.2.61]\n";

/// What a test can do while the core runs.
#[derive(Clone)]
struct Hands {
    core: Rc<Core>,
    kept: Rc<RefCell<Kept>>,
}

impl Hands {
    async fn wait(&self, seconds: u64) {
        self.core.rt.sleep_until(self.core.rt.now() + Duration::from_secs(seconds)).await;
    }

    /// Submits one message; MAIL and RCPT lines without their CRLF.
    async fn submit(&self, mail: &str, recipients: &[&str], content: &str) {
        let mut input = format!("EHLO c\r\nMAIL FROM:{mail}\r\n");
        recipients.iter().for_each(|to| input.push_str(&format!("RCPT TO:{to}\r\n")));
        input.push_str(&format!("DATA\r\n{content}\r\n.\r\nQUIT\r\n"));
        let patience = Duration::from_secs(5);
        let got = World::client(&self.core, INSIDE, input.as_bytes(), patience).await;
        assert!(got.contains("queued as"), "{got}");
    }

    async fn send(&self, from: &str, to: &str) {
        self.submit(&format!("<{from}>"), &[&format!("<{to}>")], "Subject: x\r\n\r\nbody").await;
    }

    /// What postsuper asks for, of everything in the queue: how many messages it changed.
    fn order(&self, verb: &str) -> usize {
        let mut qmgr = self.core.qmgr.as_ref().unwrap().borrow_mut();
        let all = qmgr.walk(&mut Walk::new(&[]), usize::MAX).unwrap_or_default();
        let all: Vec<Number> = all.iter().map(|(number, _)| *number).collect();
        qmgr.change(&self.core, verb, &all).len()
    }

    fn flush(&self) {
        self.core.qmgr.as_ref().unwrap().borrow_mut().flush(&self.core);
    }

    fn queues(&self) -> Vec<&'static str> {
        let qmgr = self.core.qmgr.as_ref().unwrap().borrow();
        let names = ["active", "incoming", "deferred", "hold"];
        let all = |name: &&'static str| {
            let listed = qmgr.walk(&mut Walk::new(&[name]), usize::MAX).unwrap_or_default();
            vec![*name; listed.len()]
        };
        names.iter().flat_map(all).collect()
    }

    /// Lines the site heard that begin so.
    fn heard(&self, start: &str) -> usize {
        self.kept.borrow().lines.iter().filter(|line| line.starts_with(start)).count()
    }

    fn mail(&self) -> Vec<String> {
        self.kept.borrow().mail.clone()
    }
}

/// Runs a play on a queue directory: the log's lines without host and process.
fn play<F: Future<Output = ()> + 'static>(
    directory: &Path,
    main_cf: &str,
    (rule, pause): (Rule, u64),
    script: impl FnOnce(Hands) -> F,
) -> Vec<String> {
    let world = world(directory, &format!("{TO_SITE}{main_cf}"), 1);
    let kept = world.site(rule, Duration::from_secs(pause));
    let script = script(Hands { core: world.core.clone(), kept });
    world.run(script);
    let text = |line: String| line.replace("[1]: ", ": ");
    world.lines().into_iter().map(text).collect()
}

/// The same on a directory of its own.
fn play_new<F: Future<Output = ()> + 'static>(
    main_cf: &str,
    site: (Rule, u64),
    script: impl FnOnce(Hands) -> F,
) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    play(directory.path(), main_cf, site, script)
}

/// A site that takes everything, each message in so many seconds.
fn takes_all(pause: u64) -> (Rule, u64) {
    (Box::new(|_| None), pause)
}

/// A site with an answer to commands that begin so.
fn answers(start: &'static str, reply: &'static str) -> (Rule, u64) {
    (Box::new(move |line| line.starts_with(start).then(|| reply.to_string())), 0)
}

fn count(log: &[String], part: &str) -> usize {
    log.iter().filter(|line| line.contains(part)).count()
}
