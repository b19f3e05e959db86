//! Whether what the engine asks for is spelled out in an alias or in a user's own file, and whose
//! rights it has.
//!
//! deliver believes the engine nothing here: it opens the table that the rules name and looks the
//! name up, or reads the file that the user has, and goes through the include files to the
//! destination.
//!
//! | the table's file belongs to, or the file is for | rights |
//! | --- | --- |
//! | root, or there is no file | those of root for reading lists; `default_privs` for the rest |
//! | somebody else | that user's |
//!
//! | an include file, read with the rights so far | rights from there on |
//! | --- | --- |
//! | root's so far, and the file is somebody's | that user's |
//! | otherwise | the same |
//!
//! **Diagnostics**: [`Failure`], in Postfix's words where it has them. A table that has changed
//! since the engine looked defers.
//! **Limits**: [`INCLUDE_BYTES_MAX`]; [`crate::lock::TABLE_PATIENCE`] for a table that is written.
//! **Standards**: local(8), delivery rights.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mail::destination::{self, Destination};
use privsep::alias::{AliasRules, Allowed, INCLUDE_BYTES_MAX, Request, Source, Target};
use privsep::{Code, Service};
use rustix::fs::OFlags;
use tables::Lookup;
use tables::catalog::{Catalog, Name, Opened, REMOTE, System, no_remote};
use tables::fold::Folding;

use crate::account::Account;
use crate::as_user::{become_user, become_user_for_commands, is_root};
use crate::failure::{CONFIG, Failure, SYSTEM, reason};
use crate::forward;
use crate::lock::read_table;

const OTHERS_WRITE: u32 = 0o002;
const CONFIG_FOR_GOOD: (u8, u16, u16) = (5, 3, 5);

/// Files, the environment and chance, for tables.
const SYSTEM_OF_TABLES: System = System {
    read: |path| read_table(path).map_err(|error| reason(&error)),
    stamp: |_| None,
    variable: |name| {
        std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(|value| value.as_bytes().to_vec())
    },
    random: || u64::from(std::process::id()),
    remote: no_remote,
};

/// Whose rights a destination has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nobody's yet: this process is root still. root itself, when it is root's own file: its home
    /// may be known, and nothing is done as root.
    Default(Option<Account>),
    /// This user's, whom this process has become.
    User(Account),
}

/// Goes to a destination.
pub struct Walk<'a> {
    request: &'a Request,
    service: &'a Service,
    rights: Rights,
}

impl<'a> Walk<'a> {
    /// Goes through alias or user's file and include files to what `request` asks for: whose rights
    /// it has.
    ///
    /// # Errors
    /// It does not stand there, or may not; or nobody can tell now.
    pub fn to(request: &'a Request, service: &'a Service) -> Result<Rights, Failure> {
        let mut walk = Walk { request, service, rights: Rights::Default(None) };
        let mut entries = match request.source {
            Source::Alias(place) => walk.alias(place)?,
            Source::User => {
                walk.own()?.map(|found| destination::lines(&found.text)).unwrap_or_default()
            }
        };
        for path in &request.includes {
            let wanted = Destination::Include(path.clone());
            entries.contains(&wanted).then_some(()).ok_or_else(changed)?;
            entries = destination::lines(&walk.include(path)?);
        }
        let wanted = match &request.target {
            Target::File(path) => Destination::File(path.clone()),
            Target::Command(text) => Destination::Command(text.clone()),
            Target::Include(path) => Destination::Include(path.clone()),
            Target::Mailbox | Target::Forward => return Err(changed()),
        };
        entries.contains(&wanted).then_some(()).ok_or_else(changed)?;
        walk.may()?;
        Ok(walk.rights)
    }

    /// The text of the include file that `request` asks for.
    ///
    /// # Errors
    /// As [`Walk::to`]; or it cannot be read.
    pub fn read(
        request: &'a Request,
        service: &'a Service,
        path: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let rights = Walk::to(request, service)?;
        Walk { request, service, rights }.include(path)
    }

    /// The file of the user that `request` names.
    ///
    /// # Errors
    /// There is no such user; or nobody can tell now.
    pub fn forward(
        request: &'a Request,
        service: &'a Service,
    ) -> Result<Option<forward::Found>, Failure> {
        Walk { request, service, rights: Rights::Default(None) }.own()
    }

    /// Whether such a destination may stand where it does.
    fn may(&self) -> Result<(), Failure> {
        let within = |allowed: Allowed| match self.request.source {
            _ if !self.request.includes.is_empty() => allowed.include,
            Source::Alias(_) => allowed.alias,
            Source::User => allowed.forward,
        };
        let rules = &self.service.aliases;
        let (allowed, what) = match self.request.target {
            Target::File(_) => (within(rules.files), "file"),
            Target::Command(_) => (within(rules.commands), "command"),
            Target::Include(_) | Target::Mailbox | Target::Forward => (true, ""),
        };
        let text = || format!("mail to {what} is restricted");
        let refused = || Failure::new(Code::Config, (5, 7, 1), text());
        allowed.then_some(()).ok_or_else(refused)
    }

    /// What the alias lists, and whose it is.
    fn alias(&mut self, place: u16) -> Result<Vec<Destination>, Failure> {
        let rules = &self.service.aliases;
        let word = rules.alias_maps.get(usize::from(place));
        let word = word.ok_or_else(changed)?;
        let (table, files) = open(word, rules)?;
        let value = match table.table().lookup(&self.request.name) {
            Lookup::Found(value) => value.into_owned(),
            Lookup::NotFound => return Err(changed()),
            Lookup::Retry(why) => return Err(unavailable(&why)),
        };
        if let Some(uid) = owner(&files, word)? {
            let account = Account::of_uid(uid).ok_or_else(|| {
                let warning = format!("cannot find alias database owner for {word}");
                let text = "cannot find alias database owner";
                Failure::new(Code::OsErr, SYSTEM, text).warn(warning)
            })?;
            self.become_with(account)?;
        }
        Ok(destination::list(&value))
    }

    /// The user's own file, read as the user, whose rights are meant from here on. root's is read
    /// as root.
    fn own(&mut self) -> Result<Option<forward::Found>, Failure> {
        let account = Account::find(&self.request.name)?;
        match account.uid {
            0 => self.rights = Rights::Default(Some(account.clone())),
            _ => self.become_with(account.clone())?,
        }
        forward::find(self.request, self.service, &account)
    }

    fn become_with(&mut self, account: Account) -> Result<(), Failure> {
        become_for(&self.request.target, &account)?;
        self.rights = Rights::User(account);
        Ok(())
    }

    /// The text of an include file; from here on its owner's rights, if they were root's.
    fn include(&mut self, path: &[u8]) -> Result<Vec<u8>, Failure> {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        let shown = path.display();
        let looked = fs::metadata(&path).map_err(|error| {
            let why = reason(&error);
            misconfigured(format!("unable to lookup :include: file {shown}: {why}"))
        })?;
        if !looked.is_file() {
            return Err(misconfigured(format!(":include: file {shown} is not a regular file")));
        }
        if looked.mode() & OTHERS_WRITE != 0 {
            return Err(misconfigured(format!(":include: file {shown} is world writable")));
        }
        if matches!(self.rights, Rights::Default(_)) && looked.uid() != 0 && is_root() {
            let account = Account::of_uid(looked.uid()).ok_or_else(|| {
                let warning = format!("cannot find username for uid {}", looked.uid());
                let text = format!("{shown}: cannot find :include: file owner username");
                Failure::new(Code::OsErr, CONFIG, text).warn(warning)
            })?;
            self.become_with(account)?;
        }
        read(&path, (looked.dev(), looked.ino())).map_err(|error| {
            let text = format!("cannot open include file {shown}: {}", reason(&error));
            Failure::new(Code::OsErr, SYSTEM, text)
        })
    }
}

/// Becomes a user who is to do what `target` says.
///
/// # Errors
/// When the system refuses: the process must end.
pub fn become_for(target: &Target, account: &Account) -> Result<(), Failure> {
    match target {
        Target::Command(_) | Target::Mailbox => become_user_for_commands(account),
        Target::File(_) | Target::Include(_) | Target::Forward => become_user(account, account.gid),
    }
}

/// Reads the file that was looked at, if it is still the same.
///
/// # Errors
/// As open(2) and read(2); it is another one, or longer than [`INCLUDE_BYTES_MAX`].
pub fn read(path: &Path, looked_at: (u64, u64)) -> io::Result<Vec<u8>> {
    // Nobody makes this process wait by putting a pipe in its place.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let open = file.metadata()?;
    if (open.dev(), open.ino()) != looked_at {
        return Err(io::Error::other("it has changed meanwhile"));
    }
    let mut text = Vec::new();
    file.take(INCLUDE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > INCLUDE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(text)
}

/// Opens a table, and names the files it is read from.
///
/// # Errors
/// It cannot be opened, or is behind a server: this process has no network.
pub fn open(word: &str, rules: &AliasRules) -> Result<(Opened, Vec<PathBuf>), Failure> {
    let files: RefCell<Vec<PathBuf>> = RefCell::default();
    let catalog = Catalog {
        system: SYSTEM_OF_TABLES,
        folding: if rules.utf8 { Folding::Utf8 } else { Folding::Ascii },
        utf8: rules.utf8,
        default_type: &rules.default_type,
        proxied: &[],
        sensitive: true,
        verbatim: false,
        parameters: &|_| None,
        // The engine has said so.
        warn: &|_| {},
        reads: &|path| files.borrow_mut().push(path.into()),
    };
    let name = Name::of_table(word, &rules.default_type);
    let name = name.map_err(|bad| unavailable(&bad.0))?;
    if REMOTE.contains(&name.kind.as_str()) {
        let text = format!("files, commands and lists in {}: are not supported yet", name.kind);
        return Err(Failure::new(Code::Config, CONFIG, text));
    }
    let opened = catalog.open(name).map_err(|bad| unavailable(&bad.0))?;
    Ok((opened, files.into_inner()))
}

/// The user a table belongs to; nothing when it is root's, or nobody's because it is no file.
fn owner(files: &[PathBuf], word: &str) -> Result<Option<u32>, Failure> {
    let mut owners = Vec::new();
    for file in files {
        let data = fs::metadata(file).map_err(|error| unavailable(&reason(&error)))?;
        owners.push(data.uid());
    }
    owners.dedup();
    match owners[..] {
        [] | [0] => Ok(None),
        // Who is not root has no choice.
        _ if !is_root() => Ok(None),
        [uid] => Ok(Some(uid)),
        _ => {
            let warning = format!("no owner UID for alias database {word}");
            let text = "mail system configuration error";
            Err(Failure::new(Code::Config, SYSTEM, text).warn(warning))
        }
    }
}

fn changed() -> Failure {
    Failure::new(Code::TempFail, SYSTEM, "the alias has changed meanwhile")
}

fn unavailable(why: &str) -> Failure {
    Failure::new(Code::TempFail, SYSTEM, "alias database unavailable").warn(why)
}

/// What an administrator must repair, and no sender can.
pub fn misconfigured(warning: String) -> Failure {
    let text = "mail system configuration error";
    Failure::new(Code::Config, CONFIG_FOR_GOOD, text).warn(warning)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mailbox::tests::service;

    /// A service with aliases in memory.
    pub fn with_aliases(inline: &str) -> Service {
        let both = Allowed { alias: true, forward: true, include: true };
        let alias_maps = vec![format!("inline:{{ {inline} }}")];
        let aliases = AliasRules {
            alias_maps,
            files: both,
            commands: both,
            default_privs: "nobody".into(),
            directory: "/".into(),
            time_limit_s: 60,
            ..AliasRules::default()
        };
        Service { aliases, ..service() }
    }

    /// A request for what stands in the alias `list`.
    pub fn request(includes: &[&Path], target: Target) -> Request {
        let path = |path: &&Path| path.as_os_str().as_bytes().to_vec();
        Request {
            service: b"local".into(),
            source: Source::Alias(0),
            name: b"list".into(),
            includes: includes.iter().map(path).collect(),
            target,
            from_line: b"From a@b  date".into(),
            environment: Default::default(),
        }
    }

    fn why(request: &Request, service: &Service) -> String {
        Walk::to(request, service).unwrap_err().text
    }

    #[test]
    fn only_what_the_alias_lists_is_found() {
        let service = with_aliases("{list=alice, /file, \"|run it\"}");
        let file = |path: &str| request(&[], Target::File(path.into()));
        assert_eq!(Walk::to(&file("/file"), &service), Ok(Rights::Default(None)));
        let command = request(&[], Target::Command(b"run it".into()));
        assert_eq!(Walk::to(&command, &service), Ok(Rights::Default(None)));
        assert_eq!(why(&file("/other"), &service), "the alias has changed meanwhile");
        let other = Request { name: b"other".into(), ..file("/file") };
        assert_eq!(why(&other, &service), "the alias has changed meanwhile");
        let other = Request { source: Source::Alias(1), ..file("/file") };
        assert_eq!(why(&other, &service), "the alias has changed meanwhile");
        let mut strict = service;
        strict.aliases.files.alias = false;
        assert_eq!(why(&file("/file"), &strict), "mail to file is restricted");
    }

    #[test]
    fn an_include_file_leads_on_and_only_to_what_it_lists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        fs::write(&path, "alice\n\"|x y\"\n").unwrap();
        let service = with_aliases(&format!("{{list=:include:{}}}", path.display()));
        let command = |text: &str| request(&[&path], Target::Command(text.into()));
        Walk::to(&command("x y"), &service).unwrap();
        assert_eq!(why(&command("z"), &service), "the alias has changed meanwhile");
        let elsewhere = request(&[Path::new("/etc/passwd")], Target::Command(b"x y".into()));
        assert_eq!(why(&elsewhere, &service), "the alias has changed meanwhile");
        let asked = path.as_os_str().as_bytes().to_vec();
        let read = request(&[], Target::Include(asked.clone()));
        assert_eq!(Walk::read(&read, &service, &asked).unwrap(), b"alice\n\"|x y\"\n");
        fs::remove_file(&path).unwrap();
        let failure = Walk::read(&read, &service, &asked).unwrap_err();
        assert_eq!((failure.status, failure.warnings.len()), (CONFIG_FOR_GOOD, 1));
    }

    #[test]
    fn a_table_behind_a_server_is_not_believed() {
        let mut service = with_aliases("{list=/file}");
        service.aliases.alias_maps = vec!["ldap:/etc/x".into()];
        let text = "files, commands and lists in ldap: are not supported yet";
        assert_eq!(why(&request(&[], Target::File(b"/file".into())), &service), text);
    }
}
