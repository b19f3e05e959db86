//! The body of the fuzz target `dns_answer`: any bytes as the answers of name servers.
//!
//! The library reads the messages, as it does for the side thread; what is tried here is what we
//! make of them: exchangers, addresses and names, their cache, and the hosts of a destination.
//! Called by the fuzz workspace and by the replay of its inputs. Diagnostics: a panic is our bug.

use super::dns::{self, Missing, RECORDS_MAX};
use super::{Answer, Families, Kind, NameProblem, PeerName, Question, Resolver, Service};
use super::{Source, Zones};
use crate::fuzz;
use crate::smtp::hosts::{Hosts, Lookup as HostLookup};
use crate::smtp::nexthop::Destination;
use crate::smtp::settings::Settings;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsResponse, Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use protocol::mx::FamilyPreference;
use runtime::reactor::{Flow, Pump};
use runtime::sim::{Rng, SimIo};
use runtime::wake::Waker;
use runtime::{Instant, Rt};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

/// Messages of one input.
const MESSAGES_MAX: usize = 8;
/// Records that a script makes.
const SCRIPT_RECORDS_MAX: usize = 256;
/// A name as text: 255 bytes, each as a backslash and three digits at worst.
const NAME_TEXT_MAX: usize = 4 * 255;
/// The longest reason: a name and Postfix's words.
const REASON_MAX: usize = NAME_TEXT_MAX + 256;

/// Looks a domain, a host and a client up. The first byte chooses the configuration, and the rest
/// is messages behind their lengths (two bytes): one after the other answers the next question.
///
/// # Panics
/// When a list is out of order or over its bound, or a name that is not one gets out.
pub fn fuzz_dns_answer(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let messages = messages(rest);
    if messages.is_empty() {
        return;
    }
    let zones = Rc::new(Answers { messages, next: Cell::default() });
    let rt = Rt::new(Box::new(SimIo::new(1)), Waker::new().expect("a descriptor"));
    let resolver = Resolver::new(&rt, Source::Zones(zones));
    let (choice, over) = (*choice, Rc::new(Cell::new(false)));
    let done = over.clone();
    rt.spawn(async move {
        look_up(&resolver, choice).await;
        done.set(true);
    });
    rt.run(&mut Until(over)).expect("a simulated kernel");
}

struct Until(Rc<Cell<bool>>);

impl Pump for Until {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        if self.0.get() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        false
    }
}

/// What one message says, to each question.
struct Said {
    mx: Answer,
    addresses: Answer,
    names: Answer,
}

struct Answers {
    messages: Vec<Said>,
    next: Cell<usize>,
}

impl Zones for Answers {
    fn answer(&self, question: &Question, _now: Instant) -> (Answer, Duration) {
        let at = self.next.replace(self.next.get() + 1);
        let said = &self.messages[at % self.messages.len()];
        let answer = match question {
            Question::Mx(_) => &said.mx,
            Question::Address(..) => &said.addresses,
            Question::Names(_) => &said.names,
        };
        (answer.clone(), Duration::ZERO)
    }
}

fn messages(mut rest: &[u8]) -> Vec<Said> {
    let mut messages = Vec::new();
    while let [low, high, tail @ ..] = rest
        && messages.len() < MESSAGES_MAX
    {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (message, after) = tail.split_at(len);
        // A message of the library's own begins with an identifier: any will do.
        messages.push(match message.split_first() {
            Some((form, script)) if form & 1 != 0 => read(&written(script)),
            _ => read(message),
        });
        rest = after;
    }
    messages
}

/// A message that is whole, from a script: response code, then for each record its type, its time,
/// the length of its data, and the data.
fn written(script: &[u8]) -> Vec<u8> {
    let Some((code, mut rest)) = script.split_first() else { return Vec::new() };
    let mut records = Vec::new();
    let mut count = 0u16;
    while let [kind, time, len, tail @ ..] = rest
        && usize::from(count) < SCRIPT_RECORDS_MAX
    {
        let (data, after) = tail.split_at(usize::from(*len).min(tail.len()));
        let kind = [1, 2, 5, 6, 12, 15, 28, u16::from(*kind)][usize::from(kind & 7)];
        // Its name is the question's.
        records.extend_from_slice(&[0xc0, 12]);
        records.extend_from_slice(&kind.to_be_bytes());
        records.extend_from_slice(&[0, 1, 0, 0, *time, 0]);
        records.extend_from_slice(&(data.len() as u16).to_be_bytes());
        records.extend_from_slice(data);
        count += 1;
        rest = after;
    }
    let count = count.to_be_bytes();
    let head = [0, 1, 0x81, 0x80 | code & 15, 0, 1, count[0], count[1], 0, 0, 0, 0];
    [&head[..], b"\x01q\x07example\0\0\x0f\0\x01", &records].concat()
}

/// As the library has it for the side thread.
fn read(message: &[u8]) -> Said {
    let found = found(message);
    let answer = |read: fn(&Lookup) -> Option<super::Found>| {
        dns::answer(found.clone().map_err(Missing::from), read)
    };
    Said {
        mx: answer(dns::exchangers),
        addresses: answer(dns::addresses),
        names: answer(dns::names),
    }
}

fn found(message: &[u8]) -> Result<Lookup, NetError> {
    let message = Message::from_vec(message)?;
    let response = DnsResponse::from_message(message)?;
    let response = DnsError::from_response(response).map_err(NetError::from)?;
    let query = Query::query(Name::root(), RecordType::ANY);
    Ok(Lookup::new_with_max_ttl(query, response.answers.clone()))
}

async fn look_up(resolver: &Resolver, choice: u8) {
    let snapshot = fuzz::snapshot(choice);
    let settings = &snapshot.smtp[0].1;
    let random = RefCell::new(Rng::new(1));
    let lookup = HostLookup { resolver, settings, random: &random };
    let port = if choice & 4 == 0 { 25 } else { 26 };
    let use_mx = choice & 8 == 0;
    let destination = Destination { host: "q.example".into(), port, use_mx };
    match lookup.hosts(&destination).await {
        Ok(hosts) => check_hosts(&hosts, settings, port),
        Err(none) => fuzz::check_line(&none.why.reason, REASON_MAX),
    }
    match resolver.mx("mail.example").await {
        Ok(records) => {
            assert!(!records.is_empty() && records.len() <= RECORDS_MAX, "exchangers");
            records.iter().for_each(|record| fuzz::check_line(&record.host, NAME_TEXT_MAX));
        }
        Err(error) => fuzz::check_line(&error.to_string(), REASON_MAX),
    }
    let families = Families { ipv4: true, ipv6: choice & 16 == 0 };
    let found = resolver.addresses("host.example", families, Service::Dns).await;
    match found {
        Ok(addresses) => {
            assert!(!addresses.is_empty() && addresses.len() <= 2 * RECORDS_MAX, "addresses");
        }
        Err(error) => {
            assert!(matches!(error.kind, Kind::A | Kind::Aaaa), "what was asked for");
            fuzz::check_line(&error.to_string(), REASON_MAX);
        }
    }
    check_peer(&resolver.reverse(Ipv4Addr::new(192, 0, 2, 1).into()).await);
}

/// The order of smtp(8), within its limits.
fn check_hosts(hosts: &Hosts, settings: &Settings, port: u16) {
    let Hosts { candidates, i_am_mx } = hosts;
    assert!(!candidates.is_empty() && candidates.len() <= 2 * RECORDS_MAX * RECORDS_MAX, "bounded");
    let rank = |address: &IpAddr| match settings.family {
        FamilyPreference::Any => false,
        FamilyPreference::Ipv4 => address.is_ipv6(),
        FamilyPreference::Ipv6 => address.is_ipv4(),
    };
    let keys = candidates.iter().map(|it| (it.preference, rank(&it.address)));
    assert!(keys.is_sorted(), "by preference, then by family");
    let both = candidates.iter().any(|it| it.address.is_ipv4())
        && candidates.iter().any(|it| it.address.is_ipv6());
    let limit = settings.address_limit;
    assert!(!(settings.balance && both && limit > 0) || candidates.len() <= limit, "balanced");
    assert!(port == 25 || !i_am_mx, "loops are looked for on port 25");
    for candidate in candidates {
        let name = candidate.name.as_bytes();
        let valid =
            mail::address::is_valid_hostname(name) || candidate.name.parse::<IpAddr>().is_ok();
        assert!(valid, "a host's name");
        assert!(port != 25 || !settings.own.contains(&candidate.address), "never to oneself");
    }
}

fn check_peer(peer: &PeerName) {
    if let Some(name) = &peer.reverse {
        assert!(mail::address::is_valid_hostname(name.as_bytes()), "a client's name");
    }
    assert_eq!(peer.problem.is_some(), peer.verified() == "unknown", "believed or unknown");
    if let Some(NameProblem::NoAddress(error)) = &peer.problem {
        fuzz::check_line(&error.to_string(), REASON_MAX);
    }
}
