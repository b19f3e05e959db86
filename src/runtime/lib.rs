//! The kernel, and a pretend kernel: everything that reaches the system for one core.
//!
//! [`io::Io`] is the contract: operations go in with a key, completions come out with the same key.
//! [`ring::UringIo`] keeps it with io_uring, [`epoll::EpollIo`] with epoll where that is blocked,
//! [`sim::SimIo`] with virtual time and a scripted network.
//! [`Rt`] runs the tasks of one pinned core on top of either, so engine code is written once, as
//! straight lines that await [`net::Stream`], [`disk`] and [`Rt::sleep_until`].
//!
//! Diagnostics: operating-system failures are `io::Error` values handed to the awaiting task; a
//! broken invariant of the ring (a completion for a key that was never issued) panics, because a
//! process that has lost track of its buffers must not go on.

#![deny(unsafe_code)]

pub mod affinity;
pub mod clock;
pub mod disk;
pub mod epoll;
pub mod executor;
pub mod io;
pub mod kernel;
pub mod lane;
pub mod local;
pub mod net;
pub mod reactor;
pub mod ring;
pub mod sim;
pub mod slab;
pub mod timer;
pub mod wake;

pub use clock::{Instant, UnixMicros};
pub use executor::TaskId;
pub use io::{Chunk, SendData, Shared, Sock};
pub use reactor::{Flow, Rt};
