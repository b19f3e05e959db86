//! Dialogues as transcripts, and any bytes in any pieces.

use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::{format, vec};

fn settings() -> Settings {
    let keywords = ["PIPELINING", "SIZE", "VRFY", "ETRN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN"];
    let keywords = keywords.iter().chain(&["SMTPUTF8", "CHUNKING"]);
    Settings {
        hostname: "mx.example.test".into(),
        keywords: keywords
            .fold(Keywords::default(), |all, name| all.with(Keywords::named(name).unwrap())),
        limits: Limits {
            hard_errors: 20,
            junk_commands: 100,
            recipients: 1000,
            recipient_overshoot: 1000,
            command_line: 2048,
            message_size: 10_240_000,
        },
        helo_required: false,
        vrfy_disabled: false,
        forbidden: vec!["CONNECT".into(), "GET".into(), "POST".into()],
        noop: Vec::new(),
        soft_bounce: false,
        forbid_pipelining: false,
        paths: path::Rules::default(),
    }
}

/// An engine that says yes to everything; what it was asked and what the client got.
#[derive(Default, Debug, PartialEq, Eq)]
struct Transcript {
    events: Vec<String>,
    content: Vec<u8>,
    output: Vec<u8>,
    closed: bool,
}

fn converse(settings: &Settings, pieces: &[&[u8]]) -> (Session, Transcript) {
    let mut session = Session::new(BareNewline::Normalize);
    let mut transcript = Transcript::default();
    let mut input = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let (used, event) = session.step(settings, &input, &mut transcript.content);
            input.drain(..used);
            if event == Event::NeedInput || transcript.closed {
                break;
            }
            answer(settings, &mut session, event, &mut transcript);
            if transcript.closed {
                transcript.output.extend(session.take_output());
                return (session, transcript);
            }
        }
    }
    transcript.output.extend(session.take_output());
    (session, transcript)
}

fn answer(settings: &Settings, session: &mut Session, event: Event, transcript: &mut Transcript) {
    match &event {
        Event::Helo => session.answer_helo(settings, Keywords::default()),
        Event::Mail(_) | Event::Rcpt(_) | Event::Data => session.accept(),
        Event::EndOfData => session.finish(settings, Reply::fixed("250 2.0.0 Ok: queued as X")),
        Event::Vrfy(_) | Event::Etrn(_) => session.accept_text(OK),
        Event::Close(_) => transcript.closed = true,
        _ => {}
    }
    if !matches!(event, Event::Content | Event::Again) {
        transcript.events.push(format!("{event:?}"));
    }
}

fn replies(lines: &str) -> Vec<String> {
    let input = lines.trim().lines().map(|line| format!("{}\r\n", line.trim()));
    let input: String = input.collect();
    let (_, transcript) = converse(&settings(), &[input.as_bytes()]);
    String::from_utf8(transcript.output).unwrap().lines().map(String::from).collect()
}

#[test]
fn a_whole_message() {
    let got = replies("HELO c\nMAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nhi\n.\nQUIT");
    assert_eq!(
        got,
        [
            "250 mx.example.test",
            "250 2.1.0 Ok",
            "250 2.1.5 Ok",
            "354 End data with <CR><LF>.<CR><LF>",
            "250 2.0.0 Ok: queued as X",
            "221 2.0.0 Bye"
        ]
    );
}

#[test]
fn commands_out_of_order() {
    let got = replies(
        "RCPT TO:<a@b>\nDATA\nHELO\nMAIL FROM:<a@b>\nDATA\nMAIL FROM:<c@d>\nETRN x\nRSET now\nHELP\nVRFY",
    );
    assert_eq!(
        got,
        [
            "503 5.5.1 Error: need MAIL command",
            "503 5.5.1 Error: need RCPT command",
            "501 Syntax: HELO hostname",
            "250 2.1.0 Ok",
            "554 5.5.1 Error: no valid recipients",
            "503 5.5.1 Error: nested MAIL command",
            "503 Error: MAIL transaction in progress",
            "501 5.5.4 Syntax: RSET",
            "500 5.5.2 Error: command not recognized",
            "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"
        ]
    );
}

#[test]
fn chunks_make_a_message() {
    let input =
        b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4\r\n.a\r\nBDAT 1 LAST\r\nbQUIT\r\n";
    let (session, transcript) = converse(&settings(), &[input]);
    assert_eq!(transcript.content, b"..a\r\nb\r\n");
    assert!(transcript.closed);
    let counts = session.counters().to_string();
    assert_eq!(counts, " ehlo=1 mail=1 rcpt=1 bdat=2 quit=1 commands=6");
}

#[test]
fn a_refused_chunk_is_read_and_dropped() {
    let input = "MAIL FROM:<a@b>\nBDAT 5\nQUIT\nRCPT TO:<c@d>\nDATA\nBDAT 5 LAST\nQUIT\n\
                 MAIL FROM:<a@b>\nBDAT 0 last\nMAIL FROM:<a@b>\n";
    let expected = [
        "250 2.1.0 Ok",
        "554 5.5.1 Error: no valid recipients",
        "503 5.5.1 Error: RCPT after BDAT",
        "503 5.5.1 Error: DATA after BDAT",
        "551 5.0.0 Discarded 5 bytes after earlier error",
        "250 2.1.0 Ok",
        "554 5.5.1 Error: no valid recipients",
        "250 2.1.0 Ok",
    ];
    assert_eq!(said(&settings(), input), expected);
}

#[test]
fn chunks_are_acknowledged_with_their_size() {
    let mut settings = settings();
    settings.limits.message_size = 50;
    let input = "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nBDAT 3\na\nbBDAT 2\nc\nBDAT 51\n";
    let got = said(&settings, &format!("{input}{}\n", "x".repeat(50)));
    let expected = [
        "250 2.0.0 Ok: 3 bytes",
        "250 2.0.0 Ok: 2 bytes",
        "552 5.3.4 Chunk exceeds message size limit",
    ];
    assert_eq!(got[2..], expected);
}

#[test]
fn who_does_not_say_how_large_a_chunk_is_has_to_go() {
    for arguments in ["", "x", "-1", "1x", "1 2 3", "5 FIRST", "99999999999999999999"] {
        let input = format!("BDAT {arguments}\r\nNOOP\r\n");
        let (mut session, transcript) = converse(&settings(), &[input.as_bytes()]);
        assert_eq!(transcript.output, b"521 5.5.4 Syntax: BDAT count [LAST]\r\n");
        assert!(transcript.closed);
        let line = format!("BDAT {arguments}").trim_end().as_bytes().to_vec();
        assert_eq!(session.take_complaint().as_deref(), Some(&Complaint::Bdat(line)));
    }
}

#[test]
fn what_is_not_served() {
    let not_now = "503 5.5.1 Error: MAIL transaction in progress";
    for (command, reply) in [
        ("STARTTLS", "502 5.5.1 Error: command not implemented"),
        ("STARTTLS x", "501 5.5.4 Syntax: STARTTLS"),
        ("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled"),
        ("XCLIENT", "501 5.5.4 Syntax: XCLIENT attribute=value..."),
        ("XFORWARD", "501 5.5.4 Syntax: XFORWARD attribute=value..."),
        ("XCLIENT NAME=x", "550 5.7.0 Error: insufficient authorization"),
        ("MAIL FROM:<>\nXFORWARD", not_now),
        ("ETRN [192.0.2.256]", "501 Error: invalid parameter syntax"),
        ("ETRN [192.0.2.1]", "250 2.0.0 Ok"),
        ("EXPN list", "500 5.5.2 Error: command not recognized"),
        ("NOOP \r\r", "250 2.0.0 Ok"),
        ("", "500 5.5.2 Error: bad syntax"),
    ] {
        let got = said(&settings(), &format!("{command}\n"));
        assert_eq!(got.last().unwrap(), reply, "{command}");
    }
}

#[test]
fn commands_are_utf8_where_smtputf8_is_offered() {
    let mut settings = settings();
    let (session, transcript) = converse(&settings, &[b"NOOP \xff\r\n"]);
    assert_eq!(transcript.output, b"500 5.5.2 Error: bad UTF-8 syntax\r\n");
    assert_eq!(session.counters().to_string(), " commands=0/0");
    settings.keywords = settings.keywords.without(Keywords::SMTPUTF8);
    assert_eq!(converse(&settings, &[b"NOOP \xff\r\n"]).1.output, b"250 2.0.0 Ok\r\n");
}

#[test]
fn helo_does_not_take_back_esmtp() {
    let (session, transcript) = converse(&settings(), &[b"EHLO c\r\nHELO c\r\n"]);
    assert!(session.is_esmtp() && transcript.output.ends_with(b"\r\n250 mx.example.test\r\n"));
}

/// The last line of each reply.
fn said(settings: &Settings, input: &str) -> Vec<String> {
    let (_, transcript) = converse(settings, &[input.as_bytes()]);
    let output = String::from_utf8(transcript.output).unwrap();
    output.lines().filter(|line| line.as_bytes()[3] == b' ').map(String::from).collect()
}

#[test]
fn the_hard_error_limit_ends_the_session_without_another_command() {
    let mut settings = settings();
    settings.limits.hard_errors = 2;
    let (session, transcript) = converse(&settings, &[b"X\r\nY\r\n"]);
    assert!(transcript.closed);
    let output = String::from_utf8(transcript.output).unwrap();
    assert!(output.ends_with("421 4.7.0 mx.example.test Error: too many errors\r\n"));
    assert_eq!(session.counters().to_string(), " unknown=0/2 commands=0/2");
}

#[test]
fn recipients_over_the_limit_are_forgiven_at_first() {
    let mut settings = settings();
    settings.limits.recipients = 1;
    settings.limits.recipient_overshoot = 2;
    let rcpt = "RCPT TO:<a@b>\r\n".repeat(5);
    let input = format!("MAIL FROM:<>\r\n{rcpt}");
    let (session, _) = converse(&settings, &[input.as_bytes()]);
    assert_eq!(session.errors(), 2);
}

#[test]
fn web_browsers_are_sent_away() {
    let (_, transcript) = converse(&settings(), &[b"GET / HTTP/1.0\r\nHost: x\r\n"]);
    assert!(transcript.closed);
    assert_eq!(transcript.output, b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
}

#[test]
fn an_overlong_line_is_one_command() {
    let line = format!("NOOP {}\r\nNOOP\r\n", "x".repeat(10_000));
    let pieces: Vec<&[u8]> = line.as_bytes().chunks(700).collect();
    let (session, transcript) = converse(&settings(), &pieces);
    assert_eq!(transcript.output, b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
    assert_eq!(session.counters().to_string(), " noop=2 commands=2");
}

fn lumps() -> impl Strategy<Value = Vec<u8>> {
    let lumps = [
        "EHLO c\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c@d>\r\n",
        "DATA\r\n",
        ".\r\n",
        "x",
        "\r\n",
        "\n",
        "\r",
        ".",
        "BDAT 3\r\n",
        "BDAT 2 LAST\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "VRFY a\r\n",
        " ",
        "<",
        "\"",
        "\u{80}",
    ];
    proptest::collection::vec(proptest::sample::select(lumps.to_vec()), 0..60)
        .prop_map(|lumps| lumps.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(input in lumps(), size in 1usize..12) {
        let settings = settings();
        let (_, whole) = converse(&settings, &[&input]);
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        let (_, cut) = converse(&settings, &pieces);
        prop_assert_eq!(cut, whole);
    }
}

#[test]
fn junk_is_an_error_from_the_second_beyond_the_limit() {
    let mut settings = settings();
    (settings.limits.junk_commands, settings.limits.hard_errors) = (3, 5);
    let (session, transcript) = converse(&settings, &["NOOP\r\n".repeat(20).as_bytes()]);
    assert!(transcript.closed);
    assert_eq!(session.counters().to_string(), " noop=9 commands=9");
}

#[test]
fn greetings_count_as_junk() {
    let mut settings = settings();
    (settings.limits.junk_commands, settings.limits.hard_errors) = (3, 4);
    let got = said(&settings, &format!("HELO c\n{}", "NOOP\n".repeat(9)));
    assert_eq!(got.iter().filter(|reply| reply.starts_with("250 2.0.0")).count(), 7, "{got:?}");
    assert!(got.last().unwrap().starts_with("421 4.7.0 "));
}
