//! Messages and what checks make of them; lines as Postfix 3.7.11 writes them.

use super::*;
use crate::cleanup::{Message, Origin};
use crate::testing;
use mail::date::Zone;
use mail::{Address, Recipient};
use proptest::collection::vec;
use proptest::prelude::*;

const RECEIVED: &str = "Received: from c\r\n\tby mx; now\r\n";

/// What a message has become.
struct Checked {
    /// Content with line feeds.
    text: String,
    orders: Orders,
    refusal: Option<String>,
    log: Vec<String>,
}

fn rules(parameter: &str, rules: &[(&str, &str)], directory: &std::path::Path) -> String {
    let path = directory.join(parameter);
    let lines = rules.iter().map(|(pattern, action)| format!("/{pattern}/ {action}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    format!("{parameter} = regexp:{}\n", path.display())
}

fn envelope() -> Envelope {
    let address = |text: &str| Address::from_internal(text.as_bytes());
    let attribute = |name: &str, value: &str| (name.to_string(), value.as_bytes().to_vec());
    Envelope {
        sender: address("s@example.org"),
        recipients: ["a@b.example", "c@d.example"].map(address).map(Recipient::new).to_vec(),
        attributes: vec![
            attribute("log_client_name", "host.example"),
            attribute("log_client_address", "192.0.2.1"),
            attribute("log_helo_name", "helo.example"),
            attribute("log_protocol_name", "ESMTP"),
        ],
        ..Envelope::default()
    }
}

/// Takes the tables by their parameters' names and a message with line feeds, in pieces.
fn check_in_pieces(
    tables: &[(&str, &[(&str, &str)])],
    more: &str,
    text: &str,
    by: usize,
) -> Checked {
    let directory = tempfile::tempdir().unwrap();
    let lines = tables.iter().map(|(parameter, all)| rules(parameter, all, directory.path()));
    let main_cf = lines.collect::<String>() + more;
    let world = testing::world(&directory.path().join("w"), &main_cf, 1);
    let (core, id) = (&world.core, QueueId { micros: 0, number: 1, long: true });
    let (envelope, zone) = (envelope(), Zone { offset: 0, name: "UTC".into() });
    let origin = Origin {
        id,
        sender: &envelope.sender,
        full_name: None,
        unix: 0,
        zone: &zone,
        add_missing: false,
        rewriting: None,
        inspector: Inspector::new(core, id, &envelope, Receive::default())
            .map(Inspector::reading_on),
    };
    let settings = &core.snapshot().cleanup;
    let mut message = Message::new(Vec::new(), format_args!("{RECEIVED}"));
    let mut kept = Vec::new();
    for piece in text.replace('\n', "\r\n").as_bytes().chunks(by) {
        message.content.extend_from_slice(piece);
        message.advance(settings, &origin).unwrap();
        if message.in_body() {
            kept.extend_from_slice(&message.content[..message.settled()]);
            message.forget_settled();
        }
    }
    message.finish(settings, &origin).unwrap();
    kept.extend_from_slice(&message.content);
    let text = String::from_utf8(kept).unwrap().replace("\r\n", "\n");
    let findings = message.findings().expect("it was checked");
    Checked {
        text,
        orders: std::mem::take(&mut findings.orders),
        refusal: findings.refusal.take().map(|reply| reply.0.into_owned()),
        log: logged(&world),
    }
}

/// The log, written out.
fn logged(world: &testing::World) -> Vec<String> {
    world.run(async {});
    world.lines()
}

fn check(tables: &[(&str, &[(&str, &str)])], text: &str) -> Checked {
    check_in_pieces(tables, "", text, usize::MAX)
}

/// The content behind our own header.
fn behind(checked: &Checked) -> &str {
    checked.text.strip_prefix("Received: from c\n\tby mx; now\n").expect("our own header")
}

fn has(checked: &Checked, part: &str) {
    assert!(checked.log.iter().any(|line| line.contains(part)), "{part}\n{:#?}", checked.log);
}

#[test]
fn headers_are_replaced_dropped_and_preceded() {
    let rules: &[_] = &[
        ("^X-Ignore:", "IGNORE"),
        ("^X-Strip:", "STRIP gone"),
        ("^X-Replace: (.*)$", "REPLACE X-New: was $1"),
        ("^X-Prepend: (.*)$", "PREPEND X-Added: before $1"),
        ("^X-Multi:.*second", "WARN folded"),
        ("^X-Bad:", "REPLACE no header"),
    ];
    let text = "X-Ignore: a\nX-Strip: b\nA: b\nX-Replace: c\nX-Strip: b\nX-Prepend: d\n\
                X-Multi: first\n\tsecond\nX-Bad: e\n\nX-Strip: in the body\n";
    let checked = check(&[("header_checks", rules)], text);
    let expected = "A: b\nX-New: was c\nX-Added: before d\nX-Prepend: d\nX-Multi: first\n\
                    \tsecond\nX-Bad: e\n\nX-Strip: in the body\n";
    assert_eq!(behind(&checked), expected);
    let who = "from host.example[192.0.2.1]; from=<s@example.org> to=<c@d.example> proto=ESMTP \
               helo=<helo.example>";
    has(&checked, &format!("strip: header X-Strip: b {who}: gone"));
    has(&checked, &format!("replace: header X-Replace: c {who}: X-New: was c"));
    has(&checked, &format!("warning: header X-Multi: first??second {who}: folded"));
    has(&checked, "warning: bad REPLACE header text \"no header\" in header_checks map -- need");
}

#[test]
fn our_own_header_is_checked_too() {
    let rules: &[_] = &[("^Received:.*by mx", "REPLACE X-Was: received")];
    let checked = check(&[("header_checks", rules)], "A: b\n\n");
    assert_eq!(checked.text, "X-Was: received\nA: b\n\n");
}

#[test]
fn a_rejection_ends_the_checks_and_says_why() {
    let rules: &[_] = &[("^X-R:", "REJECT 4.7.9 later"), ("^X-W:", "WARN no")];
    let checked = check(&[("header_checks", rules)], "X-R: a\nX-W: b\nX-R: c\n\n");
    assert_eq!(checked.refusal.as_deref(), Some("451 4.7.9 later"));
    has(&checked, "reject: header X-R: a from host.example[192.0.2.1]");
    has(&checked, ": 4.7.9 later");
    assert_eq!(checked.log.iter().filter(|line| line.contains(": header ")).count(), 1);
}

#[test]
fn a_message_that_comes_by_smtp_ends_with_its_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let world = testing::world(directory.path(), "header_checks = static:{REJECT no}\n", 1);
    let (id, envelope) = (QueueId { micros: 0, number: 1, long: true }, envelope());
    let inspector = Inspector::new(&world.core, id, &envelope, Receive::default()).unwrap();
    let header = Subject::Header(Place::Primary);
    let verdict = inspector.judge(header, b"A: b", &mut Findings::default());
    assert_eq!(verdict, Err(Reply::fixed("550 5.7.1 no")));
    let mut findings = Findings::default();
    assert_eq!(inspector.reading_on().judge(header, b"A: b", &mut findings), Ok(Edit::Keep));
    assert_eq!(findings.refusal, Some(Reply::fixed("550 5.7.1 no")));
}

#[test]
fn orders_are_for_the_message_and_collect() {
    let rules: &[_] = &[
        ("^X-H:", "HOLD"),
        ("^X-F: (.*)", "FILTER smtp:$1"),
        ("^X-B:", "BCC x@y.example"),
        ("^X-R:", "REDIRECT z@y.example"),
        ("^X-P:", "PASS"),
        ("^X-D:", "DISCARD"),
    ];
    let orders = |text| check(&[("header_checks", rules)], text).orders;
    let all = orders("X-H: a\nX-F: one\nX-F: two\nX-B: c\nX-R: d\nX-D: not any more\n\n");
    assert!(all.hold && !all.discard);
    assert_eq!(all.filter.as_deref(), Some("smtp:two"));
    assert_eq!(all.redirect, Some(Address::from_internal(b"z@y.example")));
    assert_eq!(all.bcc, [Address::from_internal(b"x@y.example")]);
    assert!(orders("X-D: a\n\n").discard);
    assert_eq!(orders("X-P: a\nX-D: b\n\n"), Orders::default());
}

/// A message within a part within a message.
const NESTED: &str = "Subject: top\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=\"b1\"\n\npreamble\n--b1\n\
    Content-Type: text/plain\nX-Part: a\n\none\n--b1\nContent-Type: message/rfc822\n\n\
    Subject: inner\nContent-Type: multipart/alternative; boundary=b2\n\n--b2\n\
    X-Part: b\n\ntwo\n--b2--\n--b1--\nepilogue\n";

#[test]
fn each_header_is_asked_of_the_table_for_its_place() {
    let tables: &[(&str, &[(&str, &str)])] = &[
        ("header_checks", &[("^(Subject|Content|X|MIME)", "WARN primary")]),
        ("mime_header_checks", &[("^X-Part: (.)", "REPLACE X-Mime: $1"), ("^[MC]", "WARN mime")]),
        ("nested_header_checks", &[("^", "PREPEND X-Nested: yes")]),
    ];
    for by in [1, 7, usize::MAX] {
        let checked = check_in_pieces(tables, "", NESTED, by);
        let expected = NESTED
            .replace("X-Part", "X-Mime")
            .replace("Subject: inner", "X-Nested: yes\nSubject: inner");
        assert_eq!(behind(&checked), expected);
        let count = |part: &str| checked.log.iter().filter(|line| line.contains(part)).count();
        assert_eq!((count(": primary"), count(": mime"), count("prepend: header")), (1, 5, 1));
    }
}

#[test]
fn without_mime_processing_parts_are_body() {
    let tables: &[(&str, &[(&str, &str)])] =
        &[("header_checks", &[("^", "WARN p")]), ("body_checks", &[("^X-Part", "WARN body")])];
    let more = "disable_mime_input_processing = yes\n";
    let checked = check_in_pieces(tables, more, NESTED, 50);
    assert_eq!(behind(&checked), NESTED);
    let count = |part: &str| checked.log.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count(": p"), count(": body ")), (4, 2));
}

#[test]
fn lines_of_the_body_are_checked_one_by_one() {
    let rules: &[_] = &[
        ("^secret (.*)", "REPLACE .redacted $1"),
        ("^drop", "IGNORE"),
        ("^above", "PREPEND added"),
        ("^\\.dot", "WARN dot"),
        ("^A:", "REJECT not the header"),
    ];
    let text = "A: b\n\nsecret a\ndrop me\nabove\n..dot\n drop\nlast";
    let expected = "A: b\n\n..redacted a\nadded\nabove\n..dot\n drop\nlast";
    for by in [1, 3, usize::MAX] {
        let checked = check_in_pieces(&[("body_checks", rules)], "", text, by);
        assert_eq!(behind(&checked), expected);
        assert_eq!(checked.refusal, None);
        has(&checked, "replace: body secret a from host.example[192.0.2.1]");
        has(&checked, "warning: body .dot from");
    }
}

#[test]
fn only_the_first_bytes_of_each_part_are_looked_at() {
    let rules: &[_] = &[("x", "WARN seen")];
    let more = "body_checks_size_limit = 600\nline_length_limit = 512\n";
    let (some, long) = ("x".repeat(299), "x".repeat(700));
    let text = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{some}\n{some}\nx\n--b\n\n\
         x\n{long}\nx\n--b--\n"
    );
    let checked = check_in_pieces(&[("body_checks", rules)], more, &text, 10);
    assert_eq!(behind(&checked), text);
    let seen: Vec<&String> = checked.log.iter().filter(|it| it.contains(": body ")).collect();
    // Two lines, then one and both pieces of another.
    assert_eq!(seen.len(), 5, "{seen:#?}");
}

#[test]
fn a_table_that_cannot_answer_refuses_the_message_for_now() {
    let directory = tempfile::tempdir().unwrap();
    let world = testing::world(directory.path(), "header_checks = fail:x\n", 1);
    let (id, envelope) = (QueueId { micros: 0, number: 1, long: true }, envelope());
    let inspector = Inspector::new(&world.core, id, &envelope, Receive::default()).unwrap();
    let mut findings = Findings::default();
    let verdict = inspector.judge(Subject::Header(Place::Primary), b"A: b", &mut findings);
    assert_eq!(verdict, Err(Reply::fixed("451 4.3.0 Error: queue file write error")));
    let problem = "header_checks map lookup problem -- message not accepted, try again later";
    let log = logged(&world);
    assert!(log.iter().any(|line| line.contains(problem)), "{log:#?}");
}

#[test]
fn nothing_is_checked_where_nothing_is_configured_or_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let world = testing::world(directory.path(), "", 1);
    let (id, envelope) = (QueueId { micros: 0, number: 1, long: true }, envelope());
    assert!(Inspector::new(&world.core, id, &envelope, Receive::default()).is_none());
    let world = testing::world(&directory.path().join("w"), "body_checks = static:WARN\n", 1);
    let receive = Receive { checks_content: false, ..Receive::default() };
    assert!(Inspector::new(&world.core, id, &envelope, receive).is_none());
    assert!(Inspector::new(&world.core, id, &envelope, Receive::default()).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Checks that change nothing leave every byte where it is, however the message arrives.
    #[test]
    fn what_is_only_looked_at_stays_as_it_is(lumps in vec(proptest::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: message/rfc822\n", "\n",
        "--b\n", "--b--\n", " folded\n", "X: y\n", "text\n", "..\n", "no end", "long ",
    ]), 0..20), long in 0usize..1200, by in 1usize..9) {
        let all: &[_] = &[("t", "INFO seen"), ("[bX]", "DUNNO")];
        let tables: &[(&str, &[(&str, &str)])] = &[("header_checks", all), ("body_checks", all)];
        let text = format!("A: b\n{}", lumps.concat()).replace("long", &"l".repeat(long));
        let more = "line_length_limit = 512\n";
        let one = check_in_pieces(tables, more, &text, usize::MAX);
        let pieces = check_in_pieces(tables, more, &text, by);
        prop_assert_eq!(&one.text, &pieces.text);
        let plain: String = one.text.chars().filter(|it| *it != '\n').collect();
        let ours = RECEIVED.replace("\r\n", "") + &text.replace('\n', "");
        prop_assert_eq!(plain, ours);
    }
}
