//! How often each command was given, for the disconnect line: `ehlo=1 mail=1 rcpt=1/2
//! commands=3/4`.

use super::command::Verb;
use core::fmt;

const VERBS: usize = Verb::ALL.len();

/// Accepted and given commands by verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    accepted: [u32; VERBS],
    given: [u32; VERBS],
}

impl Counters {
    /// A command was given.
    pub fn give(&mut self, verb: Verb) {
        self.given[verb as usize] += 1;
    }

    /// It was accepted.
    pub fn accept(&mut self, verb: Verb) {
        self.accepted[verb as usize] += 1;
    }

    /// A command that was accepted turned out to be refused in the end, as DATA may.
    pub fn take_back(&mut self, verb: Verb) {
        self.accepted[verb as usize] -= 1;
    }
}

impl fmt::Display for Counters {
    /// Each item begins with a blank; nothing when there was no command at all but the total.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verb in Verb::ALL {
            let (accepted, given) = (self.accepted[verb as usize], self.given[verb as usize]);
            if given > 0 {
                write_ratio(f, verb.counter_name(), accepted, given)?;
            }
        }
        match (self.accepted.iter().sum(), self.given.iter().sum()) {
            (0, 0) => f.write_str(" commands=0/0"),
            (accepted, given) => write_ratio(f, "commands", accepted, given),
        }
    }
}

fn write_ratio(f: &mut fmt::Formatter<'_>, name: &str, accepted: u32, given: u32) -> fmt::Result {
    if accepted == given {
        write!(f, " {name}={given}")
    } else {
        write!(f, " {name}={accepted}/{given}")
    }
}
