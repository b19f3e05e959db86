//! The same exercises as in the simulator, on the real kernel by both of its interfaces. What is
//! not available is skipped, visibly.

use super::*;
use crate::io::Shared;
use crate::net::{Arrived, Listener, Stream};
use crate::reactor::Rt;
use crate::sim::tests::{Until, exercise};
use crate::wake::Waker;
use crate::{Sock, lane};
use std::cell::Cell;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A loop on each interface.
fn real() -> Vec<Rt> {
    let open = |choice| {
        let waker = Waker::new().unwrap();
        match Kernel::open(choice, waker.clone()) {
            Ok(kernel) => Some(Rt::new(kernel.io, waker)),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    };
    [Choice::Uring, Choice::Epoll].into_iter().filter_map(open).collect()
}

#[test]
fn bytes_come_back_in_order() {
    real().into_iter().for_each(bytes_come_back_in_order_on);
}

fn bytes_come_back_in_order_on(rt: Rt) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    exercise(&rt, Sock(listener.into_raw_fd()), address, 5_000_000);
}

/// Connections that receive at once, and bytes for each: several times what the buffers hold.
const CROWD: usize = 300;
const BYTES_EACH: usize = 24 * 1024;

#[test]
fn what_finds_no_buffer_is_received_when_there_are_some_again() {
    real().into_iter().for_each(what_finds_no_buffer_is_received_on);
}

fn what_finds_no_buffer_is_received_on(rt: Rt) {
    const { assert!(CROWD * BYTES_EACH > 2 * 256 * 8 * 1024, "more than all buffers hold") };
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(&rt, Sock(socket.into_raw_fd()));
    let (left, finished) = (Rc::new(Cell::new(CROWD)), Rc::new(Cell::new(false)));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let mut peers = Vec::new();
        for _ in 0..CROWD {
            peers.push(std::net::TcpStream::connect(address).unwrap());
            let stream = listener.accept().await.unwrap();
            let (rt, left, done) = (rt2.clone(), left.clone(), done.clone());
            rt2.spawn(async move {
                receive_all(&rt, stream).await;
                left.set(left.get() - 1);
                done.set(left.get() == 0);
            });
        }
        // Every receive waits by now. The loop stands still meanwhile, so that all comes at once.
        rt2.sleep_until(rt2.now() + Duration::from_millis(50)).await;
        for peer in &mut peers {
            peer.write_all(&[b'x'; BYTES_EACH]).unwrap();
        }
        rt2.sleep_until(rt2.now() + Duration::from_secs(20)).await;
    });
    rt.run(&mut Until(finished)).unwrap();
}

async fn receive_all(rt: &Rt, stream: Stream) {
    let mut count = 0;
    while count < BYTES_EACH {
        let deadline = rt.now() + Duration::from_secs(10);
        assert_eq!(stream.readable(deadline).await.unwrap(), Arrived::Bytes);
        stream.input(|bytes| {
            assert!(bytes.iter().all(|byte| *byte == b'x'));
            count += bytes.len();
            (bytes.len(), ())
        });
    }
    assert_eq!(count, BYTES_EACH);
}

#[test]
fn a_write_is_in_the_file_both_ways() {
    real().into_iter().for_each(a_write_is_in_the_file_both_ways_on);
}

fn a_write_is_in_the_file_both_ways_on(rt: Rt) {
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let file = Arc::new(tempfile::tempfile().unwrap());
        for (offset, sync) in [(0, false), (4096, true)] {
            let data = Shared::whole(Arc::new(vec![b'x'; 4096]));
            assert_eq!(rt2.write(file.clone(), offset, data, sync).await.unwrap(), 4096);
            let mut back = vec![0; 4096];
            file.read_exact_at(&mut back, offset).unwrap();
            assert!(back.iter().all(|byte| *byte == b'x'));
        }
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

#[test]
fn another_thread_wakes_a_sleeping_core() {
    real().into_iter().for_each(another_thread_wakes_a_sleeping_core_on);
}

fn another_thread_wakes_a_sleeping_core_on(rt: Rt) {
    struct Receiver(lane::Port<u32>, Option<u32>);
    impl crate::reactor::Pump for Receiver {
        fn pump(&mut self, _rt: &Rt) -> crate::Flow {
            self.1 = self.1.or(self.0.receive());
            if self.1.is_some() { crate::Flow::Stop } else { crate::Flow::Continue }
        }
        fn has_mail(&self) -> bool {
            self.0.has_mail()
        }
    }
    let wakers = [rt.waker().clone(), Waker::new().unwrap()];
    let mut ports = lane::mesh(&wakers);
    let other = ports.pop().unwrap();
    let mut receiver = Receiver(ports.pop().unwrap(), None);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.send(0, 42);
        other.flush();
    });
    rt.run(&mut receiver).unwrap();
    assert_eq!(receiver.1, Some(42));
    sender.join().unwrap();
}

#[test]
fn a_timer_ends_a_wait() {
    real().into_iter().for_each(a_timer_ends_a_wait_on);
}

fn a_timer_ends_a_wait_on(rt: Rt) {
    let finished = Rc::new(Cell::new(false));
    let (rt2, done) = (rt.clone(), finished.clone());
    rt.spawn(async move {
        let at = rt2.now() + Duration::from_millis(30);
        rt2.sleep_until(at).await;
        assert!(rt2.now() >= at);
        done.set(true);
    });
    rt.run(&mut Until(finished)).unwrap();
}

#[test]
fn the_variable_names_an_interface() {
    assert_eq!(Choice::named(""), Some(Choice::Best));
    assert_eq!(Choice::named("epoll"), Some(Choice::Epoll));
    assert_eq!(Choice::named("io_uring"), Some(Choice::Uring));
    assert_eq!(Choice::named("kqueue"), None);
}

#[test]
fn the_cause_has_a_hint() {
    let text = cause(&io::Error::from_raw_os_error(1));
    assert!(text.contains("kernel.io_uring_disabled"), "{text}");
    assert!(cause(&io::Error::from_raw_os_error(22)).contains("before 6.1"));
}

#[test]
fn epoll_can_be_had_everywhere() {
    let kernel = Kernel::open(Choice::Epoll, Waker::new().unwrap()).unwrap();
    assert_eq!(kernel.blocked, None);
}
