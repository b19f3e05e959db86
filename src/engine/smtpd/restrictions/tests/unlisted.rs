//! `reject_unlisted_sender`, `reject_unlisted_recipient` and the parameter for senders.

use super::{INSIDE, Talk, rcpt, talk};

/// Replies to RCPT, one for each sender, and the log.
fn from_senders(main_cf: &str, senders: &[&str]) -> Talk {
    let mut commands = vec!["EHLO h.example".to_string()];
    for sender in senders {
        let mail = format!("MAIL FROM:<{sender}>");
        commands.extend([mail, "RCPT TO:<u@rel.example>".into(), "RSET".into()]);
    }
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let mut talk = talk(main_cf, INSIDE, &commands);
    talk.replies = talk.replies.into_iter().skip(2).skip(1).step_by(3).collect();
    talk
}

const CLASSES: &str = "mydestination = here.example\nlocal_recipient_maps = unix:passwd.byname\n\
    relay_domains = rel.example\nrelay_recipient_maps = inline:{u@rel.example=x}\n\
    virtual_alias_domains = va.example\nvirtual_alias_maps = inline:{i@va.example=x}\n\
    unknown_virtual_alias_reject_code = 450\ntransport_maps = inline:{\
    {e0.example=error:no} {e1.example=error:5.1.1 one} {e2.example=error:5.1.2 two} \
    {e4.example=error:5.4.4 four} {r.example=retry:later}}\n";

#[test]
fn senders_that_nobody_has_are_refused_where_a_list_or_the_parameter_says_so() {
    const REFUSED: [(&str, &str); 8] = [
        (
            "no@here.example",
            "550 5.1.0 <no@here.example>: Sender address rejected: User unknown in",
        ),
        ("no@rel.example", "550 5.1.0 <no@rel.example>: Sender address rejected: User unknown in"),
        ("no@va.example", "450 4.1.7 <no@va.example>: Sender address rejected: User unknown in"),
        ("u@e0.example", "550 5.1.0 <u@e0.example>: Sender address rejected: no"),
        ("u@e1.example", "550 5.1.7 <u@e1.example>: Sender address rejected: one"),
        ("u@e2.example", "550 5.1.8 <u@e2.example>: Sender address rejected: two"),
        ("u@e4.example", "550 5.4.4 <u@e4.example>: Sender address rejected: four"),
        ("u@r.example", "450 4.1.0 <u@r.example>: Sender address rejected: later"),
    ];
    let known = ["", "alice@here.example", "u@rel.example", "i@va.example", "u@other.example"];
    let senders: Vec<&str> = REFUSED.map(|(sender, _)| sender).into_iter().chain(known).collect();
    let lists = [
        "smtpd_reject_unlisted_sender = yes",
        "smtpd_recipient_restrictions = reject_unlisted_sender",
        "smtpd_client_restrictions = c\nsmtpd_restriction_classes = c\nc = reject_unlisted_sender",
    ];
    for list in lists {
        let talk = from_senders(&format!("{CLASSES}{list}\n"), &senders);
        for ((got, sender), place) in talk.replies.iter().zip(&senders).zip(0..) {
            let expected = REFUSED.get(place).map_or("250 2.1.5 Ok", |(_, expected)| expected);
            assert!(got.starts_with(expected), "{list}: {sender}: {got}");
        }
        assert_eq!(talk.replies.len(), senders.len());
    }
    let silenced = "smtpd_reject_unlisted_sender = yes\n\
                    receive_override_options = no_unknown_recipient_checks\n";
    let talk = from_senders(&format!("{CLASSES}{silenced}"), &senders);
    assert!(talk.replies.iter().all(|reply| reply == "250 2.1.5 Ok"), "{:?}", talk.replies);
}

#[test]
fn recipients_that_nobody_has_are_refused_at_the_command_whose_list_says_so() {
    let commands = |rcpt| {
        let data = ["DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"];
        [["EHLO h.example", "MAIL FROM:<s@x.example>", rcpt], data].concat()
    };
    let unknown = "550 5.1.1 <no@here.example>: Recipient address rejected: User unknown in local \
                   recipient table";
    for (list, place) in [("recipient", 3), ("data", 4), ("end_of_data", 5)] {
        let list = format!("smtpd_{list}_restrictions = check_recipient_maps\n");
        let got = talk(&format!("{CLASSES}{list}"), INSIDE, &commands("RCPT TO:<no@here.example>"));
        assert_eq!(got.replies[place], unknown, "{list}");
        let got =
            talk(&format!("{CLASSES}{list}"), INSIDE, &commands("RCPT TO:<bob@here.example>"));
        assert!(got.replies[place].starts_with(['2', '3']), "{list} {:?}", got.replies);
    }
    let early = "smtpd_delay_reject = no\nsmtpd_sender_restrictions = reject_unlisted_sender\n";
    let mail = ["EHLO h.example", "MAIL FROM:<no@here.example>", "MAIL FROM:<alice@here.example>"];
    let got = talk(&format!("{CLASSES}{early}"), INSIDE, &mail).replies;
    assert!(got[2].starts_with("550 5.1.0") && got[3].starts_with("250"), "{got:?}");
}

#[test]
fn a_list_that_only_warns_does_not_hide_a_table_that_fails() {
    let warns = "smtpd_recipient_restrictions = warn_if_reject reject_unlisted_recipient permit\n";
    let (got, talk) = rcpt(&format!("{CLASSES}{warns}"), "no@rel.example");
    assert_eq!(got, "250 2.1.5 Ok");
    talk.logged("reject_warning: RCPT from unknown[127.0.0.1]: 550 5.1.1 <no@rel.example>: Rec");
    let fails = format!("{CLASSES}canonical_maps = fail:f\n{warns}");
    let (got, talk) = rcpt(&fails, "u@rel.example");
    assert_eq!(got, "451 4.3.0 <u@rel.example>: Temporary lookup failure");
    talk.logged("postfix/smtpd[1]: warning: fail:f lookup error for \"u@rel.example\"");
}
