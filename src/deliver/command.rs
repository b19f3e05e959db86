//! Delivery to a command: its environment, and what its end means.
//!
//! | end | means |
//! | --- | --- |
//! | status 0 | delivered |
//! | another one, and it said `4.x.x text` or `5.x.x text` | that |
//! | a status of sysexits.h | what [`SYSEXITS`] says |
//! | another status | 5.3.0 |
//! | a signal | 4.3.0 |
//! | time was up | 5.3.0 |
//!
//! **Limits**: `command_time_limit`, [`crate::run::OUTPUT_MAX`].
//! **Standards**: local(8) of Postfix 3.7; sysexits.h; RFC 3463.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::Status;
use mail::expand::expand;
use privsep::alias::{AliasRules, ENVIRONMENT, Request};
use privsep::{Code, Verdict};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{getgid, getuid};

use crate::account::Account;
use crate::failure::{CONFIG, Failure, SYSTEM, reason};
use crate::forward::Names;
use crate::run::{End, Run};
use crate::wire::Wire;

/// Where programs are looked for.
const PATH: &str = "/usr/bin:/bin";

/// What a command finds in its environment even when it is empty.
const ALWAYS: [&str; 2] = ["ORIGINAL_RECIPIENT", "SENDER"];

/// What statuses mean: number, status code, words.
const SYSEXITS: [(i32, (u8, u16, u16), &str); 15] = [
    (64, (5, 3, 0), "command line usage error"),
    (65, (5, 6, 0), "data format error"),
    (66, (5, 3, 0), "cannot open input"),
    (67, (5, 1, 1), "user unknown"),
    (68, (5, 1, 2), "host name unknown"),
    (69, (5, 3, 0), "service unavailable"),
    (70, (5, 3, 0), "internal software error"),
    (71, (4, 3, 0), "system resource problem"),
    (72, (5, 3, 0), "critical OS file missing"),
    (73, (5, 2, 0), "can't create user output file"),
    (74, (5, 3, 0), "input/output error"),
    (75, (4, 3, 0), "temporary failure"),
    (76, (5, 5, 0), "remote error in protocol"),
    (77, (5, 7, 0), "permission denied"),
    (78, (5, 3, 5), "local configuration error"),
];
const SOFTWARE: &str = "internal software error";
const UNKNOWN: &str = "unknown error";

/// A command that is delivered to as the user this process is.
pub struct Command<'a> {
    /// What it is.
    pub text: &'a [u8],
    /// What is known of the message.
    pub request: &'a Request,
    /// How.
    pub rules: &'a AliasRules,
    /// None for `default_privs`, who has no home here.
    pub account: Option<&'a Account>,
    /// Where it starts.
    pub directory: &'a Path,
}

impl Command<'_> {
    /// Runs it: what to say, and the command's own words.
    ///
    /// # Errors
    /// The engine has gone.
    pub fn deliver(&self, wire: &mut Wire) -> io::Result<(Verdict, String)> {
        let Command { text, request, rules, account, directory } = *self;
        let run = Run {
            command: text,
            environment: environment(request, rules, account),
            directory,
            shell: &rules.shell,
            limit: Duration::from_secs(rules.time_limit_s.max(1).into()),
        };
        let head = [&request.from_line[..], b"\n"].concat();
        let (end, output) = run.run(&head, wire)?;
        Ok(meaning(end, &shown(&output), &String::from_utf8_lossy(text)))
    }
}

/// Where a command starts: `command_execution_directory`; when that says nothing, the queue
/// directory.
///
/// # Errors
/// The parameter has no meaning, or this user cannot go there.
pub fn directory(
    request: &Request,
    rules: &AliasRules,
    account: Option<&Account>,
) -> Result<PathBuf, Failure> {
    let mut names = Names { request, account, extended: false };
    let (pattern, filter) = (&rules.execution_directory, rules.execution_filter.as_bytes());
    let expanded = expand(pattern, Some(filter), &mut |name, how| names.value(name, how));
    let expanded = expanded.map_err(|malformed| {
        let what = "bad parameter value syntax for command_execution_directory";
        Failure::new(Code::Config, CONFIG, "mail system configuration error")
            .warn(malformed.to_string())
            .warn(format!("{what}: {pattern}"))
    })?;
    if expanded.text.is_empty() {
        return Ok(PathBuf::from(&rules.directory));
    }
    let directory = PathBuf::from(path(&expanded.text));
    may_start_in(&directory).map_err(|error| {
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        let (shown, why) = (directory.display(), reason(&error));
        let text = format!("cannot change directory to \"{shown}\" for uid={uid} gid={gid}: {why}");
        // What a process says that cannot become the command.
        Failure::new(Code::TempFail, SYSTEM, "temporary failure").warn(format!("fatal: {text}"))
    })?;
    Ok(directory)
}

fn may_start_in(directory: &Path) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    Ok(access(directory, Access::EXEC_OK)?)
}

/// What a command learns, sorted as it comes.
fn environment(
    request: &Request,
    rules: &AliasRules,
    account: Option<&Account>,
) -> Vec<(OsString, OsString)> {
    let mut out: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
    for word in &rules.export_environment {
        match word.split_once('=') {
            Some((name, value)) => out.push((name.into(), value.into())),
            None => out.extend(std::env::var_os(word).map(|value| (word.into(), value))),
        }
    }
    let mut add = |name: &str, value: &[u8]| {
        if !value.is_empty() || ALWAYS.contains(&name) {
            let value = harmless(value, rules.expansion_filter.as_bytes());
            out.push((name.into(), OsString::from_vec(value)));
        }
    };
    if let Some(account) = account {
        add("HOME", account.home.as_os_str().as_bytes());
        let shell = account.shell().unwrap_or_default();
        add("SHELL", shell.as_os_str().as_bytes());
    }
    ENVIRONMENT.iter().zip(&request.environment).for_each(|(name, value)| add(name, value));
    out
}

/// A value with nothing that a shell could take for its own.
fn harmless(value: &[u8], allowed: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| if allowed.contains(byte) { *byte } else { b'_' }).collect()
}

/// Output on one line.
fn shown(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let plain = |c: char| match c {
        '\t' | '\n' => ' ',
        c if c.is_control() || c == char::REPLACEMENT_CHARACTER => '_',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// EX_TEMPFAIL of sysexits.h.
const TEMPFAIL: i32 = 75;

fn meaning(end: End, output: &str, command: &str) -> (Verdict, String) {
    let words = |otherwise: &str| match output {
        "" => otherwise.to_string(),
        output => output.to_string(),
    };
    let behind = match output {
        "" => String::new(),
        output => format!(". Command output: {output}"),
    };
    let say = |status, text: String, said: String| {
        let code = if status == (2, 0, 0) { Code::Ok } else { Code::IoErr };
        // The process that could not become the command says so in the log as well.
        let fatal = output.strip_prefix("local: ").filter(|_| end == End::Unstarted);
        let warnings = fatal.map(|text| text.trim_end().to_string()).into_iter().collect();
        (Verdict { code, status, text, warnings }, said)
    };
    let code = match end {
        End::Status(0) => {
            return say((2, 0, 0), format!("delivered to command: {command}"), String::new());
        }
        End::Status(code) => code,
        End::Unstarted => TEMPFAIL,
        End::Signal(signal) => {
            let text = format!("Command died with signal {signal}: \"{command}\"{behind}");
            return say((4, 3, 0), text, words(SOFTWARE));
        }
        End::TimeLimit => {
            let text = format!("Command time limit exceeded: \"{command}\"{behind}");
            return say((5, 3, 0), text, words(SOFTWARE));
        }
    };
    if let Some((status, text)) = own_words(output) {
        return say(status, text.clone(), text);
    }
    match SYSEXITS.iter().find(|(number, ..)| *number == code) {
        Some((_, status, text)) => say(*status, format!("{text}{behind}"), words(text)),
        None => {
            let text = format!("Command died with status {code}: \"{command}\"{behind}");
            say((5, 3, 0), text, words(UNKNOWN))
        }
    }
}

/// `4.x.x text` or `5.x.x text`.
fn own_words(output: &str) -> Option<((u8, u16, u16), String)> {
    let (Status { class, subject, detail }, length) = Status::parse_prefix(output.as_bytes())?;
    let text = output.get(length..)?.trim_start();
    matches!(class, 4 | 5).then(|| ((class, subject, detail), text.to_string()))
}

/// A path as the file system spells it.
pub fn path(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelled::tests::request;
    use privsep::alias::Target;

    fn said(end: End, output: &str) -> ((u8, u16, u16), String, String) {
        let (verdict, said) = meaning(end, output, "run it");
        (verdict.status, verdict.text, said)
    }

    fn triple(status: (u8, u16, u16), text: &str, said: &str) -> ((u8, u16, u16), String, String) {
        (status, text.into(), said.into())
    }

    #[test]
    fn an_end_means_what_it_means_in_postfix() {
        let delivered = triple((2, 0, 0), "delivered to command: run it", "");
        assert_eq!(said(End::Status(0), "noise "), delivered);
        let text = "temporary failure. Command output: later ";
        assert_eq!(said(End::Status(75), "later "), triple((4, 3, 0), text, "later "));
        let denied = triple((5, 7, 0), "permission denied", "permission denied");
        assert_eq!(said(End::Status(77), ""), denied);
        let output = "local: fatal: execvp /x: none ";
        let (verdict, _) = meaning(End::Unstarted, output, "/x");
        assert_eq!(verdict.text, format!("temporary failure. Command output: {output}"));
        assert_eq!(verdict.warnings, ["fatal: execvp /x: none"]);
        assert!(meaning(End::Status(75), output, "/x").0.warnings.is_empty(), "not the command");
        let own = triple((4, 2, 2), "mailbox full ", "mailbox full ");
        assert_eq!(said(End::Status(1), "4.2.2 mailbox full "), own);
        let text = "Command died with status 1: \"run it\"";
        assert_eq!(said(End::Status(1), ""), triple((5, 3, 0), text, UNKNOWN));
        let text = "Command died with signal 9: \"run it\". Command output: 2.0.0 x";
        assert_eq!(said(End::Signal(9), "2.0.0 x"), triple((4, 3, 0), text, "2.0.0 x"));
        let text = "Command time limit exceeded: \"run it\"";
        assert_eq!(said(End::TimeLimit, ""), triple((5, 3, 0), text, SOFTWARE));
    }

    #[test]
    fn the_environment_has_nothing_a_shell_could_mistake() {
        let mut asked = request(&[], Target::Command(b"x".into()));
        let sender = ENVIRONMENT.iter().position(|name| *name == "SENDER").unwrap();
        asked.environment[sender] = b"a`$(x)`@b".into();
        let rules = AliasRules {
            expansion_filter: "abx@".into(),
            export_environment: vec!["EXTRA=1".into(), "NO_SUCH_VARIABLE".into()],
            ..AliasRules::default()
        };
        let made = environment(&asked, &rules, None);
        let expected =
            [("PATH", PATH), ("EXTRA", "1"), ("ORIGINAL_RECIPIENT", ""), ("SENDER", "a___x__@b")];
        assert_eq!(made, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn a_command_starts_where_the_parameter_says_and_else_in_the_queue_directory() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("alice");
        let account = Account { name: "alice".into(), uid: 1, gid: 1, home };
        let mut asked = request(&[], Target::Command(b"x".into()));
        let user = ENVIRONMENT.iter().position(|name| *name == "USER").unwrap();
        asked.environment[user] = b"..ali;ce".into();
        let at = |pattern: &str, account: Option<&Account>| {
            let (directory, execution_directory) = ("/queue".into(), pattern.into());
            let execution_filter = "abcdefghijklmnopqrstuvwxyz/.".into();
            let rules = AliasRules {
                directory,
                execution_directory,
                execution_filter,
                ..AliasRules::default()
            };
            super::directory(&asked, &rules, account)
        };
        assert_eq!(at("", Some(&account)).unwrap(), Path::new("/queue"));
        assert_eq!(at("$home", None).unwrap(), Path::new("/queue"), "whose home is not known");
        let missing = at("/none/$user", None).unwrap_err();
        assert_eq!((missing.status, missing.text.as_str()), (SYSTEM, "temporary failure"));
        let start = "fatal: cannot change directory to \"/none/..ali_ce\" for uid=";
        assert!(missing.warnings[0].starts_with(start), "{:?}", missing.warnings);
        let odd = at("/${user", None).unwrap_err();
        assert_eq!((odd.status, odd.warnings.len()), (CONFIG, 2));
        fs::create_dir(&account.home).unwrap();
        let parent = format!("{}/${{none:alice}}", dir.path().display());
        assert_eq!(at(&parent, None).unwrap(), account.home);
    }

    #[test]
    fn output_is_one_line() {
        assert_eq!(shown(b"a\tb\nc\x07\xff\n"), "a b c__ ");
    }
}
