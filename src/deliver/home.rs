//! What in a user's home decides whether mail may go to the mailbox.
//!
//! Looked at as the user. A missing home defers when `require_home_directory` asks for one. A file
//! of `forward_path` that says something is not obeyed yet, so the mail waits rather than go to the
//! wrong place. The first that exists counts; an empty one means the mailbox, as in Postfix, and so
//! does what is no file.

use std::fs;
use std::path::Path;

use privsep::{Code, Service};

use crate::account::Account;
use crate::failure::{CONFIG, Failure, SYSTEM, reason};

/// Whether the mailbox it is; what an administrator should know of the home.
///
/// # Errors
/// When it must not be, now.
pub fn check(
    service: &Service,
    account: &Account,
    extension: &[u8],
) -> Result<Vec<String>, Failure> {
    if service.require_home_directory
        && let Err(error) = fs::symlink_metadata(&account.home)
    {
        let home = account.home.display();
        let text = format!("cannot access home directory {home}: {}", reason(&error));
        return Err(Failure::new(Code::OsErr, SYSTEM, text));
    }
    let extension = String::from_utf8_lossy(extension);
    let words = service.forward_path.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    for word in words {
        let Some(path) = expand(word, service, account, &extension) else {
            let text = format!("forward_path {word} is not supported yet");
            return Err(Failure::new(Code::Config, CONFIG, text));
        };
        match fs::symlink_metadata(&path) {
            Err(_) => {}
            Ok(data) if !data.is_file() => {
                return Ok(vec![format!("file {path} is not a regular file")]);
            }
            Ok(data) if data.len() > 0 => return Err(not_obeyed(Path::new(&path))),
            Ok(_) => break,
        }
    }
    Ok(Vec::new())
}

fn not_obeyed(path: &Path) -> Failure {
    let text = format!("forwarding by {} is not supported yet", path.display());
    Failure::new(Code::Config, CONFIG, text)
}

/// A word of `forward_path` with its `$name` and `${name}`; nothing when there is one that is not
/// known here.
fn expand(word: &str, service: &Service, account: &Account, extension: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, behind) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        match name {
            "home" => out.push_str(account.home.to_str()?),
            "user" => out.push_str(&account.name),
            "extension" => out.push_str(extension),
            // Empty when there is no extension to set apart.
            "recipient_delimiter" if extension.is_empty() => {}
            "recipient_delimiter" => out.push_str(&service.recipient_delimiter),
            _ => return None,
        }
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::tests::service;

    const DEFAULT: &str = "$home/.forward${recipient_delimiter}${extension}, $home/.forward";

    fn account(home: &Path) -> Account {
        Account { name: "alice".into(), uid: 1, gid: 1, home: home.into() }
    }

    #[test]
    fn a_forward_file_that_says_something_defers_and_an_empty_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let service = Service { forward_path: DEFAULT.into(), ..service() };
        let check = |extension: &[u8]| check(&service, &account(dir.path()), extension);
        assert_eq!(check(b""), Ok(Vec::new()));
        fs::write(dir.path().join(".forward"), "").unwrap();
        assert_eq!(check(b""), Ok(Vec::new()));
        fs::write(dir.path().join(".forward+lists"), "bob\n").unwrap();
        assert_eq!(check(b"other"), Ok(Vec::new()));
        let failure = check(b"lists").unwrap_err();
        assert_eq!((failure.code, failure.status), (Code::Config, CONFIG));
        fs::remove_file(dir.path().join(".forward")).unwrap();
        fs::create_dir(dir.path().join(".forward")).unwrap();
        assert!(check(b"").unwrap()[0].ends_with("/.forward is not a regular file"));
    }

    #[test]
    fn what_forward_path_means_is_known_or_the_mail_waits() {
        let service = service();
        let account = account(Path::new("/h/alice"));
        let expanded = |word, extension| expand(word, &service, &account, extension);
        let path = "/fwd/$user${recipient_delimiter}$extension.x";
        assert_eq!(expanded(path, "y").as_deref(), Some("/fwd/alice+y.x"));
        assert_eq!(expanded(path, "").as_deref(), Some("/fwd/alice.x"));
        assert_eq!(expanded("${extension?x}", "y"), None);
        assert_eq!(expanded("$domain", ""), None);
        assert_eq!(expanded("${home", ""), None);
    }

    #[test]
    fn a_home_may_be_required() {
        let service = Service { require_home_directory: true, ..service() };
        let failure = check(&service, &account(Path::new("/none/alice")), b"").unwrap_err();
        let text = "cannot access home directory /none/alice: No such file or directory";
        assert_eq!((failure.text.as_str(), failure.status), (text, SYSTEM));
    }
}
