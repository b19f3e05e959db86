//! Mail for virtual mailboxes: in files below one directory, of the owners that tables name; never
//! lost when the helper dies, and never where a planted link leads.
//!
//! All need root: otherwise files have one owner only.

use crate::support::client::submit;
use crate::support::process::{children, signal};
use crate::support::system::{System, is_root};
use crate::support::{skip, wait};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

const MAIN_CF: &str = "virtual_mailbox_domains = abc.example, xyz.example\n\
    smtpd_reject_unlisted_recipient = no\n\
    minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
    deliver_lock_delay = 1s\ntransport_retry_time = 1s\n";
/// The owners of the mailboxes.
pub const UID: u32 = 1003;
pub const GID: u32 = 105;

/// A system with a virtual service, its mailboxes in `vmail`, not started yet; nothing without
/// root.
pub fn installed(what: &str, extra: &str) -> Option<System> {
    if !is_root() {
        skip(what, "needs root");
        return None;
    }
    let system = System::new(MAIN_CF);
    let base = system.path("vmail");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
    system.configure(&format!("virtual_mailbox_base = {}\n{extra}", base.display()));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}virtual unix - n n - - virtual\n")).unwrap();
    Some(system)
}

/// Makes a directory below the base that belongs to the mailboxes' owner.
pub fn directory(system: &System, name: &str) -> PathBuf {
    let path = system.path("vmail").join(name);
    fs::create_dir(&path).unwrap();
    chown(&path, Some(UID), Some(GID)).unwrap();
    path
}

/// Writes a table and names it in main.cf.
pub fn table(system: &System, parameter: &str, text: &str, more: &str) {
    let file = system.path("conf").join(parameter);
    fs::write(&file, text).unwrap();
    let name = format!("hash:{}", file.display());
    system.tell("postmap", &[&name]);
    system.configure(&format!("{parameter} = {name} {more}\n"));
}

pub fn send(system: &System, recipient: &str, subject: &str) {
    submit(system.port, "sender@source.example", recipient, subject);
}

/// Waits for a line of the log.
#[track_caller]
pub fn wait_for(system: &System, text: &str) {
    let within = crate::support::within(crate::support::PATIENCE, || system.logged(text) >= 1);
    assert!(within, "not in the log: {text}\n{}", system.log());
}

/// One mailbox in a directory of its owner.
fn started(what: &str, extra: &str) -> Option<System> {
    let owners = format!("virtual_uid_maps = static:{UID}\nvirtual_gid_maps = static:{GID}\n");
    let system = installed(what, &format!("{owners}{extra}"))?;
    directory(&system, "abc");
    table(&system, "virtual_mailbox_maps", "ceo@abc.example abc/ceo\n", "");
    system.start();
    Some(system)
}

fn mailbox(system: &System) -> String {
    fs::read_to_string(system.path("vmail/abc/ceo")).unwrap_or_default()
}

/// The process that runs `deliver`, once there is one.
fn helper(system: &System) -> u32 {
    let path = system.path("bin/deliver");
    let of = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == path);
    let mut found = None;
    wait("the helper", || {
        found = children(system.master()).into_iter().find(of);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_delivery_that_is_killed_in_its_middle_is_deferred_and_made_again() {
    let Some(system) = started("a delivery that is killed", "") else { return };
    // It waits for this lock.
    let lock = system.path("vmail/abc/ceo.lock");
    fs::write(&lock, "").unwrap();
    let helper = helper(&system);
    send(&system, "ceo@abc.example", "once");
    wait("a delivery at work", || !children(helper).is_empty());
    let child = children(helper)[0];
    let mut status = String::new();
    // It begins as the helper that it is a copy of.
    wait("a delivery as its user", || {
        status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        status.contains(&format!("\nUid:\t{UID}\t{UID}\t{UID}\t{UID}\n"))
    });
    assert!(status.contains(&format!("\nGid:\t{GID}\t{GID}\t{GID}\t{GID}\n")), "{status}");
    assert!(status.contains(&format!("\nGroups:\t{GID} \n")), "{status}");
    assert!(status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
    signal(child, Signal::KILL);
    wait_for(&system, "dsn=4.3.0, status=deferred (unknown mail transport error)");
    fs::remove_file(&lock).unwrap();
    wait_for(&system, "status=sent (delivered to mailbox)");
    system.wait_until_empty();
    assert_eq!(mailbox(&system).matches("\nSubject: once\n").count(), 1);
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
}

#[test]
fn a_helper_that_is_killed_again_and_again_loses_nothing() {
    const MESSAGES: usize = 24;
    let Some(system) = started("a helper that is killed", "") else { return };
    for number in 0..MESSAGES {
        send(&system, "ceo@abc.example", &format!("message {number}."));
        if number % 6 == 0 {
            signal(helper(&system), Signal::KILL);
        }
    }
    wait("deliveries in the log", || system.logged("status=sent (delivered to ") >= MESSAGES);
    system.wait_until_empty();
    let text = mailbox(&system);
    for number in 0..MESSAGES {
        assert!(text.contains(&format!("\nSubject: message {number}.\n")), "{number}\n{text}");
    }
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
}

#[test]
fn a_link_that_is_planted_below_the_base_gains_nothing() {
    let Some(system) = started("planted links", "") else { return };
    let treasure = system.path("treasure");
    fs::create_dir(&treasure).unwrap();
    fs::write(treasure.join("file"), "gold").unwrap();
    let abc = system.path("vmail/abc");
    // The owner of the directory puts them there.
    let plant = |target: PathBuf, name: &str| {
        symlink(target, abc.join(name)).unwrap();
        rustix::fs::chownat(
            rustix::fs::CWD,
            abc.join(name),
            Some(rustix::fs::Uid::from_raw(UID)),
            Some(rustix::fs::Gid::from_raw(GID)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    };
    plant(treasure.join("file"), "ceo");
    send(&system, "ceo@abc.example", "to a file of root");
    let mailbox = abc.join("ceo").display().to_string();
    wait_for(
        &system,
        &format!("dsn=4.2.0, status=deferred (delivery failed to mailbox {mailbox}: "),
    );
    let maps = "ceo@abc.example abc/ceo\ndir@abc.example abc/dir/\nin@abc.example abc/dir/file\n\
                up@abc.example abc/../../treasure/up\n";
    fs::write(system.path("conf/virtual_mailbox_maps"), maps).unwrap();
    plant(treasure.clone(), "dir");
    let name = format!("hash:{}", system.path("conf/virtual_mailbox_maps").display());
    system.tell("postmap", &[&name]);
    system.reload();
    for recipient in ["dir@abc.example", "in@abc.example", "up@abc.example"] {
        send(&system, recipient, "to a directory of root");
        wait_for(&system, &format!("to=<{recipient}>, relay=virtual, "));
    }
    assert_eq!(system.logged("status=sent"), 0, "{}", system.log());
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
    assert_eq!(fs::read_dir(&treasure).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(treasure.join("file")).unwrap(), "gold");
}

#[test]
fn a_mailbox_at_its_limit_is_a_bounce_and_one_of_somebody_else_waits() {
    let limits = "message_size_limit = 600\nvirtual_mailbox_limit = 600\n";
    let Some(system) = started("a full mailbox", limits) else { return };
    let path = system.path("vmail/abc/ceo");
    fs::write(&path, "x".repeat(590)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    send(&system, "ceo@abc.example", "somebody else's");
    let text = format!("destination {} is not owned by recipient)", path.display());
    wait_for(&system, &text);
    let hint = "warning: specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership";
    wait_for(&system, hint);
    chown(&path, Some(UID), Some(GID)).unwrap();
    let text = format!(
        "dsn=5.2.2, status=bounced (delivery failed to mailbox {}: error writing message: File \
         too large)",
        path.display()
    );
    wait_for(&system, &text);
    assert_eq!(fs::metadata(&path).unwrap().len(), 590);
}
