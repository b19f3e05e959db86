//! Fuzz target: any bytes as an SMTP path.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::fuzz_address(data));
