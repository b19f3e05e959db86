//! Deliveries that an alias or a user's own file asks for: files, commands, include files; that
//! file itself; and `mailbox_command`.
//!
//! Called by [`crate::child`] in a process of its own, as root. [`crate::spelled`] finds whether
//! the destination stands where the engine says, and whose rights it has; everything after that is
//! done as that user.
//!
//! | target | rights | ends with |
//! | --- | --- | --- |
//! | a file | the alias's or list's owner, else `default_privs` | `delivered to file`, `maildir` |
//! | a command | the same | what [`crate::command`] makes of its end |
//! | an include file | the same; root's lists are read as root | its text |
//! | a user's file of `forward_path` | the user | its name and its text; that there is none |
//! | a user's mailbox command | the user | as a command |
//!
//! **Diagnostics**: a [`Failure`] is the answer; an `io::Error` when the engine has gone.
//! **Limits**: as for mailboxes, and of the modules above.
//! **Standards**: local(8), aliases(5).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use privsep::alias::{Request, Target};
use privsep::reply::Forward;
use privsep::{Code, Rules, Service, Verdict};
use rustix::fs::OFlags;
use tables::Lookup;

use crate::account::Account;
use crate::as_user::writer;
use crate::child::{self, usage};
use crate::command::{self, path};
use crate::copy::{cannot_write, unfinished};
use crate::failure::{CONFIG, Failure, MAILBOX, SYSTEM, reason};
use crate::mailbox::{Mailbox, Recipient};
use crate::spelled::{Rights, Walk, become_for, misconfigured, open};
use crate::wire::Wire;
use crate::{forward, maildir};

const EXECUTABLE: u32 = 0o111;
const SECURITY: (u8, u16, u16) = (5, 7, 1);

/// Does what the engine asks for.
///
/// # Errors
/// When the engine is gone.
pub fn serve(request: &Request, rules: &Rules, mut wire: Wire) -> io::Result<()> {
    let Some(service) = rules.service(&request.service) else {
        return wire.done(usage().into());
    };
    match &request.target {
        Target::Include(path) => match Walk::read(request, service, path) {
            Ok(text) => wire.go().and_then(|()| wire.give(&text)),
            Err(failure) => wire.done(failure.into()),
        },
        Target::File(path) => {
            let result = Walk::to(request, service)
                .and_then(|rights| ToFile { request, service }.deliver(path, rights, &mut wire));
            wire.done(result.unwrap_or_else(Verdict::from))
        }
        Target::Command(text) => {
            let rights = Walk::to(request, service);
            match rights.and_then(|rights| user(rights, request, service)) {
                Ok((_, known)) => run(text, request, service, known.as_ref(), wire),
                Err(failure) => wire.done(failure.into()),
            }
        }
        Target::Mailbox => mailbox(request, service, rules, wire),
        Target::Forward => match Walk::forward(request, service) {
            Ok(Some(forward::Found { path, extended, text, warnings })) => {
                let path = path.to_string_lossy().into_owned();
                wire.forward(Forward { path, extended, warnings }).and_then(|()| wire.give(&text))
            }
            Ok(None) => wire.done(success("no such file".into(), Vec::new())),
            Err(failure) => wire.done(failure.into()),
        },
    }
}

/// Becomes who a destination is delivered as: that account, and the one whose home it may know.
fn user(
    rights: Rights,
    request: &Request,
    service: &Service,
) -> Result<(Account, Option<Account>), Failure> {
    match rights {
        Rights::User(account) => Ok((account.clone(), Some(account))),
        Rights::Default(known) => {
            let account = nobody(service)?;
            become_for(&request.target, &account)?;
            Ok((account, known))
        }
    }
}

/// `default_privs`, who is never root.
fn nobody(service: &Service) -> Result<Account, Failure> {
    let name = &service.aliases.default_privs;
    let account = Account::find(name.as_bytes()).ok().filter(|account| account.uid != 0);
    account.ok_or_else(|| {
        let warning = format!("parameter default_privs: unusable user: {name}");
        Failure::new(Code::Config, CONFIG, "mail system configuration error").warn(warning)
    })
}

fn run(
    text: &[u8],
    request: &Request,
    service: &Service,
    account: Option<&Account>,
    mut wire: Wire,
) -> io::Result<()> {
    let rules = &service.aliases;
    let directory = match command::directory(request, rules, account) {
        Ok(directory) => directory,
        Err(failure) => return wire.done(failure.into()),
    };
    let run = command::Command { text, request, rules, account, directory: &directory };
    let (verdict, said) = run.deliver(&mut wire)?;
    match verdict.code {
        Code::Ok => wire.done(verdict),
        _ => wire.command(verdict, said),
    }
}

/// The command that takes a user's mail; without one, the mailbox.
fn mailbox(request: &Request, service: &Service, rules: &Rules, mut wire: Wire) -> io::Result<()> {
    let prepared = || -> Result<Option<(Account, Vec<u8>)>, Failure> {
        let account = Account::find(&request.name)?;
        let Some(command) = mailbox_command(&account, service)? else { return Ok(None) };
        // No command runs as root.
        let runner = if account.uid == 0 { &nobody(service)? } else { &account };
        become_for(&request.target, runner)?;
        Ok(Some((account, command)))
    };
    let (account, command) = match prepared() {
        Ok(Some(prepared)) => prepared,
        Err(failure) => return wire.done(failure.into()),
        Ok(None) => {
            let (service, user) = (request.service.clone(), request.name.clone());
            let from_line = request.from_line.clone();
            let request = privsep::Request { service, user, from_line };
            return match request.is_valid() {
                true => child::deliver(&request, rules, wire),
                false => wire.done(usage().into()),
            };
        }
    };
    run(&command, request, service, Some(&account), wire)
}

fn mailbox_command(account: &Account, service: &Service) -> Result<Option<Vec<u8>>, Failure> {
    let rules = &service.aliases;
    for word in &rules.mailbox_command_maps {
        let lookup = open(word, rules).and_then(|(table, _)| {
            match table.table().lookup(account.name.as_bytes()) {
                Lookup::Found(value) => Ok(Some(value.into_owned())),
                Lookup::NotFound => Ok(None),
                Lookup::Retry(why) => {
                    Err(Failure::new(Code::TempFail, SYSTEM, "").warn(why.into_owned()))
                }
            }
        });
        let found = lookup.map_err(|failure| Failure {
            text: "table lookup failure".into(),
            status: SYSTEM,
            ..failure
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let command = rules.mailbox_command.as_bytes();
    Ok((!command.is_empty()).then(|| command.to_vec()))
}

/// A delivery to a file.
struct ToFile<'a> {
    request: &'a Request,
    service: &'a Service,
}

impl ToFile<'_> {
    fn deliver(&self, spelled: &[u8], rights: Rights, wire: &mut Wire) -> Result<Verdict, Failure> {
        let to = place(spelled, &rights)?;
        let (account, _) = user(rights, self.request, self.service)?;
        if spelled.ends_with(b"/") {
            maildir::deliver(&to, self.service, wire)?;
            return Ok(success("delivered to maildir".into(), Vec::new()));
        }
        let appended = self.append(&to, &account, wire);
        let shown = to.display();
        let warnings = appended.map_err(|failure| {
            failure.within(&format!("cannot append message to file {shown}: "))
        })?;
        Ok(success(format!("delivered to file: {shown}"), warnings))
    }

    /// Appends to a file; what an administrator should know of it.
    fn append(
        &self,
        to: &Path,
        account: &Account,
        wire: &mut Wire,
    ) -> Result<Vec<String>, Failure> {
        if let Ok(data) = fs::metadata(to) {
            if data.file_type().is_char_device() {
                return write(to, wire).map(|()| Vec::new());
            }
            if data.is_file() && data.permissions().mode() & EXECUTABLE != 0 {
                return Err(Failure::new(Code::CantCreate, SECURITY, "file is executable"));
            }
        }
        // Whose it is does not matter, as long as this user may write to it.
        let mut service = Service { strict_mailbox_ownership: false, ..self.service.clone() };
        let recipient = Recipient { uid: writer(account), give_to: None };
        let mut warnings = Vec::new();
        let mailbox = match Mailbox::open(to, recipient, &service) {
            // A file need not stand where lock files can be made.
            Err(failure)
                if failure.text.starts_with("unable to create lock file ")
                    && failure.code == Code::CantCreate =>
            {
                warnings.push(failure.text);
                service.locks.dotlock = false;
                Mailbox::open(to, recipient, &service)
            }
            opened => opened,
        };
        let appended = mailbox.and_then(|mailbox| {
            wire.go().map_err(|_| unfinished())?;
            mailbox.append(&self.request.from_line, wire)
        });
        match appended {
            Ok(()) => Ok(warnings),
            Err(mut failure) => {
                failure.warnings.extend(warnings);
                Err(failure)
            }
        }
    }
}

/// To a device, such as /dev/null: there is nothing to lock, and nothing to keep.
fn write(to: &Path, wire: &mut Wire) -> Result<(), Failure> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let device = File::options().write(true).custom_flags(flags).open(to);
    let mut device = device.map_err(|error| {
        let text = format!("cannot open file: {}", reason(&error));
        Failure::new(Code::CantCreate, MAILBOX, text)
    })?;
    wire.go().map_err(|_| unfinished())?;
    let mut piece = Vec::new();
    while wire.piece(&mut piece).map_err(|_| unfinished())? {
        if let Err(error) = device.write_all(&piece) {
            wire.skip().map_err(|_| unfinished())?;
            return Err(cannot_write(error));
        }
    }
    Ok(())
}

/// The path that is meant: `~/name` is in the home of the list's owner.
fn place(spelled: &[u8], rights: &Rights) -> Result<PathBuf, Failure> {
    let shown = String::from_utf8_lossy(spelled);
    match (spelled, rights) {
        ([b'~', b'/', name @ ..], Rights::User(account) | Rights::Default(Some(account))) => {
            Ok(account.home.join(path(name)))
        }
        ([b'~', b'/', ..], Rights::Default(None)) => {
            Err(misconfigured(format!("unknown home directory for: {shown}")))
        }
        ([b'~', ..], _) => Err(misconfigured(format!("bad home directory syntax for: {shown}"))),
        _ => Ok(PathBuf::from(path(spelled))),
    }
}

fn success(text: String, warnings: Vec<String>) -> Verdict {
    Verdict { code: Code::Ok, status: (2, 0, 0), text, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::as_user::is_root;
    use crate::spelled::tests::{request, with_aliases};
    use crate::wire::tests::with_content;
    use std::os::unix::ffi::OsStrExt;

    fn deliver(to: &Path) -> Result<Verdict, Failure> {
        let service = with_aliases(&format!("{{list={}}}", to.display()));
        let spelled = to.as_os_str().as_bytes();
        let request = request(&[], Target::File(spelled.to_vec()));
        // As whoever runs the tests: `default_privs` is for root to become.
        let owner = Account::of_uid(rustix::process::geteuid().as_raw()).unwrap();
        let rights = match is_root() {
            true => Rights::User(owner),
            false => Walk::to(&request, &service)?,
        };
        let mut wire = with_content(&[b"Subject: x\n\nFrom here\n"], true);
        ToFile { request: &request, service: &service }.deliver(spelled, rights, &mut wire)
    }

    #[test]
    fn a_file_is_an_mbox_and_a_directory_a_maildir() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let verdict = deliver(&file).unwrap();
        assert_eq!(verdict.text, format!("delivered to file: {}", file.display()));
        let text = "From a@b  date\nSubject: x\n\n>From here\n\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        let verdict = deliver(&dir.path().join("maildir/")).unwrap();
        assert_eq!(verdict.text, "delivered to maildir");
        assert_eq!(fs::read_dir(dir.path().join("maildir/new")).unwrap().count(), 1);
        assert!(deliver(Path::new("/dev/null")).unwrap().text.ends_with(": /dev/null"));
    }

    #[test]
    fn a_program_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let failure = deliver(&file).unwrap_err();
        assert_eq!(failure.status, SECURITY);
        assert!(failure.text.ends_with("/program: file is executable"), "{}", failure.text);
    }

    #[test]
    fn a_home_is_that_of_the_lists_owner() {
        let home = PathBuf::from("/home/alice");
        let account = Account { name: "alice".into(), uid: 1, gid: 1, home };
        let rights = Rights::User(account);
        assert_eq!(place(b"~/mail", &rights).unwrap(), Path::new("/home/alice/mail"));
        assert_eq!(place(b"/x", &Rights::Default(None)).unwrap(), Path::new("/x"));
        let warning = |spelled, rights| place(spelled, rights).unwrap_err().warnings.remove(0);
        assert_eq!(warning(b"~/x", &Rights::Default(None)), "unknown home directory for: ~/x");
        assert_eq!(warning(b"~x", &rights), "bad home directory syntax for: ~x");
    }
}
