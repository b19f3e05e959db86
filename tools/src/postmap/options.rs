//! The command lines of postmap(1) and postalias(1).

use super::Syntax;
use crate::getopt::{self, Opt};
use crate::program::{Exit, Program};
use master::log::Level;

const MAP_LETTERS: &str = "bc:d:fFhimnNopq:rsuUvw";
const ALIAS_LETTERS: &str = "Nc:d:finopq:rsuvw";

/// Which keys an action is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// One.
    One(String),
    /// Those on standard input, one per line.
    Input,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Make tables of their sources.
    Build,
    /// Add what standard input says.
    Add,
    /// Look keys up.
    Query(Keys),
    /// Remove keys.
    Delete(Keys),
    /// Show everything.
    List,
}

/// What becomes of a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// The first stays, with a warning.
    Warn,
    /// The first stays.
    Ignore,
    /// The last stays.
    Replace,
}

/// Which parts of a message are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) header: bool,
    pub(super) body: bool,
    /// Parts within the body have headers, too.
    pub(super) mime: bool,
}

/// A command line.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) action: Action,
    pub(super) duplicates: Duplicates,
    /// Keys are folded.
    pub(super) fold: bool,
    /// New files get the mode and, for root, the owner of their source.
    pub(super) inherit_mode: bool,
    pub(super) inherit_owner: bool,
    /// -N or -n: keys and values of new files end with a NUL byte, or do not.
    pub(super) nul: Option<bool>,
    pub(super) no_utf8: bool,
    pub(super) force_utf8: bool,
    /// Values are the names of files.
    pub(super) files: bool,
    /// Standard input is a message, and these are keys.
    pub(super) parts: Option<Parts>,
    pub(super) directory: Option<String>,
    /// The tables.
    pub(super) names: Vec<String>,
}

/// Reads a command line.
pub(super) fn parse(program: &Program, args: &[String], syntax: Syntax) -> Result<Options, Exit> {
    let letters = if syntax == Syntax::Map { MAP_LETTERS } else { ALIAS_LETTERS };
    let (given, names) = getopt::parse(args, letters).map_err(|error| {
        program.complain(error);
        usage(program, syntax)
    })?;
    let has = |letter| given.iter().any(|option| option.letter == letter);
    let action = action(&given)?;
    let parts = message_parts(program, &given)?;
    if names.is_empty() {
        let lists = action == Action::List;
        return Err(if lists { Exit::silent(1) } else { usage(program, syntax) });
    }
    let last = given.iter().rev().find(|option| option.letter == 'c');
    let nul = given.iter().rev().find(|option| matches!(option.letter, 'n' | 'N'));
    Ok(Options {
        action,
        duplicates: duplicates(&given),
        fold: !has('f'),
        inherit_mode: !has('p'),
        inherit_owner: !has('o'),
        nul: nul.map(|option| option.letter == 'N'),
        no_utf8: has('u'),
        force_utf8: has('U'),
        files: has('F'),
        parts,
        directory: last.and_then(|option| option.value.clone()),
        names: names.to_vec(),
    })
}

fn usage(program: &Program, syntax: Syntax) -> Exit {
    let letters = if syntax == Syntax::Map { "bfFhimnNoprsuUvw" } else { "Nfinoprsuvw" };
    let rest = "[-c config_dir] [-d key] [-q key] [map_type:]file...";
    Exit::new(1, format!("usage: {} [-{letters}] {rest}", program.name()))
}

/// `-i` gives way to the other actions, which exclude each other.
fn action(given: &[Opt]) -> Result<Action, Exit> {
    let keys = |option: &Opt| match option.value.as_deref().unwrap_or_default() {
        "-" => Keys::Input,
        key => Keys::One(key.to_owned()),
    };
    let mut out: Option<Action> = None;
    for option in given {
        let found = match option.letter {
            'd' => Action::Delete(keys(option)),
            'q' => Action::Query(keys(option)),
            's' => Action::List,
            _ => continue,
        };
        if out.is_some() && !(found == Action::List && out == Some(Action::List)) {
            let or = if found == Action::List { " or" } else { "" };
            return Err(Exit::new(1, format!("specify only one of -s{or} -q or -d")));
        }
        out = Some(found);
    }
    let add = given.iter().any(|option| option.letter == 'i');
    Ok(out.unwrap_or(if add { Action::Add } else { Action::Build }))
}

fn duplicates(given: &[Opt]) -> Duplicates {
    // The last of -r and -w counts.
    let last = given.iter().rev().find(|option| matches!(option.letter, 'r' | 'w'));
    match last.map(|option| option.letter) {
        Some('r') => Duplicates::Replace,
        Some(_) => Duplicates::Ignore,
        None => Duplicates::Warn,
    }
}

/// `-b`, `-h` and `-m` split standard input as a message.
fn message_parts(program: &Program, given: &[Opt]) -> Result<Option<Parts>, Exit> {
    let has = |letter| given.iter().any(|option| option.letter == letter);
    let parts = Parts { header: has('h'), body: has('b'), mime: has('m') };
    let input = given.iter().any(|o| o.letter == 'q' && o.value.as_deref() == Some("-"));
    let any = parts.header || parts.body;
    if (any || parts.mime) && !input {
        return Err(Exit::new(1, "specify -b -h or -m only with \"-q -\""));
    }
    if parts.mime && !any {
        program.say(Level::Warning, "ignoring -m option without -b or -h");
    }
    Ok(any.then_some(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;

    fn read(words: &[&str]) -> Result<Options, Exit> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&Program::new("postmap", Voice::Terminal), &words, Syntax::Map)
    }

    #[test]
    fn one_action_at_a_time() {
        for words in [["-s", "-qx", "t"], ["-qx", "-dx", "t"], ["-qx", "-qx", "t"]] {
            let text = read(&words).unwrap_err().text.unwrap();
            assert_eq!(text, "specify only one of -s -q or -d");
        }
        let text = read(&["-qx", "-s", "t"]).unwrap_err().text.unwrap();
        assert_eq!(text, "specify only one of -s or -q or -d");
        assert_eq!(read(&["-s", "-i", "t"]).unwrap().action, Action::List);
        assert_eq!(read(&["-i", "t"]).unwrap().action, Action::Add);
        assert_eq!(read(&["-q", "-", "t"]).unwrap().action, Action::Query(Keys::Input));
    }

    #[test]
    fn without_a_table_there_is_only_a_usage_message() {
        let text = read(&["-q", "x"]).unwrap_err().text.unwrap();
        assert!(text.starts_with("usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir]"), "{text}");
    }
}
