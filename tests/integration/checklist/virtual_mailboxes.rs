//! Part I: mailboxes of virtual domains.

use crate::integration::vmailbox::{GID, UID, directory, installed, send, table, wait_for};
use crate::support::system::System;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// The table of the mission.
const VMAILBOX: &str = "CEO@abc.example abc-domain/CEO\nCEO@xyz.example xyz-domain/CEO/\n";

/// A system with that table, its two directories, and these owners; both have mail when it returns.
fn delivered(what: &str, uids: &[u32; 2], owners: impl Fn(&System)) -> Option<System> {
    let system = installed(what, "")?;
    for (name, uid) in ["abc-domain", "xyz-domain"].into_iter().zip(uids) {
        chown(directory(&system, name), Some(*uid), None).unwrap();
    }
    table(&system, "virtual_mailbox_maps", VMAILBOX, "");
    system.configure(&format!("virtual_gid_maps = static:{GID}\n"));
    owners(&system);
    system.start();
    send(&system, "CEO@abc.example", "mbox");
    send(&system, "CEO@xyz.example", "maildir");
    wait_for(&system, "status=sent (delivered to mailbox)");
    wait_for(&system, "status=sent (delivered to maildir)");
    Some(system)
}

fn owner(path: &Path) -> (u32, u32) {
    let data = fs::metadata(path).unwrap();
    (data.uid(), data.gid())
}

/// Who owns the mbox, and who the Maildir.
fn owners(system: &System) -> [(u32, u32); 2] {
    ["vmail/abc-domain/CEO", "vmail/xyz-domain/CEO"].map(|name| owner(&system.path(name)))
}

#[test]
fn s152_virtual_mailbox_base_and_directories_that_are_missing() {
    let owners = format!("virtual_uid_maps = static:{UID}\nvirtual_gid_maps = static:{GID}\n");
    let Some(system) = installed("S152", &owners) else { return };
    table(&system, "virtual_mailbox_maps", VMAILBOX, "");
    system.start();
    send(&system, "CEO@abc.example", "waits");
    send(&system, "CEO@xyz.example", "waits");
    let base = system.path("vmail").display().to_string();
    wait_for(
        &system,
        &format!(
            "dsn=4.2.0, status=deferred (delivery failed to mailbox {base}/abc-domain/CEO: unable \
             to create lock file {base}/abc-domain/CEO.lock: No such file or directory)"
        ),
    );
    let maildir = format!("create maildir file {base}/xyz-domain/CEO/tmp/");
    wait_for(&system, &format!("dsn=4.2.0, status=deferred (maildir delivery failed: {maildir}"));
    wait_for(&system, "warning: perhaps you need to create the maildirs in advance");
    directory(&system, "abc-domain");
    directory(&system, "xyz-domain");
    wait_for(&system, "status=sent (delivered to mailbox)");
    wait_for(&system, "status=sent (delivered to maildir)");
    assert_eq!(system.logged("status=bounced"), 0);
}

#[test]
fn s153_a_slash_at_the_end_decides_between_mbox_and_maildir() {
    let uids = format!("virtual_uid_maps = static:{UID}\n");
    let Some(system) = delivered("S153", &[UID, UID], |system| system.configure(&uids)) else {
        return;
    };
    let text = fs::read_to_string(system.path("vmail/abc-domain/CEO")).unwrap();
    assert!(text.starts_with("From sender@source.example  "), "{text}");
    let header = "\nReturn-Path: <sender@source.example>\nX-Original-To: CEO@abc.example\n\
                  Delivered-To: CEO@abc.example\nReceived: from ";
    assert!(text.contains(header) && text.ends_with("\n\nText\n\n"), "{text}");
    let new = fs::read_dir(system.path("vmail/xyz-domain/CEO/new")).unwrap();
    let files: Vec<_> = new.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let text = fs::read_to_string(&files[0]).unwrap();
    assert!(text.starts_with("Return-Path: <sender@source.example>\nX-Original-To: "), "{text}");
}

#[test]
fn s154_static_ids_and_a_least_user_id() {
    let uids = format!("virtual_uid_maps = static:{UID}\n");
    let Some(system) = delivered("S154", &[UID, UID], |system| system.configure(&uids)) else {
        return;
    };
    assert_eq!(owners(&system), [(UID, GID), (UID, GID)]);
    system.configure("virtual_uid_maps = static:99\n");
    system.reload();
    send(&system, "CEO@abc.example", "waits");
    wait_for(&system, "dsn=4.3.5, status=deferred (mail system configuration error)");
    wait_for(&system, "warning: recipient ceo@abc.example: bad uid 99 in virtual_uid_maps");
}

#[test]
fn s155_user_ids_by_recipient() {
    let uids = "CEO@abc.example 1004\nCEO@xyz.example 1008\n";
    let tables = |system: &System| table(system, "virtual_uid_maps", uids, "");
    let Some(system) = delivered("S155", &[1004, 1008], tables) else { return };
    assert_eq!(owners(&system), [(1004, GID), (1008, GID)]);
}

#[test]
fn s156_user_ids_by_recipient_and_one_for_all_others() {
    let uids = "CEO@abc.example 1004\n";
    let tables = |system: &System| table(system, "virtual_uid_maps", uids, "static:1003");
    let Some(system) = delivered("S156", &[1004, 1003], tables) else { return };
    assert_eq!(owners(&system), [(1004, GID), (1003, GID)]);
}
