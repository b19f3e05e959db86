//! One delivery of virtual(8), in a process of its own: identity, mailbox, content, answer.
//!
//! Called by [`crate::child`] with what the engine asks. The engine has looked up whose mailbox it
//! is; what it may name is bounded by the rules: no root, no user below `virtual_minimum_uid`, no
//! mailbox that is not below `virtual_mailbox_base`. Everything is done with the rights of that
//! user and group, and no others.
//!
//! | step | as | answer when it fails |
//! | --- | --- | --- |
//! | find the service's rules, look at ids and path | root | EX_USAGE, EX_CONFIG |
//! | become the user | - | EX_OSERR |
//! | open and lock | the user | EX_CANTCREAT, EX_TEMPFAIL |
//! | say `Go`, write, sync | the user | EX_IOERR |
//!
//! **Diagnostics**: as in `child`; whatever is not the mailbox's size or the machine's is deferred
//! (4.2.0), not returned. **Limits**: `virtual_mailbox_limit`.
//! **Standards**: virtual(8) of Postfix 3.7, except that a path with `..` is refused.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use privsep::alias::AliasRules;
use privsep::{Code, Rules, Service, Verdict, VirtualRequest, VirtualService};

use crate::account::Account;
use crate::as_user::{become_user, writer};
use crate::copy::unfinished;
use crate::failure::{CONFIG, CONFIG_FOR_GOOD, Failure, MAILBOX, MAILBOX_BUSY, SYSTEM};
use crate::mailbox::{Mailbox, Recipient};
use crate::maildir;
use crate::wire::Wire;

/// What is said where only the administrator can help.
const MISCONFIGURED: &str = "mail system configuration error";
/// How an mbox that is a device or the like is told of.
const NOT_A_FILE: &str = " is not a regular file";

/// Makes the delivery that `request` asks for.
///
/// # Errors
/// When the engine is gone.
pub fn serve(mut wire: Wire, request: &VirtualRequest, rules: &Rules) -> io::Result<()> {
    let result = permitted(request, rules).and_then(|service| {
        let account = account(request);
        become_user(&account, account.gid)?;
        write(request, service, &account, &mut wire)
    });
    wire.done(match result {
        Ok(text) => {
            let warnings = Vec::new();
            Verdict { code: Code::Ok, status: (2, 0, 0), text: text.into(), warnings }
        }
        Err(failure) => deferred(failure).into(),
    })
}

/// The rules of the service, when they allow what is asked.
fn permitted<'a>(
    request: &VirtualRequest,
    rules: &'a Rules,
) -> Result<&'a VirtualService, Failure> {
    let service = rules.virtual_service(&request.service);
    let service = service.ok_or_else(|| Failure::new(Code::Usage, SYSTEM, MISCONFIGURED))?;
    let refused = |why: String| Failure::new(Code::Config, CONFIG, MISCONFIGURED).warn(why);
    let VirtualRequest { uid, gid, .. } = *request;
    if !service.allows(uid, gid) {
        return Err(refused(format!("delivery with UID/GID={uid}/{gid} is not allowed")));
    }
    if request.climbs() {
        let path = path_of(service, request);
        return Err(refused(format!("mailbox path {} has \"..\" in it", path.display())));
    }
    Ok(service)
}

/// The base, a slash, the path, as Postfix puts them together.
fn path_of(service: &VirtualService, request: &VirtualRequest) -> PathBuf {
    let mut path = OsString::from(&service.base).into_vec();
    path.push(b'/');
    path.extend_from_slice(&request.path);
    OsString::from_vec(path).into()
}

/// Nobody that the password file would have to know.
fn account(request: &VirtualRequest) -> Account {
    let VirtualRequest { uid, gid, .. } = *request;
    Account { name: format!("with UID/GID={uid}/{gid}"), uid, gid, home: PathBuf::from("/") }
}

/// Writes as whoever this process is by now: what is said of it.
fn write(
    request: &VirtualRequest,
    service: &VirtualService,
    account: &Account,
    wire: &mut Wire,
) -> Result<&'static str, Failure> {
    let (path, rules) = (path_of(service, request), mailbox_rules(service));
    if request.path.is_empty() || request.path.ends_with(b"/") {
        return maildir::deliver(&path, &rules, wire).map(|()| "delivered to maildir");
    }
    let to = Recipient { uid: writer(account), give_to: None };
    Mailbox::open(&path, to, &rules)
        .and_then(|mailbox| {
            wire.go().map_err(|_| unfinished())?;
            mailbox.append(&request.from_line, wire)
        })
        .map_err(|failure| cannot_deliver(&path, failure))
        .map(|()| "delivered to mailbox")
}

/// The rules in the form in which the code of mailboxes takes them.
fn mailbox_rules(service: &VirtualService) -> Service {
    Service {
        name: service.name.clone(),
        home_mailbox: String::new(),
        mail_spool_directory: String::new(),
        forward_path: String::new(),
        locks: service.locks,
        lock_attempts: service.lock_attempts,
        lock_delay_s: service.lock_delay_s,
        stale_lock_s: service.stale_lock_s,
        mailbox_size_limit: service.mailbox_limit,
        require_home_directory: false,
        strict_mailbox_ownership: service.strict_mailbox_ownership,
        aliases: AliasRules::default(),
    }
}

fn cannot_deliver(path: &Path, failure: Failure) -> Failure {
    let failure = match failure.text.ends_with(NOT_A_FILE) {
        true => Failure::new(failure.code, CONFIG_FOR_GOOD, MISCONFIGURED).warn(failure.text),
        false => failure,
    };
    failure.within(&format!("delivery failed to mailbox {}: ", path.display()))
}

/// A mailbox that cannot be used is the administrator's affair: the mail waits.
fn deferred(failure: Failure) -> Failure {
    let status = if failure.status == MAILBOX { MAILBOX_BUSY } else { failure.status };
    Failure { status, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::MAILBOX_FULL;
    use crate::mailbox::tests::service as local;
    use crate::wire::tests::with_content;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A service whose base is there, which tries to lock once.
    fn service(base: &Path) -> VirtualService {
        let Service { locks, lock_attempts, lock_delay_s, stale_lock_s, .. } = local();
        VirtualService {
            name: "virtual".into(),
            base: base.to_str().unwrap().into(),
            minimum_uid: 100,
            locks,
            lock_attempts,
            lock_delay_s,
            stale_lock_s,
            mailbox_limit: 0,
            strict_mailbox_ownership: true,
        }
    }

    fn request(path: &str) -> VirtualRequest {
        VirtualRequest {
            service: b"virtual".into(),
            path: path.into(),
            uid: 1003,
            gid: 105,
            from_line: b"From a@b  date".into(),
        }
    }

    /// Writes as who runs the test.
    fn written(service: &VirtualService, path: &str) -> Result<&'static str, Failure> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let request = VirtualRequest { uid, gid, ..request(path) };
        let mut wire = with_content(&[b"Subject: x\n\nFrom here\n"], true);
        write(&request, service, &account(&request), &mut wire).map_err(deferred)
    }

    #[test]
    fn a_slash_at_the_end_makes_a_maildir_and_its_absence_an_mbox() {
        let dir = tempfile::tempdir().unwrap();
        let service = service(dir.path());
        assert_eq!(written(&service, "ceo"), Ok("delivered to mailbox"));
        let text = fs::read_to_string(dir.path().join("ceo")).unwrap();
        assert_eq!(text, "From a@b  date\nSubject: x\n\n>From here\n\n");
        assert_eq!(written(&service, "/x.example/deep/ceo/"), Ok("delivered to maildir"));
        assert_eq!(fs::read_dir(dir.path().join("x.example/deep/ceo/new")).unwrap().count(), 1);
        assert_eq!(written(&service, ""), Ok("delivered to maildir"));
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn ids_and_paths_are_those_that_the_rules_allow() {
        let base = Path::new("/var/vmail");
        let virtuals = vec![service(base)];
        let rules = Rules { mail_owner: 101, services: Vec::new(), virtuals };
        assert_eq!(permitted(&request("a/b"), &rules), Ok(&service(base)));
        for (uid, gid) in [(0, 105), (99, 105), (1003, 0), (u32::MAX, 105)] {
            let request = VirtualRequest { uid, gid, ..request("a") };
            let failure = permitted(&request, &rules).unwrap_err();
            assert_eq!((failure.status, failure.text.as_str()), (CONFIG, MISCONFIGURED));
            let why = format!("delivery with UID/GID={uid}/{gid} is not allowed");
            assert_eq!(failure.warnings, [why]);
        }
        let failure = permitted(&request("../home/alice/"), &rules).unwrap_err();
        let why = "mailbox path /var/vmail/../home/alice/ has \"..\" in it";
        assert_eq!((failure.status, failure.warnings), (CONFIG, vec![why.to_string()]));
        let other = VirtualRequest { service: b"local".into(), ..request("a") };
        assert_eq!(permitted(&other, &rules).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn what_is_in_the_way_defers_in_postfix_words() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().display();
        let service = service(dir.path());
        let failure = written(&service, "none/ceo").unwrap_err();
        let lock = format!("{base}/none/ceo.lock: No such file or directory");
        let text = format!("unable to create lock file {lock}");
        let within = format!("delivery failed to mailbox {base}/none/ceo: ");
        assert_eq!((failure.text, failure.status), (format!("{within}{text}"), MAILBOX_BUSY));
        fs::write(dir.path().join("file"), "").unwrap();
        let failure = written(&service, "file/").unwrap_err();
        assert!(failure.text.starts_with("maildir delivery failed: create maildir file "));
        assert_eq!(failure.status, MAILBOX_BUSY);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        symlink("/dev/null", dir.path().join("link")).unwrap();
        let failure = written(&service, "link").unwrap_err();
        assert!(failure.text.ends_with(": file is a symbolic link"), "{}", failure.text);
        assert_eq!(failure.status, MAILBOX_BUSY);
    }

    #[test]
    fn a_mailbox_that_is_full_is_a_bounce_and_so_is_one_that_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let service = VirtualService { mailbox_limit: 10, ..service(dir.path()) };
        for path in ["ceo", "dir/"] {
            let failure = written(&service, path).unwrap_err();
            assert!(failure.text.ends_with(": error writing message: File too large"));
            assert_eq!(failure.status, MAILBOX_FULL);
        }
        let path = Path::new("/b/null");
        let device = Failure::new(Code::CantCreate, MAILBOX, "destination x is not a regular file");
        let failure = cannot_deliver(path, device);
        let text = "delivery failed to mailbox /b/null: mail system configuration error";
        assert_eq!((failure.text.as_str(), failure.status), (text, CONFIG_FOR_GOOD));
        assert_eq!(failure.warnings, ["destination x is not a regular file"]);
    }
}
