//! Fuzz target: any bytes as the addresses of a header.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::fuzz_tok822(data));
