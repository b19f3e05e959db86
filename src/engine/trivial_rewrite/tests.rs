//! Addresses from outside, as Postfix 3.7.11 resolves them.

use super::*;
use config::{Host, MainCf};

fn resolver(main_cf: &str) -> Resolver {
    let main = MainCf::parse("main.cf", main_cf.as_bytes()).unwrap();
    let host = Host { hostname: "mx.example.test".into(), ..Host::default() };
    let own = vec!["192.0.2.10".parse().unwrap(), "127.0.0.1".parse().unwrap()];
    let params = Params::new(main, host);
    let opener = crate::lookup::Opener::new(&params, crate::testing::tables()).unwrap();
    Resolver::new(&params, own, &opener).unwrap()
}

const BASE: &str = "compatibility_level = 3.6\nmyorigin = example.test\n\
    mydestination = mx.example.test, localhost, example.test\n";

fn route(address: &str) -> Route {
    match resolver(BASE).resolve(&Address::from_internal(address.as_bytes())) {
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

#[test]
fn transports_and_next_hops() {
    let got = route("a@remote.example");
    assert_eq!((got.transport.as_str(), got.nexthop.as_str()), ("smtp", "remote.example"));
    let relay = resolver("relayhost = [127.0.0.1]:2525\nrelay_domains = r.example\n");
    for (address, transport) in [("a@x.example", "smtp"), ("a@sub.r.example", "relay")] {
        let resolved = relay.resolve(&Address::from_internal(address.as_bytes()));
        let Resolved::Route(got) = resolved else { panic!("{resolved:?}") };
        assert_eq!((got.transport.as_str(), got.nexthop.as_str()), (transport, "[127.0.0.1]:2525"));
    }
}

#[test]
fn what_cannot_be_decided_is_not_guessed() {
    let unknown = resolver("relay_domains = hash:/nowhere\n");
    assert_eq!(unknown.resolve(&Address::from_internal(b"a@b.example")), Resolved::Unknown);
    let bad = resolver(BASE).resolve(&Address::from_internal(b"a@192.0.2.1"));
    assert_eq!(bad, Resolved::BadSyntax);
}
