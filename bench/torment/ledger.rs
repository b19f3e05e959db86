//! What was promised and what came of it: acknowledgements from the source, copies from the sink,
//! kills between them.

use crate::kill::Victim;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// One copy of a message at the sink.
#[derive(Clone, Copy, Debug)]
struct Copy {
    /// Kills before it came.
    came: usize,
    /// Whether its answer was sent before the next kill began.
    answered: bool,
}

#[derive(Default)]
struct Books {
    /// Numbers of messages that got 250.
    acknowledged: Vec<u64>,
    /// Every copy of every message that came.
    copies: BTreeMap<u64, Vec<Copy>>,
    kills: Vec<Victim>,
    /// Whether a kill is under way: nobody may read answers any more.
    striking: bool,
}

/// The books of one trial.
#[derive(Default)]
pub struct Ledger(Mutex<Books>);

/// A kill, and the copies it has caused.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Who was killed.
    pub victim: Victim,
    /// Extra copies of what was under way or not yet noted then.
    pub duplicates: u64,
    /// Those whose first copy the sink had answered before.
    pub answered: u64,
}

/// What the books say at the end.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Messages that got 250.
    pub acknowledged: usize,
    /// Those that never came.
    pub lost: Vec<u64>,
    /// Messages that came without an acknowledgement: its 250 was lost on the way.
    pub unasked: usize,
    /// Every kill.
    pub kills: Vec<Kill>,
    /// Extra copies since the last kill.
    pub unexplained: u64,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A message got 250.
    pub fn acknowledge(&self, number: u64) {
        self.books().acknowledged.push(number);
    }

    /// How many have.
    pub fn acknowledged(&self) -> usize {
        self.books().acknowledged.len()
    }

    /// A copy is at the sink: which one of that message.
    pub fn arrive(&self, number: u64) -> usize {
        let mut books = self.books();
        let came = books.kills.len();
        let copies = books.copies.entry(number).or_default();
        copies.push(Copy { came, answered: false });
        copies.len() - 1
    }

    /// The sink has said 250 to a copy.
    pub fn answer(&self, number: u64, copy: usize) {
        let mut books = self.books();
        let (kills, striking) = (books.kills.len(), books.striking);
        let copy = books.copies.get_mut(&number).and_then(|copies| copies.get_mut(copy));
        if let Some(copy) = copy {
            copy.answered = copy.came == kills && !striking;
        }
    }

    /// Somebody is about to be killed.
    pub fn strike(&self) {
        self.books().striking = true;
    }

    /// He is gone.
    pub fn kill(&self, victim: Victim) {
        let mut books = self.books();
        books.kills.push(victim);
        books.striking = false;
    }

    /// How many that got 250 have not come yet.
    pub fn missing(&self) -> usize {
        self.books().missing().count()
    }

    /// What the books say.
    pub fn verdict(&self) -> Verdict {
        let books = self.books();
        let lost: Vec<u64> = books.missing().collect();
        let kill = |victim: &Victim| Kill { victim: *victim, duplicates: 0, answered: 0 };
        let mut kills: Vec<Kill> = books.kills.iter().map(kill).collect();
        let mut unexplained = 0;
        for copies in books.copies.values() {
            // Each copy but the last was followed by another one.
            for copy in &copies[..copies.len() - 1] {
                match kills.get_mut(copy.came) {
                    Some(kill) => kill.count(copy),
                    None => unexplained += 1,
                }
            }
        }
        Verdict {
            acknowledged: books.acknowledged.len(),
            unasked: books.copies.len() - (books.acknowledged.len() - lost.len()),
            lost,
            kills,
            unexplained,
        }
    }
}

impl Books {
    fn missing(&self) -> impl Iterator<Item = u64> {
        let came = |number: &u64| self.copies.contains_key(number);
        self.acknowledged.iter().copied().filter(move |number| !came(number))
    }
}

impl Kill {
    /// A copy that came before this kill was followed by another one.
    fn count(&mut self, copy: &Copy) {
        self.duplicates += 1;
        self.answered += u64::from(copy.answered);
    }
}

impl Verdict {
    /// The middle one of all kills' counts.
    pub fn median(&self, of: fn(&Kill) -> u64) -> u64 {
        let mut counts: Vec<u64> = self.kills.iter().map(of).collect();
        counts.sort_unstable();
        counts.get(counts.len() / 2).copied().unwrap_or(0)
    }

    /// The largest of all kills' counts.
    pub fn most(&self, of: fn(&Kill) -> u64) -> u64 {
        self.kills.iter().map(of).max().unwrap_or(0)
    }

    /// The sum of all kills' counts.
    pub fn sum(&self, of: fn(&Kill) -> u64) -> u64 {
        self.kills.iter().map(of).sum()
    }

    /// The mean over some kills; not a number over none.
    pub fn mean(&self, victim: Option<Victim>, of: fn(&Kill) -> u64) -> f64 {
        let wanted = |kill: &&Kill| victim.is_none_or(|victim| kill.victim == victim);
        let counts: Vec<u64> = self.kills.iter().filter(wanted).map(of).collect();
        counts.iter().sum::<u64>() as f64 / counts.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_copy_is_the_price_of_the_kill_after_the_copy_before_it() {
        let ledger = Ledger::default();
        for number in 0..3 {
            ledger.acknowledge(number);
            let copy = ledger.arrive(number);
            if number == 0 {
                ledger.answer(number, copy);
            }
        }
        ledger.strike();
        // Too late for whoever is being killed.
        ledger.answer(1, 0);
        ledger.kill(Victim::Services);
        // Known to be answered, under way, and never sent again.
        ledger.arrive(0);
        ledger.arrive(1);
        ledger.kill(Victim::Everything);
        let verdict = ledger.verdict();
        let counts: Vec<(u64, u64)> =
            verdict.kills.iter().map(|kill| (kill.duplicates, kill.answered)).collect();
        assert_eq!(counts, [(2, 1), (0, 0)]);
        assert_eq!((verdict.lost.len(), verdict.unasked, verdict.unexplained), (0, 0, 0));
    }

    #[test]
    fn what_never_came_is_lost_and_what_nobody_promised_is_unasked() {
        let ledger = Ledger::default();
        ledger.acknowledge(7);
        ledger.arrive(8);
        ledger.arrive(8);
        let verdict = ledger.verdict();
        assert_eq!(verdict.lost, [7]);
        assert_eq!((verdict.unasked, verdict.unexplained), (1, 1));
    }
}
