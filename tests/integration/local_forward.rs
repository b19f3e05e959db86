//! Users' own files of `forward_path`: obeyed with the user's rights, and nothing lost on the way.
//!
//! As root the recipient is a system account and the files are root's; as anybody else both are the
//! caller's.

use super::local::{installed, mailbox, send, user};
use crate::support::client::submit_again;
use crate::support::keeper::Keeper;
use crate::support::process::{runs, signal};
use crate::support::system::System;
use crate::support::wait;
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A system where the user has this file, and perhaps one for an extension; not started.
fn with_file(text: &str, extra: &str) -> (System, String, u32) {
    let system = installed(extra);
    let (user, uid) = user();
    for (name, mode) in [("forward", 0o755), ("out", 0o1777)] {
        fs::create_dir(system.path(name)).unwrap();
        fs::set_permissions(system.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let directory = system.path("forward").display().to_string();
    system.configure(&format!(
        "myorigin = example.test\nrecipient_delimiter = +\nforward_path = {directory}/$user${{recipient_delimiter}}$extension, \
         {directory}/$user\n"
    ));
    write(&system, &user, text);
    (system, user, uid)
}

fn write(system: &System, name: &str, text: &str) {
    let path = system.path("forward").join(name);
    fs::write(&path, text.replace("OUT", &system.path("out").display().to_string())).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_users_file_says_where_mail_goes_and_the_user_does_it() {
    let (user, uid) = user();
    let text = format!(
        "# mine\n\\{user}, x@there.example\n\"|cat > OUT/command; id -u >> OUT/command\"\nOUT/file\n\
         OUT/maildir/\n"
    );
    let (system, user, _) = with_file(&text, "");
    let sink = Keeper::start(system.sink);
    system.start();
    send(&system, &user, "once");
    wait("the forwarded message", || sink.count() == 1);
    system.wait_until_empty();
    assert_eq!(mailbox(&system, &user).matches("\nSubject: once\n").count(), 1);
    let forwarded = sink.mail().swap_remove(0);
    assert_eq!(forwarded.sender, "sender@source.example");
    assert_eq!(forwarded.recipients, ["x@there.example"]);
    assert_eq!(forwarded.header("Delivered-To"), Some(&*format!("{user}@example.test")));
    assert_eq!(forwarded.content.matches("Received: ").count(), 2);
    let read = |name: &str| fs::read_to_string(system.path("out").join(name)).unwrap();
    assert!(read("command").contains("\nSubject: once\n"));
    assert!(read("command").ends_with(&format!("\n{uid}\n")), "{}", read("command"));
    assert!(read("file").contains(&format!("\nDelivered-To: {user}@example.test\n")));
    let owner = |name: &str| fs::metadata(system.path("out").join(name)).unwrap().uid();
    assert_eq!([owner("command"), owner("file"), owner("maildir")], [uid; 3]);
    for end in
        ["delivered to mailbox)", "delivered to maildir)", "delivered to file: ", "forwarded as "]
    {
        assert_eq!(system.logged(&format!("status=sent ({end}")), 1, "{}", system.log());
    }
    let warns = |line: &&str| line.contains("postfix/local[") && line.contains("warning");
    assert_eq!(system.log().lines().find(warns), None);
}

#[test]
fn an_extension_may_have_a_file_and_an_empty_file_means_the_mailbox() {
    let (system, user, _) = with_file("", "");
    write(&system, &format!("{user}+lists"), "OUT/lists\n");
    system.start();
    for (number, extension) in ["", "+lists", "+other"].iter().enumerate() {
        send(&system, &format!("{user}{extension}"), &format!("no {number}."));
    }
    system.wait_until_empty();
    let lists = fs::read_to_string(system.path("out/lists")).unwrap();
    assert!(lists.contains("\nSubject: no 1.\n") && lists.matches("\nSubject: ").count() == 1);
    let text = mailbox(&system, &user);
    assert_eq!(text.matches("\nSubject: ").count(), 2, "{text}");
}

#[test]
fn a_file_that_anybody_may_write_to_is_not_obeyed_and_said() {
    let (system, user, _) = with_file("x@there.example\n", "");
    let path = system.path("forward").join(&user);
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    system.start();
    send(&system, &user, "kept");
    system.wait_until_empty();
    assert!(mailbox(&system, &user).contains("\nSubject: kept\n"));
    let warning = format!("warning: file {} is world writable", path.display());
    assert_eq!(system.logged(&warning), 1, "{}", system.log());
}

#[test]
fn two_users_that_forward_to_each_other_are_stopped() {
    let (system, user, _) =
        with_file("other@example.test\n", "alias_maps = inline:{other=back@example.test}\n");
    system.configure("virtual_alias_maps = inline:{back@example.test=USER@example.test}\n");
    let main_cf = system.path("conf/main.cf");
    let text = fs::read_to_string(&main_cf).unwrap().replace("USER@", &format!("{user}@"));
    fs::write(main_cf, text).unwrap();
    system.start();
    send(&system, &user, "round");
    let text = format!("dsn=5.4.6, status=bounced (mail forwarding loop for {user}@example.test)");
    wait("the end of the loop", || system.logged(&text) == 1);
    assert_eq!(mailbox(&system, &user), "");
}

/// Mail goes on by a file while engines die: it arrives all the same.
#[test]
fn a_file_that_is_obeyed_while_engines_are_killed_loses_nothing() {
    const MESSAGES: usize = 24;
    let (system, user, _) = with_file("x@there.example\n", "");
    let sink = Keeper::start(system.sink);
    system.start();
    for number in 0..MESSAGES {
        let to = format!("{user}@example.test");
        submit_again(system.port, "s@source.example", &to, &format!("no {number}."));
        if number % 6 == 5 {
            // The next client is for the next engine: master keeps the socket.
            let engine = system.engine();
            signal(engine, Signal::KILL);
            wait("its end", || !runs(engine));
        }
    }
    let has = |number: usize| {
        let text = format!("\nSubject: no {number}.\r\n");
        sink.mail().iter().any(|mail| mail.content.contains(&text))
    };
    wait("every message at its end", || (0..MESSAGES).all(has));
    system.wait_until_empty();
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
}
