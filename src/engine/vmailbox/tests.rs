//! Deliveries on the simulated kernel, with a script in the delivery helper's place.

use crate::local::helper::{self, SOCKET};
use crate::testing::{World, world_of};
use mail::Status;
use mail::dsn::Diagnostic;
use privsep::{Asked, Code, Reply, Verdict, VirtualRequest, chunk, frame};
use runtime::net::{Arrived, Listener, Stream};
use runtime::{Chunk, Rt};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const MASTER_CF: &str = "smtp inet n - n - - smtpd\nvirtual unix - n n - - virtual\n\
    boxes unix - n n - - virtual -o soft_bounce=yes\n";
const MAIN_CF: &str = "virtual_mailbox_domains = a.example\nrecipient_delimiter = +\n\
    virtual_mailbox_base = /var/vmail\nvirtual_minimum_uid = 100\n\
    virtual_mailbox_maps = inline:{{ceo@a.example=a/ceo} {dir@a.example=a/dir/} \
    {bad@a.example=bad}}\nvirtual_gid_maps = static:105\n\
    virtual_uid_maps = inline:{{bad@a.example=99} {@a.example=1003}}\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// What the script in the helper's place does.
#[derive(Clone)]
enum Script {
    /// Takes everything, then says this.
    Take(Verdict),
    /// Says this at once.
    Refuse(Verdict),
    /// Closes after the request.
    Die,
}

/// What the helper was told, and the log.
#[derive(Debug)]
struct Told {
    requests: Vec<VirtualRequest>,
    content: String,
    lines: Vec<String>,
}

type Heard = Rc<RefCell<(Vec<VirtualRequest>, Vec<u8>)>>;

fn verdict(code: Code, status: (u8, u16, u16), text: &str) -> Verdict {
    Verdict { code, status, text: text.into(), warnings: Vec::new() }
}

fn taken() -> Script {
    Script::Take(verdict(Code::Ok, (2, 0, 0), "delivered to mailbox"))
}

/// Sends one message to these recipients.
fn run(main_cf: &str, recipients: &[&str], script: Script) -> Told {
    let directory = tempfile::tempdir().unwrap();
    let world = world_of(directory.path(), &format!("{MAIN_CF}{main_cf}"), MASTER_CF, 1);
    let (core, sock, heard) = (world.core.clone(), world.helper, Heard::default());
    let (rt, hears) = (core.rt.clone(), heard.clone());
    rt.clone().spawn(async move {
        let listener = Listener::new(&rt, sock);
        while let Ok(stream) = listener.accept().await {
            Helper { rt: rt.clone(), stream, input: Vec::new() }.serve(&script, &hears).await;
        }
    });
    let to: String = recipients.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
    let input = format!(
        "EHLO c\r\nMAIL FROM:<s@example.org>\r\n{to}DATA\r\n\
         Subject: x\r\nDelivered-To: ceo@a.example\r\n\r\nend\r\n.\r\nQUIT\r\n"
    );
    world.run(async move {
        let patience = Duration::from_secs(5);
        World::client(&core, "127.0.0.1:40000", input.as_bytes(), patience).await;
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(60)).await;
    });
    let (requests, content) = heard.take();
    Told { requests, content: String::from_utf8(content).unwrap(), lines: world.lines() }
}

struct Helper {
    rt: Rt,
    stream: Stream,
    input: Vec<u8>,
}

impl Helper {
    async fn serve(&mut self, script: &Script, heard: &Heard) {
        let header: [u8; 8] = self.take(frame::HEADER_BYTES).await.try_into().unwrap();
        let (kind, len) = Asked::kind(header).unwrap();
        let body = self.take(len).await;
        let Asked::Virtual(request) = Asked::decode(kind, &body).unwrap() else {
            panic!("a request for a virtual mailbox");
        };
        heard.borrow_mut().0.push(request);
        match script {
            Script::Refuse(verdict) => self.say(&Reply::Done(verdict.clone())).await,
            Script::Take(verdict) => {
                self.say(&Reply::Go).await;
                self.content(heard).await;
                self.say(&Reply::Done(verdict.clone())).await;
            }
            Script::Die => {}
        }
    }

    async fn content(&mut self, heard: &Heard) {
        loop {
            let header = self.take(chunk::HEADER_BYTES).await.try_into().unwrap();
            let Some(len) = chunk::len(header).unwrap() else { return };
            let piece = self.take(len).await;
            heard.borrow_mut().1.extend(piece);
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        let deadline = self.rt.now() + PATIENCE;
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
        let deadline = self.rt.now() + PATIENCE;
        self.stream.send(vec![Chunk::Owned(reply.encode())], deadline).await.unwrap();
        self.stream.drained(deadline).await.unwrap();
    }
}

impl Told {
    /// A recipient's log line from its status on.
    fn ending(&self, recipient: &str) -> &str {
        let to = format!(" to=<{recipient}>, ");
        let line = self.lines.iter().find(|line| line.contains(&to));
        let line = line.unwrap_or_else(|| panic!("{:#?}", self.lines));
        &line[line.find("dsn=").unwrap()..]
    }

    fn logged(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.contains(part))
    }
}

#[test]
fn the_helper_is_told_path_and_ids_and_gets_the_message_as_lines() {
    let told = run("", &["CEO+x@A.example"], taken());
    let [request] = &told.requests[..] else { panic!("{told:?}") };
    assert_eq!((&request.service[..], &request.path[..]), (&b"virtual"[..], &b"a/ceo"[..]));
    assert_eq!((request.uid, request.gid), (1003, 105));
    assert!(request.from_line.starts_with(b"From s@example.org  "));
    let header = "Return-Path: <s@example.org>\nX-Original-To: CEO+x@A.example\n\
                  Delivered-To: CEO+x@A.example\nReceived: from c (";
    assert!(told.content.starts_with(header), "{}", told.content);
    assert!(told.content.ends_with("\n\nend\n"), "{}", told.content);
    assert_eq!(told.ending("CEO+x@A.example"), "dsn=2.0.0, status=sent (delivered to mailbox)");
    assert!(told.logged("postfix/virtual[1]: "), "{:#?}", told.lines);
    assert!(told.logged("relay=virtual, delay=") && told.logged(": removed"));
}

#[test]
fn a_delivered_to_field_is_no_loop_and_local_switches_mean_nothing() {
    let told = run("prepend_delivered_header =\n", &["ceo@a.example", "dir@a.example"], taken());
    assert_eq!(told.requests.len(), 2);
    assert!(told.requests.iter().any(|request| request.path == b"a/dir/"));
    assert_eq!(told.content.matches("\nDelivered-To: ").count(), 4, "{}", told.content);
}

#[test]
fn nobody_is_a_bounce_and_bad_ids_make_mail_wait_without_the_helper() {
    let told = run("", &["NoBody+X@a.example", "bad@a.example"], taken());
    assert_eq!(
        told.ending("NoBody+X@a.example"),
        "dsn=5.1.1, status=bounced (unknown user: \"nobody+x@a.example\")"
    );
    let config = "dsn=4.3.5, status=deferred (mail system configuration error)";
    assert_eq!(told.ending("bad@a.example"), config);
    let why = "warning: recipient bad@a.example: bad uid 99 in virtual_uid_maps";
    assert!(told.logged(why), "{:#?}", told.lines);
    assert!(told.requests.is_empty());
}

#[test]
fn a_service_has_parameters_and_a_name_of_its_own() {
    let told = run("virtual_transport = boxes\n", &["nobody@a.example"], taken());
    let text = "dsn=4.1.1, status=SOFTBOUNCE (unknown user: \"nobody@a.example\")";
    assert_eq!(told.ending("nobody@a.example"), text);
    assert!(told.logged("relay=boxes, "), "{:#?}", told.lines);
}

#[test]
fn what_the_helper_says_is_what_is_logged() {
    let mut device = verdict(Code::CantCreate, (5, 3, 5), "delivery failed to mailbox /b/x: y");
    device.warnings.push("destination /b/x is not a regular file".into());
    let told = run("", &["ceo@a.example"], Script::Refuse(device));
    let text = "dsn=5.3.5, status=bounced (delivery failed to mailbox /b/x: y)";
    assert_eq!(told.ending("ceo@a.example"), text);
    let warning = "recipient ceo@a.example: destination /b/x is not a regular file";
    assert!(told.logged(warning), "{:#?}", told.lines);
}

#[test]
fn that_it_could_not_be_written_is_told_in_notices_by_its_code() {
    let full = "delivery failed to mailbox /b/x: error writing message: File too large";
    let dsn = helper::dsn(verdict(Code::IoErr, (5, 2, 2), full));
    assert_eq!((dsn.reason.as_str(), dsn.diagnostic), (full, Diagnostic::Unix));
    assert_eq!(dsn.diagnostic_text.as_deref(), Some("input/output error"));
    let busy = helper::dsn(verdict(Code::TempFail, (4, 2, 0), "in use"));
    assert_eq!((busy.diagnostic_text, busy.status), (None, Status::new(4, 2, 0)));
}

#[test]
fn a_helper_that_dies_is_a_deferral() {
    let told = run("", &["ceo@a.example"], Script::Die);
    let text = "dsn=4.3.0, status=deferred (unknown mail transport error)";
    assert_eq!(told.ending("ceo@a.example"), text);
    assert!(told.logged(&format!("warning: {SOCKET}: premature end of delivery: ")));
    assert!(!told.logged(": removed"));
}

#[test]
fn a_result_that_is_no_path_makes_mail_wait() {
    let maps = format!("virtual_mailbox_maps = static:{}\n", "x".repeat(4000));
    let told = run(&maps, &["ceo@a.example"], taken());
    let config = "dsn=4.3.5, status=deferred (mail system configuration error)";
    assert_eq!(told.ending("ceo@a.example"), config);
    assert!(told.requests.is_empty());
}

#[test]
fn a_service_that_would_not_start_in_postfix_keeps_its_mail() {
    let told = run("virtual_mailbox_base =\n", &["ceo@a.example"], taken());
    let text = "dsn=4.3.0, status=deferred (mail transport unavailable)";
    assert_eq!(told.ending("ceo@a.example"), text);
    let why = "virtual[1]: fatal: bad string length 0 < 1: virtual_mailbox_base = ";
    assert!(told.logged(why), "{:#?}", told.lines);
    assert!(told.requests.is_empty() && !told.logged(": removed"));
}
