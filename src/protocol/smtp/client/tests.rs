//! Dialogues as transcripts: what the server says against what the client sends.

use super::*;
use mail::{Address, Status};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;

fn hello() -> Hello {
    Hello {
        name: "client.example.test".into(),
        myhostname: "mx.example.test".into(),
        ehlo: EhloUse::Always,
        discard: Keywords::default(),
        detect_loops: true,
        wait_for_quit: false,
    }
}

/// Everything the client sends and the server says, and how it ended.
struct Run {
    session: Session,
    sent: Vec<String>,
}

/// How the server's bytes arrive.
#[derive(Clone, Copy)]
struct Network {
    /// The size of the pieces.
    piece: usize,
    /// Whether the replies to pipelined commands come together.
    together: bool,
}

/// The replies in `server`, and what is left of one at its end.
fn replies(server: &str) -> std::collections::VecDeque<&[u8]> {
    let (mut rest, mut found) = (server.as_bytes(), std::collections::VecDeque::new());
    while let Some((_, length)) = replies::first(rest).unwrap() {
        let (reply, tail) = rest.split_at(length);
        found.push_back(reply);
        rest = tail;
    }
    if !rest.is_empty() {
        found.push_back(rest);
    }
    found
}

/// Plays `server` (one reply for each expected one) against a transaction to `recipients`.
fn play(hello: Hello, server: &str, recipients: &[&str], ending: Ending, network: Network) -> Run {
    let recipients: Vec<Recipient> = recipients
        .iter()
        .map(|address| Recipient::new(Address::from_internal(address.as_bytes())))
        .collect();
    let envelope =
        Envelope { sender: Address::from_internal(b"s@x"), recipients, ..Envelope::default() };
    let mut run = Run { session: Session::new(Arc::new(hello)), sent: Vec::new() };
    let mut begun = false;
    let mut replies = replies(server);
    loop {
        match run.session.poll() {
            Want::Send(bytes) => run.sent.push(String::from_utf8(bytes).unwrap()),
            Want::Content(after) => {
                run.sent.push(std::format!("BODY{}", String::from_utf8_lossy(after)));
                run.session.content_sent();
            }
            Want::Reply(stage) => {
                let pipelined = run.session.pipelines() && stage == Stage::Mail;
                let count = match pipelined && network.together {
                    true => envelope.recipients.len() + 2,
                    false => 1,
                };
                let bytes: Vec<u8> =
                    replies.drain(..count.min(replies.len())).flatten().copied().collect();
                if bytes.is_empty() {
                    return run;
                }
                for piece in bytes.chunks(network.piece) {
                    run.session.handle_bytes(piece).unwrap();
                }
            }
            Want::Nothing if !begun && *run.session.handshake() == Handshake::Ready => {
                begun = true;
                if !run.session.is_reusable() {
                    return run;
                }
                let manner = Manner { quoting: Quoting::Rfc5321, ending };
                run.session.begin(&envelope, envelope.recipients.iter(), manner);
            }
            Want::Nothing => {
                for reply in replies {
                    run.session.handle_bytes(reply).unwrap();
                }
                return run;
            }
        }
    }
}

const WHOLE: Network = Network { piece: usize::MAX, together: false };

const PIPELINED: &str = "220 mx2 ESMTP\r\n250-mx2\r\n250 PIPELINING\r\n";
const PLAIN: &str = "220 mx2 ESMTP\r\n250 mx2\r\n";

fn after(start: &str, replies: &str, recipients: &[&str]) -> Run {
    play(hello(), &(start.to_string() + replies), recipients, Ending::Quit, WHOLE)
}

#[test]
fn a_pipelined_transaction_is_three_sends() {
    let run = after(PIPELINED, "250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 Ok: queued\r\n", &["a@b"]);
    assert_eq!(
        run.sent,
        [
            "EHLO client.example.test\r\n",
            "MAIL FROM:<s@x>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
            "BODY.\r\nQUIT\r\n"
        ]
    );
    let end = run.session.progress().end.clone().unwrap();
    assert_eq!((end.text.as_str(), end.status), ("250 2.0.0 Ok: queued", Status::new(2, 0, 0)));
}

#[test]
fn without_pipelining_each_command_waits() {
    let server = "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n250 done\r\n";
    let run = after(PLAIN, server, &["a@b", "c@d"]);
    assert_eq!(
        run.sent[1..],
        [
            "MAIL FROM:<s@x>\r\n",
            "RCPT TO:<a@b>\r\n",
            "RCPT TO:<c@d>\r\n",
            "DATA\r\n",
            "BODY.\r\n",
            "QUIT\r\n"
        ]
    );
    let recipients = &run.session.progress().recipients;
    assert_eq!(recipients[0], Verdict::Accepted);
    assert!(matches!(&recipients[1], Verdict::Refused(said) if said.code == 550));
}

#[test]
fn helo_follows_a_refused_ehlo_and_421_ends_it() {
    let server = "220 mx2\r\n502 5.5.1 no EHLO\r\n250 mx2\r\n";
    let run = after("", server, &["a@b"]);
    assert_eq!(
        run.sent,
        ["EHLO client.example.test\r\n", "HELO client.example.test\r\n", "MAIL FROM:<s@x>\r\n"]
    );
    let run = after("", "220 mx2\r\n421 busy\r\n", &["a@b"]);
    assert!(matches!(run.session.handshake(), Handshake::Refused(said) if said.code == 421));
    let run = after("", "554 5.3.2 no service\r\n", &["a@b"]);
    assert!(matches!(run.session.handshake(), Handshake::Refused(said) if said.code == 554));
}

#[test]
fn the_settings_choose_between_ehlo_and_helo() {
    let first = |ehlo, greeting| {
        let run = play(Hello { ehlo, ..hello() }, greeting, &["a@b"], Ending::Quit, WHOLE);
        run.sent.concat()[..4].to_string()
    };
    assert_eq!(first(EhloUse::Never, "220 x ESMTP\r\n"), "HELO");
    assert_eq!(first(EhloUse::WhenGreeted, "220 x esmtp\r\n"), "EHLO");
    assert_eq!(first(EhloUse::WhenGreeted, "220 ESMTP\r\n"), "HELO");
    assert_eq!(first(EhloUse::Always, "220 x\r\n"), "EHLO");
}

#[test]
fn a_server_with_our_name_is_a_loop() {
    let server = "220 MX.example.test\r\n250 mx.example.test Hello\r\n";
    let run = after("", server, &["a@b"]);
    assert!(run.session.greeted_with_own_name());
    assert_eq!(*run.session.handshake(), Handshake::Loop);
    let lenient = Hello { detect_loops: false, ..hello() };
    let run = play(lenient, server, &["a@b"], Ending::Quit, WHOLE);
    assert_eq!(*run.session.handshake(), Handshake::Ready);
}

#[test]
fn a_refused_sender_ends_the_transaction() {
    let run = after(PLAIN, "451 4.3.0 later\r\n250 reset\r\n", &["a@b"]);
    assert_eq!(run.sent[1..], ["MAIL FROM:<s@x>\r\n", "RSET\r\n", "QUIT\r\n"]);
    let run = after(PIPELINED, "451 later\r\n503 x\r\n503 y\r\n250 reset\r\n", &["a@b"]);
    assert_eq!(run.sent[2..], ["RSET\r\n", "QUIT\r\n"]);
    let progress = run.session.progress();
    assert_eq!(progress.mail_refused.as_ref().unwrap().text, "451 later");
    assert_eq!(progress.recipients, [Verdict::Unanswered]);
}

#[test]
fn a_lone_dot_when_nobody_was_accepted_but_data_was() {
    let run = after(PIPELINED, "250 ok\r\n550 no\r\n354 go\r\n554 empty\r\n", &["a@b"]);
    assert_eq!(run.sent[2..], [".\r\nQUIT\r\n"]);
    assert_eq!(run.session.progress().end, None);
    let run = after(PIPELINED, "250 ok\r\n550 no\r\n554 nobody\r\n250 reset\r\n", &["a@b"]);
    assert_eq!(run.sent[2..], ["RSET\r\n", "QUIT\r\n"]);
    let run = after(PLAIN, "250 ok\r\n550 no\r\n250 reset\r\n", &["a@b"]);
    assert_eq!(run.sent[3..], ["RSET\r\n", "QUIT\r\n"]);
}

#[test]
fn refused_data_is_reported_and_reset() {
    let run = after(PIPELINED, "250 ok\r\n250 ok\r\n554 5.7.1 no data\r\n250 r\r\n", &["a@b"]);
    let refused = run.session.progress().data_refused.clone().unwrap();
    assert_eq!(refused.text, "554 5.7.1 no data");
    assert_eq!(run.sent[2..], ["RSET\r\n", "QUIT\r\n"]);
}

#[test]
fn a_kept_connection_takes_another_transaction_unless_421_was_said() {
    let good = PIPELINED.to_string() + "250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n";
    let run = play(hello(), &good, &["a@b"], Ending::Keep, WHOLE);
    assert_eq!(run.sent[2], "BODY.\r\n");
    assert!(run.session.is_reusable());
    let bad = PIPELINED.to_string() + "250 ok\r\n421 x\r\n354 go\r\n554 x\r\n";
    let run = play(hello(), &bad, &["a@b"], Ending::Keep, WHOLE);
    assert!(!run.session.is_reusable());
    let talkative = good + "421 idle for too long\r\n";
    let run = play(hello(), &talkative, &["a@b"], Ending::Keep, WHOLE);
    assert!(!run.session.is_reusable());
}

#[test]
fn keywords_may_be_discarded() {
    let server = "220 x\r\n250-x\r\n250-PIPELINING\r\n250-SIZE 100\r\n250 AUTH=PLAIN\r\n";
    let careful = Hello { discard: Keywords::PIPELINING, ..hello() };
    let run = play(careful, server, &["a@b"], Ending::Quit, WHOLE);
    assert_eq!(run.sent[1], "MAIL FROM:<s@x> SIZE=0\r\n");
    assert_eq!(run.session.offer().size_limit, 100);
    assert!(run.session.offer().keywords.has(Keywords::AUTH));
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(
        lines in proptest::collection::vec(proptest::sample::select(vec![
            "220 mx2 ESMTP\r\n", "250-mx2\r\n", "250 PIPELINING\r\n", "250 ok\r\n", "354 go\r\n",
            "550-5.1.1 no\r\n", "550 5.1.1 no\r\n", "421 x\r\n", "junk\r\n", "999\r\n", "250\n",
        ]), 0..14),
        greeted: bool, keep: bool, together: bool, size in 1usize..30,
    ) {
        let server = if greeted { PIPELINED } else { "" }.to_string() + &lines.concat();
        let ending = if keep { Ending::Keep } else { Ending::Quit };
        let recipients = ["a@b", "c@d"];
        let network = Network { piece: size, together };
        let pieces = play(hello(), &server, &recipients, ending, network);
        let lines = play(hello(), &server, &recipients, ending, WHOLE);
        prop_assert_eq!(pieces.sent.concat(), lines.sent.concat());
        prop_assert_eq!(pieces.session.handshake(), lines.session.handshake());
        prop_assert_eq!(pieces.session.progress(), lines.session.progress());
    }

    #[test]
    fn any_server_is_survived(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_smtp_client(&data);
    }
}
