//! postsuper(1): deletes, holds, releases, requeues and expires messages.
//!
//! [`run`] is called by `bin/postsuper.rs`. The running engine owns the queue log and does the
//! work; files of maildrop are handled here. Without options, or with `-s`, `-S`, `-p`, there is
//! nothing to mend: the queue log mends itself when it is opened.
//!
//! **Diagnostics**: what was done on standard error and in the log, as Postfix words it. Changing
//! messages while the mail system is down is refused: the log has one writer.
//! **Limits**: [`IDS_MAX`] ids on standard input.
//! **Standards**: postsuper(1) of Postfix 3.7.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead;
use std::path::PathBuf;

use crate::client::{self, Trouble};
use crate::getopt;
use crate::postqueue::offline;
use crate::program::{Environment, Exit, Program};
use master::log::Level;
use master::settings;

/// Ids read for one `-`.
pub const IDS_MAX: usize = 1_000_000;

const SPEC: &str = "c:d:e:f:h:H:pr:sSv";
/// Queues that messages are in.
const MESSAGE_QUEUES: &[&str] = &["maildrop", "incoming", "active", "deferred", "hold"];
/// Directories of Postfix's queue that hold something else.
const OTHER_QUEUES: &[&str] = &["bounce", "corrupt", "defer", "flush", "saved", "trace"];
const USAGE: &str = "[-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] \
    [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] \
    [-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure fix)] \
    [-S (redundant structure fix)][-v (verbose)] [queue...]";

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Requeue,
    Delete,
    Expire,
    Hold,
    Release,
}

impl Action {
    const ALL: [Self; 5] = [Self::Requeue, Self::Delete, Self::Expire, Self::Hold, Self::Release];

    /// The control request.
    fn request(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Delete => "delete",
            Self::Expire => "expire",
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }

    /// What is said of one message.
    fn done(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Delete => "removed",
            Self::Expire => "expired",
            Self::Hold => "placed on hold",
            Self::Release => "released from hold",
        }
    }

    /// What is said of all.
    fn summary(self) -> &'static str {
        match self {
            Self::Requeue => "Requeued",
            Self::Delete => "Deleted",
            Self::Expire => "Force-expired",
            Self::Hold => "Placed on hold",
            Self::Release => "Released from hold",
        }
    }

    /// What an option does; `-f` does two things.
    fn of(letter: char) -> &'static [Self] {
        match letter {
            'r' => &[Self::Requeue],
            'd' => &[Self::Delete],
            'e' => &[Self::Expire],
            'f' => &[Self::Expire, Self::Release],
            'h' => &[Self::Hold],
            'H' => &[Self::Release],
            _ => &[],
        }
    }
}

/// Which messages an action is for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Which {
    all: bool,
    ids: BTreeSet<String>,
}

/// Does what `args` ask for; the exit code.
pub fn run(program: &mut Program, args: &[String]) -> Result<u8, Exit> {
    let usage = format!("usage: {} {USAGE}", program.name());
    let (options, queues) = getopt::parse(args, SPEC).map_err(|error| {
        program.complain(error);
        Exit::new(1, usage)
    })?;
    let chosen = options.iter().rev().find(|option| option.letter == 'c');
    let chosen = chosen.and_then(|option| option.value.as_deref());
    if chosen.is_some_and(|path| !path.starts_with('/')) {
        return Err(Exit::new(1, "-c requires absolute pathname"));
    }
    let directory = settings::directory(chosen);
    let settings = program.configure(&directory, "postsuper", Environment::Update, 1)?;
    let uid = rustix::process::getuid();
    if !uid.is_root() && !master::accounts::is_mail_owner(&settings.params, uid.as_raw()) {
        return Err(Exit::new(1, "use of this command is reserved for the superuser"));
    }
    let known = |name: &&String| {
        MESSAGE_QUEUES.contains(&name.as_str()) || OTHER_QUEUES.contains(&name.as_str())
    };
    if let Some(name) = queues.iter().find(|name| !known(name)) {
        return Err(Exit::new(1, format!("invalid directory name: {name}")));
    }
    let mut wishes: [Which; Action::ALL.len()] = Default::default();
    for option in &options {
        let value = option.value.as_deref().unwrap_or_default();
        let which = which(program, value, Action::of(option.letter))?;
        for action in Action::of(option.letter) {
            let wish = &mut wishes[*action as usize];
            wish.all |= which.all;
            wish.ids.extend(which.ids.iter().cloned());
        }
    }
    let job = Job { program, queue: settings.queue()?, queues };
    for (action, wish) in Action::ALL.into_iter().zip(&wishes) {
        if wish.all || !wish.ids.is_empty() {
            job.act(action, wish)?;
        }
    }
    Ok(0)
}

/// `ALL`, an id, or `-` for ids on standard input.
fn which(program: &Program, value: &str, actions: &[Action]) -> Result<Which, Exit> {
    let mut which = Which::default();
    if actions.is_empty() {
        return Ok(which);
    }
    if value == "ALL" {
        which.all = true;
        return Ok(which);
    }
    let mut ids = vec![value.to_owned()];
    if value == "-" {
        let lines = std::io::stdin().lock().lines().take(IDS_MAX);
        let read: std::io::Result<Vec<String>> = lines.collect();
        ids = read.map_err(|error| master::Fatal::system("read", error))?;
    }
    for id in ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
        if offline::is_queue_id(id) {
            which.ids.insert(id.to_owned());
        } else {
            program.say(Level::Warning, format!("invalid mail queue id: {id}"));
        }
    }
    Ok(which)
}

struct Job<'a> {
    program: &'a Program,
    queue: PathBuf,
    queues: &'a [String],
}

impl Job<'_> {
    fn act(&self, action: Action, which: &Which) -> Result<(), Exit> {
        let mut count = self.maildrop(action, which)?;
        if which.all {
            count += self.ask(action, "ALL")?.count;
        } else {
            for id in &which.ids {
                let done = self.ask(action, id)?;
                done.messages.iter().for_each(|id| self.report(action, id));
                count += done.messages.len() as u64;
            }
        }
        let s = if count == 1 { "" } else { "s" };
        self.program.say(Level::Info, format!("{}: {count} message{s}", action.summary()));
        Ok(())
    }

    fn report(&self, action: Action, id: &str) {
        self.program.say(Level::Info, format!("{id}: {}", action.done()));
    }

    fn covers(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.iter().any(|name| name == queue)
    }

    /// Asks the engine for its queues; a message that is not there is not counted.
    fn ask(&self, action: Action, id: &str) -> Result<client::Done, Exit> {
        let queues: Vec<&str> =
            self.queues.iter().map(String::as_str).filter(|name| *name != "maildrop").collect();
        if !self.queues.is_empty() && queues.is_empty() {
            return Ok(client::Done::default());
        }
        let request = [&[action.request(), id], queues.as_slice()].concat().join(" ");
        match client::control(&self.queue, &request) {
            Ok(done) => Ok(done),
            Err(Trouble::Refused(text)) if text == "not-found" => Ok(client::Done::default()),
            Err(Trouble::Down(error)) => {
                if !self.has(id)? {
                    return Ok(client::Done::default());
                }
                let why = crate::system::reason(&error);
                Err(Exit::new(1, format!("the Postfix mail system is not running: {why}")))
            }
            Err(trouble) => Err(Exit::new(1, trouble.to_string())),
        }
    }

    /// Whether the log on disk has the message `id`, or any for `ALL`, in the queues named.
    fn has(&self, id: &str) -> Result<bool, Exit> {
        if !self.queue.join("log").is_dir() {
            return Ok(false);
        }
        let found = [true, false].into_iter().map(|long| offline::log(&self.queue, long));
        for entries in found {
            let entries = entries.map_err(|error| Exit::new(1, error.to_string()))?;
            let wanted = |name: &str| id == "ALL" || name == id;
            if entries.iter().any(|entry| wanted(&entry.id) && self.covers(&entry.queue)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes files of maildrop; nothing else can be done to what is not picked up yet.
    fn maildrop(&self, action: Action, which: &Which) -> Result<u64, Exit> {
        if action != Action::Delete || !self.covers("maildrop") {
            return Ok(0);
        }
        let directory = self.queue.join("maildrop");
        let mut count = 0;
        for file in directory.read_dir().into_iter().flatten().flatten() {
            let Ok(id) = file.file_name().into_string() else { continue };
            if !offline::is_queue_id(&id) || !(which.all || which.ids.contains(&id)) {
                continue;
            }
            match fs::remove_file(file.path()) {
                Ok(()) => {
                    count += 1;
                    if !which.all {
                        self.report(action, &id);
                    }
                }
                // Picked up meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("remove file {}", file.path().display());
                    return Err(master::Fatal::system(what, error).into());
                }
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_numbered_as_they_are_listed() {
        for (at, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, at);
        }
        assert_eq!(Action::of('f'), [Action::Expire, Action::Release]);
    }

    #[test]
    fn all_is_upper_case_and_ids_are_checked() {
        let program = Program::new("postsuper", crate::program::Voice::Terminal);
        let of = |value| which(&program, value, &[Action::Hold]).unwrap();
        assert!(of("ALL").all);
        assert_eq!(of("all").ids.len(), 1);
        assert_eq!(of("a/b"), Which::default());
    }
}
