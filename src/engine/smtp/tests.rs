//! Deliveries end to end under virtual time: scripted servers, a scripted resolver, real content.

mod end_of_data;
mod servers;

use super::*;
use crate::custody::Estate;
use crate::delivery::{DeliverRequest, Disposition, MessageInfo, Outcome};
use crate::localtime::LocalTime;
use crate::maillog::{Identity, Sink};
use crate::resolver::{Cause, Script, Source};
use mail::queue_id::QueueId;
use mail::{Address, Envelope, Recipient};
use queue::{Core, Log, Options, SEGMENT_MIN};
use runtime::io::Sock;
use runtime::kernel::{Choice, Kernel};
use runtime::reactor::{Flow, Pump};
use runtime::sim::SimIo;
use runtime::wake::Waker;
use servers::{Reply, Server};
use std::cell::Cell;
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

const ID: QueueId = QueueId { micros: 1_767_225_600_000_000, number: 1, long: false };

/// A message of one delivery.
struct Mail {
    nexthop: String,
    recipients: Vec<&'static str>,
    content: Vec<u8>,
    keep: bool,
    longest_line: u32,
    /// How often local has handed it over.
    handovers: u32,
}

impl Mail {
    fn to(nexthop: &str, recipients: &[&'static str]) -> Mail {
        Mail {
            nexthop: nexthop.into(),
            recipients: recipients.to_vec(),
            content: b"Subject: x\r\n\r\n..dot\r\n".to_vec(),
            keep: false,
            longest_line: 12,
            handovers: 0,
        }
    }
}

/// What a run leaves behind.
struct Ran {
    log: String,
    outcomes: Vec<Outcome>,
    heard: Vec<Vec<u8>>,
}

impl Ran {
    /// The log without time stamps, process ids, the delays, and the name of the program.
    fn lines(&self) -> Vec<String> {
        self.log.lines().map(tidy).collect()
    }

    fn heard(&self, server: usize) -> String {
        String::from_utf8_lossy(&self.heard[server]).into_owned()
    }
}

fn tidy(line: &str) -> String {
    let text = line.split_once("]: ").map_or(line, |(_, text)| text);
    match (text.find(", delay="), text.find(", dsn=")) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to..]),
        _ => text.to_string(),
    }
}

struct Until(Rc<Cell<bool>>);

impl Pump for Until {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        if self.0.get() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        false
    }
}

fn settings(main_cf: &str) -> Settings {
    let host = config::Host { hostname: "mx.example.test".into(), ..config::Host::default() };
    let text = format!("inet_protocols = ipv4\n{main_cf}\n");
    let main = config::MainCf::parse("main.cf", text.as_bytes()).unwrap();
    let params = config::Params::new(main, host);
    let own = vec!["192.0.2.250".parse().unwrap()];
    let opener =
        crate::lookup::Opener::new(&params, crate::testing::tables(), Default::default()).unwrap();
    Settings::read(&params, own, &opener).unwrap()
}

/// Delivers one mail after the other, a second apart, and lets everything come to its end.
fn run(main_cf: &str, script: Script, servers: Vec<Server>, mails: Vec<Mail>) -> Ran {
    let mut io = SimIo::new(7);
    let socks: Vec<Sock> = servers.iter().map(|server| io.listen(server.address())).collect();
    let rt = Rt::new(Box::new(io), Waker::new().unwrap());
    let servers = servers.into_iter().zip(socks).collect();
    let pauses = [Duration::from_secs(1), Duration::from_secs(5)];
    run_on(&rt, main_cf, script, servers, mails, pauses)
}

/// The same on any runtime, with pauses between two mails and at the end.
fn run_on(
    rt: &Rt,
    main_cf: &str,
    script: Script,
    servers: Vec<(Server, Sock)>,
    mails: Vec<Mail>,
    pauses: [Duration; 2],
) -> Ran {
    run_from(rt, &Estate::none(), main_cf, script, servers, mails, pauses)
}

/// The same in an engine that begins with what another one has left.
fn run_from(
    rt: &Rt,
    estate: &Estate,
    main_cf: &str,
    script: Script,
    servers: Vec<(Server, Sock)>,
    mails: Vec<Mail>,
    pauses: [Duration; 2],
) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: SEGMENT_MIN, ..Options::default() };
    let (mut queue, _) = Log::open(dir.path(), Core::new(0).unwrap(), options).unwrap();
    let text: Rc<RefCell<String>> = Rc::default();
    let identity = Identity { hostname: "mx".into(), syslog_name: "postfix".into(), pid: 1 };
    let local = Rc::new(LocalTime::system());
    let log = Rc::new(Maillog::new(identity, Sink::Memory(text.clone()), local));
    let resolver = Rc::new(Resolver::new(rt, Source::Script(script)));
    let custody = Custody::new(rt, &log, estate, 0, 1);
    let service = [("smtp".to_string(), Arc::new(settings(main_cf)))];
    let client = Client::new(rt, log.clone(), resolver, custody, service, 1);
    let heard: Vec<_> = servers.into_iter().map(|(server, sock)| server.start(rt, sock)).collect();
    let requests: Vec<DeliverRequest> =
        mails.into_iter().map(|mail| request(rt, &mut queue, mail)).collect();
    let (outcomes, finished) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let (rt2, outcomes2, done) = (rt.clone(), outcomes.clone(), finished.clone());
    rt.spawn(async move {
        for request in requests {
            let outcome = client.deliver(request).await;
            outcomes2.borrow_mut().push(outcome);
            rt2.sleep_until(rt2.now() + pauses[0]).await;
        }
        rt2.sleep_until(rt2.now() + pauses[1]).await;
        assert_eq!(client.idle_connections(), 0);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
    log.flush();
    let heard = heard.iter().map(|heard| heard.borrow().clone()).collect();
    Ran { log: text.take(), outcomes: outcomes.take(), heard }
}

fn request(rt: &Rt, queue: &mut Log, mail: Mail) -> DeliverRequest {
    let number = queue.reserve_number();
    let mut draft = queue.begin(number);
    for piece in mail.content.chunks(queue.append_max().min(100_000)) {
        while let Some(request) = queue.wants_segment() {
            queue.supply(request.prepare().unwrap());
        }
        queue.extend(&mut draft, piece).unwrap();
        while let Some(flush) = queue.seal() {
            let written = flush.write_blocking();
            queue.flushed(flush.id, written).unwrap();
        }
    }
    queue.commit(draft, 1, 0, b"env").unwrap();
    while let Some(flush) = queue.seal() {
        let written = flush.write_blocking();
        queue.flushed(flush.id, written).unwrap();
    }
    let content = queue.content(number).unwrap();
    let recipients: Vec<Recipient> = mail
        .recipients
        .iter()
        .map(|address| Recipient::new(Address::from_internal(address.as_bytes())))
        .collect();
    let envelope = Envelope {
        sender: Address::from_internal(b"s@example.org"),
        size: content.len(),
        recipients,
        longest_line: mail.longest_line,
        has_8bit: !mail.content.is_ascii(),
        ..Envelope::default()
    };
    DeliverRequest {
        entry: crate::testing::entry(),
        recipients: (0..mail.recipients.len() as u32).collect(),
        message: Arc::new(MessageInfo { number, id: ID, envelope }),
        transport: "smtp".into(),
        nexthop: mail.nexthop.as_str().into(),
        content,
        activated: rt.now(),
        before_queue: Duration::ZERO,
        keep_connection: mail.keep,
        handovers: mail.handovers,
    }
}

fn dispositions(outcome: &Outcome) -> Vec<(u32, Disposition)> {
    let mut all: Vec<_> = outcome.results.iter().map(|r| (r.index, r.disposition)).collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

#[test]
fn mail_goes_to_the_next_hop_and_every_recipient_gets_its_line() {
    let server = Server::new("127.0.0.1:10025")
        .with("RCPT TO:<bad@", Reply::Line("550 5.1.1 unknown user"))
        .with("RCPT TO:<tmp@", Reply::Line("450 4.2.0 greylisted"));
    let mail = Mail::to("[127.0.0.1]:10025", &["a@x", "bad@x", "tmp@x", "b@x"]);
    let ran = run("", Script::new(), vec![server], vec![mail]);
    assert_eq!(
        ran.lines(),
        [
            "000001: to=<bad@x>, relay=127.0.0.1[127.0.0.1]:10025, dsn=5.1.1, status=bounced \
             (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 unknown user \
             (in reply to RCPT TO command))",
            "000001: to=<tmp@x>, relay=127.0.0.1[127.0.0.1]:10025, dsn=4.2.0, status=deferred \
             (host 127.0.0.1[127.0.0.1] said: 450 4.2.0 greylisted (in reply to RCPT TO command))",
            "000001: to=<a@x>, relay=127.0.0.1[127.0.0.1]:10025, dsn=2.0.0, status=sent \
             (250 2.0.0 Ok: queued as MOCK)",
            "000001: to=<b@x>, relay=127.0.0.1[127.0.0.1]:10025, dsn=2.0.0, status=sent \
             (250 2.0.0 Ok: queued as MOCK)",
        ]
    );
    let (sent, deferred, bounced) =
        (Disposition::Sent, Disposition::Deferred, Disposition::Bounced);
    let outcome = &ran.outcomes[0];
    assert_eq!(dispositions(outcome), [(0, sent), (1, bounced), (2, deferred), (3, sent)]);
    assert_eq!(outcome.site_failure, None);
    assert_eq!(
        ran.heard(0),
        "EHLO mx.example.test\r\nMAIL FROM:<s@example.org>\r\nRCPT TO:<a@x>\r\nRCPT TO:<bad@x>\r\n\
         RCPT TO:<tmp@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
    );
}

/// One line of the log: the recipient's, after "status=".
fn status(ran: &Ran) -> &str {
    let line = ran.log.lines().last().unwrap();
    line.split_once("dsn=").unwrap().1
}

fn site_failed(ran: &Ran) -> bool {
    ran.outcomes[0].site_failure.is_some()
}

#[test]
fn a_refused_connection_is_the_destinations_failure() {
    let mail = Mail::to("[127.0.0.1]:10025", &["a@x"]);
    let ran = run("", Script::new(), vec![], vec![mail]);
    assert_eq!(
        ran.lines(),
        [
            "connect to 127.0.0.1[127.0.0.1]:10025: Connection refused",
            "000001: to=<a@x>, relay=none, dsn=4.4.1, status=deferred \
             (connect to 127.0.0.1[127.0.0.1]:10025: Connection refused)",
        ]
    );
    assert!(site_failed(&ran));
}

/// The words for each way a dialogue can break, and whether the destination is blamed.
#[test]
fn broken_dialogues_are_reported_in_postfix_words() {
    let lost = "4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while ";
    let slow = "4.4.2, status=deferred (conversation with 127.0.0.1[127.0.0.1] timed out while ";
    let twice = "sending end of data -- message may be sent more than once)";
    for (on, reply, expected) in [
        ("CONNECT", Reply::Drop, format!("{lost}receiving the initial server greeting)")),
        ("CONNECT", Reply::Silence, format!("{slow}receiving the initial server greeting)")),
        ("EHLO", Reply::Drop, format!("{lost}performing the EHLO handshake)")),
        ("MAIL", Reply::Silence, format!("{slow}sending MAIL FROM)")),
        ("RCPT", Reply::Drop, format!("{lost}sending RCPT TO)")),
        ("DATA", Reply::Silence, format!("{slow}sending DATA command)")),
        ("EOM", Reply::Drop, format!("{lost}{twice}")),
        ("EOM", Reply::Silence, format!("{slow}{twice}")),
    ] {
        let server = Server::new("127.0.0.1:25").with(on, reply);
        let mail = Mail::to("[127.0.0.1]", &["a@x"]);
        let ran = run("", Script::new(), vec![server], vec![mail]);
        assert_eq!(status(&ran), expected);
        assert!(site_failed(&ran), "{on}");
    }
}

#[test]
fn refusals_at_each_stage_are_reported_in_postfix_words() {
    let said = |status: &str, what: &str, text: &str, to: &str| {
        format!(
            "{status}, status={what} (host 127.0.0.1[127.0.0.1] said: {text} (in reply to {to}))"
        )
    };
    for (on, text, site, expected) in [
        (
            "CONNECT",
            "554 5.3.2 no service",
            true,
            "4.3.2, status=deferred (host 127.0.0.1[127.0.0.1] refused to talk to me: \
             554 5.3.2 no service)"
                .to_string(),
        ),
        (
            "MAIL",
            "999 what is this",
            false,
            said("5.5.0", "bounced", "999 what is this", "MAIL FROM command"),
        ),
        ("MAIL", "451 later", false, said("4.0.0", "deferred", "451 later", "MAIL FROM command")),
        (
            "DATA",
            "554 5.7.1 no data please",
            false,
            said("5.7.1", "bounced", "554 5.7.1 no data please", "DATA command"),
        ),
        (
            "EOM",
            "452 4.3.1 disk full",
            false,
            said("4.3.1", "deferred", "452 4.3.1 disk full", "end of DATA command"),
        ),
    ] {
        let server = Server::new("127.0.0.1:25").with(on, Reply::Line(text));
        let mail = Mail::to("[127.0.0.1]", &["a@x"]);
        let ran = run("", Script::new(), vec![server], vec![mail]);
        assert_eq!(status(&ran), expected);
        assert_eq!(site_failed(&ran), site, "{on}");
    }
}

#[test]
fn a_message_that_is_too_large_is_not_offered() {
    let server = Server::new("127.0.0.1:25").offering("250-mock\r\n250 SIZE 10");
    let ran = run("", Script::new(), vec![server], vec![Mail::to("[127.0.0.1]", &["a@x"])]);
    assert_eq!(
        status(&ran),
        "5.3.4, status=bounced (message size 21 exceeds size limit 10 of server \
         127.0.0.1[127.0.0.1])"
    );
    assert_eq!(ran.heard(0), "EHLO mx.example.test\r\n");
}

#[test]
fn soft_bounce_keeps_what_was_refused() {
    let server = Server::new("127.0.0.1:25").with("RCPT", Reply::Line("550 5.1.1 no"));
    let mail = Mail::to("[127.0.0.1]", &["a@x"]);
    let ran = run("soft_bounce = yes", Script::new(), vec![server], vec![mail]);
    assert!(status(&ran).starts_with("4.1.1, status=SOFTBOUNCE (host"), "{}", ran.log);
    assert_eq!(dispositions(&ran.outcomes[0]), [(0, Disposition::Deferred)]);
}

fn two_hosts() -> Script {
    Script::new()
        .with_mx("two.example", &[(20, "b.example"), (10, "a.example")])
        .with_host("a.example", "192.0.2.1".parse().unwrap())
        .with_host("b.example", "192.0.2.2".parse().unwrap())
}

#[test]
fn the_next_host_is_tried_after_a_temporary_failure() {
    for (reply, expected) in [
        (None, "connect to a.example[192.0.2.1]:25: Connection refused"),
        (
            Some(("CONNECT", Reply::LineAndDrop("421 4.3.2 busy"))),
            "000001: host a.example[192.0.2.1] refused to talk to me: 421 4.3.2 busy",
        ),
        (
            Some(("MAIL", Reply::Line("451 4.3.0 later"))),
            "000001: host a.example[192.0.2.1] said: 451 4.3.0 later \
             (in reply to MAIL FROM command)",
        ),
        (
            Some(("EHLO", Reply::Drop)),
            "000001: lost connection with a.example[192.0.2.1] while performing the EHLO handshake",
        ),
    ] {
        let mut servers = vec![Server::new("192.0.2.2:25")];
        if let Some((on, reply)) = reply {
            servers.push(Server::new("192.0.2.1:25").with(on, reply));
        }
        let ran = run("", two_hosts(), servers, vec![Mail::to("two.example", &["a@x"])]);
        let sent = "000001: to=<a@x>, relay=b.example[192.0.2.2]:25, dsn=2.0.0, status=sent \
                    (250 2.0.0 Ok: queued as MOCK)";
        assert_eq!(ran.lines(), [expected, sent]);
    }
}

#[test]
fn a_permanent_refusal_is_final() {
    let servers = vec![
        Server::new("192.0.2.1:25").with("RCPT", Reply::Line("550 5.1.1 no such user")),
        Server::new("192.0.2.2:25"),
    ];
    let ran = run("", two_hosts(), servers, vec![Mail::to("two.example", &["a@x"])]);
    assert!(status(&ran).starts_with("5.1.1, status=bounced (host a.example[192.0.2.1] said"));
    assert_eq!(ran.heard(1), "");
}

#[test]
fn the_session_limit_ends_the_search() {
    let script = two_hosts();
    let busy = |address| Server::new(address).with("MAIL", Reply::Line("451 4.3.0 later"));
    let servers = vec![busy("192.0.2.1:25"), busy("192.0.2.2:25")];
    let mail = Mail::to("two.example", &["a@x"]);
    let ran = run("smtp_mx_session_limit = 1", script, servers, vec![mail]);
    assert!(status(&ran).starts_with("4.3.0, status=deferred (host a.example[192.0.2.1] said"));
    assert_eq!(ran.heard(1), "");
}

#[test]
fn the_fallback_relay_takes_what_nobody_else_does() {
    let servers = vec![Server::new("192.0.2.9:26")];
    let mail = Mail::to("nowhere.example", &["a@x"]);
    let main_cf = "smtp_fallback_relay = [192.0.2.9]:26";
    let ran = run(main_cf, Script::new(), servers, vec![mail]);
    assert!(status(&ran).starts_with("2.0.0, status=sent"), "{}", ran.log);
}

#[test]
fn failed_look_ups_are_reported_in_postfix_words() {
    let not_found = "Host or domain name not found. Name service error for name=";
    let script = || {
        Script::new()
            .with_mx("null.example", &[(0, ".")])
            .with_mx_failure("servfail.example", Cause::TryAgain)
            .with_mx("noaddress.example", &[(10, "nobody.example")])
            .with_mx("self.example", &[(10, "mx.example.test"), (20, "b.example")])
            .with_host("mx.example.test", "192.0.2.250".parse().unwrap())
            .with_host("b.example", "192.0.2.2".parse().unwrap())
    };
    for (nexthop, expected) in [
        (
            "gone.example",
            format!("5.4.4, status=bounced ({not_found}gone.example type=A: Host not found)"),
        ),
        (
            "[gone.example]",
            format!("5.4.4, status=bounced ({not_found}gone.example type=A: Host not found)"),
        ),
        (
            "servfail.example",
            format!(
                "4.4.3, status=deferred ({not_found}servfail.example type=MX: \
                 Host not found, try again)"
            ),
        ),
        (
            "null.example",
            "5.1.0, status=bounced (Domain null.example does not accept mail (nullMX))".into(),
        ),
        (
            "noaddress.example",
            format!("5.4.4, status=bounced ({not_found}nobody.example type=A: Host not found)"),
        ),
        (
            "self.example",
            "5.4.6, status=bounced (mail for self.example loops back to myself)".into(),
        ),
        (
            "[192.0.2.250]",
            "5.4.6, status=bounced (mail for 192.0.2.250 loops back to myself)".into(),
        ),
    ] {
        let ran = run("", script(), vec![], vec![Mail::to(nexthop, &["a@x"])]);
        assert_eq!(status(&ran), expected);
        assert_eq!(site_failed(&ran), expected.starts_with('4'));
    }
}

#[test]
fn a_relayhost_that_does_not_exist_is_a_configuration_problem() {
    let mail = Mail::to("[gone.example]", &["a@x"]);
    let ran = run("relayhost = [gone.example]", Script::new(), vec![], vec![mail]);
    assert_eq!(ran.lines()[0], "warning: relayhost configuration problem");
    assert!(status(&ran).starts_with("4.3.5, status=deferred (Host or domain name not found."));
}

#[test]
fn a_server_with_our_name_is_a_loop_on_port_25_only() {
    let greeting = Reply::Line("220 mx.example.test ESMTP");
    let ehlo = "250 mx.example.test";
    for (port, expected) in
        [("25", "5.4.6, status=bounced (mail for "), ("26", "2.0.0, status=sent")]
    {
        let address: &'static str = if port == "25" { "127.0.0.1:25" } else { "127.0.0.1:26" };
        let nexthop = format!("[127.0.0.1]:{port}");
        let server = Server::new(address).with("CONNECT", greeting).offering(ehlo);
        let ran = run("", Script::new(), vec![server], vec![Mail::to(&nexthop, &["a@x"])]);
        assert!(status(&ran).starts_with(expected), "{}", ran.log);
    }
}

#[test]
fn a_kept_connection_is_used_again_and_closed_politely() {
    let keep = || Mail { keep: true, ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
    let mails = vec![keep(), keep(), keep()];
    let ran = run("", Script::new(), vec![Server::new("127.0.0.1:26")], mails);
    let uses: Vec<bool> =
        (1..=3).map(|n| ran.lines()[n - 1].contains(&format!("conn_use={n},"))).collect();
    assert_eq!(uses, [false, true, true], "{}", ran.log);
    let heard = ran.heard(0);
    assert_eq!((heard.matches("EHLO").count(), heard.matches("QUIT").count()), (1, 1));
    assert!(heard.ends_with(".\r\nQUIT\r\n"));
}

#[test]
fn a_kept_connection_that_died_costs_nothing() {
    let dying =
        Server::new("127.0.0.1:26").with("EOM", Reply::LineAndDrop("250 2.0.0 Ok: queued as MOCK"));
    let keep = || Mail { keep: true, ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
    let ran = run("", Script::new(), vec![dying], vec![keep(), keep()]);
    assert!(ran.lines().iter().all(|line| line.contains("status=sent")), "{}", ran.log);
    assert!(!ran.log.contains("conn_use"));
}

#[test]
fn reuse_ends_at_its_count() {
    let keep = || Mail { keep: true, ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
    let main_cf = "smtp_connection_reuse_count_limit = 2";
    let server = Server::new("127.0.0.1:26");
    let ran = run(main_cf, Script::new(), vec![server], vec![keep(), keep(), keep()]);
    assert_eq!(ran.heard(0).matches("EHLO").count(), 2);
}

#[test]
fn a_large_message_arrives_whole() {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstu\r\n";
    let content = line.repeat(3_000_000 / line.len());
    let mail = Mail {
        content: content.clone(),
        longest_line: line.len() as u32 - 2,
        ..Mail::to("[127.0.0.1]:26", &["a@x"])
    };
    let ran = run("", Script::new(), vec![Server::new("127.0.0.1:26")], vec![mail]);
    assert!(status(&ran).starts_with("2.0.0, status=sent"), "{}", ran.log);
    let heard = &ran.heard[0];
    let start = heard.windows(6).position(|w| w == b"DATA\r\n").unwrap() + 6;
    assert!(heard[start..].starts_with(&content));
    assert_eq!(&heard[start + content.len()..], b".\r\nQUIT\r\n");
}

#[test]
fn the_final_dot_has_a_line_of_its_own() {
    let mail = Mail { content: b"\r\nno end".to_vec(), ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
    let ran = run("", Script::new(), vec![Server::new("127.0.0.1:26")], vec![mail]);
    assert!(ran.heard(0).ends_with("\r\nno end\r\n.\r\nQUIT\r\n"), "{}", ran.heard(0));
}

#[test]
fn long_lines_are_folded() {
    let content = [b"Subject: x\r\n\r\n".as_slice(), &[b'y'; 1000], b"\r\n"].concat();
    let mail = Mail { content, longest_line: 1000, ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
    let ran = run("", Script::new(), vec![Server::new("127.0.0.1:26")], vec![mail]);
    let body = format!("\r\n\r\n{}\r\n yy\r\n.\r\nQUIT\r\n", "y".repeat(998));
    assert!(ran.heard(0).ends_with(&body), "{}", ran.heard(0));
}

#[test]
fn eight_bit_parts_are_downgraded_unless_the_server_takes_them() {
    let content = "Content-Transfer-Encoding: 8bit\r\n\r\n\u{e4}\r\n";
    let eight = "250-mock\r\n250 8BITMIME";
    let none = "250 mock";
    for (offer, main_cf, expected) in [
        (none, "", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n.\r\nQUIT\r\n"),
        (eight, "", "8bit\r\n\r\n\u{e4}\r\n.\r\nQUIT\r\n"),
        (none, "disable_mime_output_conversion = yes", "8bit\r\n\r\n\u{e4}\r\n.\r\nQUIT\r\n"),
    ] {
        let mail = Mail { content: content.into(), ..Mail::to("[127.0.0.1]:26", &["a@x"]) };
        let server = Server::new("127.0.0.1:26").offering(offer);
        let ran = run(main_cf, Script::new(), vec![server], vec![mail]);
        assert!(ran.heard(0).ends_with(expected), "{}", ran.heard(0));
    }
}

#[test]
fn a_service_that_does_not_exist_defers() {
    let rt = Rt::new(Box::new(SimIo::new(1)), Waker::new().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: SEGMENT_MIN, ..Options::default() };
    let (mut queue, _) = Log::open(dir.path(), Core::new(0).unwrap(), options).unwrap();
    let mut request = request(&rt, &mut queue, Mail::to("[127.0.0.1]", &["a@x"]));
    request.transport = "nosuch".into();
    let identity = Identity { hostname: "mx".into(), syslog_name: "p".into(), pid: 1 };
    let sink = Sink::Memory(Rc::default());
    let log = Rc::new(Maillog::new(identity, sink, Rc::new(LocalTime::system())));
    let resolver = Rc::new(Resolver::new(&rt, Source::Script(Script::new())));
    let custody = Custody::new(&rt, &log, &Estate::none(), 0, 1);
    let client = Client::new(&rt, log, resolver, custody, [], 1);
    let finished = Rc::new(Cell::new(false));
    let done = finished.clone();
    rt.spawn(async move {
        let outcome = client.deliver(request).await;
        assert_eq!(dispositions(&outcome), [(0, Disposition::Deferred)]);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

fn remove_all(bytes: &[u8], word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(word) {
            Some(tail) => rest = tail,
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[test]
fn it_works_on_the_real_kernel() {
    let waker = Waker::new().unwrap();
    let kernel = Kernel::open(Choice::from_environment().unwrap(), waker.clone()).unwrap();
    let rt = Rt::new(kernel.io, waker);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = nobody.local_addr().unwrap().port();
    drop(nobody);
    let server = (Server::new(&address), Sock(listener.into_raw_fd()));
    let nexthop = format!("[127.0.0.1]:{closed}, [127.0.0.1]:{}", server.0.address().port());
    let content = b"0123456789abcdefghijklmnopqrstuvwxyz\r\n".repeat(100_000);
    let large = Mail { content: content.clone(), ..Mail::to(&nexthop, &["a@x"]) };
    let keep = |nexthop: &str| Mail { keep: true, ..Mail::to(nexthop, &["a@x", "b@x"]) };
    let own = format!("[127.0.0.1]:{}", server.0.address().port());
    let mails = vec![keep(&own), keep(&own), large];
    let main_cf = "smtp_connection_cache_time_limit = 1s\nsmtp_bind_address = 127.0.0.1";
    let pauses = [Duration::from_millis(20), Duration::from_millis(1500)];
    let ran = run_on(&rt, main_cf, Script::new(), vec![server], mails, pauses);
    let lines = ran.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("status=sent")).count(), 5, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("conn_use=2")).count(), 2, "{lines:?}");
    assert!(lines[4].starts_with("connect to 127.0.0.1[127.0.0.1]:"), "{lines:?}");
    assert!(lines[4].ends_with(": Connection refused"), "{lines:?}");
    let heard = &ran.heard[0];
    // All connections are heard in one stream: the kept one may say goodbye in the midst of the
    // other.
    let alone = remove_all(heard, b"QUIT\r\n");
    assert!(alone.windows(content.len()).any(|bytes| bytes == content));
    assert_eq!(String::from_utf8_lossy(heard).matches("QUIT\r\n").count(), 2);
}

#[test]
fn an_address_that_is_not_ours_is_not_connected_from() {
    let waker = Waker::new().unwrap();
    let kernel = Kernel::open(Choice::from_environment().unwrap(), waker.clone()).unwrap();
    let rt = Rt::new(kernel.io, waker);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(&listener.local_addr().unwrap().to_string());
    let mail = || Mail::to(&format!("[127.0.0.1]:{}", server.address().port()), &["a@x"]);
    let mails = vec![mail()];
    let servers = vec![(server, Sock(listener.into_raw_fd()))];
    let main_cf = "smtp_bind_address = 192.0.2.7";
    let ran = run_on(&rt, main_cf, Script::new(), servers, mails, [Duration::ZERO; 2]);
    let lines = ran.lines();
    let warning = "warning: cannot connect from 192.0.2.7: Cannot assign requested address";
    assert_eq!(lines[0], warning);
    assert!(lines[1].contains("status=sent"), "{lines:?}");
}
