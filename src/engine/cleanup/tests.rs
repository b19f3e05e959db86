//! Headers in, headers out.

use super::*;
use mail::queue_id::QueueId;
use proptest::prelude::*;

const RECEIVED: &str = "Received: from c (unknown [192.0.2.1])\r\n\tby mx; now\r\n";

pub(super) fn settings() -> Settings {
    Settings {
        myhostname: "mx.example.test".into(),
        hopcount_limit: 50,
        header_size_limit: 102_400,
        address_token_limit: 10_240,
        drop: ["bcc", "content-length", "resent-bcc", "return-path"].map(String::from).to_vec(),
        obsolete_from: false,
        undisclosed_recipients: String::new(),
        keeps_original: true,
        duplicate_filter_limit: 1000,
        long_ids: true,
    }
}

fn cleaned(input: &[u8], size: usize, add_missing: bool) -> Result<(String, Vec<u8>), Reply> {
    walked(ours(), (input, size), add_missing, &settings())
}

/// A message with our own header, from the network.
fn ours() -> Message {
    let mut message = Message::new(Vec::new(), format_args!("{RECEIVED}"));
    message.keep_separators();
    message
}

fn walked(
    mut message: Message,
    (input, size): (&[u8], usize),
    add_missing: bool,
    settings: &Settings,
) -> Result<(String, Vec<u8>), Reply> {
    let sender = Address::from_internal(b"a@example.org");
    let zone = Zone { offset: 0, name: "UTC".into() };
    let id = QueueId { micros: 1_704_110_400_000_000, number: 1, long: true };
    let origin = Origin {
        id,
        sender: &sender,
        full_name: None,
        unix: 1_704_110_400,
        zone: &zone,
        add_missing,
        rewriting: None,
        inspector: None,
    };
    for piece in input.chunks(size) {
        message.content.extend_from_slice(piece);
        message.advance(settings, &origin)?;
    }
    message.finish(settings, &origin)?;
    let text = String::from_utf8_lossy(&message.content).into_owned();
    let text = text.strip_prefix(RECEIVED).unwrap_or(&text).to_string();
    Ok((text, message.ids.last().and_then(|id| id.value.clone()).unwrap_or_default()))
}

fn text(input: &str) -> String {
    cleaned(input.as_bytes(), usize::MAX, true).unwrap().0
}

const MISSING: &str = "Message-Id: <4T3bbJ0000z1@mx.example.test>\r\n\
    Date: Mon,  1 Jan 2024 12:00:00 +0000 (UTC)\r\nFrom: a@example.org\r\n";

#[test]
fn blanks_before_the_colon_go_and_listed_headers_too() {
    let got = text("Subject : x\r\nBcc: y\r\nResent-Foo: z\r\n\r\nbody : b\r\n");
    assert!(got.starts_with("Subject: x\r\nResent-Foo: z\r\nMessage-Id: "), "{got}");
    assert!(got.ends_with("body : b\r\n"), "{got}");
}

#[test]
fn missing_headers_are_added_at_the_end_of_the_header() {
    let got = text("Subject: x\r\n\r\nbody\r\n");
    let id = got.split('<').nth(1).unwrap().split('@').next().unwrap().to_string();
    let expected = MISSING.replace("4T3bbJ0000z1", &id);
    assert_eq!(got, format!("Subject: x\r\n{expected}\r\nbody\r\n"));
}

#[test]
fn remote_mail_is_left_as_it_is() {
    let (got, id) = cleaned(b"Subject: x\r\n\r\nbody\r\n", usize::MAX, false).unwrap();
    assert_eq!(got, "Subject: x\r\n\r\nbody\r\n");
    assert_eq!(id, b"");
}

#[test]
fn headers_that_nobody_may_see_are_dropped() {
    let all = "Message-Id: <i@x>\r\nDate: d\r\nFrom: f\r\n";
    let got =
        text(&format!("{all}Bcc: a,\r\n b\r\nReturn-Path: x\r\nContent-Length: 5\r\n\r\nb\r\n"));
    assert_eq!(got, format!("{all}\r\nb\r\n"));
    let (_, id) = cleaned(format!("{all}\r\n").as_bytes(), 3, true).unwrap();
    assert_eq!(id, b"<i@x>");
}

/// Dropping each moved everything behind it: the square of their number.
#[test]
fn a_flood_of_mailbox_separators_is_a_body() {
    let got = cleaned(&b"From a\r\n".repeat(1000), 700, false).unwrap().0;
    assert_eq!(got.matches("X-Mailbox-Line: ").count(), 32);
    assert!(got.contains("\r\n\r\nFrom a\r\nFrom a\r\n"), "{got}");
}

#[test]
fn a_name_is_moved_to_its_colon() {
    for size in [1, 5, usize::MAX] {
        let input = b"A : 1\r\nBcc \t: x\r\nC: 2\r\nD\t:\r\n 3\r\nBcc: y\r\nE  :4\r\n\r\nF : 5\r\n";
        let got = cleaned(input, size, false).unwrap().0;
        assert_eq!(got, "A: 1\r\nC: 2\r\nD:\r\n 3\r\nE:4\r\n\r\nF : 5\r\n");
    }
}

#[test]
fn what_is_dropped_has_been_there() {
    let got = text("Resent-Bcc: x\r\nSubject: x\r\n\r\n");
    assert!(!got.contains("Resent-Bcc:") && got.contains("\r\nResent-Message-Id: <"), "{got}");
}

#[test]
fn our_own_header_can_be_dropped_too() {
    let mut settings = settings();
    settings.drop = vec!["received".into()];
    settings.hopcount_limit = 3;
    let drop = |input: &[u8], size| walked(ours(), (input, size), false, &settings).map(|it| it.0);
    assert_eq!(drop(b"Received: x\r\nA: b\r\n\r\nc\r\n", 3).unwrap(), "A: b\r\n\r\nc\r\n");
    assert_eq!(drop(&b"Received: x\r\n".repeat(3), usize::MAX).unwrap_err(), TOO_MANY_HOPS);
}

#[test]
fn many_dropped_headers_among_others_go() {
    let input = "Bcc: a\r\nTo: b\r\nBcc: c\r\nBcc: d\r\nCc: e\r\n".repeat(2000) + "\r\nbody\r\n";
    let expected = "To: b\r\nCc: e\r\n".repeat(2000) + "\r\nbody\r\n";
    for size in [1000, usize::MAX] {
        assert_eq!(cleaned(input.as_bytes(), size, false).unwrap().0, expected);
    }
}

/// Once the header is over, the caller takes content away as it likes.
#[test]
fn a_body_that_is_taken_away_leaves_room_for_little_pieces() {
    let sender = Address::null();
    let zone = Zone { offset: 0, name: "UTC".into() };
    let id = QueueId { micros: 1, number: 1, long: true };
    let origin = Origin {
        id,
        sender: &sender,
        full_name: None,
        unix: 1,
        zone: &zone,
        add_missing: false,
        rewriting: None,
        inspector: None,
    };
    let mut message = Message::new(Vec::new(), format_args!("{RECEIVED}"));
    message.content.extend_from_slice(b"Bcc: x\r\nSubject: x\r\n\r\nbody\r\n");
    message.advance(&settings(), &origin).unwrap();
    assert!(message.in_body());
    message.content.clear();
    message.content.extend_from_slice(b"x\r\n");
    message.advance(&settings(), &origin).unwrap();
    message.finish(&settings(), &origin).unwrap();
    assert_eq!(message.content, b"x\r\n");
}

#[test]
fn a_body_without_a_blank_line_gets_one() {
    let got = cleaned(b"Subject: x\r\nno header\r\n", usize::MAX, false).unwrap().0;
    assert_eq!(got, "Subject: x\r\n\r\nno header\r\n");
    let got = cleaned(b" indented\r\n", usize::MAX, false).unwrap().0;
    assert_eq!(got, "\r\n indented\r\n");
}

#[test]
fn a_mailbox_separator_becomes_a_header() {
    let text = b"From a@b Mon\r\n>From a\r\nSubject: x\r\n\r\nFrom c\r\n";
    let got = cleaned(text, 4, false).unwrap().0;
    let marked = "X-Mailbox-Line: From a@b Mon\r\nX-Mailbox-Line: >From a\r\n";
    assert_eq!(got, format!("{marked}Subject: x\r\n\r\nFrom c\r\n"));
    for (text, rest) in
        [("from a", "\r\nfrom a"), ("From a\r\n b", "X-Mailbox-Line: From a\r\n\r\n b")]
    {
        let got = cleaned(format!("{text}\r\n").as_bytes(), 4, false).unwrap().0;
        assert_eq!(got, format!("{rest}\r\n"));
    }
}

/// The rest of a header that was taken too early began the body.
#[test]
fn of_a_header_that_is_too_long_the_start_remains() {
    let settings = Settings { header_size_limit: 20, ..settings() };
    let long = format!("X-Long: a\r\n {}\r\n {}\r\nSubject: x\r\n\r\nb\r\n", "b".repeat(50), "c");
    let expected = "X-Long: a\r\n bbbbbbbbb\r\nSubject: x\r\n\r\nb\r\n";
    for size in [1, 7, 45, 60, usize::MAX] {
        let message = Message::new(Vec::new(), format_args!("{RECEIVED}"));
        let got = walked(message, (long.as_bytes(), size), false, &settings).unwrap().0;
        assert_eq!(got, expected, "{size}");
    }
}

#[test]
fn resent_messages_get_resent_headers() {
    let got = text("Resent-To: r\r\nFrom: f\r\n\r\n");
    assert!(got.contains("\r\nResent-Message-Id: <"), "{got}");
    assert!(got.contains("\r\nResent-From: a@example.org\r\n"), "{got}");
    assert!(!got.contains("\r\nMessage-Id"), "{got}");
}

#[test]
fn too_many_hops_are_a_loop() {
    let hops = "Received: x\r\n".repeat(49);
    let error = cleaned(hops.as_bytes(), usize::MAX, true).unwrap_err();
    assert_eq!(error.0, "554 5.4.0 Error: too many hops");
    assert!(cleaned("Received: x\r\n".repeat(48).as_bytes(), 100, true).is_ok());
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(lumps in proptest::collection::vec(proptest::sample::select(vec![
        "Subject: x\r\n", "Bcc: y\r\n", " folded\r\n", "From ", "\r\n", "text\r\n", "To: z\r\n",
        "Message-Id: <", "\u{e4}", ":", "Received: r\r\n", "Return-Path: <>\r\n", "\t", "a",
    ]), 0..12), size in 1usize..9) {
        let input = lumps.concat() + "\r\n";
        prop_assert_eq!(
            cleaned(input.as_bytes(), size, true),
            cleaned(input.as_bytes(), usize::MAX, true)
        );
    }
}
