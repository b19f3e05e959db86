//! What is kept while a reply is late, and what the next engine makes of it: on the real kernel,
//! for there are descriptors in it.

use super::*;
use crate::custody::Left;
use privsep::Transaction;
use privsep::custody::Request;
use privsep::transaction::{Answer, Server as Peer};
use runtime::net::shared::Channel;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

const QUICK: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];
const LATE: Duration = Duration::from_millis(60);

fn real() -> Rt {
    let waker = Waker::new().unwrap();
    let kernel = Kernel::open(Choice::from_environment().unwrap(), waker.clone()).unwrap();
    Rt::new(kernel.io, waker)
}

/// A way to master, and master's end.
fn channel() -> (Channel, OwnedFd) {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::NONBLOCK);
    let (ours, masters) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
    (Channel::new(ours), masters)
}

/// What master was asked, and the sockets that came along.
fn asked(masters: &OwnedFd) -> Vec<(Request, Option<OwnedFd>)> {
    let mut found = Vec::new();
    loop {
        let mut bytes = vec![0; 10_000];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [std::io::IoSliceMut::new(&mut bytes)];
        match recvmsg(masters, &mut into, &mut control, RecvFlags::empty()) {
            Ok(received) if received.bytes > 0 => {
                let socket = control.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
                    _ => None,
                });
                found.push((Request::decode(&bytes[..received.bytes]).unwrap(), socket));
            }
            _ => return found,
        }
    }
}

/// A server on the real kernel, and its next hop.
fn listening(server: impl Fn(&str) -> Server) -> ((Server, Sock), String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let nexthop = format!("[127.0.0.1]:{}", address.port());
    ((server(&address.to_string()), Sock(listener.into_raw_fd())), nexthop)
}

/// A delivery to `a@x` and `b@x` by a server whose word at the end of data is `reply`: what master
/// is asked meanwhile.
fn kept(reply: Reply, keep: bool) -> (Ran, Vec<(Request, Option<OwnedFd>)>) {
    kept_of(reply, |mail| Mail { keep, ..mail })
}

/// The same of another mail.
fn kept_of(reply: Reply, of: impl Fn(Mail) -> Mail) -> (Ran, Vec<(Request, Option<OwnedFd>)>) {
    let (channel, masters) = channel();
    let (server, nexthop) = listening(|address| {
        Server::new(address).with("EOM", reply).with("RCPT TO:<no@", Reply::Line("550 5.1.1 no"))
    });
    let mail = of(Mail::to(&nexthop, &["a@x", "no@x", "b@x"]));
    let keep = mail.keep;
    let estate = Estate::new(Some(channel), Vec::new());
    let main_cf = "smtp_connection_cache_time_limit = 1s\nsmtp_data_done_timeout = 1s\n\
                   smtp_bind_address = 127.0.0.1";
    // A connection that may be used again is closed a second later.
    let end = Duration::from_millis(if keep { 1500 } else { 20 });
    let (servers, pauses) = (vec![server], [Duration::ZERO, end]);
    let ran = run_from(&real(), &estate, main_cf, Script::new(), servers, vec![mail], pauses);
    (ran, asked(&masters))
}

#[test]
fn a_server_that_answers_at_once_costs_master_nothing() {
    let (ran, asked) = kept(Reply::Line("250 2.0.0 Ok"), false);
    assert_eq!(dispositions(&ran.outcomes[0])[0].1, Disposition::Sent);
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_late_reply_is_kept_from_before_it_comes_until_it_is_settled() {
    for keep in [false, true] {
        let (ran, asked) = kept(Reply::Late("250 2.0.0 Ok: late", LATE), keep);
        assert_eq!(dispositions(&ran.outcomes[0])[0].1, Disposition::Sent);
        let [(Request::Keep { slot, seconds, record }, Some(_)), (answered, None)] = &asked[..]
        else {
            panic!("{asked:?}");
        };
        assert_eq!(*seconds, 2, "the time limit, and a second");
        let waiting = Transaction::decode(record).unwrap();
        assert_eq!(waiting.recipients, [0, 2], "those that were accepted");
        assert_eq!((waiting.answer.as_ref(), waiting.quit_sent), (None, !keep));
        let Request::Answered { slot: same, record } = answered else { panic!("{answered:?}") };
        let answer = Transaction::decode(record).unwrap().answer.unwrap();
        assert_eq!((same, answer.text.as_str()), (slot, "250 2.0.0 Ok: late"));
    }
}

#[test]
fn what_is_no_success_is_forgotten_at_once() {
    for reply in [
        Reply::Late("450 4.2.0 not now", LATE),
        Reply::Late("550 5.7.1 never", LATE),
        Reply::Silence,
    ] {
        let (_, asked) = kept(reply, false);
        let [(Request::Keep { slot, .. }, Some(_)), (forgotten, None)] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(*forgotten, Request::Forget { slots: vec![*slot] });
    }
}

/// What an earlier engine has left of a message to `a@x` and `b@x`, the server's end of it, and
/// the server for a new delivery.
struct Wake {
    transaction: Transaction,
    ours: TcpStream,
    peer: TcpStream,
    server: (Server, Sock),
    nexthop: String,
}

fn wake() -> Wake {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = listener.accept().unwrap().0;
    let (server, nexthop) = listening(Server::new);
    let old = Peer {
        name: "old.example".into(),
        address: "192.0.2.9".parse().unwrap(),
        port: 25,
        pipelining: true,
        dsn: false,
    };
    let transaction = Transaction {
        number: queue::Number::new(1, Core::new(0).unwrap()).get(),
        micros: ID.micros,
        recipients: vec![0, 1],
        server: old,
        uses: 3,
        quit_sent: true,
        last: true,
        answer: None,
    };
    Wake { transaction, ours, peer, server, nexthop }
}

const SHORT: &str = "smtp_data_done_timeout = 1s\nsmtp_bind_address = 127.0.0.1";
const OLD: &str = "relay=old.example[192.0.2.9]:25, conn_use=3";

impl Wake {
    /// Delivers to `a@x`, `b@x` and `c@x`; the lines of it, and what master is asked.
    fn deliver(self, has_socket: bool) -> (Vec<String>, Vec<Request>) {
        self.deliver_handed(has_socket, 0)
    }

    /// The same for what local has handed over so often.
    fn deliver_handed(self, has_socket: bool, handovers: u32) -> (Vec<String>, Vec<Request>) {
        let (channel, masters) = channel();
        let sock = has_socket.then_some(Sock(self.ours.into_raw_fd()));
        let left = Left { slot: 7, sock, record: self.transaction.encode() };
        let estate = Estate::new(Some(channel), vec![left]);
        let mail = Mail { handovers, ..Mail::to(&self.nexthop, &["a@x", "b@x", "c@x"]) };
        let (servers, main_cf) = (vec![self.server], SHORT);
        let ran = run_from(&real(), &estate, main_cf, Script::new(), servers, vec![mail], QUICK);
        assert_eq!(ran.outcomes[0].results.len(), 3);
        // Its own delivery is not what this is about.
        let about_old = |request: &Request| match request {
            Request::Keep { .. } => false,
            Request::Answered { slot, .. } => *slot == 7,
            Request::Forget { slots } => slots.contains(&7),
        };
        let asked = asked(&masters).into_iter().map(|(request, _)| request).filter(about_old);
        (ran.lines(), asked.collect())
    }
}

fn line(to: &str, relay: &str, rest: &str) -> String {
    format!("000001: to=<{to}>, {relay}, {rest}")
}

/// The line of a recipient that was delivered anew.
fn anew(to: &str, port: &str) -> String {
    let relay = format!("relay=127.0.0.1[127.0.0.1]:{port}");
    line(to, &relay, "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as MOCK)")
}

fn port(wake: &Wake) -> String {
    wake.nexthop.rsplit_once(':').unwrap().1.to_string()
}

#[test]
fn what_was_answered_meanwhile_is_settled_and_the_others_are_delivered() {
    for (said, rest, forgotten) in [
        ("250 2.0.0 Ok: 42", "dsn=2.0.0, status=sent (250 2.0.0 Ok: 42)", false),
        (
            "450 4.2.0 no",
            "dsn=4.2.0, status=deferred (host old.example[192.0.2.9] said: 450 4.2.0 no \
             (in reply to end of DATA command))",
            true,
        ),
        (
            "550 5.7.1 no",
            "dsn=5.7.1, status=bounced (host old.example[192.0.2.9] said: 550 5.7.1 no \
             (in reply to end of DATA command))",
            true,
        ),
    ] {
        let mut wake = wake();
        wake.peer.write_all(format!("{said}\r\n221 Bye\r\n").as_bytes()).unwrap();
        let (port, peer) = (port(&wake), wake.peer.try_clone().unwrap());
        let (lines, asked) = wake.deliver(true);
        assert_eq!(lines, [line("a@x", OLD, rest), line("b@x", OLD, rest), anew("c@x", &port)]);
        match &asked[..] {
            [Request::Forget { slots }] => assert!(forgotten && *slots == [7]),
            [Request::Answered { slot: 7, record }] => {
                let text = Transaction::decode(record).unwrap().answer.unwrap().text;
                assert!(!forgotten && text == said);
            }
            other => panic!("{other:?}"),
        }
        let mut heard = String::new();
        (&peer).read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "", "QUIT was sent before");
    }
}

/// Nobody knows whether it was taken, and nobody ever will.
#[test]
fn without_an_answer_everybody_is_delivered_anew() {
    let lost = "000001: lost connection with old.example[192.0.2.9] while sending end of data -- \
                message may be sent more than once";
    let slow =
        lost.replace("lost connection", "conversation").replace("9] while", "9] timed out while");
    for (what, said, hangs_up, first) in [
        ("hung up", "", true, lost),
        ("silent", "", false, slow.as_str()),
        ("half a reply", "250-2.0.0 Ok\r\n25", true, lost),
        ("the reply was read by the dead", "221 2.0.0 Bye\r\n", true, lost),
        ("its rest, too", ".0 Ok: 42\r\n221 2.0.0 Bye\r\n", true, lost),
    ] {
        let mut wake = wake();
        wake.peer.write_all(said.as_bytes()).unwrap();
        if hangs_up {
            wake.peer.shutdown(std::net::Shutdown::Both).unwrap();
        }
        let port = port(&wake);
        let (lines, asked) = wake.deliver(true);
        let all = ["a@x", "b@x", "c@x"].map(|to| anew(to, &port));
        assert_eq!(lines, [&[first.to_string()][..], &all[..]].concat(), "{what}");
        assert_eq!(asked, [Request::Forget { slots: vec![7] }], "{what}");
    }
}

#[test]
fn an_answer_that_was_noted_needs_no_connection() {
    let mut wake = wake();
    let text = "250 2.0.0 Ok: noted".to_string();
    wake.transaction.answer = Some(Answer { code: 250, status: (0, 0), text });
    let port = port(&wake);
    let (lines, asked) = wake.deliver(false);
    let rest = "dsn=2.0.0, status=sent (250 2.0.0 Ok: noted)";
    assert_eq!(lines, [line("a@x", OLD, rest), line("b@x", OLD, rest), anew("c@x", &port)]);
    assert_eq!(asked, [], "not before the marks are durable");
}

/// Not this message, or not these recipients: an ordinary delivery, and the orphan waits.
#[test]
fn an_orphan_of_somebody_else_is_left_alone() {
    for change in [
        |transaction: &mut Transaction| transaction.micros += 1,
        |transaction: &mut Transaction| transaction.number += 1 << 6,
        |transaction: &mut Transaction| transaction.recipients = vec![0, 3],
    ] {
        let mut wake = wake();
        wake.peer.write_all(b"250 2.0.0 Ok: 42\r\n").unwrap();
        change(&mut wake.transaction);
        let port = port(&wake);
        let (lines, asked) = wake.deliver(true);
        assert_eq!(lines, ["a@x", "b@x", "c@x"].map(|to| anew(to, &port)));
        assert_eq!(asked, []);
    }
}

/// The numbers of its recipients mean others in the message.
#[test]
fn what_local_has_handed_over_settles_nothing_and_is_not_kept() {
    let mut wake = wake();
    wake.peer.write_all(b"250 2.0.0 Ok: 42\r\n").unwrap();
    let port = port(&wake);
    let (lines, asked) = wake.deliver_handed(true, 1);
    assert_eq!(lines, ["a@x", "b@x", "c@x"].map(|to| anew(to, &port)));
    assert_eq!(asked, []);
    let late = Reply::Late("250 2.0.0 Ok: late", LATE);
    let (ran, asked) = kept_of(late, |mail| Mail { handovers: 1, ..mail });
    assert_eq!(dispositions(&ran.outcomes[0])[0].1, Disposition::Sent);
    assert!(asked.is_empty(), "{asked:?}");
}

/// The server of an earlier engine is told goodbye.
#[test]
fn quit_follows_where_it_was_not_sent() {
    let mut wake = wake();
    wake.transaction.quit_sent = false;
    wake.peer.write_all(b"250 2.0.0 Ok: 42\r\n").unwrap();
    let mut peer = wake.peer.try_clone().unwrap();
    let (lines, _) = wake.deliver(true);
    assert!(lines[0].contains("Ok: 42"), "{lines:?}");
    let mut heard = String::new();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    peer.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "QUIT\r\n");
}

#[test]
fn a_record_that_cannot_be_read_is_a_warning() {
    let mut wake = wake();
    wake.transaction.answer = None;
    let (channel, masters) = channel();
    let left = Left { slot: 7, sock: Some(Sock(wake.ours.into_raw_fd())), record: vec![9; 20] };
    let estate = Estate::new(Some(channel), vec![left]);
    let mail = Mail::to(&wake.nexthop, &["a@x"]);
    let ran = run_from(&real(), &estate, "", Script::new(), vec![wake.server], vec![mail], QUICK);
    assert_eq!(ran.lines()[0], "warning: what an earlier engine has left cannot be read");
    assert_eq!(asked(&masters)[0].0, Request::Forget { slots: vec![7] });
    wake.peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!((&wake.peer).read(&mut [0]).unwrap(), 0, "closed");
}
