//! Parts A and C: mail that users and aliases send on, over several hosts.
//!
//! As root the recipient is a system account; as anybody else it is the caller.

use super::configuration::local_user;
use crate::support::client::submit;
use crate::support::keeper::Keeper;
use crate::support::system::System;
use crate::support::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A system with a local service, where users' own files stand in a directory; not started.
fn host(domain: &str, extra: &str) -> System {
    let system = System::new(&format!(
        "mydestination = {domain}, $myhostname\nmyorigin = {domain}\nlocal_recipient_maps =\n"
    ));
    for (name, mode) in [("spool", 0o1777), ("out", 0o1777), ("forward", 0o755)] {
        fs::create_dir(system.path(name)).unwrap();
        fs::set_permissions(system.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let (spool, forward) = (system.path("spool"), system.path("forward"));
    let (spool, forward) = (spool.display(), forward.display());
    let paths = format!("mail_spool_directory = {spool}\nforward_path = {forward}/$user\n");
    system.configure(&format!("{paths}{extra}"));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}local unix - n n - - local\n")).unwrap();
    system
}

fn own_file(system: &System, user: &str, text: &str) {
    let path = system.path("forward").join(user);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// The id behind `text` in the log.
fn id_after(system: &System, text: &str) -> String {
    let log = system.log();
    let (_, rest) = log.split_once(text).expect("it is in the log");
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn s9_mail_that_is_forwarded_is_a_new_message() {
    let system = host("here.example", "");
    let user = local_user();
    own_file(&system, &user, "someone@there.example\n");
    let sink = Keeper::start(system.sink);
    system.start();
    submit(system.port, "a@source.example", &format!("{user}@here.example"), "on");
    wait("the message at its end", || sink.count() == 1);
    system.wait_until_empty();
    let new = id_after(&system, "status=sent (forwarded as ");
    let to = format!("{new}: to=<someone@there.example>, orig_to=<{user}@here.example>, relay=");
    assert_eq!(system.logged(&to), 1, "{}", system.log());
    let mail = sink.mail().swap_remove(0);
    assert_eq!(mail.sender, "a@source.example");
    let header = format!("\tid {new}; ");
    assert!(mail.content.contains(&header), "{}", mail.content);
    assert_eq!(mail.header("Delivered-To"), Some(&*format!("{user}@here.example")));
    let line = format!("to=<{user}@here.example>, relay=local, ");
    assert_eq!(system.logged(&line), 1);
}

#[test]
fn s27_a_message_goes_over_three_hosts() {
    let user = local_user();
    // The last host has the user, the second an alias for that user, the first a submission.
    let last = host("onlamp.example", "");
    let second = host("postfix.example", "");
    let aliases = second.path("conf/aliases");
    fs::write(&aliases, format!("frank: {user}@onlamp.example\n")).unwrap();
    let table = format!("hash:{}", aliases.display());
    second.tell("postalias", &[&table]);
    second.configure(&format!("alias_maps = {table}\nrelayhost = [127.0.0.1]:{}\n", last.port));
    let first = System::new(&format!("relayhost = [127.0.0.1]:{}\n", second.port));
    last.start();
    second.start();
    first.start();
    submit(first.port, "helene@oreilly.example", "frank@postfix.example", "over three hosts");
    let mailbox = last.path("spool").join(&user);
    wait("the message in its mailbox", || {
        fs::read_to_string(&mailbox).is_ok_and(|text| text.ends_with("\n\n"))
    });
    let text = fs::read_to_string(&mailbox).unwrap();
    assert_eq!(text.matches("\nReceived: ").count(), 4, "three hosts, one of them twice: {text}");
    assert!(text.contains("\nDelivered-To: frank@postfix.example\n"), "{text}");
    assert!(text.contains(&format!("\nDelivered-To: {user}@onlamp.example\n")), "{text}");
    assert!(text.starts_with("From helene@oreilly.example  "), "{text}");
    assert_eq!(second.logged("status=sent (forwarded as "), 1, "{}", second.log());
}

/// What a user's file that wants a file and a command gets.
fn own_wants(extra: &str) -> (bool, bool) {
    let system = host("here.example", extra);
    let user = local_user();
    let out = system.path("out").display().to_string();
    own_file(&system, &user, &format!("\"|cat > {out}/command\"\n{out}/file\n"));
    system.start();
    submit(system.port, "a@source.example", &format!("{user}@here.example"), "x");
    let line = format!("to=<{user}@here.example>, relay=local, ");
    wait("both ends", || system.logged(&line) == 2);
    let made = |name: &str| {
        let made = Path::new(&out).join(name).exists();
        let text = format!("dsn=5.7.1, status=bounced (mail to {name} is restricted)");
        assert_eq!(system.logged(&text) == 1, !made, "{}", system.log());
        made
    };
    (made("command"), made("file"))
}

#[test]
fn s56_and_s57_users_own_files() {
    assert_eq!(own_wants(""), (true, true), "by default they may");
    assert_eq!(own_wants("allow_mail_to_files = alias\n"), (true, false));
    assert_eq!(own_wants("allow_mail_to_commands = include\n"), (false, true));
}
