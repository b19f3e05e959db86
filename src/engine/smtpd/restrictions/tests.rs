//! Dialogues under restrictions; replies and lines as Postfix 3.7.11 has them.

mod unlisted;

use crate::testing::World;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const INSIDE: &str = "127.0.0.1:40000";
const OUTSIDE: &str = "198.51.100.7:40000";

/// What a client got for its commands, the greeting first, and the log.
struct Talk {
    replies: Vec<String>,
    log: Vec<String>,
}

impl Talk {
    #[track_caller]
    fn logged(&self, part: &str) {
        assert!(self.log.iter().any(|line| line.contains(part)), "{part}\n{:#?}", self.log);
    }

    #[track_caller]
    fn silent(&self, part: &str) {
        assert!(!self.log.iter().any(|line| line.contains(part)), "{part}\n{:#?}", self.log);
    }
}

/// Replies of one line each; the first of several lines is left out.
fn talk(main_cf: &str, from: &'static str, commands: &[&str]) -> Talk {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("default_transport = discard:\n{main_cf}");
    let world = crate::testing::world(directory.path(), &text, 1);
    let got = Rc::new(RefCell::new(String::new()));
    let input = commands.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let (core, result) = (world.core.clone(), got.clone());
    world.run(async move {
        let patience = Duration::from_secs(700);
        *result.borrow_mut() = World::client(&core, from, input.as_bytes(), patience).await;
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(10)).await;
    });
    let last = |line: &&str| line.as_bytes().get(3) != Some(&b'-');
    let replies = got.borrow().lines().filter(last).map(String::from).collect();
    Talk { replies, log: world.lines() }
}

/// The reply to RCPT from inside, and the log.
fn rcpt(main_cf: &str, recipient: &str) -> (String, Talk) {
    let to = format!("RCPT TO:<{recipient}>");
    let commands = ["EHLO h.example", "MAIL FROM:<s@example.org>", &to, "QUIT"];
    let talk = talk(main_cf, INSIDE, &commands);
    (talk.replies.get(3).cloned().unwrap_or_default(), talk)
}

/// A recipient list with a table that has one entry for `x@example.test`, and what follows.
fn list(action: &str, then: &str) -> String {
    format!(
        "smtpd_recipient_restrictions = check_recipient_access \
            inline:{{{{x@example.test={action}}}}}\
         , {then}\n"
    )
}

fn reply(action: &str, then: &str) -> String {
    rcpt(&list(action, then), "x@example.test").0
}

#[test]
fn tables_permit_refuse_and_defer() {
    const REJECTED: &str = "<x@example.test>: Recipient address rejected:";
    for (action, then, expected) in [
        ("OK", "reject", "250 2.1.5 Ok".to_string()),
        ("DUNNO", "reject", format!("554 5.7.1 {REJECTED} Access denied")),
        ("REJECT go", "permit", format!("554 5.7.1 {REJECTED} go")),
        ("DEFER 4.3.21 back", "permit", format!("450 4.3.21 {REJECTED} back")),
        ("450 four", "permit", format!("450 4.7.1 {REJECTED} four")),
        ("permit", "reject", "250 2.1.5 Ok".to_string()),
        ("NO_SUCH", "permit", "451 4.3.5 Server configuration error".to_string()),
        ("DEFER_IF_PERMIT later", "permit", format!("450 4.7.1 {REJECTED} later")),
        ("DEFER_IF_PERMIT later", "reject", format!("554 5.7.1 {REJECTED} Access denied")),
        ("DEFER_IF_REJECT 4.3.2 mm", "reject", format!("450 4.3.2 {REJECTED} mm")),
        ("DEFER_IF_REJECT", "permit", "250 2.1.5 Ok".to_string()),
        ("DUNNO", "defer_if_permit, permit", {
            format!("450 4.7.0 {REJECTED} defer_if_permit requested")
        }),
        ("DUNNO", "defer_if_reject, reject", {
            format!("450 4.7.0 {REJECTED} defer_if_reject requested")
        }),
        ("warn_if_reject reject", "permit", "250 2.1.5 Ok".to_string()),
    ] {
        assert_eq!(reply(action, then), expected, "{action}, {then}");
    }
}

#[test]
fn an_unknown_word_in_a_table_is_named_in_the_log() {
    let (_, talk) = rcpt(&list("NO_SUCH x", "permit"), "x@example.test");
    talk.logged("warning: unknown smtpd restriction: \"NO_SUCH\"");
    let (_, talk) = rcpt(&list("check_sender_access hash:x", "permit"), "x@example.test");
    talk.logged("has entry with lookup table: check_sender_access hash:x");
    talk.logged("warning: do not specify lookup tables inside SMTPD access maps");
}

#[test]
fn a_table_that_fails_refuses_for_now_even_when_only_asked_to_warn() {
    let lists =
        "smtpd_recipient_restrictions = warn_if_reject check_client_access fail:x, permit\n";
    let (got, talk) = rcpt(lists, "x@example.test");
    let expected =
        "451 4.3.5 <unknown[127.0.0.1]>: Client host rejected: Server configuration error";
    assert_eq!(got, expected);
    talk.logged("warning: fail:x lookup error for \"unknown\"");
}

#[test]
fn warnings_instead_of_refusals_are_logged() {
    let lists = "smtpd_recipient_restrictions = warn_if_reject reject_unauth_destination, \
                 warn_if_reject check_sender_access inline:{{s@example.org=REJECT no}}, permit\n";
    let (got, talk) = rcpt(lists, "x@example.test");
    assert_eq!(got, "250 2.1.5 Ok");
    talk.logged(
        "NOQUEUE: reject_warning: RCPT from unknown[127.0.0.1]: 554 5.7.1 <s@example.org>: Sender \
         address rejected: no; from=<s@example.org> to=<x@example.test> proto=ESMTP \
         helo=<h.example>",
    );
    talk.logged("reject_warning: RCPT from unknown[127.0.0.1]: 554 5.7.1 <x@example.test>: Relay");
}

#[test]
fn classes_stand_for_their_restrictions_and_end_somewhere() {
    let classes = "smtpd_restriction_classes = one, two\n\
                   one = check_sender_access inline:{{s@example.org=two}}\n\
                   two = reject\n";
    let (got, _) = rcpt(&format!("{classes}{}", list("ONE", "permit")), "x@example.test");
    assert_eq!(got, "554 5.7.1 <s@example.org>: Sender address rejected: Access denied");
    let endless = "smtpd_restriction_classes = round\nround = round\n\
                   smtpd_recipient_restrictions = round, permit\n";
    let (got, talk) = rcpt(endless, "x@example.test");
    assert_eq!(got, "451 4.3.5 Server configuration error");
    talk.logged("warning: restriction classes are nested too deep");
}

/// A message from inside to these, with a client list before it.
fn sent(main_cf: &str, recipients: &[&str]) -> Talk {
    let to: Vec<String> = recipients.iter().map(|to| format!("RCPT TO:<{to}>")).collect();
    let mut commands = vec!["EHLO h.example", "MAIL FROM:<s@example.org>"];
    commands.extend(to.iter().map(String::as_str));
    commands.extend(["DATA", "Subject: x", "", "body", ".", "QUIT"]);
    talk(main_cf, INSIDE, &commands)
}

fn table(entries: &str) -> String {
    format!("smtpd_recipient_restrictions = check_recipient_access inline:{{{entries}}}, permit\n")
}

#[test]
fn a_held_message_waits_and_says_so_once() {
    let lists = "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=HOLD}}\n";
    let talk = sent(lists, &["a@b.example", "c@b.example"]);
    assert!(talk.replies[6].starts_with("250 2.0.0 Ok: queued as "), "{:?}", talk.replies);
    talk.logged(
        "NOQUEUE: hold: RCPT from unknown[127.0.0.1]: <unknown[127.0.0.1]>: Client host triggers \
         HOLD action; from=<s@example.org> to=<a@b.example> proto=ESMTP helo=<h.example>",
    );
    assert_eq!(talk.log.iter().filter(|line| line.contains(": hold: ")).count(), 1);
    talk.silent("(queue active)");
}

#[test]
fn a_discarded_message_is_taken_and_gone_whoever_it_is_for() {
    let lists = format!(
        "{}smtpd_data_restrictions = reject\n",
        table("{a@b.example=DISCARD bye}, {c@b.example=REJECT}")
    );
    let talk = sent(&lists, &["a@b.example", "c@b.example"]);
    assert_eq!(&talk.replies[3..5], ["250 2.1.5 Ok", "250 2.1.5 Ok"]);
    assert!(talk.replies[6].starts_with("250 2.0.0 Ok: queued as "), "{:?}", talk.replies);
    talk.logged(
        "NOQUEUE: discard: RCPT from unknown[127.0.0.1]: <a@b.example>: Recipient address bye",
    );
    talk.silent("(queue active)");
}

#[test]
fn a_filter_takes_all_recipients_the_last_one_counts() {
    let lists = table("{a@b.example=FILTER discard:one}, {c@b.example=FILTER discard:two}");
    let talk = sent(&lists, &["a@b.example", "c@b.example"]);
    talk.logged(
        "filter: RCPT from unknown[127.0.0.1]: <a@b.example>: Recipient address triggers \
        FILTER discard:one",
    );
    talk.logged("to=<a@b.example>, relay=none, delay=");
    assert_eq!(talk.log.iter().filter(|line| line.contains("status=sent (two)")).count(), 2);
}

#[test]
fn a_redirected_message_goes_to_one_and_copies_go_to_others() {
    let lists = table(
        "{a@b.example=REDIRECT r@y.example}, {c@b.example=BCC q@y.example}, \
         {d@b.example=WARN look}, {e@b.example=REDIRECT nobody}, {f@b.example=FILTER none}",
    );
    let talk = sent(&lists, &["a@b.example", "c@b.example", "d@b.example"]);
    talk.logged(
        "redirect: RCPT from unknown[127.0.0.1]: <a@b.example>: Recipient address \
        triggers REDIRECT r@y.example",
    );
    talk.logged("to=<r@y.example>, orig_to=<a@b.example>, relay=none");
    talk.logged(": warn: RCPT from unknown[127.0.0.1]: look; from=<s@example.org>");
    assert_eq!(talk.log.iter().filter(|line| line.contains("status=sent")).count(), 1);
    let talk = sent(&lists, &["c@b.example", "e@b.example", "f@b.example"]);
    talk.logged(
        "bcc: RCPT from unknown[127.0.0.1]: <c@b.example>: Recipient address triggers \
        BCC q@y.example",
    );
    talk.logged("to=<q@y.example>, relay=none");
    talk.logged("entry \"e@b.example\" requires user@domain target");
    talk.logged("entry \"f@b.example\" requires transport:destination");
    assert_eq!(talk.log.iter().filter(|line| line.contains("status=sent")).count(), 4);
}

#[test]
fn prepended_headers_come_first_and_are_checked_as_headers() {
    let lists = format!(
        "{}header_checks = static:{{WARN seen}}\n",
        table("{a@b.example=PREPEND X-One: a}, {c@b.example=PREPEND no header}")
    );
    let talk = sent(&lists, &["a@b.example", "c@b.example"]);
    talk.logged("warning: header X-One: a from unknown[127.0.0.1]; from=<s@example.org>");
    talk.logged("entry \"c@b.example\" requires header: text");
}

#[test]
fn hanging_up_is_no_reply() {
    let (got, talk) = rcpt(&list("HANGUP", "permit"), "x@example.test");
    assert_eq!((got.as_str(), talk.replies.len()), ("", 3));
    talk.logged("NOQUEUE: hangup: RCPT from unknown[127.0.0.1]: ; from=<s@example.org>");
    talk.silent("lost connection");
}

#[test]
fn data_and_end_of_data_know_a_recipient_when_it_is_alone() {
    let lists = "smtpd_data_restrictions = check_recipient_access inline:{{a@b.example=REJECT}}\n";
    let talk = sent(lists, &["a@b.example"]);
    assert_eq!(
        talk.replies[4],
        "554 5.7.1 <a@b.example>: Recipient address rejected: Access denied"
    );
    talk.logged(
        "reject: DATA from unknown[127.0.0.1]: 554 5.7.1 <a@b.example>: Recipient \
        address rejected: Access denied; from=<s@example.org> to=<a@b.example> proto=ESMTP",
    );
    let talk = sent(lists, &["a@b.example", "c@b.example"]);
    assert!(talk.replies[6].starts_with("250 2.0.0 Ok: queued as "), "{:?}", talk.replies);
    let lists = "smtpd_end_of_data_restrictions = \
                 check_sender_access inline:{{s@example.org=REJECT eod}}\n";
    let talk = sent(lists, &["a@b.example"]);
    assert_eq!(talk.replies[5], "554 5.7.1 <s@example.org>: Sender address rejected: eod");
    talk.logged(
        "reject: END-OF-MESSAGE from unknown[127.0.0.1]: 554 5.7.1 <s@example.org>: \
        Sender address rejected: eod; from=<s@example.org> to=<a@b.example> proto=ESMTP",
    );
    talk.silent("(queue active)");
}

#[test]
fn a_bare_table_is_asked_about_what_its_list_is_about() {
    let lists = "smtpd_sender_restrictions = inline:{{s@example.org=REJECT}}\n";
    assert_eq!(
        rcpt(lists, "x@example.test").0,
        "554 5.7.1 <s@example.org>: Sender address rejected: Access denied"
    );
    let talk = sent("smtpd_data_restrictions = inline:{{a=b}}\n", &["a@b.example"]);
    assert_eq!(talk.replies[4], "451 4.3.5 Server configuration error");
    talk.logged("check_etrn_access) before Data command restriction \"inline:{{a=b}}\"");
}

const AT_ONCE: &str = "smtpd_delay_reject = no\n\
    smtpd_client_restrictions = check_client_access inline:{{198.51.100.7=554 5.7.1 blocked}}\n\
    smtpd_helo_restrictions = check_helo_access inline:{{bad.example=REJECT}, {hold.example=HOLD}}\n\
    smtpd_sender_restrictions = check_sender_access inline:{{bad@x.example=REJECT}}\n";

#[test]
fn without_delay_each_command_is_refused_by_itself() {
    let commands = [
        "EHLO bad.example",
        "MAIL FROM:<bad@x.example>",
        "EHLO hold.example",
        "MAIL FROM:<bad@x.example>",
        "MAIL FROM:<ok@x.example>",
        "RCPT TO:<a@b.example>",
        "QUIT",
    ];
    let got = talk(AT_ONCE, INSIDE, &commands);
    assert_eq!(
        &got.replies[1..3],
        [
            "554 5.7.1 <bad.example>: Helo command rejected: Access denied",
            "554 5.7.1 <bad@x.example>: Sender address rejected: Access denied",
        ]
    );
    assert_eq!(got.replies[4], "554 5.7.1 <bad@x.example>: Sender address rejected: Access denied");
    assert_eq!(&got.replies[5..7], ["250 2.1.0 Ok", "250 2.1.5 Ok"]);
    got.logged(
        "NOQUEUE: reject: EHLO from unknown[127.0.0.1]: 554 5.7.1 <bad.example>: Helo \
        command rejected: Access denied; proto=SMTP helo=<bad.example>",
    );
    got.logged(
        "NOQUEUE: reject: MAIL from unknown[127.0.0.1]: 554 5.7.1 <bad@x.example>: Sender \
        address rejected: Access denied; from=<bad@x.example> proto=SMTP\n"
            .trim_end(),
    );
    got.logged(
        "with smtpd_delay_reject=no, action HOLD is always skipped in Client host or Helo \
        command restrictions",
    );
}

#[test]
fn a_client_that_may_not_come_in_may_only_leave() {
    let got = talk(AT_ONCE, OUTSIDE, &["EHLO x", "NOOP", "FOO", "QUIT"]);
    let denied = "503 5.7.0 Error: access denied for unknown[198.51.100.7]";
    let greeting = "554 5.7.1 <unknown[198.51.100.7]>: Client host rejected: blocked";
    assert_eq!(got.replies, [greeting, denied, denied, denied, "221 2.0.0 Bye"]);
    got.logged(
        "NOQUEUE: reject: CONNECT from unknown[198.51.100.7]: 554 5.7.1 \
        <unknown[198.51.100.7]>: Client host rejected: blocked; proto=SMTP",
    );
}

#[test]
fn names_of_clients_that_are_none_are_refused() {
    let helo = |name: &str, restriction: &str| {
        let lists = format!("smtpd_helo_restrictions = {restriction}\n");
        let hello = format!("EHLO {name}");
        let commands = [hello.as_str(), "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "QUIT"];
        talk(&lists, INSIDE, &commands).replies[3].clone()
    };
    for name in ["mx.example", "mx.example.", "[192.0.2.1]", "192.0.2.1", "bad_under.example"] {
        assert_eq!(helo(name, "reject_invalid_helo_hostname"), "250 2.1.5 Ok", "{name}");
    }
    for (name, why) in [("-bad.example", "Invalid name"), ("[192.0.2.999]", "invalid ip address")] {
        let expected = format!("501 5.5.2 <{name}>: Helo command rejected: {why}");
        assert_eq!(helo(name, "reject_invalid_hostname"), expected);
    }
    let expected = "504 5.5.2 <nodots>: Helo command rejected: need fully-qualified hostname";
    assert_eq!(helo("nodots", "reject_non_fqdn_helo_hostname"), expected);
    assert_eq!(helo("a.b", "reject_non_fqdn_hostname"), "250 2.1.5 Ok");
}

#[test]
fn addresses_without_a_domain_are_refused() {
    let from = |sender: &str| {
        let lists = "smtpd_sender_restrictions = reject_non_fqdn_sender\n";
        let mail = format!("MAIL FROM:<{sender}>");
        let commands = ["EHLO h.example", &mail, "RCPT TO:<c@d.example>", "QUIT"];
        talk(lists, INSIDE, &commands).replies[3].clone()
    };
    let refused = |sender: &str| {
        format!("504 5.5.2 <{sender}>: Sender address rejected: need fully-qualified address")
    };
    assert_eq!(from("a"), refused("a"));
    assert_eq!(from("a@b"), refused("a@b"));
    assert_eq!((from(""), from("a@b.example")), ("250 2.1.5 Ok".into(), "250 2.1.5 Ok".into()));
}

#[test]
fn a_client_that_sends_on_at_data_is_refused_when_asked_for() {
    let lists = "smtpd_data_restrictions = reject_unauth_pipelining\n";
    let talk = sent(lists, &["a@b.example"]);
    let expected =
        "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining";
    assert_eq!(talk.replies[4], expected);
}

#[test]
fn a_pause_is_made_before_the_answer() {
    let lists = "smtpd_recipient_restrictions = sleep 3, permit\n";
    let talk = sent(lists, &["a@b.example"]);
    assert!(talk.replies[5].starts_with("250 2.0.0 Ok: queued as "), "{:?}", talk.replies);
}
