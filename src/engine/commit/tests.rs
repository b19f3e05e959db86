//! When what nobody waits for is written, on a simulated core and disk.

use crate::core::Core;
use crate::limits::LAZY_COMMIT;
use crate::testing::{World, world};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const TO_SITE: &str =
    "virtual_mailbox_domains = b.example\nvirtual_transport = smtp:[192.0.2.61]\n";
/// The simulated disk, the alarm's tick, and the way between two tasks.
const MOMENT: Duration = Duration::from_millis(2);

async fn send(core: &Rc<Core>, messages: usize) {
    let one =
        "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    let input = format!("EHLO c\r\n{}QUIT\r\n", one.repeat(messages));
    let patience = Duration::from_secs(5);
    let got = World::client(core, "127.0.0.1:40000", input.as_bytes(), patience).await;
    assert_eq!(got.matches("queued as").count(), messages, "{got}");
}

/// Sends messages through a core: how many writes they took, and what is left to be written a
/// moment after the log has said that the last one is gone.
fn relayed(messages: usize) -> (u64, bool) {
    let directory = tempfile::tempdir().unwrap();
    let world = world(directory.path(), TO_SITE, 1);
    let site = world.site(Box::new(|_| None), Duration::ZERO);
    let (core, log) = (world.core.clone(), world.log.clone());
    let seen = Rc::new(std::cell::Cell::new((0, false)));
    let result = seen.clone();
    world.run(async move {
        send(&core, messages).await;
        while log.borrow().matches(": removed").count() < messages {
            core.rt.sleep_until(core.rt.now() + Duration::from_micros(100)).await;
        }
        core.rt.sleep_until(core.rt.now() + LAZY_COMMIT + MOMENT).await;
        let queue = core.queue.borrow();
        let left = queue.durable() < queue.appended();
        result.set((core.commits.totals().commits.load(Ordering::Relaxed), left));
    });
    assert_eq!(site.borrow().mail.len(), messages);
    seen.get()
}

#[test]
fn a_quiet_core_writes_down_at_once_that_a_message_is_gone() {
    assert_eq!(relayed(1), (2, false));
}

#[test]
fn a_removal_shares_the_write_of_the_next_message() {
    let (writes, left) = relayed(20);
    assert!(!left);
    // Alone each message would take two.
    assert!(writes < 30, "{writes} writes for 20 messages");
}
