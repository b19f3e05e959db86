//! Fuzz target: any bytes as a file of the maildrop directory.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz_pickup(data));
