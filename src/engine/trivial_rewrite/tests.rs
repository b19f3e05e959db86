//! Addresses from outside, as Postfix 3.7.11 resolves them.

use super::*;
use config::{Host, MainCf};

fn resolver(main_cf: &str) -> Resolver {
    let main = MainCf::parse("main.cf", main_cf.as_bytes()).unwrap();
    let host = Host { hostname: "mx.example.test".into(), ..Host::default() };
    let own = vec!["192.0.2.10".parse().unwrap(), "127.0.0.1".parse().unwrap()];
    let params = Params::new(main, host);
    let opener =
        crate::lookup::Opener::new(&params, crate::testing::tables(), Default::default()).unwrap();
    Resolver::new(&params, own, &opener).unwrap()
}

const BASE: &str = "compatibility_level = 3.6\nmyorigin = example.test\n\
    mydestination = mx.example.test, localhost, example.test\n";

fn route(address: &str) -> Route {
    match resolver(BASE).resolve(&Address::null(), &Address::from_internal(address.as_bytes())) {
        Resolved::Route(route) => route,
        other => panic!("{address}: {other:?}"),
    }
}

#[test]
fn classes_and_local_recipients() {
    for (address, class, recipient, routed) in [
        ("alice@example.test", Class::Local, "alice@example.test", false),
        ("alice", Class::Local, "alice@example.test", false),
        ("alice@[192.0.2.10]", Class::Local, "alice@[192.0.2.10]", false),
        ("alice@[192.0.2.99]", Class::Default, "alice@[192.0.2.99]", false),
        ("alice%example.test@mx.example.test", Class::Local, "alice@example.test", false),
        ("some%remote.example@example.test", Class::Default, "some@remote.example", false),
        ("remote.example!some@example.test", Class::Default, "some@remote.example", false),
        ("remote.example!some", Class::Default, "some@remote.example", false),
        ("some@remote.example@example.test", Class::Default, "some@remote.example", false),
        ("some%x@remote.example", Class::Default, "some%x@remote.example", true),
        ("@example.test", Class::Local, "MAILER-DAEMON@example.test", false),
    ] {
        let got = route(address);
        assert_eq!((got.class, got.routed), (class, routed), "{address}");
        assert_eq!(got.recipient, Address::from_internal(recipient.as_bytes()), "{address}");
    }
}

/// Recipient, next hop and whether more routing is in it; nothing for bad syntax. As Postfix 3.7.11
/// says when asked directly.
fn resolved(parameter: &str, address: &str) -> Option<(String, String, bool)> {
    let resolver = resolver(&format!("{BASE}{parameter}\n"));
    match resolver.resolve(&Address::null(), &Address::from_internal(address.as_bytes())) {
        Resolved::Route(route) => {
            let recipient = String::from_utf8(route.recipient.as_bytes().to_vec()).unwrap();
            Some((recipient, route.nexthop, route.routed))
        }
        Resolved::BadSyntax => None,
        Resolved::Unknown(why) => panic!("{address}: {why}"),
    }
}

#[test]
fn domains_that_are_nothing_or_numbers_and_quoted_operators() {
    let (here, remote) = ("mx.example.test", "remote.example");
    for (parameter, address, recipient, nexthop, routed) in [
        ("", "user@", "", "", false),
        ("", "u@@", "", "", false),
        ("", "some@remote.example@", "some@remote.example", remote, false),
        ("", "so me%remote.example@example.test", "so me@remote.example", remote, false),
        ("", "a@b@c@example.test", "a@b@c", "c", true),
        ("", "a!b@remote.example", "a!b@remote.example", remote, true),
        ("", "u@1.2.3.4", "", "", false),
        ("", "u@1.2.3.4@example.test", "", "", false),
        ("resolve_null_domain = yes", "user@", "user@mx.example.test", here, false),
        ("resolve_null_domain = yes", "a b@", "a b@mx.example.test", here, false),
        ("resolve_null_domain = yes", "@@", "MAILER-DAEMON@mx.example.test", here, false),
        ("resolve_null_domain = yes", "u@@", "u@mx.example.test", here, false),
        ("resolve_null_domain = yes", "1@2@3@", "", "", false),
        ("resolve_numeric_domain = yes", "u@1.2.3.4", "u@[1.2.3.4]", "[1.2.3.4]", false),
        ("resolve_numeric_domain = yes", "u@127.0.0.1", "u@[127.0.0.1]", here, false),
        ("resolve_numeric_domain = yes", "u@::1", "u@[::1]", "[::1]", false),
        ("resolve_numeric_domain = yes", "u@1.2.3.4@localhost", "u@[1.2.3.4]", "[1.2.3.4]", false),
        ("resolve_dequoted_address = no", "a@b@example.test", "a@b@example.test", here, true),
        ("resolve_dequoted_address = no", "a b!c@localhost", "a b!c@localhost", here, true),
        ("resolve_dequoted_address = no", "some@remote.example@", "", "", false),
        ("resolve_dequoted_address = no", "a!b@example.test", "b@a", "a", false),
        ("", "a b!c%d@localhost", "a b!c@d", "d", true),
        (
            "append_dot_mydomain = yes\nmydomain = dom.example",
            "u@x@example.test",
            "u@x.dom.example",
            "x.dom.example",
            false,
        ),
        (
            "append_dot_mydomain = yes\nmydomain = dom.example",
            "u@localhost.",
            "u@localhost",
            here,
            false,
        ),
        (
            "append_dot_mydomain = yes\nmydomain = dom.example",
            "u@123",
            "u@123.dom.example",
            "123.dom.example",
            false,
        ),
        ("", "a b!c", "", "", false),
        ("swap_bangpath = no", "a!b@example.test", "a!b@example.test", here, true),
    ] {
        let expected = Some((recipient.to_string(), nexthop.to_string(), routed));
        let expected = expected.filter(|_| !recipient.is_empty());
        assert_eq!(resolved(parameter, address), expected, "{parameter}: {address}");
    }
}

#[test]
fn transports_and_next_hops() {
    let got = route("a@remote.example");
    assert_eq!((got.transport.as_str(), got.nexthop.as_str()), ("smtp", "remote.example"));
    let relay = resolver("relayhost = [127.0.0.1]:2525\nrelay_domains = r.example\n");
    for (address, transport) in [("a@x.example", "smtp"), ("a@sub.r.example", "relay")] {
        let resolved = relay.resolve(&Address::null(), &Address::from_internal(address.as_bytes()));
        let Resolved::Route(got) = resolved else { panic!("{resolved:?}") };
        assert_eq!((got.transport.as_str(), got.nexthop.as_str()), (transport, "[127.0.0.1]:2525"));
    }
}

#[test]
fn a_domain_of_two_classes_is_named() {
    let lists = "mydestination = a.example\nvirtual_alias_domains = a.example, b.example\n\
                 virtual_mailbox_domains = b.example, c.example\nrelay_domains = a.example, c.example\n";
    let resolver = resolver(lists);
    let named = |domain: &str| {
        let address = Address::from_internal(format!("u@{domain}").as_bytes());
        match resolver.resolve(&Address::null(), &address) {
            Resolved::Route(route) => resolver.doubly_listed(&route),
            other => panic!("{other:?}"),
        }
    };
    let both = |domain: &str, one: &str, two: &str| {
        Some(format!("do not list domain {domain} in BOTH {one} and {two}"))
    };
    assert_eq!(named("a.example"), both("a.example", "mydestination", "virtual_alias_domains"));
    let (alias, mailbox) = ("virtual_alias_domains", "virtual_mailbox_domains");
    assert_eq!(named("b.example"), both("b.example", alias, mailbox));
    assert_eq!(named("c.example"), both("c.example", mailbox, "relay_domains"));
    assert_eq!(named("d.example"), None);
}

#[test]
fn operators_and_numbers_by_their_parameters() {
    let routed = |extra: &str| {
        let text = format!("{BASE}relay_domains = r.example\n{extra}");
        let address = Address::from_internal(b"a%b.example@r.example");
        match resolver(&text).resolve(&Address::null(), &address) {
            Resolved::Route(route) => route.routed,
            other => panic!("{other:?}"),
        }
    };
    assert!(routed("") && !routed("allow_untrusted_routing = yes\n"));
    let numeric = resolver(&format!("{BASE}resolve_numeric_domain = yes\n"));
    let at = |text: &str| Address::from_internal(text.as_bytes());
    assert_eq!(numeric.localized(at("u@192.0.2.9")), at("u@[192.0.2.9]"));
    assert!(numeric.is_well_formed(&at("u@192.0.2.9")));
    assert!(!numeric.is_well_formed(&at("u@[2001:db8::1]")));
}

#[test]
fn lists_of_names_have_nothing_below_them() {
    let lists = "mydestination = .dot.example, inline:{.table.example=x}\n\
                 virtual_alias_domains = .v.example\nrelay_domains = .r.example, p.example\n\
                 parent_domain_matches_subdomains = mydestination\n";
    let resolver = resolver(lists);
    for (domain, class) in [
        ("x.dot.example", Class::Default),
        ("x.table.example", Class::Default),
        ("x.v.example", Class::Default),
        ("x.r.example", Class::Relay),
        ("x.p.example", Class::Default),
    ] {
        let address = Address::from_internal(format!("u@{domain}").as_bytes());
        let resolved = resolver.resolve(&Address::null(), &address);
        let Resolved::Route(got) = resolved else { panic!("{resolved:?}") };
        assert_eq!(got.class, class, "{domain}");
    }
}

#[test]
fn what_cannot_be_decided_is_not_guessed() {
    let unknown = resolver("relay_domains = hash:/nowhere\n");
    assert_eq!(
        unknown.resolve(&Address::null(), &Address::from_internal(b"a@b.example")),
        Resolved::Unknown(
            "hash:/nowhere is unavailable. open database /nowhere.db: No such file or directory\n\
             relay_domains: hash:/nowhere: table lookup problem\nrelay_domains lookup failure"
                .into()
        )
    );
    let found = resolver("transport_maps = hash:/nowhere\n")
        .resolve(&Address::null(), &Address::from_internal(b"a@b.example"));
    let Resolved::Unknown(why) = found else { panic!("{found:?}") };
    let open = "hash:/nowhere is unavailable. open database /nowhere.db: No such file or directory";
    assert!(why.starts_with(open) && why.ends_with("\ntransport_maps lookup failure"), "{why}");
    let bad = resolver(BASE).resolve(&Address::null(), &Address::from_internal(b"a@192.0.2.1"));
    assert_eq!(bad, Resolved::BadSyntax);
}

/// Transport and next hop of an address from a sender.
fn way(main_cf: &str, sender: &str, address: &str) -> String {
    let text = format!("{BASE}recipient_delimiter = +\nrelayhost = [relay.example]\n{main_cf}");
    let [sender, to] = [sender, address].map(|text| Address::from_internal(text.as_bytes()));
    match resolver(&text).resolve(&sender, &to) {
        Resolved::Route(route) => format!("{}:{}", route.transport, route.nexthop),
        other => format!("{other:?}"),
    }
}

#[test]
fn transport_maps_are_asked_for_address_domain_parents_and_all() {
    let maps = "transport_maps = inline:{{u+e@x.example=a:1}, {u@x.example=b:2}, {x.example=c:3},\
                {.y.example=d:4}, {literal@[192.0.2.1]=e:5}}\n";
    for (address, expected) in [
        ("u+e@x.example", "a:1"),
        ("u+f@x.example", "b:2"),
        ("v@X.example", "c:3"),
        ("v@sub.x.example", "smtp:[relay.example]"),
        ("v@a.b.y.example", "d:4"),
        ("v@y.example", "smtp:[relay.example]"),
        ("literal@[192.0.2.1]", "e:5"),
        ("alice@example.test", "local:mx.example.test"),
    ] {
        assert_eq!(way(maps, "s@a.example", address), expected, "{address}");
    }
    let plain = format!("{maps}parent_domain_matches_subdomains = transport_maps\n");
    assert_eq!(way(&plain, "s@a.example", "v@sub.x.example"), "c:3");
    let all = "transport_maps = inline:{*=w:9}\n";
    assert_eq!(way(all, "s@a.example", "alice@example.test"), "w:9");
}

#[test]
fn a_transport_entry_changes_what_it_names() {
    for (value, expected) in [
        ("smtp:[h.example]:26", "smtp:[h.example]:26"),
        (":h.example", "smtp:h.example"),
        ("smtp:", "smtp:x.example"),
        ("other", "other:x.example"),
        (":", "smtp:[relay.example]"),
        ("error:", "error:Address is undeliverable"),
        ("error:5.1.2 no such domain", "error:5.1.2 no such domain"),
    ] {
        let maps = format!("transport_maps = inline:{{{{x.example={value}}}}}\n");
        assert_eq!(way(&maps, "s@a.example", "u@x.example"), expected, "{value}");
    }
}

#[test]
fn who_has_moved_is_not_sent_anything() {
    let maps = "relocated_maps = inline:{{gone@x.example=g@new.example}, {alice=the moon}}\n\
                transport_maps = inline:{*=w:9}\n";
    let moved = |address| way(maps, "s@a.example", address);
    assert_eq!(moved("gone+x@x.example"), "error:5.1.6 User has moved to g@new.example");
    assert_eq!(moved("alice@example.test"), "error:5.1.6 User has moved to the moon");
    assert_eq!(moved("bob@x.example"), "w:9");
}

#[test]
fn senders_may_have_ways_of_their_own() {
    let maps = "sender_dependent_relayhost_maps = inline:{{s@a.example=[a.example]}, \
        {<>=[null.example]}, \
        {@d.example=dunno}}\n\
        sender_dependent_default_transport_maps = inline:{{@b.example=lmtp}, {c@c.example=smtp:[c.example]}}\n\
        relay_domains = r.example\n";
    for (sender, address, expected) in [
        ("s@a.example", "u@x.example", "smtp:[a.example]"),
        ("s@a.example", "u@r.example", "relay:[a.example]"),
        ("s@a.example", "alice@example.test", "local:mx.example.test"),
        ("", "u@x.example", "smtp:[null.example]"),
        ("s@d.example", "u@x.example", "smtp:[relay.example]"),
        ("u@b.example", "u@x.example", "lmtp:[relay.example]"),
        ("c@c.example", "u@x.example", "smtp:[c.example]"),
    ] {
        assert_eq!(way(maps, sender, address), expected, "{sender} {address}");
    }
}

#[test]
fn the_virtual_alias_class_has_no_way_and_a_broken_table_none_either() {
    let maps = "virtual_alias_domains = v.example\ntransport_maps = inline:{*=w:9}\n";
    let unknown = "error:5.1.1 User unknown in virtual alias table";
    assert_eq!(way(maps, "s@a.example", "u@v.example"), unknown);
    for broken in ["transport_maps", "relocated_maps", "sender_dependent_relayhost_maps"] {
        let maps = format!("{broken} = fail:x\n");
        let found = way(&maps, "s@a.example", "u@x.example");
        assert!(found.starts_with("Unknown(") && found.contains("fail:x lookup error"), "{found}");
        assert!(found.ends_with(&format!("n{broken} lookup failure\")")), "{found}");
    }
    assert_eq!(way("", "s@a.example", "-rf@x.example"), "BadSyntax");
    assert_eq!(
        way("allow_min_user = yes\n", "s@a.example", "-rf@x.example"),
        "smtp:[relay.example]"
    );
}

/// As Postfix 3.7.11 asks them: in quotes, then without.
#[test]
fn transport_maps_are_asked_in_both_forms_and_next_hops_begin_with_no_blank() {
    let maps = "transport_maps = inline:{{ta.@x.example=a: 1}, {\"tb.\"@x.example=b:2}}\n";
    let resolver = resolver(maps);
    for (address, transport, nexthop) in [("ta.@x.example", "a", "1"), ("tb.@x.example", "b", "2")]
    {
        let address = Address::from_internal(address.as_bytes());
        let Resolved::Route(route) = resolver.resolve(&Address::null(), &address) else { panic!() };
        assert_eq!((route.transport.as_str(), route.nexthop.as_str()), (transport, nexthop));
    }
}

/// In canonical form already, an address stays.
#[test]
fn a_queued_address_is_not_qualified_again() {
    let dot = format!("{BASE}append_dot_mydomain = yes\nmydomain = dom.example\n");
    let resolver = resolver(&dot);
    let once = resolver.canonical(&Address::from_internal(b"u@localhost."));
    assert_eq!(once.as_bytes(), b"u@localhost");
    match resolver.resolve_queued(&Address::null(), &once) {
        Resolved::Route(route) => assert_eq!(route.recipient.as_bytes(), b"u@localhost"),
        other => panic!("{other:?}"),
    }
}
