//! Deliveries on the simulated kernel, with a script in the delivery helper's place.

use super::helper::SOCKET;
use crate::testing::{World, world_of};
use privsep::alias::Target;
use privsep::reply::Forward;
use privsep::{Asked, Code, Reply, Request, Verdict, alias, chunk, frame};
use runtime::net::{Arrived, Listener, Stream};
use runtime::{Chunk, Rt};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const MASTER_CF: &str = "smtp inet n - n - - smtpd\nlocal unix - n n - - local\n";
const MAIN_CF: &str = "mydestination = example.test, $myhostname\nrecipient_delimiter = +\n";
const CONTENT: &str = "Subject: x\r\n\r\n..dot\r\nend\r\n";

/// What the script in the helper's place does.
#[derive(Clone)]
enum Script {
    /// Takes everything, then says this.
    Take(Verdict),
    /// Says this at once.
    Refuse(Verdict),
    /// Closes after the request.
    Die,
    /// Says nothing.
    Hang,
}

/// What the helper was told, and the log.
#[derive(Debug)]
struct Told {
    request: Option<Request>,
    /// The last that was asked about a list or a user's own file.
    listed: Option<alias::Request>,
    content: String,
    lines: Vec<String>,
}

#[derive(Default)]
struct Heard {
    request: Option<Request>,
    listed: Option<alias::Request>,
    content: Vec<u8>,
}

fn verdict(code: Code, status: (u8, u16, u16), text: &str) -> Verdict {
    Verdict { code, status, text: text.into(), warnings: Vec::new() }
}

fn taken() -> Script {
    Script::Take(verdict(Code::Ok, (2, 0, 0), "delivered to mailbox"))
}

/// Sends one message to `recipient`, who has no file of its own; parameters may stand behind it.
fn run(main_cf: &str, recipient: &str, content: &str, script: Script) -> Told {
    run_at(None, main_cf, recipient, content, script)
}

/// The same where every user has the same file.
fn run_at(
    own: Option<&'static str>,
    main_cf: &str,
    recipient: &str,
    content: &str,
    script: Script,
) -> Told {
    run_with(MASTER_CF, own, main_cf, recipient, content, script)
}

/// The same with services of its own.
fn run_with(
    services: &str,
    own: Option<&'static str>,
    main_cf: &str,
    recipient: &str,
    content: &str,
    script: Script,
) -> Told {
    let directory = tempfile::tempdir().unwrap();
    let world = world_of(directory.path(), &format!("{MAIN_CF}{main_cf}"), services, 1);
    let (core, sock) = (world.core.clone(), world.helper);
    let told: Rc<RefCell<Heard>> = Rc::default();
    let helper_told = told.clone();
    let rt = core.rt.clone();
    rt.clone().spawn(async move {
        let listener = Listener::new(&rt, sock);
        let mut connections = Vec::new();
        while let Ok(stream) = listener.accept().await {
            let mut helper = Helper { rt: rt.clone(), stream, input: Vec::new(), own };
            let asked_about_file = helper.serve(&script, &helper_told).await;
            // A helper that hangs does not close either.
            let hangs = matches!(script, Script::Hang) && !asked_about_file;
            connections.extend(hangs.then_some(helper));
        }
    });
    let (recipient, parameters) = recipient.split_once(' ').unwrap_or((recipient, ""));
    let input = format!(
        "EHLO c\r\nMAIL FROM:<s@example.org>\r\nRCPT TO:<{recipient}> {parameters}\r\nDATA\r\n\
         {content}.\r\nQUIT\r\n"
    );
    world.run(async move {
        let patience = Duration::from_secs(5);
        World::client(&core, "127.0.0.1:40000", input.as_bytes(), patience).await;
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(400)).await;
    });
    let Heard { request, listed, content } = told.take();
    Told { request, listed, content: String::from_utf8(content).unwrap(), lines: world.lines() }
}

struct Helper {
    rt: Rt,
    stream: Stream,
    input: Vec<u8>,
    own: Option<&'static str>,
}

impl Helper {
    /// Whether it was asked about a user's own file.
    async fn serve(&mut self, script: &Script, told: &RefCell<Heard>) -> bool {
        let header: [u8; 8] = self.take(frame::HEADER_BYTES).await.try_into().unwrap();
        let (kind, len) = Asked::kind(header).unwrap();
        let body = self.take(len).await;
        match Asked::decode(kind, &body).unwrap() {
            Asked::Local(request) => told.borrow_mut().request = Some(request),
            Asked::Alias(request) => {
                let own = request.target == Target::Forward;
                told.borrow_mut().listed = Some(*request);
                if own {
                    self.give_own_file().await;
                    return true;
                }
            }
            Asked::Virtual(_) => panic!("of another agent"),
        }
        match script {
            Script::Refuse(verdict) => self.say(&Reply::Done(verdict.clone())).await,
            Script::Take(verdict) => {
                self.say(&Reply::Go).await;
                let content = self.content().await;
                told.borrow_mut().content.extend_from_slice(&content);
                self.say(&Reply::Done(verdict.clone())).await;
            }
            Script::Die | Script::Hang => {}
        }
        false
    }

    async fn give_own_file(&mut self) {
        let Some(text) = self.own else {
            return self.say(&Reply::Done(verdict(Code::Ok, (2, 0, 0), "none"))).await;
        };
        let (path, warnings) = ("/home/.forward".into(), vec!["about the file".into()]);
        self.say(&Reply::Forward(Forward { path, extended: false, warnings })).await;
        let pieces = match text.len() {
            0 => chunk::END.to_vec(),
            len => [&chunk::header(len)[..], text.as_bytes(), &chunk::END].concat(),
        };
        let deadline = self.rt.now() + Duration::from_secs(30);
        self.stream.send(vec![Chunk::Owned(pieces)], deadline).await.unwrap();
        self.stream.drained(deadline).await.unwrap();
    }

    async fn content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            let header = self.take(chunk::HEADER_BYTES).await.try_into().unwrap();
            let Some(len) = chunk::len(header).unwrap() else { return content };
            content.extend(self.take(len).await);
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        let deadline = self.rt.now() + Duration::from_secs(30);
        while self.input.len() < count {
            assert_eq!(self.stream.readable(deadline).await.unwrap(), Arrived::Bytes);
            let input = &mut self.input;
            self.stream.input(|bytes| {
                input.extend_from_slice(bytes);
                (bytes.len(), ())
            });
        }
        self.input.drain(..count).collect()
    }

    async fn say(&self, reply: &Reply) {
        let deadline = self.rt.now() + Duration::from_secs(30);
        self.stream.send(vec![Chunk::Owned(reply.encode())], deadline).await.unwrap();
        self.stream.drained(deadline).await.unwrap();
    }
}

impl Told {
    /// The recipient's log line without its beginning and its delays.
    fn ending(&self) -> &str {
        let line = self
            .lines
            .iter()
            .find(|line| line.contains("postfix/local[1]: ") && line.contains(" status="));
        let line = line.unwrap_or_else(|| panic!("{:#?}", self.lines));
        &line[line.find("dsn=").unwrap()..]
    }

    fn logged(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.contains(part))
    }
}

#[test]
fn the_helper_is_told_the_user_and_gets_the_message_as_lines() {
    let told = run("", "Alice+Ext@example.test", CONTENT, taken());
    let request = told.request.as_ref().unwrap();
    assert_eq!((&request.service[..], &request.user[..]), (&b"local"[..], &b"alice"[..]));
    let asked = told.listed.as_ref().unwrap();
    assert_eq!(asked.value("EXTENSION"), Some(&b"ext"[..]), "for its own file");
    assert!(request.from_line.starts_with(b"From s@example.org  "));
    let header = "Return-Path: <s@example.org>\nX-Original-To: Alice+Ext@example.test\n\
                  Delivered-To: Alice+Ext@example.test\nReceived: from c (";
    assert!(told.content.starts_with(header), "{}", told.content);
    assert!(told.content.ends_with("\n\n.dot\nend\n"), "{}", told.content);
    assert!(!told.content.contains('\r'));
    assert_eq!(told.ending(), "dsn=2.0.0, status=sent (delivered to mailbox)");
    assert!(told.logged("to=<Alice+Ext@example.test>, relay=local, delay="));
    assert!(told.logged(": removed"));
}

#[test]
fn a_large_message_goes_in_bounded_pieces() {
    let line = "0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let content = format!("Subject: x\r\n\r\n{}", line.repeat(1000));
    let told = run("", "alice@example.test", &content, taken());
    assert_eq!(told.content.matches("0123456789\n").count(), 1000);
    assert_eq!(told.ending(), "dsn=2.0.0, status=sent (delivered to mailbox)");
}

#[test]
fn what_the_helper_says_is_what_is_logged() {
    let full = verdict(Code::IoErr, (5, 2, 2), "cannot update mailbox x");
    let told = run("", "alice@example.test", CONTENT, Script::Take(full));
    assert_eq!(told.ending(), "dsn=5.2.2, status=bounced (cannot update mailbox x)");
    let mut busy = verdict(Code::TempFail, (4, 2, 0), "in use");
    busy.warnings.push("do something".into());
    let told = run("", "alice@example.test", CONTENT, Script::Refuse(busy.clone()));
    assert_eq!(told.ending(), "dsn=4.2.0, status=deferred (in use)");
    assert!(told.content.is_empty(), "no content without Go");
    assert!(told.logged("postfix/local[1]: warning: do something"));
    let soft = verdict(Code::CantCreate, (5, 2, 0), "a trap");
    let told = run("soft_bounce = yes\n", "alice@example.test", CONTENT, Script::Refuse(soft));
    assert_eq!(told.ending(), "dsn=4.2.0, status=SOFTBOUNCE (a trap)");
}

#[test]
fn a_user_that_is_not_there_is_a_bounce_and_required_names_are_discarded() {
    let nobody = || Script::Refuse(verdict(Code::NoUser, (5, 1, 1), "x"));
    let told = run("", "Nosuch+x@example.test", CONTENT, nobody());
    assert_eq!(told.ending(), "dsn=5.1.1, status=bounced (unknown user: \"nosuch\")");
    let told = run("", "Postmaster@example.test", CONTENT, nobody());
    assert_eq!(told.ending(), "dsn=2.0.0, status=sent (discarded)");
    assert!(told.logged("warning: required alias not found: postmaster"));
    let long = format!("{}@example.test", "a".repeat(1500));
    let told = run("", &long, CONTENT, taken());
    assert!(told.request.is_none() && told.ending().starts_with("dsn=5.1.1, status=bounced"));
}

#[test]
fn a_helper_that_dies_or_hangs_is_a_deferral() {
    for script in [Script::Die, Script::Hang] {
        let told = run("", "alice@example.test", CONTENT, script);
        assert_eq!(told.ending(), "dsn=4.3.0, status=deferred (unknown mail transport error)");
        assert!(told.logged(&format!("warning: {SOCKET}: premature end of delivery: ")));
        assert!(!told.logged(": removed"));
    }
}

#[test]
fn a_loop_is_broken_without_the_helper() {
    let content = format!("Delivered-To: ALICE@example.test\r\n{CONTENT}");
    let told = run("", "alice@example.test", &content, taken());
    let text = "dsn=5.4.6, status=bounced (mail forwarding loop for alice@example.test)";
    assert_eq!(told.ending(), text);
    assert!(told.request.is_none());
}

#[test]
fn a_table_that_cannot_tell_makes_mail_wait() {
    let told = run("alias_maps = hash:/nowhere/x\n", "alice@example.test", CONTENT, taken());
    assert_eq!(told.ending(), "dsn=4.3.0, status=deferred (alias database unavailable)");
    let maps = "mailbox_transport_maps = hash:/nowhere/x\n";
    let told = run(maps, "alice@example.test", CONTENT, taken());
    assert_eq!(told.ending(), "dsn=4.3.0, status=deferred (table lookup failure)");
    assert!(told.request.is_none());
}

#[test]
fn another_transport_takes_a_mailbox_and_says_what_becomes_of_it() {
    let maps = "mailbox_transport_maps = inline:{ {alice=error:5.7.1 no} {bob=discard:bye} }\n\
                mailbox_transport = retry:\nalias_maps = inline:{list=bob}\n\
                transport_maps = inline:{example.org=discard:}\n";
    let told = run(maps, "Alice+x@example.test", CONTENT, taken());
    assert!(
        told.logged(": passing <Alice+x@example.test> to transport=error"),
        "{:#?}",
        told.lines
    );
    let line = ": to=<Alice+x@example.test>, relay=none, ";
    assert_eq!(told.lines.iter().filter(|it| it.contains(line)).count(), 1);
    assert!(told.logged("dsn=5.7.1, status=bounced (no)"));
    assert!(told.logged("sender non-delivery notification: "), "{:#?}", told.lines);
    let told = run(maps, "list@example.test", CONTENT, taken());
    let line = "postfix/discard[1]: ";
    let to = ": to=<bob@mx.example.test>, orig_to=<list@example.test>, relay=none, ";
    assert!(told.lines.iter().any(|it| it.contains(line) && it.contains(to)), "{:#?}", told.lines);
    assert!(told.logged("dsn=2.0.0, status=sent (bye)") && told.logged(": removed"));
    let told = run(maps, "postmaster@example.test", CONTENT, taken());
    assert!(told.logged("dsn=4.0.0, status=deferred ("), "{:#?}", told.lines);
    assert!(told.request.is_none());
}

#[test]
fn a_transport_that_is_none_or_leads_back_makes_mail_wait() {
    let told = run("mailbox_transport = none:\n", "alice@example.test", CONTENT, taken());
    assert_eq!(told.ending(), "dsn=4.3.0, status=deferred (mail transport unavailable)");
    let warning = "warning: connect #1 to subsystem private/none: No such file or directory";
    assert!(told.logged(warning), "{:#?}", told.lines);
    let services = format!("{MASTER_CF}lmtp unix - - n - - lmtp\n");
    let main_cf = "mailbox_transport = lmtp:unix:/run/lmtp\n";
    let told = run_with(&services, None, main_cf, "alice@example.test", CONTENT, taken());
    let line = "dsn=4.3.0, status=deferred (mail transport unavailable)";
    assert!(told.logged(line), "{:#?}", told.lines);
    for value in ["local", ":x"] {
        let main_cf = format!("mailbox_transport = {value}\n");
        let told = run(&main_cf, "alice@example.test", CONTENT, taken());
        let ending = "dsn=4.3.5, status=deferred (mail system configuration error)";
        assert_eq!(told.ending(), ending);
    }
}

#[test]
fn who_is_nobody_goes_where_the_parameters_say() {
    let nobody = || Script::Refuse(verdict(Code::NoUser, (5, 1, 1), "x"));
    let maps = "fallback_transport_maps = inline:{a=discard:map}\n\
                luser_relay = lost+$user=$extension@there.example\n\
                transport_maps = inline:{there.example=discard:}\n";
    let told = run(maps, "a@example.test", CONTENT, nobody());
    assert!(told.logged("status=sent (map)"), "{:#?}", told.lines);
    let told = run(maps, "b+x@example.test", CONTENT, nobody());
    let to = ": to=<lost+b=x@there.example>, orig_to=<b+x@example.test>, relay=none, ";
    assert!(told.logged(to), "{:#?}", told.lines);
    let both = format!("{maps}fallback_transport = discard:all\n");
    let told = run(&both, "b@example.test", CONTENT, nobody());
    assert!(told.logged("status=sent (all)"), "{:#?}", told.lines);
    let told = run("luser_relay = lost\n", "b@example.test", CONTENT, nobody());
    assert_eq!(told.ending(), "dsn=5.1.1, status=bounced (unknown user: \"lost\")");
    assert!(told.logged("to=<lost@mx.example.test>, orig_to=<b@example.test>, relay=local, "));
    let told = run("luser_relay = ${user\n", "b@example.test", CONTENT, nobody());
    let ending = "dsn=4.3.5, status=deferred (mail system configuration error)";
    assert_eq!(told.ending(), ending);
}

#[test]
fn a_users_own_file_is_obeyed() {
    let maps = "transport_maps = inline:{there.example=discard:}\n";
    let own = Some("\\alice, x@there.example\n");
    let told = run_at(own, maps, "alice+e@example.test", CONTENT, taken());
    let asked = told.listed.as_ref().unwrap();
    assert_eq!((asked.source, &asked.name[..]), (alias::Source::User, &b"alice"[..]));
    let header = "Return-Path: <s@example.org>\nX-Original-To: alice+e@example.test\n\
                  Delivered-To: alice+e@example.test\nReceived: from c (";
    assert!(told.content.starts_with(header), "{}", told.content);
    assert_eq!(told.content.matches("Return-Path").count(), 1);
    let to = "to=<alice@mx.example.test>, orig_to=<alice+e@example.test>, relay=local, ";
    assert!(told.logged(to), "{:#?}", told.lines);
    assert!(told.logged("status=sent (forwarded as "));
    assert!(told.logged(": to=<x@there.example>, orig_to=<alice+e@example.test>, relay=none, "));
    let warnings = told.lines.iter().filter(|line| line.contains("warning: about the file"));
    assert_eq!(warnings.count(), 1, "once, though it is read twice: {:#?}", told.lines);
    let told = run_at(Some(""), "", "alice@example.test", CONTENT, taken());
    assert_eq!(told.ending(), "dsn=2.0.0, status=sent (delivered to mailbox)");
    let told = run_at(Some("\"|run it\"\n"), "", "alice@example.test", CONTENT, taken());
    let asked = told.listed.as_ref().unwrap();
    assert_eq!(asked.target, Target::Command(b"run it".into()));
    assert_eq!(asked.value("RECIPIENT"), Some(&b"alice@example.test"[..]));
}

#[test]
fn an_alias_is_delivered_under_its_own_name_and_reported_under_the_old_one() {
    let aliases = "alias_maps = inline:{ {list=alice, alice} }\n";
    let told = run(aliases, "List@example.test", CONTENT, taken());
    let header = "Return-Path: <s@example.org>\nX-Original-To: List@example.test\n\
                  Delivered-To: List@example.test\nReceived: from c (";
    assert!(told.content.starts_with(header), "{}", told.content);
    assert_eq!(told.content.matches("Return-Path").count(), 1, "once, though it is named twice");
    assert!(told.logged("to=<alice@mx.example.test>, orig_to=<List@example.test>, relay=local, "));
    assert!(told.logged(": removed"));
}

#[test]
fn other_addresses_are_one_new_message() {
    let aliases = "alias_maps = inline:{ {list=x@there.example, alice, y@there.example} }\n\
                   transport_maps = inline:{there.example=discard:}\n";
    let told = run(aliases, "list@example.test", CONTENT, taken());
    assert!(told.logged("to=<list@example.test>, relay=local, "));
    let forwarded: Vec<_> =
        told.lines.iter().filter(|line| line.contains("status=sent (forwarded as ")).collect();
    assert_eq!(forwarded.len(), 1, "{:#?}", told.lines);
    let id = forwarded[0].rsplit(' ').next().unwrap().trim_end_matches(')');
    let to = format!("{id}: to=<x@there.example>, orig_to=<list@example.test>, relay=none, ");
    assert!(told.logged(&to), "{:#?}", told.lines);
    assert!(told.logged(&format!("{id}: from=<s@example.org>, size=")));
    assert!(told.logged("nrcpt=2 (queue active)"));
    assert_eq!(told.lines.iter().filter(|line| line.contains(": removed")).count(), 2);
}

#[test]
fn nothing_is_forwarded_while_something_waits_and_failures_are_reported_all_the_same() {
    let aliases = "alias_maps = inline:{ {list=x@there.example, alice, u@-bad-.example} }\n\
                   transport_maps = inline:{there.example=discard:, example.org=discard:}\n";
    let busy = verdict(Code::TempFail, (4, 2, 0), "in use");
    let told = run(aliases, "list@example.test", CONTENT, Script::Refuse(busy));
    assert!(told.logged("status=deferred (in use)"));
    assert!(!told.logged("forwarded as"), "{:#?}", told.lines);
    assert!(told.logged("sender non-delivery notification: "), "{:#?}", told.lines);
}

#[test]
fn members_of_a_list_with_an_owner_are_forwarded_in_its_name() {
    let aliases = "alias_maps = inline:{ {list=alice, x@there.example} {owner-list=bob} }\n\
                   transport_maps = inline:{there.example=discard:}\n";
    let told = run(aliases, "List@Example.Test", CONTENT, taken());
    assert!(told.logged(": from=<owner-list@mx.example.test>, size="), "{:#?}", told.lines);
    assert!(told.logged(": to=<x@there.example>, relay=none, "));
    let header = "Return-Path: <owner-list@mx.example.test>\n\
                  X-Original-To: alice@mx.example.test\nDelivered-To: alice@mx.example.test\n\
                  Received: by mx.example.test (";
    assert!(told.content.starts_with(header), "{}", told.content);
    assert!(told.content.contains("\nDelivered-To: list@example.test\nReceived: from c ("));
}

#[test]
fn an_owner_hears_of_what_the_list_may_not_do_and_the_sender_does_not() {
    let aliases = "alias_maps = inline:{ {list=|x} {owner-list=bob} }\n\
                   allow_mail_to_commands =\n";
    let told = run(aliases, "list@example.test", CONTENT, taken());
    let ending = "dsn=5.7.1, status=bounced (mail to command is restricted)";
    assert_eq!(told.ending(), ending);
    assert!(told.content.contains("\nTo: owner-list@mx.example.test\n"), "{}", told.content);
    assert!(told.content.contains("<list@example.test>: mail to command is restricted"));
    assert!(!told.logged("to=<s@example.org>"));
}

#[test]
fn that_a_list_was_expanded_is_reported_whatever_became_of_its_members() {
    let aliases = "alias_maps = inline:{ {list=alice, |x} }\nallow_mail_to_commands =\n\
                   transport_maps = inline:{example.org=discard:}\n";
    let told = run(aliases, "list@example.test NOTIFY=SUCCESS,FAILURE", CONTENT, taken());
    assert!(told.logged("status=bounced (mail to command is restricted)"), "{:#?}", told.lines);
    assert!(told.logged(": sender non-delivery notification: "), "{:#?}", told.lines);
    assert!(told.logged(": sender delivery status notification: "), "{:#?}", told.lines);
    let told = run(aliases, "list@example.test NOTIFY=FAILURE", CONTENT, taken());
    assert!(!told.logged(": sender delivery status notification: "), "{:#?}", told.lines);
}

#[test]
fn what_is_forwarded_goes_through_cleanups_mappings() {
    let unmapped = "smtp inet n - n - - smtpd -o receive_override_options=no_address_mappings\n\
                    local unix - n n - - local\n";
    let maps = "alias_maps = inline:{ {list=alice} {owner-list=bob} }\n\
                sender_canonical_maps = inline:{ {owner-list@mx.example.test=boss@example.org} \
                 {s@example.org=mapped@example.org} }\n\
                virtual_alias_maps = inline:{alice@mx.example.test=carol@example.test}\n";
    let content = "From: s@example.org\r\nSubject: x\r\n\r\nx\r\n";
    let told = run_with(unmapped, None, maps, "list@example.test", content, taken());
    assert!(told.logged(": from=<s@example.org>, size="), "{:#?}", told.lines);
    assert!(told.logged(": from=<boss@example.org>, size="), "{:#?}", told.lines);
    assert!(told.logged(": to=<carol@example.test>, orig_to=<alice@mx.example.test>, "));
    assert!(told.content.contains("\nFrom: mapped@example.org\n"), "{}", told.content);
}
