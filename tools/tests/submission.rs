//! sendmail(1), postdrop(1), postqueue(1) and postlog(1) as programs.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use mail::record::take;
use support::{System, err, out};

fn installed(extra: &str) -> System {
    let system = System::new(extra);
    system.install(&[
        ("sendmail", env!("CARGO_BIN_EXE_sendmail")),
        ("mailq", env!("CARGO_BIN_EXE_mailq")),
        ("postdrop", env!("CARGO_BIN_EXE_postdrop")),
        ("postqueue", env!("CARGO_BIN_EXE_postqueue")),
        ("postlog", env!("CARGO_BIN_EXE_postlog")),
        ("postsuper", env!("CARGO_BIN_EXE_postsuper")),
        ("postcat", env!("CARGO_BIN_EXE_postcat")),
        ("postfix", env!("CARGO_BIN_EXE_postfix")),
    ]);
    for name in ["maildrop", "public", "log"] {
        fs::create_dir(system.path("queue").join(name)).unwrap();
    }
    system
}

fn sendmail(system: &System, args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let output = system.run_with("sendmail", "-C", args, input);
    (output.status.code(), out(&output), err(&output))
}

/// Records of the only file in maildrop, without the time.
fn dropped(system: &System) -> Vec<String> {
    let files: Vec<_> = fs::read_dir(system.path("queue/maildrop")).unwrap().flatten().collect();
    let [file] = files.as_slice() else { panic!("{} files", files.len()) };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o744);
    let bytes = fs::read(file.path()).unwrap();
    fs::remove_file(file.path()).unwrap();
    let mut rest = bytes.as_slice();
    let (kind, time) = take(&mut rest).unwrap().unwrap();
    assert!(kind == b'T' && time.contains(&b' '));
    let mut records = Vec::new();
    while let Some((kind, body)) = take(&mut rest).unwrap() {
        records.push(format!("{}{}", char::from(kind), String::from_utf8_lossy(body)));
    }
    records
}

fn is_empty(system: &System) -> bool {
    fs::read_dir(system.path("queue/maildrop")).unwrap().next().is_none()
}

fn me() -> (String, String) {
    let id = |flag| {
        let output = support::run(std::process::Command::new("id").arg(flag));
        out(&output).trim().to_owned()
    };
    (id("-un"), id("-u"))
}

#[test]
fn mail_waits_in_maildrop_while_the_system_is_down() {
    let system = installed("");
    let args = ["-f", "a@example.org", "-F", "Full N", "-N", "success", "-V", "env1", "x@r", "y@r"];
    let done = sendmail(&system, &args, "Subject: x\n\nhi\nlong\n.\nnot this\n");
    assert_eq!(done, (Some(0), String::new(), String::new()));
    let expected = [
        "Aenvelope_id=env1",
        "Arewrite_context=local",
        "FFull N",
        "Sa@example.org",
        "Anotify_flags=2",
        "Rx@r",
        "Anotify_flags=2",
        "Ry@r",
        "M",
        "NSubject: x",
        "N",
        "Nhi",
        "Nlong",
        "X",
        "E",
    ];
    assert_eq!(dropped(&system), expected);
}

#[test]
fn recipients_come_from_the_header_with_t() {
    let system = installed("");
    let text = "To: alice, Carol <carol@x>\nBcc: v\nSubject: s\n\nTo: nobody\n";
    assert_eq!(sendmail(&system, &["-t", "-f", "<>", "-F", "", "z"], text).0, Some(0));
    let expected = [
        "Arewrite_context=local",
        "F",
        "S",
        "Rz",
        "M",
        "NTo: alice, Carol <carol@x>",
        "NBcc: v",
        "NSubject: s",
        "N",
        "NTo: nobody",
        "X",
        "Ralice",
        "Rcarol@x",
        "Rv",
        "E",
    ];
    assert_eq!(dropped(&system), expected);
    let (login, uid) = me();
    let (code, _, said) = sendmail(&system, &["-t"], "Subject: s\n\nx\n");
    let text = "No recipient addresses found in message header";
    assert_eq!((code, said), (Some(75), format!("sendmail: fatal: {login}({uid}): {text}\n")));
    assert!(is_empty(&system), "nothing is left of a message without recipients");
}

#[test]
fn refusals_have_postfix_words_and_codes() {
    let system = installed("message_size_limit = 2000\nauthorized_submit_users = static:all\n");
    let (login, uid) = me();
    let text = "Recipient addresses must be specified on the command line or via the -t option";
    let none = format!("sendmail: fatal: {login}({uid}): {text}\n");
    assert_eq!(sendmail(&system, &[], "x\n"), (Some(75), String::new(), none));
    let big = "0123456789\n".repeat(1000);
    let (code, _, said) = sendmail(&system, &["-f", "carol@x", "a"], &big);
    let expected = format!(
        "postdrop: warning: uid={uid}: File too large\n\
         sendmail: warning: mail_stream_cleanup: close error\n\
         sendmail: fatal: carol@x({uid}): message file too big\n"
    );
    assert_eq!((code, said), (Some(75), expected));
    assert!(is_empty(&system));
    let (code, _, said) = sendmail(&system, &["-f", "bad address@", "a"], "x\n");
    let warning = "sendmail: warning: -f option specified malformed sender: bad address@\n";
    assert_eq!((code, said.as_str()), (Some(0), warning));
    assert_eq!(dropped(&system)[2], "Sbad");
}

#[test]
fn users_that_are_not_listed_submit_nothing() {
    let (login, uid) = me();
    let system = installed(&format!("authorized_submit_users = !{login}, static:all\n"));
    let (code, _, said) = sendmail(&system, &["a"], "x\n");
    let text = format!("sendmail: fatal: User {login}({uid}) is not allowed to submit mail\n");
    assert_eq!((code, said), (Some(69), text.clone()));
    let direct = system.run_with("postdrop", "-c", &[], "");
    assert_eq!(err(&direct), text.replace("sendmail", "postdrop"));
    assert!(is_empty(&system));
}

#[test]
fn postdrop_keeps_to_its_list_of_records() {
    let system = installed("");
    let (_, uid) = me();
    let input = "A\u{3}a=bS\u{1}xR\u{1}yM\0N\u{1}xX\0E\0";
    let good = system.run_with("postdrop", "-c", &["-r"], input);
    let text = format!("postdrop: warning: uid={uid}: ignoring attribute record: a=b\n");
    assert_eq!((good.status.code(), err(&good)), (Some(0), text));
    let said = out(&good);
    let greeting = "protocol\0postdrop_protocol\0queue_id\0";
    assert!(said.starts_with(greeting), "{said:?}");
    assert!(said.ends_with("\0\0status\x000\0reason\0\0\0"), "{said:?}");
    assert_eq!(dropped(&system), ["Sx", "Ry", "M", "Nx", "X", "E"]);
    for (input, text) in [("X\0", "unexpected record type: 88"), ("S\u{1}", "malformed input")] {
        let bad = system.run_with("postdrop", "-c", &["-r"], input);
        let text = format!("postdrop: fatal: uid={uid}: {text}\n");
        assert_eq!((bad.status.code(), err(&bad)), (Some(1), text));
        assert!(is_empty(&system));
    }
}

#[test]
fn an_smtp_dialogue_on_standard_input_submits() {
    let system = installed("mail_name = Testmail\n");
    let dialogue = "EHLO here.example\r\nMAIL FROM:<b@x>\r\nRCPT TO:<a@x>\r\nRSET\r\n\
        MAIL FROM:<b@x>\r\nRCPT TO:<a@x>\r\nDATA\r\nSubject: s\r\n\r\n..x\r\n.\r\nQUIT\r\n";
    let (code, said, complaints) = sendmail(&system, &["-bs"], dialogue);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let replies: Vec<&str> = said.split("\r\n").collect();
    assert_eq!(replies[0], "220 mx.example.test ESMTP Testmail");
    assert!(replies[replies.len() - 3].starts_with("250 2.0.0 Ok: queued as "), "{said}");
    assert_eq!(replies[replies.len() - 2], "221 2.0.0 Bye");
    let records = dropped(&system);
    assert_eq!(records[..4], ["Arewrite_context=local", "Sb@x", "Ra@x", "M"]);
    assert_eq!(records[4], "NReceived: from here.example (localhost [127.0.0.1])");
    assert!(records[6].starts_with("N\tfor <a@x>; "), "{records:?}");
    assert_eq!(records[7..], ["NSubject: s", "N", "N.x", "X", "E"]);
}

/// Serves one connection: what it was sent, after `reply` went out.
fn serve(system: &System, name: &str, reply: &'static str) -> std::thread::JoinHandle<String> {
    let path = system.path("queue/public").join(name);
    let _old = fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(reply.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut seen = String::new();
        stream.read_to_string(&mut seen).unwrap();
        seen
    })
}

const LISTING: &str = "{\"queue_name\": \"hold\", \"queue_id\": \"4jXqmx649Jz1SRm0\", \
    \"arrival_time\": 1795401345, \"message_size\": 1263, \"forced_expire\": false, \
    \"sender\": \"a@example.org\", \"recipients\": [{\"address\": \"x@r\", \
    \"delay_reason\": \"no\"}]}\n";

#[test]
fn the_queue_is_listed_as_postfix_lists_it() {
    let system = installed("enable_long_queue_ids = yes\n");
    let engine = serve(&system, "showq", LISTING);
    assert_eq!(out(&system.run("postqueue", &["-j"])), LISTING);
    engine.join().unwrap();
    let engine = serve(&system, "showq", LISTING);
    let padding = " ".repeat(74);
    let recipient = " ".repeat(47);
    let table = format!(
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n\
         4jXqmx649Jz1SRm0!     1263 Mon Nov 23 02:35:45 a@example.org\n\
         {padding}(no)\n{recipient}x@r\n\n-- 1 Kbytes in 1 Request.\n"
    );
    assert_eq!(out(&system.run_with("mailq", "-C", &[], "")), table);
    engine.join().unwrap();
}

#[test]
fn submissions_that_wait_are_listed_also_when_the_system_is_down() {
    let system = installed("");
    assert_eq!(sendmail(&system, &["-f", "s@x", "a@x"], "x\n").0, Some(0));
    let listed = system.run("postqueue", &["-j"]);
    assert_eq!(listed.status.code(), Some(0));
    let line = out(&listed);
    assert!(line.starts_with("{\"queue_name\": \"maildrop\", "), "{line}");
    assert!(line.ends_with("\"sender\": \"s@x\", \"recipients\": [{\"address\": \"a@x\"}]}\n"));
    assert!(err(&listed).contains("Mail system is down -- accessing queue directly (Connect to"));
    dropped(&system);
    assert_eq!(out(&system.run("postqueue", &["-p"])), "Mail queue is empty\n");
}

#[test]
fn flushing_asks_the_engine() {
    let system = installed("fast_flush_domains = a.example\n");
    let asked = |args: &[&str], reply| {
        let engine = serve(&system, "control", reply);
        let output = system.run("postqueue", args);
        (output.status.code(), err(&output), engine.join().unwrap())
    };
    let quiet = |request: &str| (Some(0), String::new(), request.to_owned());
    assert_eq!(asked(&["-f"], "ok 0\n"), quiet("flush\n"));
    assert_eq!(asked(&["-i", "ABCDEF"], "error not-found\n"), quiet("flush-message ABCDEF\n"));
    assert_eq!(asked(&["-s", "a.example"], "ok 1\n"), quiet("flush-site a.example\n"));
    let site = asked(&["-s", "b.example"], "error not-configured\n");
    let text = "Flush service is not configured for destination \"b.example\"";
    assert_eq!((site.0, site.1), (Some(69), format!("postqueue: fatal: {text}\n")));
    let code = |args: &[&str]| system.run("postqueue", args).status.code();
    assert_eq!((code(&["-f"]), code(&["-i", "a/b"]), code(&[])), (Some(69), Some(69), Some(69)));
    assert_eq!(
        (code(&["-f", "x"]), code(&["-x"]), code(&["-s", "[a.b]"])),
        (Some(69), Some(69), Some(69))
    );
}

#[test]
fn a_submission_wakes_pickup() {
    let system = installed("");
    let engine = serve(&system, "pickup", "");
    assert_eq!(sendmail(&system, &["a@x"], "x\n").0, Some(0));
    assert_eq!(engine.join().unwrap(), "W\n");
}

#[test]
fn postlog_writes_to_the_log() {
    let system = installed("");
    assert_eq!(
        system.run("postlog", &["-p", "warn", "-t", "tag", "a", "b"]).status.code(),
        Some(0)
    );
    system.run_with("postlog", "-c", &[], "one\ntwo\n");
    let log = system.log();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(" mx ").unwrap().1).collect();
    assert!(lines[0].starts_with("tag[") && lines[0].ends_with("]: warning: a b"), "{log}");
    assert_eq!(lines[1..], ["postfix: one", "postfix: two"]);
}

#[test]
fn postsuper_asks_the_engine_and_counts() {
    let system = installed("");
    let asked = |args: &[&str], reply| {
        let engine = serve(&system, "control", reply);
        let output = system.run("postsuper", args);
        (output.status.code(), err(&output), engine.join().unwrap())
    };
    let said = |text: &str| text.to_owned();
    let one = "postsuper: ABCDEF: placed on hold\npostsuper: Placed on hold: 1 message\n";
    let hold = asked(&["-h", "ABCDEF"], "message ABCDEF\nok 1\n");
    assert_eq!(hold, (Some(0), said(one), said("hold ABCDEF\n")));
    let all = asked(&["-H", "ALL", "hold"], "message A\nmessage B\nok 2\n");
    let two = "postsuper: Released from hold: 2 messages\n";
    assert_eq!(all, (Some(0), said(two), said("release ALL hold\n")));
    let none = asked(&["-d", "ABCDEF"], "error not-found\n");
    assert_eq!((none.0, none.1), (Some(0), said("postsuper: Deleted: 0 messages\n")));
    let bad = system.run("postsuper", &["-d", "ALL", "nosuch"]);
    let text = "postsuper: fatal: invalid directory name: nosuch\n";
    assert_eq!((bad.status.code(), err(&bad)), (Some(1), said(text)));
    let usage = system.run("postsuper", &["-x"]);
    let text =
        "postsuper: invalid option -- 'x'\npostsuper: fatal: usage: postsuper [-c config_dir]";
    assert!(err(&usage).starts_with(text), "{}", err(&usage));
    assert_eq!(system.run("postsuper", &[]).status.code(), Some(0));
}

#[test]
fn a_waiting_submission_is_shown_and_deleted() {
    let system = installed("");
    assert_eq!(sendmail(&system, &["-f", "s@x", "a@x"], "Subject: s\n\nbody\n").0, Some(0));
    let file = fs::read_dir(system.path("queue/maildrop")).unwrap().flatten().next().unwrap();
    let id = file.file_name().into_string().unwrap();
    let shown = out(&system.run("postcat", &["-q", &id]));
    assert!(shown.starts_with(&format!("*** ENVELOPE RECORDS maildrop/{id} ***\nmessage_arr")));
    assert!(shown.contains("sender: s@x\nrecipient: a@x\n*** MESSAGE CONTENTS"), "{shown}");
    assert_eq!(out(&system.run("postcat", &["-qh", &id])), "Subject: s\n");
    let deleted = system.run("postsuper", &["-d", &id, "maildrop"]);
    let text = format!("postsuper: {id}: removed\npostsuper: Deleted: 1 message\n");
    assert_eq!(err(&deleted), text);
    assert!(is_empty(&system));
    let none = system.run("postsuper", &["-d", "ALL"]);
    let text = "postsuper: Deleted: 0 messages\n".to_owned();
    assert_eq!((none.status.code(), err(&none)), (Some(0), text), "there is nothing to delete");
    let missing = system.run("postcat", &["-q", &id]);
    let text = format!("fatal: open queue file {id}: No such file or directory\n");
    assert!(err(&missing).ends_with(&text), "{}", err(&missing));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_probe_is_refused_and_sends_nothing() {
    let system = installed("");
    let (code, _, said) = sendmail(&system, &["-bv", "x@r"], "");
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("-bv: ") && is_empty(&system), "{said}");
}
