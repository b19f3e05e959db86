//! Fuzz target: any text as a cidr.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_cidr(data));
