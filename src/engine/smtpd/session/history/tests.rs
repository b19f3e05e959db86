//! Whole sessions, and the mail that the postmaster gets of them.

use runtime::Chunk;
use runtime::net::{Arrived, Stream};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const CLIENT: &str = "127.0.0.1:40000";
const EVERYTHING: &str = "notify_classes = resource, software, data, policy, protocol, bounce\n";
const MAIL: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

/// How a client ends its session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// It waits until the server closes.
    Waits,
    /// It closes.
    Closes,
}

/// Says it all and leaves; what it got does not matter.
async fn client(core: &Rc<crate::core::Core>, input: &[u8], leaving: Leaving) {
    let soon = core.rt.now() + Duration::from_secs(30);
    let (from, to) = (CLIENT.parse().unwrap(), crate::testing::SMTPD.parse().unwrap());
    let stream = Stream::connect(&core.rt, to, Some(from), soon).await.unwrap();
    stream.send(vec![Chunk::Owned(input.to_vec())], soon).await.unwrap();
    let patience = if leaving == Leaving::Waits { 700 } else { 1 };
    let until = core.rt.now() + Duration::from_secs(patience);
    while let Ok(Arrived::Bytes) = stream.readable(until).await {
        stream.input(|bytes| (bytes.len(), ()));
    }
}

/// The mail that goes out, and the log.
fn session(main_cf: &str, input: &[u8], leaving: Leaving) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let site = crate::testing::SITE;
    let (host, port) = site.rsplit_once(':').unwrap();
    let main_cf = format!(
        "mydestination =\nmyorigin = $myhostname\ndefault_transport = smtp:[{host}]:{port}\n\
         error_notice_recipient = errors@post.example\n\
         bounce_notice_recipient = bounces@post.example\n{main_cf}"
    );
    let world = crate::testing::world(directory.path(), &main_cf, 1);
    let kept = world.site(Box::new(|_| None), Duration::ZERO);
    let mails: Rc<RefCell<Vec<String>>> = Rc::default();
    let (core, result, input) = (world.core.clone(), mails.clone(), input.to_vec());
    world.run(async move {
        client(&core, &input, leaving).await;
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(20)).await;
        result.borrow_mut().clone_from(&kept.borrow().mail);
    });
    let mails = mails.borrow().clone();
    (mails, world.lines())
}

/// The transcripts among the mail of a session that waits for its end.
fn transcripts(main_cf: &str, input: &str) -> Vec<String> {
    let (mails, _) = session(main_cf, input.as_bytes(), Leaving::Waits);
    mails.iter().filter_map(|mail| body(mail)).collect()
}

/// The lines of a transcript, with the server's longer greetings left out.
fn body(mail: &str) -> Option<String> {
    let (_, body) = mail.split_once("\r\n\r\nTranscript of session follows.\r\n\r\n")?;
    let (body, _) = body.split_once("\r\nFor other details, see the local mail logfile\r\n")?;
    Some(body.replace("\r\n", "\n"))
}

#[test]
fn the_postmaster_gets_the_session() {
    let input = "HELO c\r\nFOO  x\tand a line with a number of words that is longer than a line of \
                 a mail should be\r\nQUIT\r\n";
    let (mails, log) = session(EVERYTHING, input.as_bytes(), Leaving::Waits);
    let [mail] = mails.as_slice() else { panic!("{mails:#?}") };
    let (head, text) = mail.split_once("\r\n\r\n").unwrap();
    for line in [
        "From: Mail Delivery System <MAILER-DAEMON@mx.example.test>",
        "To: Postmaster <errors@post.example>",
        "Subject: Postfix SMTP server: errors from unknown[127.0.0.1]",
    ] {
        assert!(head.contains(line), "{line}\n{head}");
    }
    let expected = [
        "Transcript of session follows.",
        "",
        " Out: 220 mx.example.test ESMTP test",
        " In:  HELO c",
        " Out: 250 mx.example.test",
        " In:  FOO  x?and a line with a number of words that is longer than a line of a",
        "     mail should be",
        " Out: 500 5.5.2 Error: command not recognized",
        " In:  QUIT",
        " Out: 221 2.0.0 Bye",
        "",
        "",
        "For other details, see the local mail logfile",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let from = "from=<double-bounce@mx.example.test>";
    assert!(log.iter().any(|line| line.contains(from)), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("to=<errors@post.example>")), "{log:#?}");
}

#[test]
fn nothing_is_sent_where_no_class_asks() {
    let input = "HELO c\r\nFOO\r\nQUIT\r\n";
    for classes in ["", "delay, 2bounce", "resource, software, data, policy, bounce"] {
        let got = transcripts(&format!("notify_classes = {classes}\n"), input);
        assert_eq!(got, Vec::<String>::new(), "{classes}");
    }
    assert_eq!(transcripts("notify_classes = Protocol\n", input).len(), 1);
    assert_eq!(transcripts(EVERYTHING, "HELO c\r\nNOOP\r\nQUIT\r\n").len(), 0, "nothing happened");
}

#[test]
fn a_message_that_is_taken_makes_earlier_errors_forgotten() {
    let input = format!("HELO c\r\nFOO\r\n{MAIL}DATA\r\nSubject: x\r\n\r\nsecret\r\n.\r\n");
    assert_eq!(transcripts(EVERYTHING, &format!("{input}QUIT\r\n")).len(), 0);
    let [later] = &transcripts(EVERYTHING, &format!("{input}FOO\r\nQUIT\r\n"))[..] else {
        panic!("an error after the message");
    };
    let data = " In:  DATA\n Out: 354 End data with <CR><LF>.<CR><LF>\n Out: 250 2.0.0 Ok: queued";
    assert!(later.contains(data) && !later.contains("secret"), "{later}");
}

#[test]
fn how_a_session_ended_is_said() {
    let ended = |main_cf: &str, input: &str, leaving| {
        let main_cf = format!("{EVERYTHING}smtpd_timeout = 20s\n{main_cf}");
        let (mails, _) = session(&main_cf, input.as_bytes(), leaving);
        mails.iter().find_map(|mail| body(mail)).unwrap_or_default()
    };
    let lost = ended("", "HELO c\r\nFOO\r\n", Leaving::Closes);
    assert!(lost.ends_with("recognized\n\nSession aborted, reason: lost connection\n"), "{lost}");
    let late = ended("", "HELO c\r\nFOO\r\n", Leaving::Waits);
    let text = " Out: 421 4.4.2 mx.example.test Error: timeout exceeded\n\nSession aborted, \
                reason: timeout\n";
    assert!(late.ends_with(text), "{late}");
    let many = ended("smtpd_hard_error_limit = 1\n", "HELO c\r\nFOO\r\nNOOP\r\n", Leaving::Waits);
    let text = " Out: 421 4.7.0 mx.example.test Error: too many errors\n\nSession aborted, \
                reason: too many errors\n";
    assert!(many.ends_with(text), "{many}");
    assert_eq!(ended("", "HELO c\r\n", Leaving::Closes), "", "no error, no mail");
}

#[test]
fn a_long_history_is_closed_where_a_transaction_is() {
    let flush = format!("{EVERYTHING}smtpd_history_flush_threshold = 6\n");
    let input = "HELO c\r\nFOO\r\nRSET\r\nFOO\r\nRSET\r\nNOOP\r\nNOOP\r\nRSET\r\nQUIT\r\n";
    let got = transcripts(&flush, input);
    let first = " Out: 220 mx.example.test ESMTP test\n In:  HELO c\n Out: 250 mx.example.test\n \
                 In:  FOO\n Out: 500 5.5.2 Error: command not recognized\n In:  RSET\n \
                 Out: 250 2.0.0 Ok\n In:  FOO\n Out: 500 5.5.2 Error: command not recognized\n \
                 In:  RSET\n\n";
    assert_eq!(got, [first], "six lines are not too many, and what came later had no errors");
    let kept = format!("{EVERYTHING}smtpd_history_flush_threshold = 100\n");
    assert_eq!(transcripts(&kept, input).len(), 1);
}

/// The classes in which a session is reported, with the threshold so high that it is one.
fn classes(main_cf: &str, input: &str) -> Vec<&'static str> {
    let all = ["resource", "software", "data", "policy", "protocol", "bounce"];
    let reported = |class: &&str| {
        let main_cf = format!("notify_classes = {class}\n{main_cf}");
        let (mails, _) = session(&main_cf, input.as_bytes(), Leaving::Waits);
        mails.iter().any(|mail| body(mail).is_some())
    };
    all.into_iter().filter(reported).collect()
}

/// As Postfix 3.7.11 sorts them.
#[test]
fn each_refusal_has_its_class() {
    let rcpt = format!("HELO c\r\n{MAIL}QUIT\r\n");
    let whole = format!("HELO c\r\n{MAIL}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n");
    let list = "smtpd_recipient_restrictions";
    let unknown = "relay_domains = d.example\nrelay_recipient_maps = inline:{x@d.example=y}\n\
                   smtpd_reject_unlisted_recipient = yes\n";
    for (main_cf, input, expected) in [
        (format!("{list} = reject"), rcpt.as_str(), vec!["policy"]),
        (format!("{list} = warn_if_reject, reject"), &rcpt, vec!["policy"]),
        (format!("{list} = no_such_word"), &rcpt, vec!["software"]),
        (unknown.into(), &rcpt, vec!["bounce"]),
        (unknown.replace("inline:{x@d.example=y}", "fail:x"), &rcpt, vec!["data"]),
        ("recipient_bcc_maps = fail:x".into(), &whole, vec!["resource"]),
        ("message_size_limit = 9".into(), &whole, vec!["bounce"]),
        ("disable_vrfy_command = yes".into(), "VRFY x\r\nQUIT\r\n", vec!["policy"]),
        ("".into(), "HELO c\r\nMAIL FROM:<a@[b>\r\nQUIT\r\n", vec!["protocol"]),
        ("".into(), "HELO c\r\nMAIL FROM:<a@b>\r\nDATA\r\nQUIT\r\n", vec![]),
        ("".into(), "HELO c\r\nDATA\r\nQUIT\r\n", vec!["protocol"]),
        ("".into(), "HELO c\r\nXCLIENT NAME=x\r\nQUIT\r\n", vec!["policy"]),
        ("".into(), "HELO c\r\nETRN d.example\r\nQUIT\r\n", vec![]),
        ("smtpd_forbidden_commands = GET".into(), "GET / HTTP/1.0\r\n", vec![]),
    ] {
        assert_eq!(classes(&format!("{main_cf}\n"), input), expected, "{main_cf} {input}");
    }
}

#[test]
fn a_bare_newline_is_refused_reported_and_logged() {
    let main_cf = "smtpd_forbid_bare_newline = reject\nrelay_domains = d.example\n";
    let input = format!("HELO c\r\n{MAIL}DATA\r\nSubject: x\r\n\r\na\nb\r\n.\r\nQUIT\r\n");
    let main_cf = format!("{main_cf}smtpd_forbid_bare_newline_exclusions =\n");
    let (mails, log) = session(&format!("{EVERYTHING}{main_cf}"), input.as_bytes(), Leaving::Waits);
    let reply = " Out: 550 5.5.2 mx.example.test Error: bare <LF> received\n";
    assert!(mails.iter().filter_map(|mail| body(mail)).any(|text| text.contains(reply)));
    let line = ": reject: END-OF-MESSAGE from unknown[127.0.0.1]: bare <LF> received; \
                from=<a@b.example> to=<c@d.example> proto=SMTP helo=<c>";
    let logged = |log: &String| log.contains(line) && !log.contains("NOQUEUE");
    assert!(log.iter().any(logged), "{log:#?}");
    assert_eq!(classes(&main_cf, &input), ["protocol"]);
}

#[test]
fn unknown_recipients_are_told_to_whom_bounces_are() {
    let main_cf = format!(
        "{EVERYTHING}relay_domains = d.example\nrelay_recipient_maps = inline:{{x@d.example=y}}\n\
         smtpd_reject_unlisted_recipient = yes\n"
    );
    let input = format!("HELO c\r\nFOO\r\n{MAIL}QUIT\r\n");
    let (mails, log) = session(&main_cf, input.as_bytes(), Leaving::Waits);
    assert!(mails.iter().any(|mail| mail.contains("To: Postmaster <errors@post.example>")));
    assert!(log.iter().any(|line| line.contains("to=<bounces@post.example>")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("to=<errors@post.example>")), "{log:#?}");
}
