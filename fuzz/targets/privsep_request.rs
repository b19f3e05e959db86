//! Fuzz target: any bytes as what the privileged helper and the engine read from each other.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| privsep::fuzz_privsep_request(data));
