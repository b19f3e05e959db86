//! The runtime on the simulated kernel; [`exercise`] runs on the real one too.

use super::*;
use crate::net::{Arrived, Listener, Stream};
use crate::reactor::{Flow, Pump, Rt};
use crate::wake::Waker;
use crate::{Chunk, Shared, local};
use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Stops when the flag is set.
pub(crate) struct Until(pub Rc<Cell<bool>>);

impl Pump for Until {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        if self.0.get() { Flow::Stop } else { Flow::Continue }
    }

    fn has_mail(&self) -> bool {
        false
    }
}

/// An echo server and a client that sends `total` bytes and expects them back.
pub(crate) fn exercise(rt: &Rt, listener: Sock, address: SocketAddr, total: usize) {
    let finished = Rc::new(Cell::new(false));
    let server = rt.clone();
    let listener = Listener::new(rt, listener);
    rt.spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap();
            let rt = server.clone();
            server.spawn(async move { echo(&rt, stream).await });
        }
    });
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        client(&rt2, address, total).await;
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

async fn echo(rt: &Rt, stream: Stream) {
    while stream.readable(rt.now() + Duration::from_secs(5)).await.unwrap() == Arrived::Bytes {
        let bytes = stream.input(|bytes| (bytes.len(), bytes.to_vec()));
        let half = bytes.len() / 2;
        let rest = Shared::new(Arc::new(bytes[half..].to_vec()), 0..bytes.len() - half);
        let data = vec![Chunk::Owned(bytes[..half].to_vec()), Chunk::Shared(rest)];
        stream.send(data, rt.now() + Duration::from_secs(5)).await.unwrap();
    }
}

async fn client(rt: &Rt, address: SocketAddr, total: usize) {
    let deadline = rt.now() + Duration::from_secs(20);
    let stream = Stream::connect(rt, address, None, deadline).await.unwrap();
    let message: Vec<u8> = (0..total).map(|n| (n % 251) as u8).collect();
    stream.send(vec![Chunk::Owned(message.clone())], deadline).await.unwrap();
    let mut back = Vec::new();
    while back.len() < total {
        assert_eq!(stream.readable(deadline).await.unwrap(), Arrived::Bytes);
        // Leave some unread while more is to come, as a parser that waits for a line end does.
        stream.input(|bytes| {
            let last = back.len() + bytes.len() == total;
            let used = if last { bytes.len() } else { bytes.len() / 2 };
            back.extend_from_slice(&bytes[..used]);
            (used, ())
        });
    }
    assert_eq!(back, message);
}

fn simulated(seed: u64) -> (Rt, Sock, SocketAddr) {
    let address: SocketAddr = "127.0.0.1:25".parse().unwrap();
    let mut io = SimIo::new(seed);
    let listener = io.listen(address);
    (Rt::new(Box::new(io), Waker::new().unwrap()), listener, address)
}

#[test]
fn bytes_come_back_in_order_whatever_the_pieces() {
    for seed in 0..20 {
        let (rt, listener, address) = simulated(seed);
        exercise(&rt, listener, address, 300_000);
    }
}

#[test]
fn a_silent_peer_is_a_timeout_and_takes_no_real_time() {
    let (rt, listener, address) = simulated(1);
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    let listener = Listener::new(&rt, listener);
    rt.spawn(async move {
        let deadline = rt2.now() + Duration::from_secs(300);
        let client = Stream::connect(&rt2, address, None, deadline).await.unwrap();
        let server = listener.accept().await.unwrap();
        let began = rt2.now();
        let error = server.readable(began + Duration::from_secs(300)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waited = rt2.now().since(began).as_secs_f64();
        assert!((300.0..300.1).contains(&waited), "{waited}");
        drop(server);
        let eof = client.readable(rt2.now() + Duration::from_secs(1)).await.unwrap();
        assert_eq!(eof, Arrived::Eof);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

#[test]
fn a_refused_connection_is_an_error() {
    let (rt, _, _) = simulated(1);
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let deadline = rt2.now() + Duration::from_secs(30);
        let error = Stream::connect(&rt2, nobody, None, deadline).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

#[test]
fn promises_wake_their_waiter_and_a_dropped_one_says_so() {
    let (rt, _, _) = simulated(1);
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let (promise, pledge) = local::promise(&rt2);
        let rt3 = rt2.clone();
        rt2.spawn(async move {
            rt3.sleep_until(rt3.now() + Duration::from_secs(60)).await;
            promise.keep(7);
        });
        assert_eq!(pledge.wait().await, Some(7));
        let (promise, pledge) = local::promise::<u8>(&rt2);
        drop(promise);
        assert_eq!(pledge.wait().await, None);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

#[test]
fn a_write_reaches_the_file_or_fails_as_told() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let io = SimIo::new(3);
    let world = io.world();
    let rt = Rt::new(Box::new(io), Waker::new().unwrap());
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let data = Shared::whole(Arc::new(b"durable".to_vec()));
        let count = rt2.write(file.clone(), 3, data.clone(), false).await.unwrap();
        assert_eq!(count, 7);
        let mut back = [0; 7];
        file.read_exact_at(&mut back, 3).unwrap();
        assert_eq!(&back, b"durable");
        world.fail_writes(Some(Box::new(|_, _| Some(io::Error::other("lying disk")))));
        assert!(rt2.write(file, 0, data, true).await.is_err());
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

/// Says nothing and never stops.
struct Quiet;

impl Pump for Quiet {
    fn pump(&mut self, _rt: &Rt) -> Flow {
        Flow::Continue
    }

    fn has_mail(&self) -> bool {
        false
    }
}

/// Lets members of one world work until `done`.
fn drive(world: &World, members: &[&Rt], done: &Cell<bool>) {
    while !done.get() {
        members.iter().for_each(|rt| assert_eq!(rt.work(&mut Quiet), Flow::Continue));
        let wait = |rt: &&Rt| match rt.waits_for(&Quiet) {
            Wait::Poll => world.now(),
            Wait::Until(at) => at,
        };
        let next = members.iter().map(wait).min().unwrap().min(world.next_event());
        assert_ne!(next, Instant::NEVER);
        world.advance(next);
        members.iter().for_each(|rt| rt.enter(Wait::Poll).unwrap());
    }
}

/// A server and a client on kernels of their own.
fn two() -> (World, Rt, Member, Listener, Rt, SocketAddr) {
    let address: SocketAddr = "192.0.2.1:25".parse().unwrap();
    let world = World::new(5);
    let sock = world.listen(address);
    let (server, client) = (world.io(), world.io());
    let member = server.member();
    let server = Rt::new(Box::new(server), Waker::new().unwrap());
    let client = Rt::new(Box::new(client), Waker::new().unwrap());
    let listener = Listener::new(&server, sock);
    (world, server, member, listener, client, address)
}

#[test]
fn two_kernels_share_one_network() {
    let (world, server, _, listener, client, address) = two();
    let done = Rc::new(Cell::new(false));
    let rt = server.clone();
    server.spawn(async move {
        let stream = listener.accept().await.unwrap();
        echo(&rt, stream).await;
    });
    let (rt, over) = (client.clone(), done.clone());
    client.spawn(async move {
        self::client(&rt, address, 100_000).await;
        over.set(true);
    });
    drive(&world, &[&server, &client], &done);
}

#[test]
fn a_process_that_is_gone_is_an_end_of_file_and_its_listener_stays() {
    let (world, server, member, listener, client, address) = two();
    let done = Rc::new(Cell::new(false));
    let rt = server.clone();
    server.spawn(async move {
        let _stream = listener.accept().await.unwrap();
        rt.sleep_until(Instant::NEVER).await;
    });
    let (rt, over, world2) = (client.clone(), done.clone(), world.clone());
    client.spawn(async move {
        let deadline = rt.now() + Duration::from_secs(60);
        let stream = Stream::connect(&rt, address, None, deadline).await.unwrap();
        rt.sleep_until(rt.now() + Duration::from_secs(1)).await;
        world2.bury(member);
        assert_eq!(stream.readable(deadline).await.unwrap(), Arrived::Eof);
        Stream::connect(&rt, address, None, deadline).await.unwrap();
        over.set(true);
    });
    drive(&world, &[&server, &client], &done);
    server.drop_tasks();
}

#[test]
fn routes_and_cuts_are_errors_in_time() {
    let (world, server, _, listener, client, address) = two();
    let done = Rc::new(Cell::new(false));
    server.spawn(async move {
        let stream = listener.accept().await.unwrap();
        let error = stream.readable(Instant::NEVER).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
    let (rt, over, world2) = (client.clone(), done.clone(), world.clone());
    client.spawn(async move {
        let connect = || Stream::connect(&rt, address, None, rt.now() + Duration::from_secs(30));
        world2.route(address.ip(), Route::Refused);
        let error = connect().await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        world2.route(address.ip(), Route::Lost);
        assert_eq!(connect().await.err().unwrap().kind(), io::ErrorKind::TimedOut);
        world2.route(address.ip(), Route::Open);
        let stream = connect().await.unwrap();
        world2.set_weather(Weather { cut_one_in: 1, ..Weather::default() });
        let deadline = rt.now() + Duration::from_secs(30);
        stream.send(vec![Chunk::Owned(b"lost".to_vec())], deadline).await.unwrap();
        assert!(stream.readable(deadline).await.is_err());
        over.set(true);
    });
    drive(&world, &[&server, &client], &done);
}
