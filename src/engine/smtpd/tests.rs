//! Whole sessions on the simulated kernel.

use crate::core::Core;
use crate::limits::OUTBOX_HIGH_WATER;
use crate::parcel::Parcel;
use crate::testing::World;
use runtime::Chunk;
use runtime::lane::{LANE_CAPACITY, Port};
use runtime::net::{Arrived, Stream};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const INSIDE: &str = "127.0.0.1:40000";
const OUTSIDE: &str = "198.51.100.7:40000";
const TRANSACTION: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";

/// What a client got, and the log.
fn dialogue(main_cf: &str, from: &'static str, input: &str) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let world = crate::testing::world(directory.path(), main_cf, 1);
    let got = Rc::new(RefCell::new(String::new()));
    let (core, input, result) = (world.core.clone(), input.to_string(), got.clone());
    world.run(async move {
        let patience = Duration::from_secs(700);
        let got = World::client(&core, from, input.as_bytes(), patience).await;
        *result.borrow_mut() = got;
        // What was taken is delivered before the end.
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(10)).await;
    });
    let lines = got.borrow().lines().map(String::from).collect();
    (lines, world.lines())
}

fn has(lines: &[String], part: &str) -> bool {
    lines.iter().any(|line| line.contains(part))
}

#[test]
fn a_message_is_taken_logged_and_delivered() {
    let input = format!("EHLO c\r\n{TRANSACTION}Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
    let (got, log) = dialogue("default_transport = discard:\n", INSIDE, &input);
    assert_eq!(got[0], "220 mx.example.test ESMTP test");
    assert!(got[got.len() - 2].starts_with("250 2.0.0 Ok: queued as "), "{got:?}");
    assert_eq!(got[got.len() - 1], "221 2.0.0 Bye");
    let id = got[got.len() - 2].rsplit(' ').next().unwrap();
    for part in [
        "postfix/smtpd[1]: connect from unknown[127.0.0.1]",
        &format!("postfix/smtpd[1]: {id}: client=unknown[127.0.0.1]"),
        &format!("postfix/cleanup[1]: {id}: message-id=<"),
        &format!("postfix/qmgr[1]: {id}: from=<a@b.example>, size="),
        &format!("postfix/discard[1]: {id}: to=<c@d.example>, relay=none, delay="),
        &format!("postfix/qmgr[1]: {id}: removed"),
        "disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    ] {
        assert!(has(&log, part), "{part}\n{log:#?}");
    }
}

#[test]
fn strangers_cannot_relay() {
    let input = format!("EHLO c\r\n{TRANSACTION}QUIT\r\n");
    let (got, log) = dialogue("", OUTSIDE, &input);
    assert!(has(&got, "454 4.7.1 <c@d.example>: Relay access denied"), "{got:?}");
    assert!(has(&got, "554 5.5.1 Error: no valid recipients"), "{got:?}");
    let line = "NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 454 4.7.1 <c@d.example>: Relay \
                access denied; from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<c>";
    assert!(has(&log, line), "{log:#?}");
}

/// The reply to each command after EHLO.
fn replies(main_cf: &str, commands: &[&str]) -> (Vec<String>, Vec<String>) {
    let commands: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
    let (got, log) = dialogue(main_cf, INSIDE, &format!("HELO c\r\n{commands}QUIT\r\n"));
    (got[2..got.len() - 1].to_vec(), log)
}

#[test]
fn addresses_that_cannot_be_resolved_are_named_in_the_log() {
    let (got, log) = replies(
        "mydestination = here.example\nsmtpd_hard_error_limit = 100\n",
        &[
            "MAIL FROM:<u@[junk]>",
            "MAIL FROM:<u@>",
            "MAIL FROM:<-u@x.example>",
            "MAIL FROM:<u@x.example,v@x.example>",
            "MAIL FROM:<group:u@x.example;>",
            "RCPT TO:<u@192.0.2.1>",
            "RCPT TO:<u@[192.0.2.1]>",
            "RCPT TO:<-u@here.example>",
            "RCPT TO:<u@-x@here.example>",
            "VRFY a b",
            "VRFY <c@x.example>",
        ],
    );
    let (sender, recipient) = ("501 5.1.7 Bad sender", "501 5.1.3 Bad recipient");
    let expected = [
        sender,
        sender,
        sender,
        sender,
        "250 2.1.0",
        recipient,
        "250 2.1.5",
        recipient,
        recipient,
        recipient,
        "252 2.0.0 <c@x.example>",
    ];
    for (got, expected) in got.iter().zip(expected) {
        assert!(got.starts_with(expected), "{got} for {expected}");
    }
    let warning = "warning: Illegal address syntax from unknown[127.0.0.1] in";
    for what in ["MAIL command: <u@[junk]>", "RCPT command: <-u@here.example>", "VRFY command: a b"]
    {
        assert!(log.iter().any(|it| it.ends_with(&format!("{warning} {what}"))), "{what} {log:#?}");
    }
    assert!(!log.iter().any(|line| line.contains(" reject: ")), "{log:#?}");
}

#[test]
fn strict_parameters_for_addresses_are_acted_upon() {
    let strict = "strict_rfc821_envelopes = yes\nstrict_smtputf8 = yes\n";
    let mail = ["MAIL FROM:u@x.example", "MAIL FROM:<\u{fc}@x.example>"];
    let (got, _) = replies(strict, &mail);
    assert!(got[0].starts_with("501 5.1.7") && got[1].starts_with("553 5.6.7"), "{got:?}");
    let (got, _) = replies("", &[mail[0], "RSET", mail[1], "RCPT TO:<a@\u{fc}.example>"]);
    assert!(got[0].starts_with("250") && got[2].starts_with("250"), "{got:?}");
    assert!(got[3].starts_with("501 5.1.3"), "{got:?}");
}

#[test]
fn a_recipient_that_no_table_can_tell_is_not_taken() {
    for broken in ["transport_maps", "relocated_maps", "virtual_alias_maps", "relay_domains"] {
        let main_cf = format!("{broken} = fail:x\nsmtpd_reject_unlisted_recipient = yes\n");
        let (got, _) = replies(&main_cf, &["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"]);
        assert!(
            got[1].starts_with("451 4.3.0 <c@d.example>: Temporary lookup"),
            "{broken} {got:?}"
        );
    }
}

#[test]
fn the_class_of_aliases_has_its_own_code_and_what_comes_for_nobody_is_taken() {
    let main_cf = "virtual_alias_domains = v.example\nunknown_virtual_alias_reject_code = 450\n\
                   mydestination = here.example\nrelocated_maps = inline:{{m@v.example=x}}\n\
                   smtpd_reject_unlisted_recipient = yes\n";
    let commands = [
        "MAIL FROM:<>",
        "RCPT TO:<\"u u\"@v.example>",
        "RCPT TO:<m@v.example>",
        "RCPT TO:<double-bounce@here.example>",
    ];
    let (got, _) = replies(main_cf, &commands);
    assert!(got[1].starts_with("450 4.1.1 <u u@v.example>: Recipient address rej"), "{got:?}");
    assert!(got[2].contains(".1.6 <m@v.example>: Recipient address rejected: User has"), "{got:?}");
    assert_eq!(got[3], "250 2.1.5 Ok");
}

#[test]
fn restrictions_that_are_not_understood_fail_closed() {
    let lists = "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:9\n";
    let (got, _) = dialogue(lists, INSIDE, &format!("EHLO c\r\n{TRANSACTION}QUIT\r\n"));
    assert!(has(&got, "451 4.3.5 Server configuration error"), "{got:?}");
    let lists = "smtpd_client_restrictions = check_policy_service inet:127.0.0.1:9\n";
    let (got, _) = dialogue(lists, INSIDE, &format!("EHLO c\r\n{TRANSACTION}QUIT\r\n"));
    assert!(has(&got, "451 4.3.5 Server configuration error"), "{got:?}");
    let open = "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks\n";
    let (got, _) = dialogue(open, INSIDE, &format!("EHLO c\r\n{TRANSACTION}QUIT\r\n"));
    assert!(has(&got, "451 4.3.5 Server configuration error"), "{got:?}");
}

#[test]
fn a_restriction_that_is_not_acted_upon_closes_the_door() {
    let input = format!("EHLO c\r\n{TRANSACTION}QUIT\r\n");
    let (got, _) = dialogue("smtpd_milters = inet:127.0.0.1:9\n", INSIDE, &input);
    assert!(has(&got, "451 4.3.5 Server configuration error"), "{got:?}");
    // What Debian's main.cf sets keeps nobody out.
    let usual = "smtpd_milters =\nsmtpd_tls_security_level = may\nsmtpd_sasl_auth_enable = yes\n";
    let (got, _) = dialogue(usual, INSIDE, &input);
    assert!(has(&got, "250 2.1.5 Ok"), "{got:?}");
}

/// The list was read and counted as obeyed, but nobody asked it.
#[test]
fn data_restrictions_are_asked_at_data() {
    let input = format!("EHLO c\r\n{TRANSACTION}QUIT\r\n");
    let (got, log) = dialogue("smtpd_data_restrictions = reject\n", INSIDE, &input);
    assert!(has(&got, "250 2.1.5 Ok"), "{got:?}");
    assert!(has(&got, "554 5.7.1 <DATA>: Data command rejected: Access denied"), "{got:?}");
    assert!(has(&log, "reject: DATA from unknown[127.0.0.1]"), "{log:#?}");
}

#[test]
fn a_silent_client_is_sent_away() {
    let (got, log) = dialogue("", INSIDE, "EHLO c\r\n");
    assert_eq!(got.last().unwrap(), "421 4.4.2 mx.example.test Error: timeout exceeded");
    assert!(has(&log, "timeout after EHLO from unknown[127.0.0.1]"), "{log:#?}");
}

#[test]
fn a_message_over_the_limit_is_refused_whole() {
    let body = "x".repeat(70) + "\r\n";
    let input = format!("EHLO c\r\n{TRANSACTION}\r\n{}.\r\nQUIT\r\n", body.repeat(2000));
    let (got, log) = dialogue("default_transport = discard:\n", INSIDE, &input);
    assert!(has(&got, "552 5.3.4 Error: message file too big"), "{got:?}");
    assert!(has(&log, "queue file size limit exceeded"), "{log:#?}");
    assert!(!has(&log, "(queue active)"), "{log:#?}");
    assert!(has(&log, "data=0/1"), "{log:#?}");
}

#[test]
fn a_large_message_goes_to_the_log_while_it_arrives() {
    let body = "y".repeat(70) + "\r\n";
    let input = format!("EHLO c\r\n{TRANSACTION}\r\n{}.\r\nQUIT\r\n", body.repeat(20_000));
    let big = "default_transport = discard:\nmessage_size_limit = 5000000\n";
    let (got, log) = dialogue(big, INSIDE, &input);
    assert!(has(&got, "250 2.0.0 Ok: queued as"), "{got:?}");
    assert!(has(&log, "size=144"), "{log:#?}");
}

#[test]
fn failed_mail_comes_back_and_a_double_bounce_ends() {
    let input = format!("EHLO c\r\n{TRANSACTION}Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
    let bouncing = "default_transport = error:5.1.6 gone away\nnotify_classes = 2bounce\n\
                    2bounce_notice_recipient = p@q.example\n";
    let (_, log) = dialogue(bouncing, INSIDE, &input);
    assert!(has(&log, "dsn=5.1.6, status=bounced (gone away)"), "{log:#?}");
    assert!(has(&log, "sender non-delivery notification: "), "{log:#?}");
    assert!(has(&log, "postmaster non-delivery notification: "), "{log:#?}");
    assert!(has(&log, "undeliverable postmaster notification discarded"), "{log:#?}");
    let removed = log.iter().filter(|line| line.ends_with(": removed")).count();
    assert_eq!(removed, 3, "{log:#?}");
}

#[test]
fn what_is_in_the_queue_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let deferring = "default_transport = retry:4.2.1 later\nminimal_backoff_time = 30s\n";
    {
        let world = crate::testing::world(directory.path(), deferring, 1);
        let core = world.core.clone();
        world.run(async move {
            let input = format!("EHLO c\r\n{TRANSACTION}\r\nhi\r\n.\r\nQUIT\r\n");
            World::client(&core, INSIDE, input.as_bytes(), Duration::from_secs(5)).await;
            core.rt.sleep_until(core.rt.now() + Duration::from_secs(1)).await;
        });
        assert!(has(&world.lines(), "status=deferred (later)"), "{:#?}", world.lines());
    }
    let world = crate::testing::world(directory.path(), "default_transport = discard:\n", 2);
    let core = world.core.clone();
    world.run(async move { core.rt.sleep_until(core.rt.now() + Duration::from_secs(4000)).await });
    assert!(has(&world.lines(), "relay=none"), "{:#?}", world.lines());
    assert!(has(&world.lines(), ": removed"), "{:#?}", world.lines());
}

#[test]
fn a_service_at_its_process_limit_lets_clients_wait_and_is_under_stress() {
    let directory = tempfile::tempdir().unwrap();
    let one = "smtp inet n - n - 1 smtpd\n";
    let world = crate::testing::world_of(directory.path(), "", one, 1);
    let (core, times) = (world.core.clone(), Rc::new(RefCell::new(Vec::new())));
    let seen = times.clone();
    world.run(async move {
        let (silent, start) = (core.clone(), core.rt.now());
        core.rt.spawn(async move {
            World::client(&silent, OUTSIDE, b"", Duration::from_secs(60)).await;
        });
        core.rt.sleep_until(start + Duration::from_secs(1)).await;
        let got = World::client(&core, INSIDE, b"QUIT\r\n", Duration::from_secs(60)).await;
        *seen.borrow_mut() = vec![(got, core.rt.now().since(start))];
    });
    let (got, after) = times.borrow_mut().pop().unwrap();
    assert!(got.contains("221 2.0.0 Bye"), "{got}");
    // The silent one is sent away after the 10 s of a server under stress, not after 300 s.
    assert!(after >= Duration::from_secs(10) && after < Duration::from_secs(20), "{after:?}");
    let log = world.lines();
    let line = "postfix/master[1]: warning: service \"smtp\" has reached its process limit \"1\": \
                new clients may experience noticeable delays";
    assert!(has(&log, line), "{log:#?}");
}

#[test]
fn a_command_line_is_cut_at_the_limit() {
    let long = format!("EHLO c\r\nNOOP {}\r\nQUIT\r\n", "x".repeat(600));
    let (got, _) = dialogue("line_length_limit = 512\n", INSIDE, &long);
    assert_eq!(got.last().unwrap(), "221 2.0.0 Bye");
    assert!(has(&got, "250 2.0.0 Ok"), "{got:?}");
}

#[test]
fn a_recipient_that_nobody_has_is_refused() {
    let local = "mydestination = here.example\nlocal_recipient_maps = unix:passwd.byname \
                 inline:{zed=x}\nrecipient_delimiter = +\n\
                 smtpd_reject_unlisted_recipient = yes\n";
    let to = |name: &str| format!("RCPT TO:<{name}@here.example>\r\n");
    let names = ["alice", "Alice+ext", "nobody", "zed+x", "sick", "alice", "nobody"];
    let named: String = names.map(to).concat();
    let input = format!("EHLO c\r\nMAIL FROM:<a@b.example>\r\n{named}QUIT\r\n");
    let (got, log) = dialogue(local, OUTSIDE, &input);
    let after = got.iter().position(|line| line.starts_with("250 2.1.0")).unwrap() + 1;
    let unknown = "550 5.1.1 <nobody@here.example>: Recipient address rejected: User unknown in \
                   local recipient table";
    let expected = [
        "250 2.1.5 Ok",
        "250 2.1.5 Ok",
        unknown,
        "250 2.1.5 Ok",
        "451 4.3.0 <sick@here.example>: Temporary lookup failure",
        "250 2.1.5 Ok",
        unknown,
    ];
    assert_eq!(got[after..after + names.len()], expected);
    assert!(has(&log, "warning: the directory is away"), "{log:#?}");
}

#[test]
fn the_postmaster_and_senders_of_notices_are_users_of_every_local_domain() {
    let config = "mydestination = here.example, there.example\nrelay_domains = relay.example\n\
                  local_recipient_maps = inline:{zed=x}\nrelay_recipient_maps = inline:{z=x}\n\
                  smtpd_reject_unlisted_recipient = yes\n";
    let verdict = |recipient: &str| {
        let input = format!("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<{recipient}>\r\nQUIT\r\n");
        let (got, _) = dialogue(config, INSIDE, &input);
        got[got.len() - 2][..3].to_string()
    };
    for known in ["PostMaster@here.example", "mailer-daemon@there.example", "double-bounce"] {
        assert_eq!(verdict(known), "250", "{known}");
    }
    for unknown in ["postmaster@relay.example", "postmasters@here.example"] {
        assert_eq!(verdict(unknown), "550", "{unknown}");
    }
}

#[test]
fn what_is_no_address_is_in_the_log() {
    let input = "EHLO c\r\nMAIL FROM:<a@b..c>\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\n\
                 RCPT TO:<a@b.example> NOTIFY=now\r\nRSET\r\nVRFY a b@c\r\nQUIT\r\n";
    let (_, log) = dialogue("", INSIDE, input);
    let illegal = |command: &str, path: &str| {
        format!(
            "warning: Illegal address syntax from unknown[127.0.0.1] in {command} command: {path}"
        )
    };
    for (command, path) in [("MAIL", "<a@b..c>"), ("RCPT", "<>"), ("VRFY", "a b@c")] {
        assert!(has(&log, &illegal(command, path)), "{log:#?}");
    }
    let unknown = "warning: unknown DSN NOTIFY command value \"now\" in \"now\"";
    assert!(has(&log, unknown), "{log:#?}");
}

#[test]
fn strict_envelopes_take_only_the_form_of_the_standard() {
    let strict = "strict_rfc821_envelopes = yes\nstrict_smtputf8 = yes\n";
    let input = "EHLO c\r\nMAIL FROM:a@b.example\r\nMAIL FROM:<\u{e9}@b.example>\r\n\
                 MAIL FROM:<\u{e9}@b.example> SMTPUTF8\r\nQUIT\r\n";
    let (got, _) = dialogue(strict, INSIDE, input);
    let bad = "501 5.1.7 Bad sender address syntax";
    let utf8 = "553 5.6.7 Must declare SMTPUTF8 to send unicode address";
    assert_eq!(got[got.len() - 4..got.len() - 1], [bad, utf8, "250 2.1.0 Ok"]);
    let (got, _) = dialogue("", INSIDE, input);
    assert!(has(&got, "250 2.1.0 Ok") && !has(&got, bad) && !has(&got, utf8), "{got:?}");
}

#[test]
fn a_recipient_routed_to_the_error_transport_is_refused_with_its_words() {
    let routed = "virtual_alias_domains = gone.example\nsmtpd_reject_unlisted_recipient = yes\n";
    let input = "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@gone.example>\r\nQUIT\r\n";
    let (got, _) = dialogue(routed, OUTSIDE, input);
    let refusal = "550 5.1.1 <x@gone.example>: Recipient address rejected: User unknown in virtual \
                   alias table";
    assert!(has(&got, refusal), "{got:?}");
    let off = format!("{routed}smtpd_reject_unlisted_recipient = no\n");
    assert!(has(&dialogue(&off, OUTSIDE, input).0, "250 2.1.5 Ok"));
}

#[test]
fn what_comes_too_early_is_mentioned_and_may_be_refused() {
    let input = "EHLO c\r\nNOOP\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n";
    let (got, log) = dialogue("", INSIDE, input);
    assert_eq!(got.last().unwrap(), "221 2.0.0 Bye");
    let line = "improper command pipelining after EHLO from unknown[127.0.0.1]: \
                NOOP\\r\\nMAIL FROM:<a@b.example>\\r\\nQUIT\\r\\n";
    assert!(has(&log, line), "{log:#?}");
    assert!(!has(&log, "pipelining after NOOP"), "once is enough: {log:#?}");
    let (got, _) = dialogue("smtpd_forbid_unauth_pipelining = yes\n", INSIDE, input);
    assert_eq!(got[1..], ["554 5.5.0 Error: SMTP protocol synchronization"]);
}

/// A client that sends a piece every so often; how long it was served.
fn dripping(main_cf: &str, pieces: &'static [&'static str], pause: u64) -> (Duration, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let world = crate::testing::world(directory.path(), main_cf, 1);
    let (core, served) = (world.core.clone(), Rc::new(RefCell::new(Duration::ZERO)));
    let seen = served.clone();
    world.run(async move {
        let start = core.rt.now();
        World::drip(&core, INSIDE, pieces, Duration::from_secs(pause)).await;
        *seen.borrow_mut() = core.rt.now().since(start);
    });
    let served = *served.borrow();
    (served, world.lines())
}

#[test]
fn a_deadline_per_request_ends_what_drips() {
    const DRIPS: &[&str] =
        &["E", "H", "L", "O", " ", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let timeout = "smtpd_timeout = 100s\n";
    let (patient, _) = dripping(timeout, DRIPS, 60);
    assert!(patient >= Duration::from_secs(960), "each piece has its own time: {patient:?}");
    let strict = format!("{timeout}smtpd_per_request_deadline = yes\n");
    let (served, log) = dripping(&strict, DRIPS, 60);
    assert!(served < Duration::from_secs(130), "{served:?}");
    assert!(has(&log, "timeout after CONNECT from unknown[127.0.0.1]"), "{log:#?}");
}

#[test]
fn refusals_end_with_the_footer() {
    let footer = "smtpd_reject_footer = \\c. $recipient at $server_name, $sender\n";
    let input = format!("EHLO c\r\n{TRANSACTION}NONSENSE\r\nQUIT\r\n");
    let (got, log) = dialogue(footer, OUTSIDE, &input);
    let refusal = "454 4.7.1 <c@d.example>: Relay access denied. c@d.example at mx.example.test, \
                   a@b.example";
    assert!(has(&got, refusal), "{got:?}");
    assert!(has(&got, "500 5.5.2 Error: command not recognized. c@d.example at"), "{got:?}");
    assert_eq!(got.last().unwrap(), "221 2.0.0 Bye");
    assert!(has(&log, "Relay access denied; from="), "the log has the reply alone: {log:#?}");
}

#[test]
fn headers_of_local_clients_are_completed() {
    let input = format!("EHLO c\r\n{TRANSACTION}To: user\r\n\r\nx\r\n.\r\nQUIT\r\n");
    let said = |clients: &str| {
        let main_cf = format!(
            "default_transport = discard:\nrelay_domains = d.example\n\
             relay_transport = discard:\nmynetworks = 198.51.100.0/24\nnotify_classes =\n\
             local_header_rewrite_clients = {clients}\n"
        );
        dialogue(&main_cf, OUTSIDE, &input)
    };
    let added = |clients: &str| !has(&said(clients).1, "message-id=<>");
    assert!(!added("permit_inet_interfaces"));
    assert!(added("permit_inet_interfaces, permit_mynetworks"));
    assert!(added("check_address_map inline:{198.51.100.7=x}"));
    assert!(!added(""));
    let (got, log) = said("fail:x");
    assert!(has(&got, "451 4.3.0 Temporary lookup error"), "{got:?}");
    assert!(has(&log, "warning: local_header_rewrite_clients: "), "{log:#?}");
    assert!(!has(&log, "message-id="), "nothing is queued");
}

/// Transactions of one session: more than fit the lane to another core and the outbox before it.
const FLOOD: usize = 6000;
const _: () = assert!(FLOOD > LANE_CAPACITY + OUTBOX_HIGH_WATER);

/// Says so many transactions at once, and counts those that were taken.
async fn flood(core: Rc<Core>, taken: Rc<Cell<usize>>) {
    let rt = &core.rt;
    let deadline = rt.now() + Duration::from_secs(3600);
    let (from, to) = (INSIDE.parse().unwrap(), crate::testing::SMTPD.parse().unwrap());
    let stream = Stream::connect(rt, to, Some(from), deadline).await.unwrap();
    let input = format!("{TRANSACTION}\r\nx\r\n.\r\n").repeat(FLOOD);
    let input = format!("EHLO c\r\n{input}QUIT\r\n").into_bytes();
    stream.send(vec![Chunk::Owned(input)], deadline).await.unwrap();
    while let Ok(Arrived::Bytes) = stream.readable(deadline).await {
        let whole = |line: &&[u8]| line.ends_with(b"\n");
        stream.input(|bytes| {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(whole);
            let queued = lines.clone().filter(|line| line.starts_with(b"250 2.0.0 Ok: queued"));
            taken.set(taken.get() + queued.count());
            (lines.map(<[u8]>::len).sum(), ())
        });
    }
}

/// Messages that came to the queue manager.
fn incoming(port: &Port<Parcel>) -> usize {
    let parcels = std::iter::from_fn(|| port.receive());
    parcels.filter(|parcel| matches!(parcel, Parcel::Incoming(_))).count()
}

#[test]
fn while_the_lane_to_another_core_is_full_no_commands_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let (world, queue_manager) = crate::testing::second_of_two(directory.path(), "", 1);
    let (core, taken) = (world.core.clone(), Rc::new(Cell::new(0)));
    world.run(async move {
        let wait = async |ms| core.rt.sleep_until(core.rt.now() + Duration::from_millis(ms)).await;
        core.rt.spawn(flood(core.clone(), taken.clone()));
        while !core.is_backed_up() {
            wait(10).await;
        }
        wait(60_000).await;
        let before = taken.get();
        assert!((LANE_CAPACITY..FLOOD).contains(&before), "{before}");
        wait(60_000).await;
        assert_eq!(taken.get(), before, "it waits");
        let mut arrived = 0;
        while arrived < FLOOD {
            arrived += incoming(&queue_manager);
            wait(10).await;
        }
        assert_eq!((arrived, taken.get()), (FLOOD, FLOOD));
        [Parcel::Stop, Parcel::Last].into_iter().for_each(|parcel| queue_manager.send(1, parcel));
        queue_manager.flush();
    });
    assert!(has(&world.lines(), "disconnect from"), "{:#?}", world.lines().last());
}
