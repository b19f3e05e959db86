//! Fuzz target: any bytes as the segments of a queue log.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| queue::fuzz_queue_replay(data));
