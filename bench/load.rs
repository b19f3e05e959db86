//! An SMTP source and an SMTP sink, each on a thread and a ring of its own.

pub mod sink;
pub mod source;

use runtime::reactor::Pump;
use runtime::{Flow, Rt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs until the flag is set.
struct Until(Arc<AtomicBool>);

impl Pump for Until {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        if self.0.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes the next complete reply off the input: its code, and whether there was one.
fn take_reply(bytes: &[u8]) -> (usize, Option<u16>) {
    let mut used = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.last() != Some(&b'\n') {
            break;
        }
        used += line.len();
        let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        if line.get(3) != Some(&b'-') {
            return (used, code.or(Some(0)));
        }
    }
    (0, None)
}
