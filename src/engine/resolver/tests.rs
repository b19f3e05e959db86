//! Answers, their cache, and names that are checked forward.

use super::*;
use runtime::reactor::{Flow, Pump};
use runtime::sim::SimIo;
use runtime::wake::Waker;
use std::cell::Cell;
use std::rc::Rc;

const BOTH: Families = Families { ipv4: true, ipv6: true };

struct Until(Rc<Cell<bool>>, Option<Rc<Resolver>>);

impl Pump for Until {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        self.1.iter().for_each(|resolver| resolver.pump());
        if self.0.get() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        self.1.as_ref().is_some_and(|resolver| resolver.has_mail())
    }
}

/// Runs a test as a task.
fn with<F: Future<Output = ()> + 'static>(
    script: Script,
    test: impl FnOnce(Rt, Rc<Resolver>) -> F,
) {
    let rt = Rt::new(Box::new(SimIo::new(1)), Waker::new().unwrap());
    let resolver = Rc::new(Resolver::new(&rt, Source::Script(script)));
    let finished = Rc::new(Cell::new(false));
    let (future, done) = (test(rt.clone(), resolver), finished.clone());
    rt.spawn(async move {
        future.await;
        done.set(true);
    });
    rt.run(&mut Until(finished, None)).unwrap();
}

fn asked(resolver: &Resolver) -> usize {
    match &resolver.source {
        Source::Script(script) => script.asked(),
        _ => panic!("scripted tests only"),
    }
}

#[test]
fn an_answer_is_kept_for_its_ttl() {
    let times = (Duration::from_millis(5), Duration::from_secs(60));
    let script = Script::new().with_mx("a.example", &[(10, "mx.a.example")]);
    with(script.with_times(times.0, times.1), |rt, resolver| async move {
        for _ in 0..3 {
            assert_eq!(resolver.mx("A.example").await.unwrap()[0].host, "mx.a.example");
        }
        assert_eq!(asked(&resolver), 1);
        rt.sleep_until(rt.now() + Duration::from_secs(61)).await;
        assert!(resolver.mx("a.example").await.is_ok());
        assert_eq!(asked(&resolver), 2);
    });
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = Cache::default();
    let answer = Answer { result: Err(Cause::NotFound), ttl: Duration::from_secs(10) };
    for n in 0..3 * cache::ENTRIES_MAX {
        cache.put(Question::Mx(n.to_string()), answer.clone(), Instant(0));
        assert!(cache.len() <= cache::ENTRIES_MAX);
    }
}

#[test]
fn a_name_without_addresses_is_an_error_in_postfix_words() {
    let script = Script::new()
        .with_host("six.example", "2001:db8::1".parse().unwrap())
        .with_mx("mail.example", &[(0, "x")]);
    with(script, |_, resolver| async move {
        let look_up = async |name: &str, families| {
            resolver.addresses(name, families, Service::Dns).await.map_err(|e| e.to_string())
        };
        assert_eq!(look_up("six.example", BOTH).await.unwrap().len(), 1);
        let prefix = "Host or domain name not found. Name service error for name=";
        let ipv4 = Families { ipv6: false, ..BOTH };
        assert_eq!(
            look_up("six.example", ipv4).await.unwrap_err(),
            format!("{prefix}six.example type=A: Host found but no data record of requested type")
        );
        assert_eq!(
            look_up("none.example", BOTH).await.unwrap_err(),
            format!("{prefix}none.example type=AAAA: Host not found")
        );
        assert_eq!(
            look_up("-bad.example", BOTH).await.unwrap_err(),
            "Name service error for -bad.example: invalid host or domain name"
        );
    });
}

#[test]
fn a_client_name_must_lead_back_to_the_address() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let forged: IpAddr = "192.0.2.2".parse().unwrap();
    let script = Script::new()
        .with_host("good.example", forged)
        .with_host("good.example", address)
        .with_host("forger.example", "192.0.2.3".parse().unwrap());
    with(script, move |_, resolver| async move {
        let good = resolver.reverse(address).await;
        assert_eq!((good.verified(), &good.problem), ("good.example", &None));
        let unknown = resolver.reverse("192.0.2.77".parse().unwrap()).await;
        assert_eq!(unknown.verified(), "unknown");
        assert_eq!(unknown.problem, Some(NameProblem::NoName { temporary: false }));
        let checked = PeerName::checked("x".into(), address, Ok(vec![forged]));
        assert_eq!(checked.problem, Some(NameProblem::Mismatch));
        assert_eq!(checked.verified(), "unknown");
    });
}
