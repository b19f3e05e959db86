//! The real thread with a DNS server of our own on the loopback interface.

use super::*;
use crate::resolver::{DnsError, Families, PeerName, Resolver, Service, Source};
use runtime::reactor::{Flow, Pump};
use runtime::sim::SimIo;
use std::net::{SocketAddr, UdpSocket};

/// Turns without sleeping: answers come in real time, and virtual time must not run away meanwhile.
struct Spin(Rc<Cell<bool>>, Rc<Resolver>);

impl Pump for Spin {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        self.1.pump();
        thread::yield_now();
        if self.0.get() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        true
    }
}

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const MX: u16 = 15;

/// A name in wire form.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

fn record(owner: &str, kind: u16, data: Vec<u8>) -> Vec<u8> {
    let length = data.len() as u16;
    let fixed = [kind.to_be_bytes(), [0, 1], [0, 0], [0, 60], length.to_be_bytes()].concat();
    [name(owner), fixed, data].concat()
}

fn mx(owner: &str, preference: u16, host: &str) -> Vec<u8> {
    record(owner, MX, [preference.to_be_bytes().to_vec(), name(host)].concat())
}

/// Response code and records for a question; nothing for a server that does not answer.
fn zone(question: &str, kind: u16) -> Option<(u8, Vec<Vec<u8>>)> {
    let alias = || record(question, CNAME, name("a.example"));
    let address = |owner: &str| record(owner, A, vec![192, 0, 2, 1]);
    Some(match (question, kind) {
        ("silent.example", _) => return None,
        ("broken.example", _) => (2, vec![]),
        ("refused.example", _) => (5, vec![]),
        ("two.example", MX) => {
            (0, vec![mx(question, 20, "b.example"), mx(question, 10, "a.example")])
        }
        ("null.example", MX) => (0, vec![mx(question, 0, ".")]),
        ("a.example", A) => (0, vec![address(question)]),
        ("alias.example", A) => (0, vec![alias(), address("a.example")]),
        ("alias.example", MX) => (0, vec![alias()]),
        ("a.example", _) => (0, vec![]),
        ("1.2.0.192.in-addr.arpa", PTR) => (0, vec![record(question, PTR, name("a.example"))]),
        _ => (3, vec![]),
    })
}

/// Answers questions for as long as the process lives.
fn serve_zone() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            if let Some(reply) = reply(&packet[..length]) {
                socket.send_to(&reply, client).unwrap();
            }
        }
    });
    address
}

fn reply(query: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let (code, records) = zone(&labels.join("."), kind)?;
    let counts = [0, 1, 0, records.len() as u8, 0, 0, 0, 0];
    let head = [&query[..2], &[0x81, 0x80 | code], &counts].concat();
    Some([head, query[12..at + 5].to_vec(), records.concat()].concat())
}

/// Runs a test with a resolver that asks our server; `prepare` sees the port first.
fn with_port<F: Future<Output = ()> + 'static>(
    prepare: impl FnOnce(&Port),
    test: impl FnOnce(Rc<Resolver>) -> F,
) {
    let side = Side::start_asking(Servers::Only(serve_zone())).unwrap();
    let rt = Rt::new(Box::new(SimIo::new(1)), Waker::new().unwrap());
    let port = side.port(rt.waker().clone());
    prepare(&port);
    let resolver = Rc::new(Resolver::new(&rt, Source::Side(port)));
    let finished = Rc::new(Cell::new(false));
    let (future, done) = (test(resolver.clone()), finished.clone());
    rt.spawn(async move {
        future.await;
        done.set(true);
    });
    rt.run(&mut Spin(finished, resolver)).unwrap();
}

const IPV4: Families = Families { ipv4: true, ipv6: false };

#[test]
fn dns_answers_come_back_to_the_core() {
    with_port(
        |_| {},
        |resolver| async move {
            let mut hosts = resolver.mx("two.example").await.unwrap();
            hosts.sort_by_key(|mx| mx.preference);
            let hosts: Vec<_> = hosts.iter().map(|mx| (mx.preference, mx.host.as_str())).collect();
            assert_eq!(hosts, [(10, "a.example"), (20, "b.example")]);
            let expected: Vec<std::net::IpAddr> = vec!["192.0.2.1".parse().unwrap()];
            for host in ["a.example", "alias.example"] {
                assert_eq!(
                    resolver.addresses(host, IPV4, Service::Dns).await,
                    Ok(expected.clone())
                );
            }
            let peer: PeerName = resolver.reverse(expected[0]).await;
            assert_eq!(peer.reverse.as_deref(), Some("a.example"));
        },
    );
}

#[test]
fn dns_failures_have_their_causes() {
    with_port(
        |_| {},
        |resolver| async move {
            let cause = async |name: &str| {
                let error: DnsError = resolver.mx(name).await.unwrap_err();
                error.cause
            };
            assert_eq!(cause("gone.example").await, Cause::NotFound);
            assert_eq!(cause("a.example").await, Cause::NoData);
            assert_eq!(cause("alias.example").await, Cause::NoData);
            assert_eq!(cause("null.example").await, Cause::NullMx);
            assert_eq!(cause("broken.example").await, Cause::TryAgain);
            assert_eq!(cause("refused.example").await, Cause::Refused);
            assert_eq!(cause("silent.example").await, Cause::TryAgain);
            assert_eq!(cause("not a host").await, Cause::InvalidName);
        },
    );
}

#[test]
fn the_system_knows_itself() {
    with_port(
        |_| {},
        |resolver| async move {
            let found = resolver.addresses("localhost", IPV4, Service::Native).await.unwrap();
            assert!(found.iter().all(|address| address.is_loopback()), "{found:?}");
        },
    );
}

#[test]
fn a_question_beyond_the_bound_is_put_off() {
    with_port(
        |port| port.in_flight.set(QUESTIONS_MAX),
        |resolver| async move {
            assert_eq!(resolver.mx("two.example").await.unwrap_err().cause, Cause::TryAgain);
        },
    );
}

#[test]
fn servers_that_do_not_answer_leave_room_for_the_dns() {
    // It takes connections, by way of its backlog, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("127.0.0.1:{}", silent.local_addr().unwrap().port());
    let name = tables::catalog::Name { kind: "tcp".into(), path: place };
    let client = Arc::new(Client::open(&name).unwrap());
    with_port(
        |port| port.tables.set(TABLES_MAX),
        move |resolver| async move {
            assert_eq!(resolver.look_up(&client, b"key").await, None, "beyond the bound");
            assert!(resolver.mx("two.example").await.is_ok());
        },
    );
    drop(silent);
}
