//! A user's own file of `forward_path`: which one it is, and what it says.
//!
//! Called by [`crate::spelled`], for the engine, which takes its text apart, and to see whether a
//! destination stands in it. This process is the user by then; for root, who
//! may read everything, it is root.
//!
//! | the first file that exists | is |
//! | --- | --- |
//! | none of them does | no file: the mail is for the mailbox |
//! | no regular file, somebody else's, or anybody may write to it | empty, with a warning |
//! | it may not be opened | the same |
//! | otherwise | read |
//!
//! **Diagnostics**: [`Failure`] when nobody can tell now, or a home that must exist does not.
//! **Limits**: [`privsep::alias::INCLUDE_BYTES_MAX`]; one that is longer defers.
//! **Standards**: local(8), user-level aliases; postconf(5) `forward_path`,
//! `forward_expansion_filter`, `require_home_directory`.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mail::expand::{Use, expand};
use privsep::alias::{Request, Source};
use privsep::{Code, Service};
use rustix::io::Errno;

use crate::account::Account;
use crate::command::path;
use crate::failure::{Failure, SYSTEM, reason};
use crate::spelled::read;

const OTHERS_WRITE: u32 = 0o002;
/// What a system call says of a file that is not there for this user.
const ABSENT: [Errno; 7] = [
    Errno::NOENT,
    Errno::NOTDIR,
    Errno::ACCESS,
    Errno::PERM,
    Errno::LOOP,
    Errno::NAMETOOLONG,
    Errno::INVAL,
];

/// A file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub path: PathBuf,
    /// Whether the address extension is a part of the name.
    pub extended: bool,
    /// What it says; nothing when it is not obeyed.
    pub text: Vec<u8>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// The values of names in `forward_path` and `command_execution_directory`. The engine says what
/// the address is: a part of it that would lead to another directory has no value.
pub struct Names<'a> {
    /// Says what is known of the recipient.
    pub request: &'a Request,
    /// Whose home and shell may be known.
    pub account: Option<&'a Account>,
    /// The extension was filled in.
    pub extended: bool,
}

impl Names<'_> {
    /// A name's value; nothing when it has none.
    pub fn value(&mut self, name: &str, how: Use) -> Option<Vec<u8>> {
        let leads = |value: &&[u8]| value.contains(&b'/');
        let of = |name: &str| self.request.value(name).filter(|it| !leads(it)).map(<[u8]>::to_vec);
        match name {
            "user" => Some(self.user()).filter(|it| !leads(it)).map(<[u8]>::to_vec),
            "home" => self.account.map(|account| account.home.as_os_str().as_bytes().to_vec()),
            "shell" => {
                let shell = self.account.and_then(Account::shell)?;
                Some(shell.as_os_str().as_bytes().to_vec())
            }
            "extension" => {
                let extension = of("EXTENSION");
                self.extended |= extension.is_some() && how == Use::Value;
                extension
            }
            "recipient_delimiter" => {
                let local = of("LOCAL")?;
                let rest = local.strip_prefix(self.user())?;
                rest.first().map(|delimiter| vec![*delimiter])
            }
            "local" | "mailbox" => of("LOCAL"),
            "domain" => of("DOMAIN"),
            "recipient" => of("RECIPIENT"),
            "client_address" => of("CLIENT_ADDRESS"),
            "client_helo" => of("CLIENT_HELO"),
            "client_hostname" => of("CLIENT_HOSTNAME"),
            "client_protocol" => of("CLIENT_PROTOCOL"),
            "sasl_username" => of("SASL_USERNAME"),
            _ => None,
        }
    }

    fn user(&self) -> &[u8] {
        match self.request.source {
            Source::User => &self.request.name,
            Source::Alias(_) => self.request.value("USER").unwrap_or_default(),
        }
    }
}

/// The first file of `forward_path` that exists.
///
/// # Errors
/// Nobody can tell now.
pub fn find(
    request: &Request,
    service: &Service,
    account: &Account,
) -> Result<Option<Found>, Failure> {
    if service.require_home_directory
        && let Err(error) = fs::metadata(&account.home)
    {
        let home = account.home.display();
        let text = format!("cannot access home directory {home}: {}", reason(&error));
        return Err(Failure::new(Code::OsErr, SYSTEM, text));
    }
    let mut warnings = Vec::new();
    let separators = [' ', '\t', '\r', '\n', ','];
    for word in service.forward_path.split(separators).filter(|word| !word.is_empty()) {
        let mut names = Names { request, account: Some(account), extended: false };
        let filter = Some(service.aliases.forward_filter.as_bytes());
        match expand(word, filter, &mut |name, how| names.value(name, how)) {
            Err(malformed) => warnings.push(malformed.to_string()),
            Ok(done) if done.undefined => {}
            Ok(done) => {
                let found = look(Path::new(path(&done.text)), account)?;
                if let Some(mut found) = found {
                    found.extended = names.extended;
                    found.warnings.splice(0..0, warnings);
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(None)
}

/// The file at `path`, if there is one.
fn look(path: &Path, account: &Account) -> Result<Option<Found>, Failure> {
    let shown = path.display();
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(unknown(&format!("cannot look for {shown}"), &error)),
    };
    let mut found = Found { path: path.into(), ..Found::default() };
    let refused = if !data.is_file() {
        Some(format!("file {shown} is not a regular file"))
    } else if data.uid() != 0 && data.uid() != account.uid {
        Some(format!("file {shown} has bad owner uid {}", data.uid()))
    } else if data.mode() & OTHERS_WRITE != 0 {
        Some(format!("file {shown} is world writable"))
    } else {
        match read(path, (data.dev(), data.ino())) {
            Ok(text) => {
                found.text = text;
                None
            }
            Err(error) if is_absent(&error) => {
                Some(format!("cannot open file {shown}: {}", reason(&error)))
            }
            Err(error) => return Err(unknown(&format!("cannot open file {shown}"), &error)),
        }
    };
    found.warnings.extend(refused);
    Ok(Some(found))
}

fn is_absent(error: &io::Error) -> bool {
    let listed = Errno::from_io_error(error).is_some_and(|errno| ABSENT.contains(&errno));
    // A path with a zero byte is nobody's.
    listed || error.kind() == ErrorKind::InvalidInput
}

fn unknown(what: &str, error: &io::Error) -> Failure {
    Failure::new(Code::OsErr, SYSTEM, format!("{what}: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::service;
    use crate::spelled::tests::request;
    use privsep::alias::{AliasRules, ENVIRONMENT, Target};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const DEFAULT: &str = "$home/.forward${recipient_delimiter}${extension}, $home/.forward";

    fn asked(values: &[(&str, &str)]) -> Request {
        let mut request = request(&[], Target::Forward);
        (request.source, request.name) = (Source::User, b"alice".into());
        for (name, value) in values {
            let at = ENVIRONMENT.iter().position(|it| it == name).unwrap();
            request.environment[at] = value.as_bytes().to_vec();
        }
        request
    }

    fn with_extension(extension: &str) -> Request {
        asked(&[("LOCAL", &format!("alice+{extension}")), ("EXTENSION", extension)])
    }

    fn service_of(forward_path: &str) -> Service {
        let letters = ('a'..='z').chain('A'..='Z').chain('0'..='9');
        let forward_filter = letters.chain("/+._-".chars()).collect();
        let aliases = AliasRules { forward_filter, ..AliasRules::default() };
        Service { forward_path: forward_path.into(), aliases, ..service() }
    }

    fn account(home: &Path) -> Account {
        let uid = rustix::process::geteuid().as_raw();
        Account { name: "alice".into(), uid, gid: 1, home: home.into() }
    }

    #[test]
    fn the_first_file_that_exists_counts() {
        let dir = tempfile::tempdir().unwrap();
        let service = service_of(DEFAULT);
        let find = |request: &Request| find(request, &service, &account(dir.path())).unwrap();
        assert_eq!(find(&asked(&[])), None);
        fs::write(dir.path().join(".forward"), "bob\n").unwrap();
        fs::write(dir.path().join(".forward+lists"), "").unwrap();
        let found = find(&asked(&[("LOCAL", "alice")])).unwrap();
        assert_eq!((found.text.as_slice(), found.extended), (&b"bob\n"[..], false));
        let found = find(&with_extension("lists")).unwrap();
        assert_eq!((found.path.file_name(), found.extended), (Some(path(b".forward+lists")), true));
        assert!(found.text.is_empty() && found.warnings.is_empty());
        let found = find(&with_extension("other")).unwrap();
        assert_eq!((found.path.file_name(), found.extended), (Some(path(b".forward")), false));
        // Somewhere else it would lead.
        assert!(!find(&with_extension("/../.forward+lists")).unwrap().extended);
    }

    #[test]
    fn what_is_not_to_be_obeyed_is_empty_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let service = service_of(DEFAULT);
        let file = dir.path().join(".forward");
        let find = |account: &Account| find(&asked(&[]), &service, account).unwrap().unwrap();
        fs::write(&file, "bob\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let of = account(dir.path());
        let warning = |what: &str| vec![format!("file {} {what}", file.display())];
        assert_eq!(find(&of).warnings, warning("is world writable"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(find(&of).text, b"bob\n");
        if of.uid == 0 {
            std::os::unix::fs::chown(&file, Some(1), None).unwrap();
            assert_eq!(find(&of).warnings, warning("has bad owner uid 1"));
        }
        fs::remove_file(&file).unwrap();
        symlink("/etc/passwd", &file).unwrap();
        assert_eq!(find(&of).warnings, warning("is not a regular file"));
        assert!(find(&of).text.is_empty());
    }

    #[test]
    fn a_name_without_a_value_makes_a_path_no_path() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["alice.", "alice.ext", "example.org"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let text = |forward_path: &str, request: &Request| {
            let service = service_of(&format!("{}/{forward_path}", dir.path().display()));
            let found = find(request, &service, &account(dir.path())).unwrap();
            found.map(|found| (String::from_utf8(found.text).unwrap(), found.extended))
        };
        let some = |text: &str, extended| Some((text.to_string(), extended));
        let plain = asked(&[("LOCAL", "alice"), ("DOMAIN", "example.org")]);
        assert_eq!(text("$user.$extension", &plain), None);
        assert_eq!(text("$user.${extension}", &with_extension("ext")), some("alice.ext", true));
        assert_eq!(text("$user.${extension?ext}", &with_extension("q")), some("alice.ext", false));
        assert_eq!(text("${user}${extension:.}", &plain), some("alice.", false));
        assert_eq!(text("$domain", &plain), some("example.org", false));
        assert_eq!(text("$none", &plain), None);
        let away = asked(&[("LOCAL", "../alice."), ("DOMAIN", "../example.org")]);
        assert_eq!((text("x$local", &away), text("x$domain", &away)), (None, None));
        let service = service_of(&format!("${{home $none, {}/$domain", dir.path().display()));
        let found = find(&plain, &service, &account(dir.path())).unwrap().unwrap();
        assert_eq!(found.warnings, ["truncated macro reference: \"${home\""]);
    }

    #[test]
    fn a_home_may_be_required() {
        let service = Service { require_home_directory: true, ..service_of("") };
        let missing = account(Path::new("/none/alice"));
        let failure = find(&asked(&[]), &service, &missing).unwrap_err();
        let text = "cannot access home directory /none/alice: No such file or directory";
        assert_eq!((failure.text.as_str(), failure.status), (text, SYSTEM));
    }
}
