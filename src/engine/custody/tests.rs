//! When master is told to forget, and who gets what an earlier engine has left.

use super::*;
use crate::localtime::LocalTime;
use crate::maillog::{Identity, Sink};
use mail::Envelope;
use mail::queue_id::QueueId;
use privsep::transaction::{Answer, Server};
use runtime::kernel::{Choice, Kernel};
use runtime::reactor::{Flow, Pump};
use runtime::wake::Waker;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use std::io::Read;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

fn number(counter: u64, core: u8) -> Number {
    Number::new(counter, queue::Core::new(core).unwrap())
}

fn transaction(number: Number, recipients: &[u32]) -> Transaction {
    Transaction {
        number: number.get(),
        micros: 5,
        recipients: recipients.into(),
        server: Server {
            name: "sink.example".into(),
            address: "192.0.2.1".parse().unwrap(),
            port: 25,
            pipelining: true,
            dsn: false,
        },
        uses: 1,
        quit_sent: true,
        last: true,
        answer: Some(Answer { code: 250, status: (0, 0), text: "250 Ok".into() }),
    }
}

fn message(number: Number, micros: u64) -> MessageInfo {
    let id = QueueId { micros, number: number.get(), long: false };
    MessageInfo { number, id, envelope: Envelope::default() }
}

struct Bench {
    rt: Rt,
    log: Maillog,
    /// Master's end.
    master: OwnedFd,
    channel: Channel,
}

fn bench() -> Bench {
    let waker = Waker::new().unwrap();
    let kernel = Kernel::open(Choice::from_environment().unwrap(), waker.clone()).unwrap();
    let identity = Identity { hostname: "mx".into(), syslog_name: "p".into(), pid: 1 };
    let log = Maillog::new(identity, Sink::Memory(Rc::default()), Rc::new(LocalTime::utc()));
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::NONBLOCK);
    let (ours, master) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
    Bench { rt: Rt::new(kernel.io, waker), log, master, channel: Channel::new(ours) }
}

impl Bench {
    fn custody(&self, left: Vec<Left>, index: usize, cores: usize) -> Rc<Custody> {
        let estate = Estate::new(Some(self.channel.clone()), left);
        Custody::new(&self.rt, &self.log, &estate, index, cores)
    }

    /// Slots that master was told to forget since the last time.
    fn forgotten(&self) -> Vec<u64> {
        let (mut all, mut bytes) = (Vec::new(), vec![0; 10_000]);
        while let Ok((count, _)) = recv(&self.master, &mut bytes, RecvFlags::empty()) {
            if let Request::Forget { slots } = Request::decode(&bytes[..count]).unwrap() {
                all.extend(slots);
            }
        }
        all
    }
}

const NONE: [u64; 0] = [];

/// Where every change is, and how far everything is written.
const FIRST: Lsn = Lsn::MAX;

#[test]
fn an_answered_slot_is_forgotten_when_the_marks_of_its_recipients_are_durable() {
    let bench = bench();
    let custody = bench.custody(Vec::new(), 0, 1);
    let one = number(1, 0);
    for (slot, recipients) in [(1, &[0, 1][..]), (2, &[2])] {
        custody.answered(Slot(slot), &transaction(one, recipients));
    }
    let mark = |recipients: &[u32]| Settle::Mark { number: one, recipients: recipients.into() };
    custody.settled(&mark(&[0]), FIRST);
    custody.settled(&Settle::Flags { number: one, flags: 1 }, FIRST);
    custody.settled(&Settle::Remove { number: number(2, 0) }, FIRST);
    custody.pump(|_| FIRST);
    assert_eq!(bench.forgotten(), NONE, "not all of them, not yet, not this message");
    custody.settled(&mark(&[0, 1]), FIRST);
    custody.pump(|_| FIRST);
    assert_eq!(bench.forgotten(), [1]);
    custody.settled(&Settle::Remove { number: one }, FIRST);
    custody.pump(|_| FIRST);
    assert_eq!(bench.forgotten(), [2]);
    custody.pump(|_| FIRST);
    assert_eq!(bench.forgotten(), NONE, "once");
}

#[test]
fn nothing_is_forgotten_before_it_is_durable() {
    let bench = bench();
    let custody = bench.custody(Vec::new(), 0, 1);
    let directory = tempfile::tempdir().unwrap();
    let options = queue::Options { segment_bytes: queue::SEGMENT_MIN, ..Default::default() };
    let core = queue::Core::new(0).unwrap();
    let (mut log, _) = queue::Log::open(directory.path(), core, options).unwrap();
    let one = log.reserve_number();
    while let Some(request) = log.wants_segment() {
        log.supply(request.prepare().unwrap());
    }
    log.append(one, 1, 0, b"env", &[b"content"]).unwrap();
    custody.answered(Slot(1), &transaction(one, &[0]));
    let lsn = log.remove(one).unwrap();
    custody.settled(&Settle::Remove { number: one }, lsn);
    custody.pump(|_| log.durable());
    assert_eq!(bench.forgotten(), NONE);
    while let Some(flush) = log.seal() {
        let written = flush.write_blocking();
        log.flushed(flush.id, written).unwrap();
    }
    custody.pump(|_| log.durable());
    assert_eq!(bench.forgotten(), [1]);
}

#[test]
fn answers_that_nobody_settles_have_a_bound() {
    let bench = bench();
    let custody = bench.custody(Vec::new(), 0, 1);
    for counter in 1..=ANSWERED_MAX as u64 + 2 {
        custody.answered(Slot(counter), &transaction(number(counter, 0), &[0]));
        bench.forgotten();
    }
    custody.pump(|_| FIRST);
    assert_eq!(custody.answered.borrow().len(), ANSWERED_MAX);
    assert_eq!(bench.forgotten(), [1, 2], "the oldest");
}

#[test]
fn what_master_cannot_hear_now_it_hears_later() {
    let bench = bench();
    let custody = bench.custody(Vec::new(), 0, 1);
    let filler = Request::Forget { slots: Vec::new() }.encode();
    while bench.channel.send(&filler).is_ok() {}
    assert_eq!(custody.forget(Slot(1)), Told::No);
    assert_eq!(custody.answered(Slot(2), &transaction(number(1, 0), &[0])), Told::No);
    assert_eq!(bench.forgotten(), NONE);
    assert_eq!(custody.forget(Slot(3)), Told::Yes);
    assert_eq!(bench.forgotten(), [1, 3]);
}

#[test]
fn orphans_go_to_the_core_that_delivers_their_messages_however_many_there_were() {
    let bench = bench();
    let left: Vec<Left> = (0..6)
        .map(|core| {
            let record = transaction(number(9, core), &[0]).encode();
            Left { slot: u64::from(core), sock: None, record }
        })
        .collect();
    for (index, mine) in [(0, [0, 2, 4]), (1, [1, 3, 5])] {
        let custody = bench.custody(left.clone(), index, 2);
        for core in 0..6 {
            let found = custody.take(&message(number(9, core), 5), &[0]);
            assert_eq!(found.is_some(), mine.contains(&core), "{core} at {index}");
        }
    }
}

#[test]
fn an_orphan_is_taken_once_by_who_delivers_to_all_its_recipients() {
    let bench = bench();
    let one = number(1, 0);
    let left = [(1, &[0, 1][..]), (2, &[2])].map(|(slot, recipients)| Left {
        slot,
        sock: None,
        record: transaction(one, recipients).encode(),
    });
    let custody = bench.custody(left.into(), 0, 1);
    let take = |micros, among: &[u32]| {
        custody.take(&message(one, micros), among).map(|orphan| orphan.slot.0)
    };
    assert_eq!(take(4, &[0, 1, 2]), None, "another message of that number");
    assert_eq!(take(5, &[0]), None, "only one of its recipients");
    assert_eq!(take(5, &[2, 3]), Some(2));
    assert_eq!(take(5, &[2, 3]), None);
    assert_eq!(take(5, &[0, 1, 2]), Some(1));
}

/// Runs until the time is over.
struct Until(runtime::Instant);

impl Pump for Until {
    fn pump(&mut self, rt: &Rt) -> Flow {
        if rt.now() >= self.0 { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        false
    }
}

#[test]
fn what_nobody_takes_is_closed_after_the_longest_reply() {
    let bench = bench();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let record = transaction(number(1, 0), &[0]).encode();
    let left = Left { slot: 7, sock: Some(Sock(ours.into_raw_fd())), record };
    let custody = bench.custody(vec![left], 0, 1);
    custody.close_unclaimed(Duration::from_millis(30));
    let rt = bench.rt.clone();
    let end = rt.now() + Duration::from_millis(60);
    rt.spawn({
        let rt = rt.clone();
        async move { rt.sleep_until(end).await }
    });
    rt.run(&mut Until(rt.now() + Duration::from_millis(1))).unwrap();
    assert_eq!(bench.forgotten(), NONE);
    rt.run(&mut Until(end)).unwrap();
    assert_eq!(bench.forgotten(), [7]);
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the end");
    assert!(custody.take(&message(number(1, 0), 5), &[0]).is_none());
}

#[test]
fn slots_of_the_engine_before_are_not_given_again() {
    let bench = bench();
    let left = Left { slot: 41, sock: None, record: transaction(number(1, 0), &[0]).encode() };
    let custody = bench.custody(vec![left], 0, 1);
    assert_eq!(custody.next.load(Ordering::Relaxed), 42);
}
