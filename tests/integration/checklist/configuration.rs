//! Part C: configuration tools and tables, as far as it takes a running system. What the commands
//! do is tested with them, in `tools/tests`.

use super::rcpt;
use crate::support::client::{Client, submit, submit_again};
use crate::support::process::{runs, signal};
use crate::support::system::{System, is_root};
use crate::support::{skip, wait};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn s39_postfix_reload() {
    let system = System::started("smtpd_banner = first\n");
    let mut open = Client::connect(system.port).unwrap();
    system.configure("smtpd_banner = second\n");
    system.tell("postfix", &["reload"]);
    let renewed = || Client::connect(system.port).is_ok_and(|it| it.greeting == "220 second");
    wait("the new banner", renewed);
    assert!(open.ask("NOOP").unwrap().starts_with("250 "), "the old session goes on");
    assert!(system.logged("refreshing the Postfix mail system") > 0);
    assert!(system.logged("reload -- version ") > 0);
}

/// The wrapper of init scripts.
fn rc(system: &System, word: &str) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/rc/postfix");
    let mut command = Command::new(script);
    command.arg(word).env("POSTFIX", system.path("bin/postfix"));
    command.env("MAIL_CONFIG", system.path("conf")).stderr(Stdio::null());
    command.status().unwrap().code()
}

#[test]
fn s40_the_rc_script_calls_the_postfix_command() {
    let system = System::new("smtpd_banner = first\n");
    assert_eq!(rc(&system, "nonsense"), Some(2));
    assert_ne!(rc(&system, "status"), Some(0));
    assert_eq!(rc(&system, "start"), Some(0));
    assert_eq!(rc(&system, "status"), Some(0));
    system.configure("smtpd_banner = second\n");
    assert_eq!(rc(&system, "reload"), Some(0));
    let renewed = || Client::connect(system.port).is_ok_and(|it| it.greeting == "220 second");
    wait("the new banner", renewed);
    assert_eq!(rc(&system, "restart"), Some(0));
    assert!(renewed());
    assert_eq!(rc(&system, "stop"), Some(0));
    assert_ne!(rc(&system, "status"), Some(0));
}

#[test]
fn s41_lists_in_files_and_tables() {
    let system = System::new("mynetworks = 192.0.2.0/24\n");
    let (file, table) = (system.path("conf/domains"), system.path("conf/table"));
    fs::write(&file, "one.example two.example\n# three.example\n").unwrap();
    fs::write(&table, "four.example x\n").unwrap();
    let name = format!("hash:{}", table.display());
    system.tell("postmap", &[&name]);
    system.configure(&format!("relay_domains = {}, {name}\n", file.display()));
    system.start();
    for (domain, code) in
        [("one", "250 "), ("two", "250 "), ("three", "454 "), ("four", "250 "), ("five", "454 ")]
    {
        let reply = rcpt(&system, &format!("u@{domain}.example"));
        assert!(reply.starts_with(code), "{domain}: {reply}");
    }
}

#[test]
fn s52_alias_maps_with_nis() {
    let system = System::new("mydestination = here.example\n");
    let aliases = system.path("conf/aliases");
    fs::write(&aliases, "root: someone@sink.example\n").unwrap();
    let name = format!("hash:{}", aliases.display());
    system.tell("postalias", &[&name]);
    system.configure(&format!("alias_maps = {name}, nis:mail.aliases\n"));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}local unix - n n - - local\n")).unwrap();
    system.start();
    let warning = "NIS domain name not set - NIS lookups disabled";
    wait("the warning", || system.logged(warning) == 1);
    assert!(rcpt(&system, "nobody.at.all@here.example").starts_with("550 5.1.1 "));
    assert!(rcpt(&system, "root@here.example").starts_with("250 "));
}

/// A system with a local service and these aliases, started; `out` is a directory anybody may
/// write to.
fn with_aliases(aliases: &[&str], extra: &str) -> System {
    let system = System::new("mydestination = here.example, $myhostname\nlocal_recipient_maps =\n");
    for name in ["spool", "out"] {
        fs::create_dir(system.path(name)).unwrap();
        fs::set_permissions(system.path(name), Permissions::from_mode(0o1777)).unwrap();
    }
    let (out, spool) = (system.path("out"), system.path("spool"));
    let text = aliases.join("\n").replace("OUT", &out.display().to_string());
    let path = system.path("conf/aliases");
    fs::write(&path, format!("{text}\n")).unwrap();
    let table = format!("hash:{}", path.display());
    system.tell("postalias", &[&table]);
    let spool = spool.display();
    system.configure(&format!("alias_maps = {table}\nmail_spool_directory = {spool}\n{extra}"));
    let master_cf = system.path("conf/master.cf");
    let services = fs::read_to_string(&master_cf).unwrap();
    fs::write(master_cf, format!("{services}local unix - n n - - local\n")).unwrap();
    system.start();
    system
}

/// A user whose mailbox can be written here.
pub(super) fn local_user() -> String {
    if is_root() {
        return "daemon".into();
    }
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn mail(system: &System, user: &str) {
    submit(system.port, "sender@source.example", &format!("{user}@here.example"), user);
}

#[test]
fn s51_alias_maps_expand() {
    let user = local_user();
    let aliases = [&format!("list: {user}, x@there.example, nobody.at.all"), "inner: list"];
    let system = with_aliases(
        &aliases.map(|line: &str| line),
        "transport_maps = inline:{ {there.example=discard:} {source.example=discard:} }\n",
    );
    mail(&system, "inner");
    wait("the forwarded message", || system.logged("to=<x@there.example>, orig_to=") == 1);
    assert_eq!(system.logged(": to=<inner@here.example>, relay=local, "), 1);
    assert_eq!(system.logged("status=sent (forwarded as "), 1, "{}", system.log());
    assert_eq!(system.logged("status=bounced (unknown user: \"nobody.at.all\")"), 1);
    system.wait_until_empty();
    let text = fs::read_to_string(system.path("spool").join(&user)).unwrap();
    let header = "X-Original-To: inner@here.example\nDelivered-To: inner@here.example\n";
    assert!(text.contains(header), "{text}");
}

#[test]
fn s55_alias_right_hand_sides() {
    let user = local_user();
    let lines = [
        &format!("address: {user}"),
        "file: OUT/file",
        "maildir: OUT/maildir/",
        "command: \"|cat > OUT/command; env >> OUT/command\"",
        "include: :include:OUT/list",
        "refused: \"|echo 5.7.99 not you; exit 77\"",
    ];
    let system = with_aliases(&lines.map(|line: &str| line), "");
    fs::write(system.path("out/list"), format!("# members\n{user}\n")).unwrap();
    for name in ["address", "file", "maildir", "command", "include", "refused"] {
        mail(&system, name);
    }
    wait("all deliveries", || {
        system.logged("status=sent (delivered to mailbox)") == 2
            && system.logged("status=sent (delivered to maildir)") == 1
            && system.logged("status=sent (delivered to file: ") == 1
            && system.logged("status=sent (delivered to command: cat > ") == 1
            && system.logged("dsn=5.7.99, status=bounced (not you )") == 1
    });
    let read = |name: &str| fs::read_to_string(system.path("out").join(name)).unwrap();
    assert!(read("file").contains("\nDelivered-To: file@here.example\n"));
    assert_eq!(fs::read_dir(system.path("out/maildir/new")).unwrap().count(), 1);
    let said = read("command");
    assert!(said.starts_with("From sender@source.example  "), "{said}");
    assert!(said.contains("\nRECIPIENT=command@here.example\n"), "{said}");
    if is_root() {
        let uid = |name: &str| fs::metadata(system.path("out").join(name)).unwrap().uid();
        let nobody = uid("command");
        assert_ne!(nobody, 0, "no command of root's alias runs as root");
        assert_eq!((uid("file"), uid("maildir")), (nobody, nobody));
    } else {
        skip("whose rights files and commands have", "needs root");
    }
}

/// A list that wants more than members, and whether each of it is refused.
fn include_wants(extra: &str) -> (bool, bool) {
    let system = with_aliases(&["list: :include:OUT/list"], extra);
    let out = system.path("out").display().to_string();
    let text = format!("\"|cat > {out}/command\"\n{out}/file\n");
    fs::write(system.path("out/list"), text).unwrap();
    mail(&system, "list");
    wait("both ends", || system.logged("to=<list@here.example>, relay=local, ") == 2);
    let refused = |what: &str| {
        let text = format!("dsn=5.7.1, status=bounced (mail to {what} is restricted)");
        let refused = system.logged(&text) == 1;
        assert_eq!(system.path("out").join(what).exists(), !refused, "{}", system.log());
        refused
    };
    (refused("command"), refused("file"))
}

#[test]
fn s56_allow_mail_to_commands() {
    assert_eq!(include_wants(""), (true, true));
    assert_eq!(include_wants("allow_mail_to_commands = include\n"), (false, true));
}

#[test]
fn s57_allow_mail_to_files() {
    assert_eq!(include_wants("allow_mail_to_files = alias, include\n"), (true, false));
    let system = with_aliases(&["file: OUT/file"], "allow_mail_to_files = include\n");
    mail(&system, "file");
    let text = "dsn=5.7.1, status=bounced (mail to file is restricted)";
    wait("the refusal", || system.logged(text) == 1);
}

/// A list with an owner is forwarded: whoever dies meanwhile, it arrives.
#[test]
fn s51_a_forward_that_is_interrupted_loses_nothing() {
    const MESSAGES: usize = 30;
    let user = local_user();
    let system = with_aliases(
        &[&format!("list: {user}"), "owner-list: postmaster"],
        "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
         transport_retry_time = 1s\n",
    );
    for number in 0..MESSAGES {
        submit_again(
            system.port,
            "s@source.example",
            "list@here.example",
            &format!("no {number}."),
        );
        if number % 6 == 5 {
            // The next client is for the next engine: master keeps the socket.
            let engine = system.engine();
            signal(engine, Signal::KILL);
            wait("its end", || !runs(engine));
        }
    }
    let mailbox = system.path("spool").join(&user);
    let text = || fs::read_to_string(&mailbox).unwrap_or_default();
    let has = |number: usize| text().contains(&format!("\nSubject: no {number}.\n"));
    wait("every message in the mailbox", || (0..MESSAGES).all(has));
    system.wait_until_empty();
    assert_eq!(system.logged("status=bounced"), 0, "{}", system.log());
}
