//! Fuzz target: any bytes as a table file of ours, also with its checksums put right.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_constant_db(data));
