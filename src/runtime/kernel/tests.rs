//! The same exercises as in the simulator, on the real kernel by both of its interfaces. What is
//! not available is skipped, visibly.

use super::*;
use crate::io::Shared;
use crate::reactor::Rt;
use crate::sim::tests::{Until, exercise};
use crate::wake::Waker;
use crate::{Sock, lane};
use std::cell::Cell;
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
