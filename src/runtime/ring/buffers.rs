//! The provided-buffer ring: memory the kernel puts received bytes in.
//!
//! A buffer is owned by the kernel until a completion names it, then by us until
//! [`Buffers::give_back`]. Given-back buffers are published together with one release store per
//! turn.

use io_uring::{Submitter, types::BufRingEntry};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

/// How many buffers a core provides; a power of two, at most 32768.
pub const COUNT: u16 = 256;
/// Bytes in one buffer.
pub const SIZE: usize = 8 * 1024;
/// The group the receive operations name.
pub const GROUP: u16 = 0;

const RING_BYTES: usize = COUNT as usize * size_of::<BufRingEntry>();
const POOL_BYTES: usize = COUNT as usize * SIZE;

const _: () = assert!(COUNT.is_power_of_two() && COUNT <= 1 << 15);

/// The ring of free buffers and the buffers themselves.
pub struct Buffers {
    ring: *mut BufRingEntry,
    pool: *mut u8,
    tail: u16,
    lent: u16,
}

impl Buffers {
    /// Maps and registers the ring, with every buffer free.
    pub fn register(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let mut buffers =
            Buffers { ring: map(RING_BYTES)?.cast(), pool: map(POOL_BYTES)?, tail: 0, lent: COUNT };
        // SAFETY: the ring is RING_BYTES of zeroed, page-aligned memory that lives until drop,
        // which the owner runs after the ring's descriptor is closed (field order in `UringIo`).
        unsafe { submitter.register_buf_ring_with_flags(buffers.ring as u64, COUNT, GROUP, 0)? };
        for buffer in 0..COUNT {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of a buffer that a completion handed to us.
    pub fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(buffer < COUNT && len <= SIZE);
        // SAFETY: in bounds by the assertion; the kernel has written `len` bytes and does not touch
        // the buffer again until it is given back, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.pool.add(buffer as usize * SIZE), len) }
    }

    /// Takes note that a completion handed a buffer to us.
    pub fn taken(&mut self) {
        debug_assert!(self.lent < COUNT);
        self.lent += 1;
    }

    /// Puts a buffer back; the kernel sees it after [`Buffers::publish`].
    pub fn give_back(&mut self, buffer: u16) {
        assert!(buffer < COUNT && self.lent > 0);
        let index = (self.tail & (COUNT - 1)) as usize;
        // SAFETY: `index` is below COUNT, so inside the ring; the kernel reads entries below the
        // published tail only, and this one is above it. Only fields are written: the first entry
        // shares its last two bytes with the tail.
        let entry = unsafe { &mut *self.ring.add(index) };
        // SAFETY: in bounds, as `buffer` is below COUNT.
        let address = unsafe { self.pool.add(buffer as usize * SIZE) };
        entry.set_addr(address as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.lent -= 1;
    }

    /// Shows the kernel what was given back.
    pub fn publish(&mut self) {
        // SAFETY: the ring's base is valid and page-aligned; the tail is a naturally aligned u16
        // that the kernel reads with acquire order.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both mappings were made by `map` with these sizes and nothing borrows them now.
        unsafe { munmap(self.ring.cast(), RING_BYTES).ok() };
        // SAFETY: as above.
        unsafe { munmap(self.pool.cast(), POOL_BYTES).ok() };
    }
}

fn map(bytes: usize) -> io::Result<*mut u8> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
    let memory = unsafe { mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)? };
    Ok(memory.cast())
}
