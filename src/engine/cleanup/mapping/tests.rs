//! Whole transactions through a core: who gets what is sent to whom.

use crate::testing::{World, world};
use std::rc::Rc;
use std::time::Duration;

const BASE: &str = "myorigin = origin.example\nmydestination = ours.example\n\
    default_transport = discard:\nlocal_transport = discard:\nrecipient_delimiter = +\n";

/// The last reply to a message, and who got it: `address` or `address (original)`.
fn sent(main_cf: &str, from: &str, to: &[&str]) -> (String, String, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let world = world(directory.path(), &format!("{BASE}{main_cf}"), 1);
    let recipients: String = to.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
    let input =
        format!("EHLO c\r\nMAIL FROM:<{from}>\r\n{recipients}DATA\r\n\r\nx\r\n.\r\nQUIT\r\n");
    let (core, got) = (world.core.clone(), Rc::new(std::cell::RefCell::new(String::new())));
    let result = got.clone();
    world.run(async move {
        let patience = Duration::from_secs(10);
        *result.borrow_mut() =
            World::client(&core, "127.0.0.1:40000", input.as_bytes(), patience).await;
        core.rt.sleep_until(core.rt.now() + Duration::from_secs(10)).await;
    });
    let lines = world.lines();
    let sender = lines.iter().find_map(|line| {
        Some(line.split_once(": from=<")?.1.split_once(">, size=")?.0.to_string())
    });
    let recipients = lines.iter().filter_map(|line| {
        let (to, rest) = line.split_once(": to=<")?.1.split_once('>')?;
        let original = rest.strip_prefix(", orig_to=<").and_then(|rest| rest.split_once('>'));
        Some(original.map_or(to.to_string(), |(original, _)| format!("{to} ({original})")))
    });
    let got = got.borrow();
    let reply = got.lines().rev().nth(1).unwrap_or_default().to_string();
    let warned = lines.iter().find(|line| line.contains("postfix/cleanup[1]: warning: "));
    let reply = warned.map_or(reply.clone(), |text| {
        format!("{reply} | {}", text.splitn(4, ": ").last().unwrap())
    });
    let mut recipients: Vec<String> = recipients.collect();
    recipients.sort();
    (reply, sender.unwrap_or_default(), recipients)
}

fn recipients(main_cf: &str, to: &[&str]) -> Vec<String> {
    sent(main_cf, "s@a.example", to).2
}

#[test]
fn canonical_maps_change_sender_and_recipients_until_nothing_changes() {
    let maps = "canonical_maps = inline:{{a@x.example=b@x.example}, {b@x.example=Bee}, \
                {@old.example=@new.example}, {loop@x.example=loop@x.example}}\n\
                sender_canonical_maps = inline:{{s@x.example=a@x.example}}\n\
                recipient_canonical_maps = inline:{{s@x.example=r@x.example}}\n";
    let (_, sender, to) =
        sent(maps, "s@x.example", &["s@x.example", "u+e@old.example", "loop@x.example"]);
    assert_eq!(sender, "Bee@origin.example");
    assert_eq!(
        to,
        ["loop@x.example", "r@x.example (s@x.example)", "u+e@new.example (u+e@old.example)"]
    );
}

#[test]
fn canonical_classes_choose_what_is_changed() {
    let maps = "canonical_maps = inline:{{a@x.example=b@x.example}}\n";
    let only = format!("{maps}canonical_classes = envelope_sender\n");
    let (_, sender, to) = sent(&only, "a@x.example", &["a@x.example"]);
    assert_eq!((sender.as_str(), to.as_slice()), ("b@x.example", &["a@x.example".to_string()][..]));
}

#[test]
fn a_canonical_loop_ends_with_a_warning() {
    let maps = "canonical_maps = inline:{{a@x.example=b@x.example}, {b@x.example=a@x.example}}\n\
                canonical_classes = envelope_recipient\n";
    let (reply, _, to) = sent(maps, "s@y.example", &["a@x.example"]);
    let warning = "unreasonable canonical_maps map nesting for a@x.example -- message not accepted";
    assert!(reply.starts_with("250 ") && reply.contains(warning), "{reply}");
    assert_eq!(to, ["a@x.example"]);
}

#[test]
fn results_are_addresses_or_the_same_user_elsewhere() {
    for (value, result) in [
        ("@y.example", &["u+e@y.example"][..]),
        ("@host", &["u+e@host.dom.example"]),
        ("@host, b@c.example", &["\"u@host, b+e\"@c.example"]),
        ("<@r.example:a@b.example>", &["a+e@b.example"]),
        ("a:b@c.example", &["\"a:b+e\"@c.example"]),
        ("(who) \"N, M\" <a@b.example> c", &["a+e@b.example", "c+e@o.example"]),
    ] {
        let maps = format!(
            "virtual_alias_maps = inline:{{{{u@x.example={value}}}}}\nvirtual_alias_domains =\n\
             recipient_delimiter = +\nmydomain = dom.example\nappend_dot_mydomain = yes\n\
             myorigin = o.example\n"
        );
        let (_, _, mut to) = sent(&maps, "s@z.example", &["u+e@x.example"]);
        for shown in &mut to {
            shown.truncate(shown.find(" (").unwrap_or(shown.len()));
        }
        assert_eq!(to, result, "{value}");
    }
    let maps = "canonical_maps = inline:{{u@x.example=@y.example}}\nrecipient_delimiter = +\n\
                propagate_unmatched_extensions =\n";
    let (_, _, to) = sent(maps, "s@z.example", &["u+e@x.example"]);
    assert!(to[0].starts_with("u@y.example"), "{to:?}");
}

#[test]
fn the_system_itself_is_no_sender() {
    for (sender, queued) in [
        ("mailer-daemon@o.example", ""),
        ("MAILER-DAEMON@O.Example", ""),
        ("mailer-daemon@other.example", "mailer-daemon@other.example"),
    ] {
        let (_, got, _) = sent("myorigin = o.example\n", sender, &["u@x.example"]);
        assert_eq!(got, queued, "{sender}");
    }
}

#[test]
fn hosts_are_hidden_behind_their_domain() {
    let masquerade = "masquerade_domains = !keep.corp.example, corp.example\n\
        masquerade_exceptions = root\n\
        masquerade_classes = envelope_sender, envelope_recipient\n";
    let to = [
        "u@H.corp.example",
        "u@corp.example",
        "u@h.keep.corp.example",
        "Root@h.corp.example",
        "u@notcorp.example",
    ];
    let (_, sender, to) = sent(masquerade, "s@a.b.corp.example", &to);
    assert_eq!(sender, "s@corp.example");
    assert_eq!(
        to,
        [
            "Root@h.corp.example",
            "u@corp.example",
            "u@corp.example (u@H.corp.example)",
            "u@h.keep.corp.example",
            "u@notcorp.example"
        ]
    );
    let sender_only = masquerade.replace(", envelope_recipient", "");
    assert_eq!(recipients(&sender_only, &["u@h.corp.example"]), ["u@h.corp.example"]);
}

const VIRTUAL: &str = "virtual_alias_domains = v.example\nvirtual_alias_maps = inline:{\
    {many@v.example=a@x.example, b@x.example c@x.example}, {again@v.example=many@v.example, d},\
    {self@v.example=self@v.example, e@x.example}, {@catch.example=caught@x.example},\
    {ext@v.example=f@x.example}, {g=h@x.example}, {@map.example=@x.example}}\n";

#[test]
fn virtual_aliases_stand_for_any_number_of_addresses() {
    let to = |address: &str| recipients(VIRTUAL, &[address]);
    let from = |names: &[&str], original: &str| -> Vec<String> {
        names.iter().map(|name| format!("{name} ({original})")).collect()
    };
    let abc = ["a@x.example", "b@x.example", "c@x.example"];
    assert_eq!(to("many@v.example"), from(&abc, "many@v.example"));
    let again = ["a@x.example", "b@x.example", "c@x.example", "d@origin.example"];
    assert_eq!(to("again@v.example"), from(&again, "again@v.example"));
    assert_eq!(to("u+x@catch.example"), from(&["caught@x.example"], "u+x@catch.example"));
    assert_eq!(to("ext+y@v.example"), from(&["f+y@x.example"], "ext+y@v.example"));
    assert_eq!(to("g@ours.example"), from(&["h@x.example"], "g@ours.example"));
    assert_eq!(to("g@other.example"), ["g@other.example"]);
    assert_eq!(to("u+x@map.example"), from(&["u+x@x.example"], "u+x@map.example"));
    assert!(to("self@v.example").contains(&"e@x.example (self@v.example)".to_string()));
}

#[test]
fn a_virtual_alias_has_limits() {
    let limited = "virtual_alias_recursion_limit = 5\nvirtual_alias_expansion_limit = 2\n\
        virtual_alias_address_length_limit = 30\nvirtual_alias_maps = inline:{\
        {l1@v.example=l2@v.example}, {l2@v.example=l1@v.example}, {two@v.example=a, b},\
        {three@v.example=a, b, c}, {long@v.example=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x.example}}\n";
    let reply = |to: &str| sent(limited, "s@a.example", &[to]).0;
    let tail = "-- message not accepted, try again later";
    let refused = "451 4.6.0 Alias expansion error | ";
    let nesting = "unreasonable virtual_alias_maps map nesting for l1@v.example";
    assert_eq!(reply("l1@v.example"), format!("{refused}{nesting} {tail}"));
    let size = "unreasonable virtual_alias_maps map expansion size for three@v.example";
    assert_eq!(reply("three@v.example"), format!("{refused}{size} {tail}"));
    assert!(reply("long@v.example").starts_with(refused));
    assert!(reply("two@v.example").starts_with("250 "));
}

#[test]
fn a_table_that_fails_takes_no_mail() {
    for parameter in
        ["canonical_maps", "virtual_alias_maps", "recipient_bcc_maps", "sender_canonical_maps"]
    {
        let (reply, sender, to) = sent(
            &format!("notify_classes =\n{parameter} = fail:x\n"),
            "s@a.example",
            &["r@x.example"],
        );
        assert!(
            reply.starts_with("451 4.3.0 Error: queue file write error | "),
            "{parameter}: {reply}"
        );
        assert!(reply.contains("fail:x lookup error for \""), "{parameter}: {reply}");
        assert_eq!((sender.as_str(), to.len()), ("", 0));
    }
}

#[test]
fn blind_copies_are_made_once_and_make_no_more() {
    let bcc = "always_bcc = all@x.example\n\
        sender_bcc_maps = inline:{{s@a.example=sent@x.example}}\n\
        recipient_bcc_maps = inline:{{r@y.example=got@x.example}, {@x.example=never@x.example}, {v@y.example=vcopy@x.example}}\n\
        virtual_alias_maps = inline:{{v@y.example=w@y.example}}\n";
    let to = recipients(bcc, &["r@y.example", "r@y.example", "v@y.example"]);
    let expected = [
        "all@x.example",
        "got@x.example",
        "r@y.example",
        "sent@x.example",
        "vcopy@x.example",
        "w@y.example (v@y.example)",
    ];
    assert_eq!(to, expected);
}

#[test]
fn notices_have_no_blind_copies_and_follow_aliases() {
    let bcc = "always_bcc = all@x.example\n\
        virtual_alias_maps = inline:{{s@a.example=t@y.example}}\n\
        transport_maps = inline:{{bad.example=error:gone}}\n";
    let to = recipients(bcc, &["r@bad.example"]);
    assert_eq!(to, ["all@x.example", "r@bad.example", "t@y.example (s@a.example)"]);
}

#[test]
fn what_a_submission_does_not_name_is_the_address_after_the_canonical_maps() {
    let maps = "canonical_maps = inline:{c@x.example=d@x.example}\n\
                virtual_alias_maps = inline:{d@x.example=e@x.example}\n";
    let snapshot = crate::testing::snapshot_with(&format!("{BASE}{maps}"), "");
    let given = Some(b"rfc822;given@x.example".to_vec());
    let mut recipients = ["c@x.example", "u", "a@b@ours.example", "c@x.example"]
        .map(|address| mail::Recipient::new(mail::Address::from_internal(address.as_bytes())));
    recipients[3].dsn_orcpt.clone_from(&given);
    let named = snapshot.mapping.name_originals(&snapshot.resolver, &mut recipients, &|_| ());
    assert!(named.is_ok());
    let named = recipients.map(|recipient| recipient.dsn_orcpt);
    let expected = ["d@x.example", "u@origin.example", "a@b@ours.example"]
        .map(|address| Some(format!("rfc822;{address}").into_bytes()));
    assert_eq!(named[..3], expected);
    assert_eq!(named[3], given);
}

/// As Postfix 3.7.11 has it: a table for everybody is for nobody too.
#[test]
fn nobody_is_asked_for_in_quotes() {
    let maps = "sender_canonical_maps = inline:{{\"\"=n@x.example}}\n";
    assert_eq!(sent(maps, "", &["r@y.example"]).1, "n@x.example");
}

#[test]
fn a_blind_copy_is_known_by_its_mapped_address() {
    let maps = "always_bcc = c1\ncanonical_maps = inline:{{c1=c2@x.example}}\n\
                virtual_alias_maps = inline:{{c2@x.example=c3@x.example}}\n";
    assert_eq!(recipients(maps, &["r@y.example"]), ["c3@x.example (c2@x.example)", "r@y.example"]);
}

#[test]
fn warnings_name_the_address_that_was_looked_up() {
    let maps = "canonical_maps = inline:{{a@x.example=b@x.example}, {b@x.example=c@x.example, d}}\n\
                canonical_classes = envelope_recipient\n";
    let (reply, _, _) = sent(maps, "s@y.example", &["a@x.example"]);
    assert!(reply.ends_with("multi-valued canonical_maps entry for b@x.example"), "{reply}");
    let maps = "canonical_maps = inline:{{a@x.example=(c)}}\n";
    let (reply, _, _) = sent(maps, "s@y.example", &["a@x.example"]);
    let warning = "canonical_maps lookup of a@x.example returns non-address result \"(c)\"";
    assert!(reply.contains(warning), "{reply}");
}
