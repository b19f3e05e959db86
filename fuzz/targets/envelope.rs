//! Fuzz target: any bytes as a stored envelope.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mail::fuzz_envelope(data));
