//! Fuzz target: any bytes as message headers.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::fuzz_header(data));
