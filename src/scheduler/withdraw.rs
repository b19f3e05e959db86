//! A message that is taken back while it is active: `postsuper -d`, `-h`, a reload.
//!
//! What waits leaves at once; what is under way ends by [`Scheduler::done`] as ever.

use alloc::vec::Vec;

use crate::job::Load;
use crate::scheduler::Scheduler;
use crate::slab::{JobId, MessageId};

impl Scheduler {
    /// Takes back every recipient of the message that waits or is not read: the indices of those
    /// that waited, in no order. The caller settles the message when nothing is under way, and
    /// calls [`Scheduler::finish`].
    pub fn withdraw(&mut self, message: MessageId) -> Vec<u32> {
        let mut taken = Vec::new();
        for job in self.jobs_of(message) {
            self.withdraw_job(job, &mut taken);
        }
        self.forget_refill(message);
        self.arena.messages[message].unread = 0;
        self.read_to_the_end(message);
        taken
    }

    fn jobs_of(&self, message: MessageId) -> Vec<JobId> {
        let first = self.arena.messages[message].jobs.head;
        let next = |job: &JobId| self.arena.jobs[*job].of_message.next;
        core::iter::successors(first, next).collect()
    }

    fn withdraw_job(&mut self, job: JobId, taken: &mut Vec<u32>) {
        // A job with nothing left goes with its last entry.
        while let Some(peer) = self.arena.jobs.get(job).and_then(|job| job.peers.head) {
            let destination = self.arena.peers[peer].destination;
            self.destinations[destination].waiting -= 1;
            let (entry, recipients) = self.take_waiting(peer);
            self.arena.entries[entry].load = Load::Started { count: recipients.count() };
            taken.extend_from_slice(&recipients);
            self.release(entry);
            self.after_change(destination);
        }
    }
}
